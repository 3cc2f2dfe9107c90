from dataclasses import replace

import pytest

from tests.judged import data_set
from train.errors import DataError
from train.evaluate import select
from train.subgroups import subgroup_indices


def test_size_terciles_and_attributes_part_the_samples(tmp_path):
    samples = select(data_set(tmp_path), "binary")
    parts = subgroup_indices(samples, "size")
    assert {name: len(indices) for name, indices in parts.items()} == {"large": 4, "medium": 4, "small": 4}
    parts = subgroup_indices(data_set(tmp_path / "with normal"), "size")
    assert {name: len(indices) for name, indices in parts.items()} == {"large": 10, "medium": 10, "small": 10}
    with pytest.raises(DataError, match="no lesion has a mask"):
        subgroup_indices([replace(s, masks=()) for s in samples], "size")
    samples = [replace(s, attributes={"birads": "4" if i < 5 else "5"}) for i, s in enumerate(samples)]
    assert subgroup_indices(samples, "birads") == {"4": [0, 1, 2, 3, 4], "5": [5, 6, 7, 8, 9, 10, 11]}
