"""A rectangle of a picture. It has a file of its own because a decoder needs it, and starts faster without Pydantic."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A half-open rectangle in pixels of a picture: columns x..x+width, rows y..y+height."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int

    def __post_init__(self) -> None:
        if self.width_px < 1 or self.height_px < 1:
            raise ValueError(f"a box needs at least one pixel, not {self.width_px}x{self.height_px}")

    @property
    def pixels(self) -> tuple[slice, slice]:
        """Its rows and columns, to cut it from a picture."""
        return slice(self.y_px, self.y_px + self.height_px), slice(self.x_px, self.x_px + self.width_px)
