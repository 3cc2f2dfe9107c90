"""Fail-over with real engines; the one that fails is the one that ``--engine failing`` shows."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import catalog, failover
from engines.base import Engine, EngineOutput
from engines.errors import EngineError, EngineUnavailable
from engines.failing import GOOD_PICTURES, FailingEngine
from engines.failover import Failover, open_with_failover, successors
from engines.fake import FakeEngine
from rcdnet.golden import pictures


class NotFinite(FakeEngine):
    """What an overflow in half precision looks like."""

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        output = super().run(images)
        return EngineOutput(output.logits * np.float32("nan"), output.class_maps.copy())


class Closed(FakeEngine):
    """A fake that knows whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return pictures(FakeEngine().spec, 1)


@pytest.fixture
def successor(monkeypatch: pytest.MonkeyPatch) -> Closed:
    """What the catalog opens next, at once."""
    engine = Closed()
    monkeypatch.setattr(catalog, "open_first", lambda *_: engine)
    return engine


def broken(good_pictures: int = 0) -> tuple[FailingEngine, Closed]:
    inner = Closed()
    return FailingEngine(inner, good_pictures), inner


def test_it_is_the_engine_while_that_works(images: NDArray[np.uint8]) -> None:
    with Failover(FakeEngine(), ["next"]) as engine:
        np.testing.assert_array_equal(engine.run(images).logits, FakeEngine().run(images).logits)
        assert engine.info == FakeEngine().info


def test_the_call_that_fails_waits_for_the_next_engine_and_is_answered_by_it(
    images: NDArray[np.uint8], successor: Closed
) -> None:
    first, inner = broken(good_pictures=2)
    with Failover(first, ["next"], wait=True) as engine:
        engine.run(images)
        engine.run(images)
        assert engine.info.replaced == ()
        np.testing.assert_array_equal(engine.run(images).logits, FakeEngine().run(images).logits)
        assert engine.info.name == "fake"
        assert engine.info.replaced == ("failing failed: the GPU is lost (made up, to show what happens)",)
    assert inner.closed
    assert successor.closed


def test_numbers_that_are_not_finite_are_a_failure(images: NDArray[np.uint8], successor: Closed) -> None:
    with Failover(NotFinite(), ["next"], wait=True) as engine:
        assert np.isfinite(engine.run(images).logits).all()
        assert engine.info.replaced == ("fake failed: it gave numbers that are not finite",)


def test_live_calls_do_not_wait_for_the_next_engine(images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = threading.Event()

    def slowly(*_: object) -> Engine:
        assert loaded.wait(60)
        return FakeEngine()

    monkeypatch.setattr(catalog, "open_first", slowly)
    with Failover(broken()[0], ["next"]) as engine:
        for _ in range(3):
            with pytest.raises(EngineError, match="the next engine is being loaded"):
                engine.run(images)
        assert engine.info.name == "failing"
        loaded.set()
        assert engine._next is not None
        engine._next.result(60)
        engine.run(images)
        assert engine.info.name == "fake"


def test_without_any_other_the_engine_is_tried_again(
    images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> Engine:
        raise EngineUnavailable("no engine runs here")

    monkeypatch.setattr(catalog, "open_first", none)
    first, inner = broken()
    with Failover(first, ["next"], wait=True) as engine:
        with pytest.raises(EngineError, match=r"the GPU is lost .* no engine runs here"):
            engine.run(images)
        with pytest.raises(EngineError, match=r"the GPU is lost [^;]*$"):  # none is looked for again
            engine.run(images)
        assert not inner.closed
        first._good_pictures = 1  # it is back
        engine.run(images)


def test_a_wrong_picture_is_no_failure_of_the_engine(images: NDArray[np.uint8]) -> None:
    with Failover(FakeEngine(), ["next"]) as engine:
        with pytest.raises(EngineError, match="expected prepared pictures"):
            engine.run(images[:, :10])
        engine.run(images)
        assert engine.info.replaced == ()


def test_closing_closes_an_engine_that_never_took_over(images: NDArray[np.uint8], successor: Closed) -> None:
    engine = Failover(broken()[0], ["next"])
    with pytest.raises(EngineError):
        engine.run(images)
    engine.close()
    engine.close()
    assert successor.closed


def test_what_follows_an_engine_is_the_rest_of_the_order() -> None:
    assert successors("cuda_graph") == ["openvino_cpu", "onnx_cpu", "torch_reference"]
    assert successors("torch_reference") == []
    assert successors(catalog.FAILING) == list(catalog.ENGINES)
    assert successors(catalog.FAKE) == []


def test_one_that_took_over_and_fails_is_followed_by_those_after_it(
    images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def next_one(names: Sequence[str], *_: object) -> Engine:
        asked.append(names)
        opened = broken(good_pictures=2 - len(asked))[0]
        opened.info = replace(opened.info, name="openvino_cpu")
        return opened if len(asked) == 1 else FakeEngine()

    monkeypatch.setattr(catalog, "open_first", next_one)
    with Failover(broken()[0], ["openvino_cpu", "onnx_cpu"], wait=True) as engine:
        engine.run(images)
        engine.run(images)
        assert asked == [["openvino_cpu", "onnx_cpu"], ["onnx_cpu", "torch_reference"]]
        assert [why.partition(" ")[0] for why in engine.info.replaced] == ["failing", "openvino_cpu"]


def test_a_real_engine_takes_over_with_the_same_answers(untrained: Path) -> None:
    with open_with_failover("failing", untrained, wait=True) as engine:
        images = pictures(engine.spec, 1)
        before = engine.run(images)
        for _ in range(GOOD_PICTURES - 1):
            engine.run(images)
        assert engine.info.name == catalog.FAILING
        after = engine.run(images)
        assert engine.info.name in catalog.ENGINES
        assert engine.info.parity is not None
        np.testing.assert_allclose(after.logits, before.logits, atol=1e-3)


def test_a_name_is_strict_at_the_start(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = catalog.Candidate("nowhere:Nothing", ("a_package_that_is_not_there",))
    monkeypatch.setitem(catalog.ENGINES, "openvino_cpu", absent)
    with pytest.raises(EngineUnavailable, match="openvino_cpu: a_package"):
        failover.open_with_failover("openvino_cpu", untrained)
