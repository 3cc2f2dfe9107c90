"""Which pictures of a data set belong to which subgroup?"""

from collections.abc import Sequence

import numpy as np

from train.datasets import Sample
from train.errors import DataError


def subgroup_indices(samples: Sequence[Sample], attribute: str) -> dict[str, list[int]]:
    """For each value of an attribute the indices of the samples that have it.

    ``size`` is the lesion's share of the picture, in terciles of the lesions that have a mask; normal pictures, if
    there are any, are put into all three. Raises DataError if no sample has the attribute.
    """
    if attribute == "size":
        areas = np.array([sample.lesion().mean() for sample in samples])
        if not areas.any():
            raise DataError("no lesion has a mask, so none has a known size")
        low, high = np.quantile(areas[areas > 0], [1 / 3, 2 / 3])
        sizes = {
            "large": areas > high,
            "medium": (areas > low) & (areas <= high),
            "small": (areas > 0) & (areas <= low),
        }
        normal = np.array([sample.label == "normal" for sample in samples])
        return {size: np.flatnonzero(lesions | normal).tolist() for size, lesions in sizes.items() if lesions.any()}
    if not any(attribute in sample.attributes for sample in samples):
        known = ", ".join(["size", *sorted({name for sample in samples for name in sample.attributes})])
        raise DataError(f"no picture has the attribute {attribute}. Expected one of {known}.")
    values = [sample.attributes.get(attribute, "unknown") for sample in samples]
    return {value: [i for i, v in enumerate(values) if v == value] for value in sorted(set(values))}
