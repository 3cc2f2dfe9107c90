"""One contract, every engine: whatever is in the catalog is tested here without being named here."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import catalog
from engines.base import Engine
from engines.errors import EngineError
from engines.fake import FakeEngine
from rcdnet import onnx_file
from rcdnet.golden import pictures

pytestmark = pytest.mark.timeout(1800)  # where there is a GPU, an engine is built for it


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of its own for engines that must be built."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module", params=[*catalog.ENGINES, catalog.FAKE])
def engine(request: pytest.FixtureRequest, untrained: Path, built: None) -> Iterator[Engine]:
    if request.param == catalog.FAKE:
        yield FakeEngine(onnx_file.read(untrained / "rcdnet.onnx")[1])
        return
    if (reason := catalog.missing(request.param, untrained)) is not None:
        candidate = catalog.ENGINES[request.param]
        lacks = catalog._lacks(candidate, candidate.builder_packages) if candidate.builder else reason
        if lacks is not None:
            pytest.skip(lacks)
        catalog.build_artefact(request.param, untrained)
    with catalog.open_engine(request.param, untrained) as opened:
        yield opened


@pytest.fixture(scope="module")
def images(engine: Engine) -> NDArray[np.uint8]:
    return pictures(engine.spec, 3)


def test_it_says_what_it_is(engine: Engine) -> None:
    info = engine.info
    assert info.name in catalog.choices()
    assert info.precision in ("f32", "bf16", "f16")
    assert info.device
    assert info.built_for
    assert info.weights_sha256 == engine.spec.weights_sha256


def test_shapes_and_types(engine: Engine, images: NDArray[np.uint8]) -> None:
    output = engine.run(images)
    assert output.logits.shape == (3, 3)
    assert output.class_maps.shape == (3, 3, 6, 8)
    assert output.logits.dtype == output.class_maps.dtype == np.float32


def test_logits_are_the_mean_of_the_class_maps(engine: Engine, images: NDArray[np.uint8]) -> None:
    output = engine.run(images)
    np.testing.assert_allclose(output.logits, output.class_maps.mean(axis=(2, 3)), atol=0.01)  # float16 rounds the maps


def test_a_batch_is_one_at_a_time(engine: Engine, images: NDArray[np.uint8]) -> None:
    together = engine.run(images)
    for index, image in enumerate(images):
        alone = engine.run(image[None])
        np.testing.assert_allclose(alone.logits[0], together.logits[index], atol=1e-4)
        np.testing.assert_allclose(alone.class_maps[0], together.class_maps[index], atol=1e-3)


def test_the_same_picture_gives_the_same_bits(engine: Engine, images: NDArray[np.uint8]) -> None:
    first, second = engine.run(images[:1]), engine.run(images[:1])
    assert first.logits.tobytes() == second.logits.tobytes()
    assert first.class_maps.tobytes() == second.class_maps.tobytes()


def test_a_result_outlives_the_next_call(engine: Engine, images: NDArray[np.uint8]) -> None:
    output = engine.run(images[1:2])
    before = output.class_maps.copy()
    engine.run(images[2:3])
    np.testing.assert_array_equal(output.class_maps, before)


def test_it_looks_at_the_picture_and_leaves_it_alone(engine: Engine, images: NDArray[np.uint8]) -> None:
    before = images.copy()
    output = engine.run(images)
    assert not np.allclose(output.logits[0], output.logits[1])
    np.testing.assert_array_equal(images, before)


def test_read_only_and_strided_pictures_are_taken(engine: Engine, images: NDArray[np.uint8]) -> None:
    flipped = images[:, :, ::-1]
    expected = engine.run(np.ascontiguousarray(flipped)).logits
    frozen = images.copy()
    frozen.setflags(write=False)
    engine.run(frozen)
    np.testing.assert_allclose(engine.run(flipped).logits, expected, atol=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 128, 96), np.uint8),
        np.zeros((96, 128), np.uint8),
        np.zeros((0, 96, 128), np.uint8),
        np.zeros((1, 96, 128), np.float32),
        np.zeros((1, 96, 128, 3), np.uint8),
    ],
)
def test_pictures_of_another_kind_are_refused(engine: Engine, wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(EngineError, match=r"expected prepared pictures, uint8 \[N, 96, 128\]"):
        engine.run(wrong)


def test_closing_twice_is_fine(untrained: Path) -> None:
    for name in catalog.ENGINES:
        if catalog.missing(name, untrained) is None:
            engine = catalog.load(name, untrained)
            engine.close()
            engine.close()
