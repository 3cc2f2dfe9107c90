from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import parity
from engines.base import EngineInfo, EngineOutput
from engines.errors import EngineError, ParityError, WeightsError
from engines.fake import FakeEngine
from rcdnet.glance import probabilities, softmax
from rcdnet.golden import Golden
from rcdnet.spec import ModelSpec, OperatingPoint

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
    return Golden(images, output.logits - 1e-6, output.class_maps.copy(), SPEC)


def test_an_engine_that_computes_the_same_holds(golden: Golden) -> None:
    report = parity.require(Altered("f32"), golden)
    assert report.holds
    assert report.pictures == 6
    assert report.max_abs_dp < 1e-5


def test_an_engine_that_is_off_in_batches_alone_is_refused_where_it_gets_batches(golden: Golden) -> None:
    class OffInBatches(Altered):
        def run(self, images: NDArray[np.uint8]) -> EngineOutput:
            self._shift = np.float32(0.03 if len(images) > 1 else 0)
            return super().run(images)

    assert parity.require(OffInBatches("f32"), golden).holds
    with pytest.raises(ParityError):
        parity.require(OffInBatches("f32"), golden, (1, 4))


def test_a_batch_that_fails_is_the_worst_even_if_another_is_further_off(golden: Golden) -> None:
    class MisplacedAlone(Altered):
        def run(self, images: NDArray[np.uint8]) -> EngineOutput:
            self._shift, self._place = (np.float32(0), 1) if len(images) == 1 else (np.float32(0.01), 0)
            return super().run(images)

    assert parity.measure(MisplacedAlone("f32"), golden, 6).holds
    assert not parity.worst(MisplacedAlone("f32"), golden, (1, 6)).holds


def test_the_maps_of_the_worst_picture_count(golden: Golden) -> None:
    maps = golden.class_maps.copy()
    maps[-1] = np.roll(maps[-1], 1, axis=2)
    assert not parity.compare(golden.logits, maps, golden).holds


def test_a_flip_alone_is_a_refusal() -> None:
    assert parity.ParityReport(pictures=6, max_abs_dp=0.0, flips=0, map_correlation=1.0).holds
    assert not parity.ParityReport(pictures=6, max_abs_dp=0.0, flips=1, map_correlation=1.0).holds


@pytest.mark.parametrize("precision", ["f32", "f16", "bf16"])
@pytest.mark.parametrize("shift", [0.03, -0.03])
def test_probabilities_that_differ_too_much_are_refused_with_the_number(
    golden: Golden, precision: str, shift: float
) -> None:
    shifted = golden.logits + np.array([shift, 0, 0], np.float32)
    expected = float(np.abs(softmax(shifted) - softmax(golden.logits)).max())
    with pytest.raises(ParityError, match=f"{expected:.5f}"):
        parity.require(Altered(precision, shift), golden)


def test_differences_are_of_calibrated_probabilities(golden: Golden) -> None:
    sharp = replace(golden, spec=replace(golden.spec, cubic=0.1))
    shifted = golden.logits + np.array([0.03, 0, 0], np.float32)
    expected = np.abs(probabilities(shifted, sharp.spec) - probabilities(golden.logits, sharp.spec)).max()
    assert parity.compare(shifted, golden.class_maps, sharp).max_abs_dp == pytest.approx(float(expected))


def test_maps_in_the_wrong_place_are_refused_though_the_logits_agree(golden: Golden) -> None:
    report = parity.measure(Altered("f32", place=1), golden)
    assert report.max_abs_dp < 1e-5
    assert not report.holds


def test_numbers_that_are_not_finite_are_refused(golden: Golden) -> None:
    with pytest.raises(EngineError, match="not finite"):
        parity.measure(Altered("bf16", float("nan")), golden)


def test_maps_that_are_not_finite_are_refused_though_the_logits_are() -> None:
    with pytest.raises(EngineError, match="not finite"):
        EngineOutput(np.zeros((1, 3), np.float32), np.full((1, 3, 2, 2), np.inf, np.float32))


def flips(reference: list[float], found: list[float], spec: ModelSpec) -> int:
    return parity.count_flips(np.array([found], np.float32), np.array([reference], np.float32), spec)


def test_a_decision_flips_at_the_lesion_threshold() -> None:
    """Lesion probabilities 0.520 and 0.495 around the threshold 0.5: 0.02 away from it is no close call."""
    assert flips([0.480, 0.4, 0.12], [0.505, 0.4, 0.095], SPEC) == 1
    assert flips([0.495, 0.4, 0.105], [0.505, 0.4, 0.095], SPEC) == 0
    assert flips([0.480, 0.4, 0.12], [0.499, 0.4, 0.101], SPEC) == 0


def test_a_decision_flips_at_the_malignant_threshold_of_any_operating_point() -> None:
    spec = replace(SPEC, operating_points={**SPEC.operating_points, "sensitive": OperatingPoint(0.3, 0.2)})
    assert flips([0.0, 0.77, 0.23], [0.0, 0.81, 0.19], spec) == 1
    assert flips([0.0, 0.77, 0.23], [0.0, 0.81, 0.19], SPEC) == 0


def test_a_decision_flips_at_the_lesion_threshold_of_any_operating_point() -> None:
    spec = replace(SPEC, operating_points={**SPEC.operating_points, "sensitive": OperatingPoint(0.3, 0.2)})
    assert flips([0.72, 0.24, 0.04], [0.68, 0.28, 0.04], spec) == 1
    assert flips([0.6, 0.3, 0.1], [0.6, 0.34, 0.06], spec) == 1  # which of the two, where only that point sees one


def test_a_decision_flips_at_the_ends_of_the_undecided_band() -> None:
    assert flips([0.0, 0.67, 0.33], [0.0, 0.72, 0.28], replace(SPEC, indeterminate=(0.3, 0.7))) == 1


def test_a_decision_flips_at_the_ends_of_the_band_around_any_operating_point() -> None:
    banded = replace(SPEC, indeterminate=(0.4, 0.6))
    points = banded.operating_points | {"sensitive": OperatingPoint(lesion=0.5, malignant=0.2)}
    assert flips([0.0, 0.75, 0.25], [0.0, 0.7, 0.3], replace(banded, operating_points=points)) == 1
    assert flips([0.0, 0.75, 0.25], [0.0, 0.7, 0.3], banded) == 0


def test_the_malignant_share_of_a_picture_without_a_lesion_decides_nothing() -> None:
    assert flips([0.98, 0.008, 0.012], [0.98, 0.012, 0.008], SPEC) == 0


def test_correlation_of_maps_is_pearsons_when_there_is_one_class() -> None:
    a, b = np.random.default_rng(2).normal(size=(2, 1, 5, 7)).astype(np.float32)
    assert parity.map_correlation(a, b) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=1e-5)
    assert parity.map_correlation(np.zeros_like(a), b) == 0


def test_a_golden_set_of_other_weights_is_refused(golden: Golden) -> None:
    with pytest.raises(WeightsError, match="weights_sha256 'other' and not 'abc'"):
        parity.measure(Altered("f32"), replace(golden, spec=replace(SPEC, weights_sha256="other")))


def test_float32_engines_agree_with_the_reference_closely(untrained: Path) -> None:
    from engines.openvino_cpu import OpenvinoCpu

    with OpenvinoCpu(untrained, "f32") as engine:
        report = parity.measure(engine, Golden.load(untrained / "golden.npz"))
    assert report.max_abs_dp < 1e-3
    assert report.map_correlation > 0.99999
