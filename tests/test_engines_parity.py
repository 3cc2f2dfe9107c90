from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import parity
from engines.base import EngineInfo, EngineOutput
from engines.errors import ParityError, WeightsError
from engines.fake import FakeEngine
from rcdnet.glance import softmax
from rcdnet.golden import Golden
from rcdnet.spec import ModelSpec

SPEC = ModelSpec(("normal", "benign", "malignant"), 32, 48, 0.5, 0.25, "none", weights_sha256="abc")


class Altered(FakeEngine):
    """The fake engine with something done to its class maps."""

    def __init__(self, precision: str, shift: float = 0.0, place: int = 0) -> None:
        super().__init__(SPEC)
        self.info = EngineInfo("altered", precision, "cpu", "tests", "abc")
        self._shift, self._place = np.float32(shift), place

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        maps = np.roll(super().run(images).class_maps, self._place, axis=3)
        maps[:, 0] += self._shift
        return EngineOutput(maps.mean(axis=(2, 3)), maps)


@pytest.fixture(scope="module")
def golden() -> Golden:
    """What the fake makes of six pictures that get darker: from its first class to its last."""
    ramp = np.linspace(250, 5, 6)[:, None, None] + np.random.default_rng(1).normal(0, 30, (6, 32, 48))
    images = np.clip(ramp, 0, 255).astype(np.uint8)
    output = FakeEngine(SPEC).run(images)
    return Golden(images, output.logits - 1e-6, output.class_maps.copy(), "abc")


def test_an_engine_that_computes_the_same_holds(golden: Golden) -> None:
    report = parity.require(Altered("f32"), golden)
    assert report.holds
    assert report.pictures == 6
    assert report.largest_dp < 1e-5


@pytest.mark.parametrize(("precision", "shift"), [("f32", 0.02), ("f16", 0.2), ("bf16", 1.0)])
def test_probabilities_that_differ_too_much_are_refused_with_the_number(
    golden: Golden, precision: str, shift: float
) -> None:
    shifted = golden.logits + np.array([shift, 0, 0], np.float32)
    expected = float(np.abs(softmax(shifted) - softmax(golden.logits)).max())
    with pytest.raises(ParityError, match=f"{expected:.4f}"):
        parity.require(Altered(precision, shift), golden)


def test_less_precision_is_allowed_more(golden: Golden) -> None:
    assert not parity.measure(Altered("f32", 0.02), golden).holds
    assert parity.measure(Altered("bf16", 0.02), golden).holds


def test_maps_in_the_wrong_place_are_refused_though_the_logits_agree(golden: Golden) -> None:
    report = parity.measure(Altered("f32", place=1), golden)
    assert report.largest_dp < 1e-5
    assert not report.holds


def test_numbers_that_are_not_finite_are_refused(golden: Golden) -> None:
    report = parity.measure(Altered("bf16", float("nan")), golden)
    assert not report.finite
    assert not report.holds


def test_a_decision_counts_as_flipped_only_beyond_the_tolerance(golden: Golden) -> None:
    """Moving each class by 0.075, within the BF16 tolerance of 0.1, turns a lead of 0.12 round: that counts."""
    close = replace(golden, logits=np.log(np.array([[0.56, 0.44, 1e-6]] * 6, np.float32)))
    engine = Altered("bf16")
    swapped = np.log(np.array([[0.485, 0.515, 1e-6]] * 6, np.float32))

    class Constant(Altered):
        def run(self, images: NDArray[np.uint8]) -> EngineOutput:
            output = engine.run(images)
            return EngineOutput(swapped[: len(images)].copy(), output.class_maps.copy())

    assert parity.measure(Constant("bf16"), close).flips == 6
    closer = replace(golden, logits=np.log(np.array([[0.52, 0.48, 1e-6]] * 6, np.float32)))
    assert parity.measure(Constant("bf16"), closer).flips == 0


def test_correlation_of_maps_is_pearsons_when_there_is_one_class() -> None:
    a, b = np.random.default_rng(2).normal(size=(2, 1, 5, 7)).astype(np.float32)
    assert parity.map_correlation(a, b) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=1e-5)
    assert parity.map_correlation(np.zeros_like(a), b) == 0


def test_a_golden_set_of_other_weights_is_refused(golden: Golden) -> None:
    with pytest.raises(WeightsError, match="golden set belongs to weights other"):
        parity.measure(Altered("f32"), replace(golden, weights_sha256="other"))


def test_float32_engines_agree_with_the_reference_closely(untrained: Path) -> None:
    from engines.openvino_cpu import OpenvinoCpu

    with OpenvinoCpu(untrained, "f32") as engine:
        report = parity.measure(engine, Golden.load(untrained / "golden.npz"))
    assert report.largest_dp < 1e-3
    assert report.least_correlation > 0.99999
