import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings
from numpy.typing import NDArray
from typer.testing import CliRunner

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch's threads wait by spinning, and pytest's workers take all cores
settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutants", type=int, default=1000, help="broken files of each format; make fuzz takes 10000")
    parser.addoption("--cycles", type=int, default=5, help="restarts of each kind of sender; make restarts takes 200")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The data sets and clips beside the checkout; tests on them are skipped where there are none."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}")
    return folder


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the shipped one with a small untrained network, made by ``python -m rcdnet.export``: checkpoint,
    ONNX, golden set. Beside it the checkpoint that it was made of, .safetensors, and what the command printed: .txt
    from stdout, .err from stderr.

    Its last layer is set so that the golden pictures get different decisions; its input is not square. To make it takes
    PyTorch some 15 s, so one of pytest's workers does it for all of them.
    """
    pytest.importorskip("torch")
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "untrained"
    with FileLock(f"{folder}.lock"):
        if not (folder / "golden.npz").exists():
            folder.mkdir(exist_ok=True)
            make_untrained(folder)
    return folder


def make_untrained(folder: Path) -> None:
    import torch
    import typer

    from rcdnet import checkpoint, export
    from rcdnet.golden import Golden, pictures
    from rcdnet.model import RcdNet
    from rcdnet.spec import ModelSpec

    torch.manual_seed(7)
    spec = ModelSpec(("normal", "benign", "malignant"), 96, 128, 0.485, 0.229, "tf_efficientnet_lite0", second_look=1.7)
    model = RcdNet(spec).eval()
    with torch.no_grad():
        pooled = model.forward_features(torch.from_numpy(pictures(spec))).mean(dim=(2, 3))
        scores = pooled @ model.classifier.weight.T
        gain = 0.5 / scores.std(dim=0)  # what float16 rounds off grows with it, and a GPU engine must hold
        model.classifier.weight.mul_(gain[:, None])
        model.classifier.bias.copy_(-gain * scores.mean(dim=0))
    checkpoint.save(model, folder.with_suffix(".safetensors"))
    app = typer.Typer()
    app.command()(export.main)
    done = CliRunner().invoke(app, [str(folder.with_suffix(".safetensors")), "--out", str(folder)])
    assert done.exit_code == 0, done.output
    folder.with_suffix(".txt").write_text(done.stdout)
    folder.with_suffix(".err").write_text(done.stderr)
    assert len(np.unique(Golden.load(folder / "golden.npz").logits.argmax(1))) > 1


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures of ``tests.tiny_training``, for whoever only reads them."""
    from tests.tiny_training import pictures

    return pictures(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The backbone that a training of ``tests.tiny_training`` starts from."""
    from tests.tiny_training import backbone

    return backbone(tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="session")
def finished(data: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folders of the two runs of ``tests.tiny_training.recipe``, for whoever only reads them."""
    from tests.tiny_training import recipe
    from train import loop

    return loop.fit({tmp_path_factory.mktemp("finished"): recipe()}, data, start=start)


@pytest.fixture(scope="module")
def few_rounds() -> Iterator[None]:
    """Intervals of 50 rounds, for tests that read tables. ``test_train_metrics`` tests whether intervals are right."""
    from train import metrics

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "BOOTSTRAP_ROUNDS", 50)
        patch.setattr(metrics, "CHANCE_ROUNDS", 50)
        yield


@pytest.fixture(scope="session")
def breast(shared_data: Path) -> NDArray[np.uint8]:
    """A linear probe's scan, all of the picture, uint8 [526, 526, 3]; nobody can write to it."""
    from tests.screens import first

    return first(str(shared_data / "clips" / "breast_linear_BR001.mp4"))[0].rgb


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Chrome"]:
    """One for all tests of the page."""
    from tests.pages import launched

    with launched(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="module")
def address(
    request: pytest.FixtureRequest, chromium: "Chrome", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a run on the phantom, with the ENGINE of the module, or with the fake, which starts at once."""
    from tests.pages import running

    with running(getattr(request.module, "ENGINE", "fake"), tmp_path_factory.mktemp("settings")) as found:
        yield found
        chromium.get("about:blank")  # else it goes on asking for the next picture


@pytest.fixture
def browser(chromium: "Chrome", address: str) -> "Chrome":
    """The page with its controls, the picture painted at least once and its words filled in."""
    from tests.pages import opened

    return opened(chromium, address)
