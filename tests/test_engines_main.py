import json
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray
from typer.testing import CliRunner

from engines import catalog, nvidia
from engines.__main__ import app
from engines.base import EngineOutput
from engines.onnx_cpu import OnnxCpu
from rcdnet.golden import Golden
from rcdnet.weights import CHECKPOINT
from tests.programs import python, started


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


@pytest.fixture
def off(untrained: Path, tmp_path: Path) -> Path:
    """Weights whose golden set expects other decisions."""
    weights = Path(shutil.copytree(untrained, tmp_path / "weights"))
    golden = Golden.load(weights / "golden.npz")
    replace(golden, logits=golden.logits[:, ::-1], class_maps=golden.class_maps[:, ::-1]).save(weights / "golden.npz")
    return weights


def test_list_names_every_engine_and_what_it_runs_on(untrained: Path) -> None:
    result = command("list", "--weights", untrained)
    assert result.exit_code == 0, result.output
    for name in [*catalog.ENGINES, catalog.FAKE]:
        assert name in result.stdout
    assert result.stderr == ""


def test_list_says_why_an_engine_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "ENGINES", {"absent": catalog.Candidate("nowhere:Nothing", ("no_such_runtime",))})
    result = command("list")
    assert result.exit_code == 0, result.output
    assert "no: no_such_runtime is not installed" in result.stdout


def test_list_loads_no_runtime() -> None:
    program = (
        "import sys; from engines.__main__ import app; app(['list'], standalone_mode=False)\n"
        "print(sorted({'torch', 'openvino', 'onnxruntime'} & set(sys.modules)))"
    )
    assert python("-c", program, check=True).stdout.splitlines()[-1] == "[]"


def test_verify_prints_the_numbers_of_every_engine(untrained: Path) -> None:
    result = command("verify", "--weights", untrained)
    assert result.exit_code == 0, result.output
    for name in catalog.ENGINES:
        if catalog.missing(name, untrained) is None:
            assert f"{name}: passes in " in result.stdout
    assert "Largest difference of a probability" in result.stdout


