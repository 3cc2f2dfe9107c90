"""A recipe: everything that one published run depends on, in one TOML file. A result names the recipe that made it."""

import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from rcdnet.spec import ModelSpec, Preprocessing
from train.augment import Augmentation, Share
from train.datasets import CLASS_NAMES

FOLDER = Path(__file__).parent
Precision = Literal["32-true", "bf16-mixed"]
"""Of Lightning Fabric. It is the machine's, so no recipe names it; a run folder does."""


def _named(folder: str) -> str:
    if Path(folder).name in ("", "..") or " + " in folder:
        raise ValueError(
            f"{folder!r} does not name a data set: its folder's name is how checkpoints tell what they saw"
        )
    return folder


def _with_lesions(names: tuple[str, ...]) -> tuple[str, ...]:
    if missing := {"benign", "malignant"} - set(names):
        raise ValueError(f"{', '.join(sorted(missing))} is missing: benign or malignant is what is asked of a lesion")
    return names


Folder = Annotated[str, AfterValidator(_named)]


class Recipe(BaseModel):
    """See ``shipped.toml`` for an example."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str
    data: tuple[Folder, ...]
    """Folders below the data root that are trained on (and, except for ``transfer``, tested on)."""
    protocol: Literal["all", "folds", "random", "transfer"]
    """all: train on everything. folds: 5-fold, by official fold where the set has one, else by near-duplicate group.
    random: the paper's 7:3, and its leak-free twin. transfer: train on ``data``, test on ``test_data``."""
    test_data: tuple[Folder, ...] = ()
    external: tuple[Folder, ...] = ()
    """Sets that the finished, frozen network is put to as well; nothing is fitted to it."""
    class_names: Annotated[tuple[str, ...], AfterValidator(_with_lesions)] = CLASS_NAMES
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = Field(default=(0,), min_length=1)

    backbone: str = "tf_efficientnet_lite0"
    size_px: int = Field(default=224, ge=32)
    second_look: Annotated[float, Field(ge=1)] | Literal["off"] = 1.3
    """Margin of the crop that is judged again. Of 1.3, 1.7 and 2.4 the tightest was best on held-out folds."""
    preprocessing: Preprocessing = Preprocessing()
    augmentation: Augmentation = Augmentation()

    architecture: Literal["rcdnet", "peer"] = "rcdnet"
    """peer: the plain backbone of ``train.peers``, for comparison."""
    normal_repeat: int = Field(default=1, ge=1)
    """How often an epoch shows each normal picture: few in the data sets, they are most of what a live probe sees."""
    epochs: int = Field(default=20, ge=1)
    batch: int = Field(default=32, ge=1)
    optimizer: Literal["adam", "adamw"] = "adamw"
    lr_head: float = Field(default=1e-3, ge=0)
    lr_body: float = Field(default=3e-4, ge=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup_epochs: float = Field(default=0.5, ge=0)
    frozen_stages: int = Field(default=2, ge=0)
    """The stem and this many stages keep their ImageNet filters: half of a step's time on a CPU, no measured accuracy
    (docs/results/tried.md: "every layer learns")."""
    frozen_large_filters: bool = True
    """The 5x5 depthwise filters keep their ImageNet values: their gradient is a sixth of a step's time on a CPU."""
    label_smoothing: Share = 0.1
    mixup_alpha: float = Field(default=0.2, ge=0)
    """Beta(alpha, alpha) of mixup (Zhang et al. 2018, arXiv:1710.09412); 0 turns it off."""
    pointing_weight: float = Field(default=0.2, ge=0)
    """Weight of ``losses.pointing_loss``; 0 turns the masks off."""
    teacher_weight: Share = 0.7
    """Of what the teachers say, beside the labels, if ``train fit --teacher`` names any."""
    ema_decay: Share = 0.998
    """Of the averaged weights that are kept in a step, at most: in step n it is 1 - (1 + n)^(-2/3), timm's warm-up,
    which gets to 0.99 after 1000 steps, so that a short training never gets further. 0 keeps the last weights."""

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        folders = Counter(Path(name).name for name in (*self.data, *self.test_data, *self.external))
        if twice := [name for name, count in folders.items() if count > 1]:
            raise ValueError(f"data, test_data and external name {', '.join(twice)} more than once. Keep one of them")
        if (self.protocol == "transfer") != bool(self.test_data):
            raise ValueError(
                "test_data is what the protocol transfer tests on, and no other does. Name both or neither"
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} name one more than once. A seed gives the same run each time")
        return self

    def spec(self) -> ModelSpec:
        """The ModelSpec of a network trained by this recipe, before calibration."""
        return ModelSpec(
            class_names=self.class_names,
            height_px=self.size_px,
            width_px=self.size_px,
            mean=0.485,
            std=0.229,
            backbone=self.backbone,
            preprocessing=self.preprocessing,
            second_look=None if self.second_look == "off" else self.second_look,
            trained_on=" + ".join(Path(name).name for name in self.data),  # as samples call their set
            version=self.name,
        )


class RecipeError(ValueError):
    """The recipe does not exist or does not hold."""


def load(name_or_path: str, changes: Sequence[str] = ()) -> Recipe:
    """A recipe by file, or by name among those of this folder, with ``changes`` like "mixup_alpha = 0.0" instead of
    what it says. Raises RecipeError.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = FOLDER / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.toml")))
        raise RecipeError(f"no recipe {name_or_path!r}: name a TOML file or one of {known}")
    try:
        said, instead = tomllib.loads(path.read_text(encoding="utf-8-sig")), tomllib.loads("\n".join(changes))
        for key in said.keys() & instead.keys():
            if isinstance(said[key], dict) and isinstance(instead[key], dict):  # a table keeps what is not changed
                instead[key] = said[key] | instead[key]
        return Recipe.model_validate(said | instead)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{' with '.join([str(path), *changes])} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        keys = ".".join(str(part) for part in first["loc"])
        what = ": ".join(filter(None, ["does not hold", keys, first["msg"]]))
        raise RecipeError(f"{' with '.join([str(path), *changes])} {what}") from error
