"""The shipped model: its files belong together, are small, and every engine here computes the same from them."""

from pathlib import Path

import numpy as np
import pytest

from engines import catalog
from rcdnet import checkpoint, onnx_file
from rcdnet.golden import Golden
from rcdnet.weights import CHECKPOINT, GOLDEN, ONNX, SHIPPED


def test_checkpoint_onnx_and_golden_set_are_of_one_network() -> None:
    spec = checkpoint.read_spec(CHECKPOINT)
    assert len(spec.weights_sha256) == 64
    assert onnx_file.read(ONNX)[1] == spec
    assert checkpoint.load(CHECKPOINT).spec == spec
    assert Golden.load(GOLDEN).spec == spec


@pytest.mark.parametrize("path", sorted(SHIPPED.iterdir()), ids=lambda path: path.name)
def test_no_shipped_file_is_over_12_mb(path: Path) -> None:
    assert path.is_dir() or path.stat().st_size <= 12_000_000


def test_it_tells_the_three_classes_apart_and_says_where_it_comes_from() -> None:
    spec = checkpoint.read_spec(CHECKPOINT)
    assert sorted(spec.class_names) == ["benign", "malignant", "normal"]
    assert spec.trained_on
    assert spec.version


def test_the_golden_set_can_tell_networks_apart() -> None:
    """A set on which one class always wins would let a broken engine through."""
    golden = Golden.load(GOLDEN)
    assert len(golden.images) >= 8
    assert len(np.unique(golden.logits.argmax(1))) >= 2
    np.testing.assert_allclose(golden.logits, golden.class_maps.mean(axis=(2, 3)), atol=1e-3)


@pytest.mark.parametrize("name", list(catalog.ENGINES))
def test_every_engine_that_runs_here_holds(name: str) -> None:
    if (reason := catalog.missing(name)) is not None:
        pytest.skip(reason)
    with catalog.open_engine(name) as engine:
        assert engine.info.parity is not None
        assert engine.info.parity.holds
