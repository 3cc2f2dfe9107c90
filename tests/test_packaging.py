import os
import shutil
import subprocess
import sys
from importlib.metadata import metadata, requires
from importlib.util import find_spec
from pathlib import Path

import cv2
import pytest

import stream
from tests.programs import ROOT, python

LIVE = [
    "stream.pipeline",
    "stream.__main__",
    "stream.web.app",
    "stream.web.control",
    "engines.catalog",
    "engines.base",
    "rcdnet.spec",
    "rcdnet.preprocess",
    "rcdnet.glance",
    "rcdnet.golden",
    "rcdnet.onnx_file",
]


@pytest.mark.parametrize("package", ["rcdnet", "engines", "stream", "train", "benchmarks"])
def test_the_generic_names_are_ours(package: str) -> None:
    found = find_spec(package)
    assert found is not None
    assert list(found.submodule_search_locations or []) == [str(ROOT / package)]


@pytest.mark.parametrize(
    ("modules", "barred"),
    [
        (LIVE, {"torch", "timm", "torchvision", "safetensors"}),
        (["stream.sources.isolated_child", "stream.sources.file"], {"pydantic"}),  # each clip waits for them
        (["rcdnet.checkpoint"], {"timm"}),  # as commands of train that make no network
        (["train.__main__"], {"torch", "timm", "scipy", "sklearn"}),  # its --help
        (["benchmarks.calls", "benchmarks.feeds"], {"torch", "timm", "safetensors", "matplotlib"}),  # the extra measure
    ],
    ids=["live", "decoder", "checkpoint", "help of train", "calls"],
)
def test_what_is_slow_to_load_is_loaded_by_no_part_that_has_no_use_for_it(modules: list[str], barred: set[str]) -> None:
    program = f"import sys, {', '.join(modules)}; print(sorted({barred} & set(sys.modules)))"
    done = python("-c", program)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("environment", "waits"), [({}, "0"), (dict.fromkeys(stream.ASLEEP, "7"), "7")])
def test_opencv_is_told_how_to_wait_before_it_is_loaded(environment: dict[str, str], waits: str) -> None:
    """What the user says of it stands."""
    program = "import os, sys, stream; print('cv2' in sys.modules, *(os.environ[name] for name in stream.ASLEEP))"
    inherited = {key: value for key, value in os.environ.items() if key not in stream.ASLEEP}
    done = python("-c", program, env=inherited | environment)
    assert done.stdout == f"False {waits} {waits}\n", done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="OpenCV has threads of its own on Linux alone")
def test_opencv_knows_these_names() -> None:
    library = next(Path(cv2.__file__).parent.glob("cv2*.so")).read_bytes()
    assert all(name.encode() in library for name in stream.ASLEEP)


def test_the_base_install_asks_for_no_torch() -> None:
    base = [line for line in requires("rcdnet-live") or [] if "extra ==" not in line]
    assert any(line.startswith("openvino") for line in base)
    assert not [line for line in base if line.startswith(("torch", "timm"))]


def test_a_network_runs_in_an_environment_without_torch(untrained: Path) -> None:
    """torch and its friends are barred from import, as if they were not installed; auto finds its way."""
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'torchvision', 'timm', 'safetensors')))\n"
        "from pathlib import Path; from engines.catalog import open_engine; from rcdnet.golden import Golden\n"
        "weights = Path(sys.argv[1])\n"
        "with open_engine('auto', weights) as engine:\n"
        "    output = engine.run(Golden.load(weights / 'golden.npz').images)\n"
        "print(engine.info.name, output.logits.shape)\n"
    )
    done = python("-c", program, untrained)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "openvino_cpu (16, 3)\n"


@pytest.mark.parametrize(
    ("program", "package", "extra"),
    [
        ("from train.__main__ import app; app(['average', 'no', '--out', 'no'])", "torch", "train"),
        ("from train.__main__ import app; app(['audit', 'no'])", "imagehash", "train"),
        ("import benchmarks.calls", "sklearn", "measure"),
    ],
)
def test_what_needs_an_extra_says_how_to_get_it(program: str, package: str, extra: str) -> None:
    program = f"import sys; sys.modules['{package}'] = None; {program}"
    done = python("-c", program)
    assert done.returncode == 2
    assert done.stderr == f'error: {package} is not installed: it comes with python -m pip install -e ".[{extra}]"\n'


def test_data_sets_are_audited_with_the_extra_measure_alone(data: Path) -> None:
    barred = ("torch", "torchvision", "timm", "safetensors", "lightning_fabric", "joblib", "matplotlib")
    program = f"import sys; sys.modules.update(dict.fromkeys({barred})); from train.__main__ import app; app()"
    done = python("-c", program, "audit", data / "tiny")
    assert done.returncode == 0, done.stderr


def test_a_python_too_old_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    old = tmp_path / "python3.10"
    told = "import sys; sys.version_info, sys.version = (3, 10, 13), '3.10.13 (main)'; exec(sys.argv[1])"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{told}" "$2"\n', encoding="utf-8")
    old.chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    command = ["make", ".venv/base", f"PYTHON={old}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    needed = metadata("rcdnet-live")["Requires-Python"].removeprefix(">=")
    assert done.returncode == 2
    assert f"Python {needed} or newer is needed, and this is 3.10.13." in done.stderr
    assert "uv venv --seed" in done.stderr  # or pip is missing, with which the README installs the extras
    assert not (tmp_path / ".venv").exists()
