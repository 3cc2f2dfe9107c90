"""What holds for every frame of one run?"""

from dataclasses import dataclass

from rcdnet.spec import ModelSpec
from stream.config import StreamConfig


@dataclass(frozen=True)
class Session:
    """The facts of one run. ``source`` is its name; ``config`` has the times that are really used; the others are
    those of ``stream.sources.base.Source``."""

    source: str
    live: bool
    synthetic: bool
    spec: ModelSpec
    config: StreamConfig
    still: bool = False
    looped: bool = False
    left_out: str = ""

    @property
    def network(self) -> str:
        """Which network, in short: its version, and the beginning of its weights' SHA-256."""
        return f"{self.spec.version}, {self.spec.weights_sha256[:12]}".removesuffix(", ")
