"""A recipe holds all settings of a training, in one TOML file. Every result names the recipe by which it was made."""

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
"""Lightning Fabric's name of the precision. It suits the machine, so no recipe holds it, but each run folder does."""


def _names_data_set(folder: str) -> str:
    if Path(folder).name in ("", "..") or " + " in folder:
        raise ValueError(
            f"{folder!r} does not name a data set, and checkpoints record by folder name what they were trained on"
        )
    return folder


def _has_lesion_classes(names: tuple[str, ...]) -> tuple[str, ...]:
    if missing := {"benign", "malignant"} - set(names):
        raise ValueError(f"{', '.join(sorted(missing))} is missing: every lesion is judged as benign or malignant")
    if len(set(names)) < len(names):
        raise ValueError(f"{', '.join(names)} name a class more than once")
    return names


Folder = Annotated[str, AfterValidator(_names_data_set)]


class Recipe(BaseModel):
    """The keys of a recipe's file, such as ``shipped.toml``, with their defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str
    data: tuple[Folder, ...]
    """Folders of data sets, below the data root, on which is trained (and tested, except by ``transfer``)."""
    protocol: Literal["all", "folds", "random", "transfer"]
    """How the data is split. all: train on everything, test on nothing. folds: 5-fold cross-validation, by the official
    folds if the set has some, else by groups of near copies. random: the paper's 7:3, and its leak-free twin. transfer:
    train on ``data``, test on ``test_data``."""
    test_data: tuple[Folder, ...] = ()
    external: tuple[Folder, ...] = ()
    """Data sets on which the finished network is tested as well; nothing is trained or tuned on them."""
    class_names: Annotated[tuple[str, ...], AfterValidator(_has_lesion_classes)] = CLASS_NAMES
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = Field(default=(0,), min_length=1)

    backbone: str = "tf_efficientnet_lite0"
    size_px: int = Field(default=224, ge=32)
    second_look: Annotated[float, Field(ge=1)] | Literal["off"] = 1.3
    """Margin of the second look's crop. Of 1.3, 1.7 and 2.4 the smallest was the best on held-out folds."""
    preprocessing: Preprocessing = Preprocessing()
    augmentation: Augmentation = Augmentation()

    architecture: Literal["rcdnet", "peer"] = "rcdnet"
    """peer: the plain backbone of ``train.peers``, for comparison."""
    normal_repeat: int = Field(default=1, ge=1)
    """How often an epoch shows each normal picture. The data sets have few; a live probe sees mostly normal tissue."""
    epochs: int = Field(default=20, ge=1)
    batch: int = Field(default=32, ge=1)
    optimizer: Literal["adam", "adamw"] = "adamw"
    lr_head: float = Field(default=1e-3, ge=0)
    lr_body: float = Field(default=3e-4, ge=0)
    """Learning rate of the backbone; ``lr_head`` is that of all other layers."""
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup_epochs: float = Field(default=0.5, ge=0)
    frozen_stages: int = Field(default=2, ge=0)
    """The stem and this many stages keep their ImageNet filters. This halves the time of a step on a CPU, and costs no
    accuracy that could be measured (docs/results/tried.md: "every layer learns")."""
    frozen_large_filters: bool = True
    """The 5x5 depthwise filters keep their ImageNet values: their gradient takes a sixth of a step's time on a CPU."""
    label_smoothing: Share = 0.1
    mixup_alpha: float = Field(default=0.2, ge=0)
    """Mixup draws the share of a picture from Beta(alpha, alpha) (Zhang et al. 2018, arXiv:1710.09412); 0 turns it
    off."""
    pointing_weight: float = Field(default=0.2, ge=0)
    """Weight of ``losses.pointing_loss``, which is added to the cross entropy; with 0 the masks are not used in it."""
    teacher_weight: Share = 0.7
    """Weight of the teachers' answers, if ``train fit --teacher`` names any; the labels have the rest."""
    ema_decay: Share = 0.998
    """The largest decay of the exponential moving average (EMA) of the weights; 0 uses the last weights instead. In
    step n the decay is 1 - (1 + n)^(-2/3), timm's warm-up, until it reaches this value. It is 0.99 after 1000 steps, so
    a short training never reaches 0.998."""

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
            trained_on=" + ".join(Path(name).name for name in self.data),  # the names that Sample.dataset has
            version=self.name,
        )


class RecipeError(ValueError):
    """The recipe does not exist, is not valid, or cannot be used like this."""


def load(name_or_path: str, changes: Sequence[str] = ()) -> Recipe:
    """The recipe in a TOML file, or the one of this name in this folder. ``changes`` are lines of TOML, such as
    "mixup_alpha = 0.0", that replace what it says. Raises RecipeError.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = FOLDER / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.toml")))
        raise RecipeError(f"no recipe {name_or_path!r}: name a TOML file or one of {known}")
    try:
        changed = tomllib.loads("\n".join(changes))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(
            f"{' and '.join(changes)} is not TOML: {error}. Text needs double quotes, and these single ones around "
            "all: --set 'data=[\"busi\"]'"
        ) from error
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        for key in values.keys() & changed.keys():
            if isinstance(values[key], dict) and isinstance(changed[key], dict):  # a table keeps what is not changed
                changed[key] = values[key] | changed[key]
        return Recipe.model_validate(values | changed)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        raise RecipeError(f"{' with '.join([str(path), *changes])} does not hold: {_first_fault(error)}") from error


def _first_fault(error: ValidationError) -> str:
    """The key of a recipe that does not hold, if it is a single one, and what is wrong with it."""
    first = error.errors()[0]
    where, what = ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        *table, _ = first["loc"]
        keys = vars(Recipe.model_fields[str(table[0])].default) if table else Recipe.model_fields
        what = f"there is no such key. Expected one of {', '.join(keys)}."
    return f"{where}: {what}" if where else what
