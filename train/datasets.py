"""Load a data set as Samples. The layout is recognised from the folder, so any set that is laid out like one of these
can be loaded:

BUSI       CLASS/NAME.*, CLASS/NAME_mask.* (further masks: NAME_mask_1.*)      Al-Dhabyani et al. 2020
BUS-BRA    Images/, Masks/, bus_data.csv, 5-fold-cv.csv                         Gomez-Flores et al. 2024
UDIAT      original/, GT/, labels.csv                                           Yap et al. 2018; external test only

Sets laid out like BUSI or UDIAT need no masks. A labels.csv that has a column ``patient`` is not external: the set may
also be trained on.
"""

import csv
import logging
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from train.errors import DataError
from train.images import read_grey, read_mask

log = logging.getLogger(__name__)

CLASS_NAMES = ("normal", "benign", "malignant")
Task = Literal["binary", "three-class"]
"""Which pictures a test is about: lesions alone, benign against malignant, or all three classes."""
IMAGE_SUFFIXES = frozenset({".png", ".jfif", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
_MASK = re.compile(r"_mask(_\d+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Sample:
    """One labelled picture.

    ``dataset`` is the name of its folder. ``patient`` and ``fold`` (an official fold, 1..5) are None where the data set
    has none. ``external`` marks a set that must never be trained, tuned or selected on. ``attributes`` are those by
    which ``subgroups.subgroup_indices`` makes subgroups.
    """

    dataset: str
    name: str
    image: Path
    masks: tuple[Path, ...]
    label: str
    patient: str | None = None
    fold: int | None = None
    external: bool = False
    attributes: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def person(self) -> tuple[str, str] | None:
        """Data set and patient, or None: patients of different sets may have the same name."""
        return None if self.patient is None else (self.dataset, self.patient)

    def grey(self) -> NDArray[np.uint8]:
        """The picture, uint8 [H, W]. Raises DataError."""
        return read_grey(self.image)

    def lesion(self) -> NDArray[np.bool_]:
        """The union of the lesion masks, bool [H, W] of the picture's size; all False without any. Raises DataError."""
        shape = self.grey().shape
        union = np.zeros(shape, bool)
        for path in self.masks:
            mask = read_mask(path)
            if mask.shape != shape:
                mask = cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
            union |= mask
        return union


def load(root: Path) -> list[Sample]:
    """All samples of the data set in ``root``. Raises DataError if its layout is not known, or if it is broken."""
    if not root.is_dir():
        raise DataError(f"{root} is not a folder")
    if root.name in ("", ".."):  # as of ".": the folder's name is the data set's, and is written into checkpoints
        root = root.resolve()
    if (root / "bus_data.csv").is_file():
        samples = _bus_bra(root)
    elif (root / "labels.csv").is_file() and (root / "original").is_dir():
        samples = _udiat(root)
    else:
        samples = _class_folders(root)
    if not samples:
        raise DataError(
            f"{root} contains no data set: expected class folders ({', '.join(CLASS_NAMES)}) like BUSI, "
            "bus_data.csv like BUS-BRA, or labels.csv with original/ like UDIAT"
        )
    if twice := [name for name, count in Counter(sample.name for sample in samples).items() if count > 1]:
        raise DataError(f"{root} has or lists {len(twice)} names more than once, such as {twice[0]}.")
    if unknown := {sample.label for sample in samples} - set(CLASS_NAMES):
        raise DataError(
            f"{root} has pictures labelled {', '.join(sorted(map(repr, unknown)))}. Expected {', '.join(CLASS_NAMES)}."
        )
    return samples


def load_all(roots: Sequence[Path]) -> list[Sample]:
    """The samples of several data sets, one after the other."""
    return [sample for root in roots for sample in load(root)]


def _images(folder: Path) -> dict[str, Path]:
    """The image files of a folder by stem, in natural order. Raises DataError if there are none, or two of a stem."""
    visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    paths = [path for path in visible if _is_picture(path)]
    if not paths:
        raise DataError(f"{folder} contains no picture. Expected {', '.join(sorted(IMAGE_SUFFIXES))} right in it.")
    if twice := [stem for stem, count in Counter(path.stem for path in paths).items() if count > 1]:
        raise DataError(f"{folder} has {len(twice)} names for more than one picture, such as {twice[0]}: rename one.")
    _warn_left_out(folder, {path.name for path in visible} - {path.name for path in paths}, "Not a picture by its name")
    stacks = [path for path in paths if path.suffix.lower() in (".tif", ".tiff") and cv2.imcount(str(path)) > 1]
    _warn_left_out(folder, [f"all pages of {path.name} but its first" for path in stacks], "Save each as a picture")
    return {path.stem: path for path in sorted(paths, key=lambda path: _natural_key(path.stem))}


def _warn_left_out(folder: Path, names: Collection[str], why: str) -> None:
    """Log a warning that names the first three files that were left out, if there are any."""
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        log.warning("%s: left out: %s%s. %s", folder.name, ", ".join(sorted(names)[:3]), more, why)


def _is_picture(path: Path) -> bool:
    """Whether its name is that of a picture, and not hidden."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _natural_key(stem: str) -> list[tuple[int, str]]:
    """A key that sorts "benign (2)" before "benign (10)"."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", stem)]


def read_table(path: Path, *columns: str) -> list[dict[str, str]]:
    """The rows of a CSV file that are not empty, by the names of its columns in small letters. Raises DataError if it
    lacks one of these columns, has two of one name, or cannot be read."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            reader.fieldnames = names = [name.strip().lower() for name in reader.fieldnames or ()]
            if missing := set(columns) - set(names):
                raise DataError(f"{path} has no column {', '.join(sorted(missing))}. Expected a comma-separated table.")
            if twice := {name for name in names if name and names.count(name) > 1}:
                raise DataError(f"{path} has two columns {', '.join(sorted(twice))} (capitals do not count).")
            rows = list(reader)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8. Save it as UTF-8.") from error
    for number, row in enumerate(rows, 1):
        if absent := [column for column in columns if row[column] is None]:
            raise DataError(f"{path} ends before {', '.join(absent)} in row {number}.")
    return [row for row in rows if any(row.values())]


def _class_folders(root: Path) -> list[Sample]:
    """The samples of a set laid out like BUSI. Where two classes have a picture of one name, each is CLASS/NAME."""
    samples = []
    labels = {path: path.name.strip().lower() for path in sorted(root.iterdir()) if path.is_dir()}
    folders = [(label, path) for label in CLASS_NAMES for path in labels if labels[path] == label]
    if folders:
        others = [path.name for path in labels if labels[path] not in CLASS_NAMES and path.name[:1] != "."]
        _warn_left_out(root, others, f"Classes are {', '.join(CLASS_NAMES)}")
    for label, folder in folders:
        images, masks = _images(folder), dict[str, list[Path]]()
        for stem in list(images):
            if _MASK.search(stem):
                masks.setdefault(_MASK.sub("", stem), []).append(images.pop(stem))
        alone = [path.name for name in masks.keys() - images for path in masks[name]]
        _warn_left_out(folder, alone, "Masks without a picture of that name")
        samples += [Sample(root.name, stem, path, tuple(masks.get(stem, ())), label) for stem, path in images.items()]
    times = Counter(sample.name for sample in samples)
    return [replace(s, name=f"{s.label}/{s.name}") if times[s.name] > 1 else s for s in samples]


def _bus_bra(root: Path) -> list[Sample]:
    images, masks = _images(root / "Images"), _images(root / "Masks")
    folds_file = root / "5-fold-cv.csv"
    fold_rows = read_table(folds_file, "id", "kfold") if folds_file.is_file() else []
    try:
        folds = {row["id"]: int(row["kfold"]) for row in fold_rows}
    except ValueError as error:
        raise DataError(f"{folds_file} has a kFold that is not a whole number: {error}") from error
    samples = []
    for row in read_table(root / "bus_data.csv", "id", "case", "pathology", "birads", "device", "histology"):
        name = row["id"]
        mask = masks.get(name.replace("bus_", "mask_"))
        if name not in images or mask is None:
            raise DataError(f"{root / 'bus_data.csv'} lists {name}, but its image or mask is missing")
        attributes = {key: row[key] for key in ("birads", "device", "histology")}
        samples.append(
            Sample(
                root.name,
                name,
                images[name],
                (mask,),
                row["pathology"].strip().lower(),
                patient=row["case"].strip() or None,
                fold=folds.get(name),
                attributes=attributes,
            )
        )
    _warn_left_out(root / "Images", images.keys() - {s.name for s in samples}, "bus_data.csv does not list it")
    return samples


def _udiat(root: Path) -> list[Sample]:
    images = _images(root / "original")
    masks = _images(root / "GT") if (root / "GT").is_dir() and any(map(_is_picture, (root / "GT").iterdir())) else None
    samples = []
    for row in read_table(root / "labels.csv", "image", "pathology"):
        file, label = PureWindowsPath(row["image"].strip()), row["pathology"].strip().lower()  # splits at / and at \
        name = file.stem if file.suffix.lower() in IMAGE_SUFFIXES else file.name
        if name not in images or (masks is not None and name not in masks and label != "normal"):
            raise DataError(f"{root / 'labels.csv'} lists {name}, but its image or mask is missing")
        attributes = {"histology": row["diagnosis"]} if "diagnosis" in row else {}
        samples.append(
            Sample(
                root.name,
                name,
                images[name],
                (masks[name],) if masks is not None and name in masks else (),
                label,
                patient=(row.get("patient") or "").strip() or None,
                external="patient" not in row,
                attributes=attributes,
            )
        )
    _warn_left_out(root / "original", images.keys() - {s.name for s in samples}, "labels.csv does not list it")
    return samples