@pytest.mark.parametrize("name", ["openvino_cpu", "onnx_cpu"])
def test_an_engine_keeps_nothing_in_the_users_folder(name: str, untrained: Path, tmp_path: Path) -> None:
    """ONNX Runtime would keep an id and what it wants to send there, unless it sees a variable of CI."""
    python("-m", "engines", "verify", name, "--weights", untrained, env={"HOME": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []


def test_verify_writes_every_engine_as_json(untrained: Path, off: Path, tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    absent = catalog.Candidate("engines.absent:Absent", ("no_such_runtime",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "ENGINES", {"onnx_cpu": catalog.ENGINES["onnx_cpu"], "absent": absent})
        assert command("verify", "all", "--weights", untrained, "--json", path).exit_code == 0
        holds, gone = json.loads(path.read_text())["engines"]
        assert command("verify", "all", "--weights", off, "--json", path).exit_code == 4
        fails = json.loads(path.read_text())["engines"][0]
    assert holds["passed"]
    assert (holds["name"], holds["available"], holds["reason"], holds["precision"]) == ("onnx_cpu", True, "", "f32")
    assert holds["max_abs_dp"] < 0.005
    assert (holds["flips"], holds["map_correlation"] > 0.99) == (0, True)
    assert (gone["name"], gone["available"], gone["passed"], gone["max_abs_dp"]) == ("absent", False, False, None)
    assert "no_such_runtime is not installed" in gone["reason"]
    assert (fails["available"], fails["passed"]) == (True, False)
    assert fails["max_abs_dp"] > 0.005
    assert "flips" in fails["reason"]


def test_a_json_file_that_cannot_be_written_is_wrong_use(untrained: Path, tmp_path: Path) -> None:
    result = command("verify", "onnx_cpu", "--weights", untrained, "--json", tmp_path / "none" / "v.json")
    assert result.exit_code == 2
    assert "error: --json" in result.stderr


def test_an_engine_that_is_off_is_exit_code_4_with_the_numbers(off: Path) -> None:
    result = command("verify", "openvino_cpu", "--weights", off)
    assert result.exit_code == 4
    assert result.stdout == ""
    assert "openvino_cpu: FAILS: " in result.stderr
    assert "flips" in result.stderr


@pytest.mark.parametrize("words", [("verify",), ("verify", "openvino_cpu"), ("list",)])
def test_a_folder_without_weights_is_wrong_use_and_gets_the_mend(tmp_path: Path, words: tuple[str, ...]) -> None:
    result = command(*words, "--weights", tmp_path / "none")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert "python -m rcdnet.export" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("named", "made_of"),
    [("model.safetensors", "model.safetensors"), ("model.onnx", "CHECKPOINT"), ("", "CHECKPOINT")],
)
def test_a_file_or_a_run_folder_instead_of_weights_gets_a_command_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, made_of: str
) -> None:
    (tmp_path / "run").mkdir()
    shutil.copy(CHECKPOINT, tmp_path / "run" / "model.safetensors")
    (tmp_path / "run" / "model.onnx").touch()
    monkeypatch.chdir(tmp_path / "run")
    result = command("verify", "openvino_cpu", "--weights", named)
    assert result.exit_code == 2
    assert f"rcdnet.export {made_of} --out FOLDER" in " ".join(result.stderr.split())


def test_weights_that_may_not_be_looked_into_are_no_fault_of_the_runtime(tmp_path: Path) -> None:
    result = command("verify", "openvino_cpu", "--weights", tmp_path / ("x" * 300))
    assert result.exit_code == 4
    assert "File name too long" in " ".join(result.stderr.split())
    assert "runtime" not in result.stderr


def test_what_is_in_brackets_is_printed_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = command("verify", "openvino_cpu", "--weights", tmp_path / "a[/x]")
    assert result.exit_code == 2
    assert "a[/x] is not a folder of weights" in result.stderr
    absent = catalog.Candidate("engines.absent:Absent", ("no_such_runtime",), "onnx")
    monkeypatch.setattr(catalog, "ENGINES", {"absent": absent})
    assert '-e ".[onnx]"' in command("list").stdout


def test_an_engine_that_is_not_installed_does_not_fail_all(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = catalog.Candidate("engines.absent:Absent", ("no_such_runtime",))
    monkeypatch.setattr(catalog, "ENGINES", {"openvino_cpu": catalog.ENGINES["openvino_cpu"], "absent": absent})
    result = command("verify", "--weights", untrained)
    assert result.exit_code == 0, result.output
    assert "absent: not here: no_such_runtime is not installed" in result.stdout
    assert command("verify", "absent", "--weights", untrained).exit_code == 4


@pytest.mark.parametrize(
    ("name", "words"),
    [("gpu", "no engine 'gpu'"), ("fake", "fake computes no network"), ("failing", "failing computes no network")],
)
def test_a_name_that_cannot_be_verified_is_wrong_use(untrained: Path, name: str, words: str) -> None:
    result = command("verify", name, "--weights", untrained)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {words}")
    assert "openvino_cpu" in result.stderr
    assert result.stdout == ""


def test_building_what_needs_no_building_is_wrong_use() -> None:
    result = command("build", "openvino_cpu")
    assert result.exit_code == 2
    assert "nothing is built for 'openvino_cpu'. Expected one of: tensorrt_fp16." in result.stderr


def test_building_without_a_gpu_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "absent", lambda: "no NVIDIA GPU here")
    result = command("build", "tensorrt_fp16")
    assert result.exit_code == 4
    assert result.stderr == "error: tensorrt_fp16: no NVIDIA GPU here\n"
    assert result.stdout == ""


class WrongInBatches(OnnxCpu):
    """A built engine of which only the network for one picture is right."""

    def __init__(self, weights: Path) -> None:
        super().__init__(weights)
        self.info = replace(self.info, batch=8)

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        output = super().run(images)
        return EngineOutput(output.logits[::-1], output.class_maps[::-1])


def nothing_to_build(weights: Path) -> Path:
    return weights


def test_what_was_built_is_held_against_the_golden_set_in_batches_too(
    untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = catalog.Candidate(f"{__name__}:WrongInBatches", (), builder=f"{__name__}:nothing_to_build")
    monkeypatch.setattr(catalog, "ENGINES", {"made": made})
    catalog.open_engine("made", untrained).close()  # one by one it holds
    result = command("build", "made", "--weights", untrained)
    assert result.exit_code == 4
    assert "flips" in result.stderr


def test_ctrl_c_ends_a_build_that_drops_it() -> None:
    program = (
        "import sys, time\n"
        "from engines import __main__, catalog\n"
        "def build(name, weights):\n"
        "    print('building', flush=True)\n"
        "    while True:\n"
        "        try: time.sleep(60)\n"
        "        except KeyboardInterrupt: print('dropped', flush=True)\n"
        "catalog.build_artefact = build\n"
        "__main__.app(['build', 'tensorrt_fp16'])\n"
    )
    with started("-c", program, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "building\n"
        process.send_signal(signal.SIGINT)
        said = process.stdout.readline()
        process.kill()
    assert said == ""
    assert process.returncode == -signal.SIGINT


def test_after_a_build_ctrl_c_is_python_s_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(nvidia, "absent", lambda: "no GPU here")
    assert command("build", "tensorrt_fp16").exit_code == 4
    assert signal.getsignal(signal.SIGINT) is before
