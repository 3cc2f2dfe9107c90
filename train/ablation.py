"""What is the second look worth, and which margin is best? The networks of finished folds judge their held-out pictures
again, by the glance alone, by looks with several margins, and by mixtures of these.

Nothing is trained again, so all variants are compared picture by picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rcdnet.glance import LOOK_WEIGHT, Floats, RunNetwork, locate, log_softmax
from rcdnet.preprocess import Grey, prepare
from rcdnet.spec import ModelSpec
from train import loop, metrics, predictions
from train.datasets import Sample
from train.duplicates import bootstrap_groups
from train.errors import DataError
from train.predict import BATCH, runner
from train.run_folder import recipe_of

MARGINS = (1.3, 1.7, 2.4)


def glance_and_looks(greys: Sequence[Grey], spec: ModelSpec, run: RunNetwork) -> dict[str, Floats]:
    """Log-probabilities [N, K] of the glance, and of the look, with each of MARGINS, at what the glance located."""
    parts: dict[str, list[Floats]] = {}
    for start in range(0, len(greys), BATCH):
        batch = greys[start : start + BATCH]
        prepared = [prepare(grey, spec) for grey in batch]
        logits, maps = run(np.stack([image for image, _ in prepared]))
        parts.setdefault("glance", []).append(log_softmax(logits))
        for margin in MARGINS:
            around = replace(spec, second_look=margin)
            boxes = [locate(m, z, at, around) for m, z, (_, at) in zip(maps, logits, prepared, strict=True)]
            crops = [prepare(grey, spec, box)[0] for grey, box in zip(batch, boxes, strict=True)]
            parts.setdefault(f"look {margin}", []).append(log_softmax(run(np.stack(crops))[0]))
    return {name: np.concatenate(values) for name, values in parts.items()}


def variants(parts: dict[str, Floats]) -> dict[str, Floats]:
    """What is compared, by name: mixtures of glance and look (the first is what ships), then each alone."""
    glance, look = parts["glance"], parts[f"look {MARGINS[0]}"]
    mixtures = {f"glance + look {LOOK_WEIGHT:.2f} x {MARGINS[0]}": (1 - LOOK_WEIGHT) * glance + LOOK_WEIGHT * look}
    mixtures |= {f"equal weights, margin {margin}": (glance + parts[f"look {margin}"]) / 2 for margin in MARGINS}
    return mixtures | parts


def ablate(folder: Path, data_root: Path) -> list[dict[str, str]]:
    """One row for each data set and variant, over the finished folds of seed 0 below a recipe's FOLDER.

    It has the AUC, benign against malignant, and the paired difference to the AUC of the first variant with a 95 %
    bootstrap interval. Raises DataError if no fold is finished or a picture is gone, CheckpointError if a network is.
    """
    answers: dict[str, list[Floats]] = {}
    tested: list[Sample] = []
    files = sorted(folder.glob("seed0-fold*/predictions.csv"))
    if not files:
        raise DataError(
            f"{folder} contains no finished fold of seed 0, seed0-fold*: point at what `train fit joint --out` made"
        )
    held_out = [predictions.read([file]).samples(data_root, recipe_of(file.parent).data) for file in files]
    models = [loop.load_trained(file.parent) for file in files]  # all of them first, as one may be gone
    for model, samples in zip(models, held_out, strict=True):
        lesions = [sample for sample in samples if sample.label != "normal"]
        parts = glance_and_looks([sample.grey() for sample in lesions], model.spec, runner(model))
        benign, malignant = (model.spec.index(name) for name in ("benign", "malignant"))
        for name, logits in variants(parts).items():
            answers.setdefault(name, []).append(logits[:, malignant] - logits[:, benign])
        tested += lesions
    scores = {name: np.concatenate(values) for name, values in answers.items()}
    return [row for dataset in sorted({s.dataset for s in tested}) for row in rows_of(dataset, tested, scores)]


def rows_of(dataset: str, tested: Sequence[Sample], scores: Mapping[str, Floats]) -> list[dict[str, str]]:
    """One row for each variant in ``scores``, its log-odds of malignant [N] for the ``tested`` pictures. No rows for a
    data set whose lesions are all benign or all malignant."""
    chosen = np.array([sample.dataset == dataset for sample in tested])
    positive = np.array([sample.label == "malignant" for sample in tested])[chosen]
    if not metrics.has_both(positive):
        return []
    patients = bootstrap_groups([sample for sample in tested if sample.dataset == dataset])
    first, *_ = scores
    rows = []
    for name, values in scores.items():
        difference = metrics.auc_difference(positive, values[chosen], scores[first][chosen], patients)
        rows.append(
            {
                "data": dataset,
                "n": str(len(positive)),
                "answer": name,
                "AUC": f"{metrics.auc(positive, values[chosen]):.3f}",
                "difference (95 %)": "" if name == first else difference.signed(),
            }
        )
    return rows
