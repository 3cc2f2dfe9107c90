import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from rcdnet.golden import Golden
from rcdnet.notice import RESEARCH_NOTICE
from rcdnet.weights import GOLDEN
from stream.__main__ import app, dated
from stream.errors import UsageError
from stream.sinks import CINE, RESULTS, alone_in
from tests.clips import write_clip
from tests.programs import command, python, started
from tests.stream_runs import without_times


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames of noise with a bright disc, 25 a second."""
    path = tmp_path_factory.mktemp("clip") / "scan.mp4"
    noise = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(12):
            picture = noise.integers(0, 120, (64, 96, 1), np.uint8).repeat(3, axis=2)
            picture[20:40, 40:60] = 230
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_a_network_of_one_s_own_is_replayed_and_told(clip: Path, untrained: Path, tmp_path: Path) -> None:
    result = command("replay", clip, "--out", tmp_path, "--weights", untrained, "--engine", "openvino_cpu")
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "summary.json").read_text())["model"]["weights_sha256"]
    assert told == Golden.load(untrained / "golden.npz").spec.weights_sha256


@pytest.mark.parametrize("engine", ["auto", "torch_reference"])
def test_a_folder_without_weights_is_wrong_use_and_one_clear_line(clip: Path, tmp_path: Path, engine: str) -> None:
    result = command("replay", clip, "--out", tmp_path / "out", "--weights", tmp_path, "--engine", engine)
    assert result.exit_code == 2
    assert "is not a folder of weights. Make one with: python -m rcdnet.export" in result.stderr


def test_a_folder_that_lacks_one_of_the_weights_files_is_a_failed_engine(clip: Path, tmp_path: Path) -> None:
    shutil.copy(GOLDEN, tmp_path)
    result = command("replay", clip, "--out", tmp_path / "out", "--weights", tmp_path)
    assert result.exit_code == 4


def test_replay_writes_video_journal_summary_and_report(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = command("replay", clip, "--out", out, "--engine", "fake")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == list(RESULTS)
    with av.open(str(out / "annotated.mp4")) as container:
        assert len(list(container.decode(video=0))) == 12
    assert len((out / "frames.jsonl").read_text().splitlines()) == 12
    assert json.loads((out / "summary.json").read_text())["frames"]["analysed"] == 12
    assert "12 of 12 frames analysed" in result.stdout
    assert RESEARCH_NOTICE in result.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /dev/full")
def test_a_replay_whose_log_cannot_be_written_is_whole_and_says_so(clip: Path, tmp_path: Path) -> None:
    words = ("-m", "stream", "replay", clip, "--engine", "fake", "--out", tmp_path)
    with Path("/dev/full").open("w") as full:
        done = python(*words, capture_output=False, stdout=subprocess.PIPE, stderr=full)
    assert done.returncode == 0
    assert "12 of 12 frames analysed" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /dev/full")
@pytest.mark.parametrize(
    ("share", "code", "last"),
    [
        (1, 2, "error: cannot write to standard output: No space left on device. It would have read: {out}: 30 of 30 "),
        (0.5, 3, "error: scan.avi is cut short"),
    ],
)
def test_a_replay_whose_line_standard_output_does_not_take_says_so_unless_there_is_worse_to_say(
    tmp_path: Path, share: float, code: int, last: str
) -> None:
    clip, out = write_clip(tmp_path / "scan.avi", 30, codec="mjpeg"), tmp_path / "out"
    clip.write_bytes(clip.read_bytes()[: int(share * clip.stat().st_size)])
    words = ("-m", "stream", "replay", clip, "--engine", "fake", "--out", out)
    with Path("/dev/full").open("w") as full:
        done = python(*words, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == code
    assert done.stderr.splitlines()[-1].startswith(last.format(out=out))
    assert (out / "summary.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /dev/full")
def test_an_error_that_the_log_does_not_take_keeps_its_code(tmp_path: Path) -> None:
    words = ("-m", "stream", "replay", "none.mp4", "--engine", "fake", "--out", tmp_path)
    with Path("/dev/full").open("w") as full:
        assert python(*words, capture_output=False, stderr=full).returncode == 3


def test_a_name_that_a_file_on_windows_cannot_hold_is_escaped(clip: Path, tmp_path: Path) -> None:
    arguments = ["replay", str(clip), "--out", str(tmp_path / "超声 ü"), "--engine", "fake"]
    result = CliRunner(charset="cp1252").invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "\\u8d85\\u58f0 ü: 12 of 12 frames analysed" in result.stdout


def test_a_second_replay_replaces_the_first_and_says_the_same(clip: Path, tmp_path: Path) -> None:
    command("replay", clip, "--out", tmp_path, "--engine", "fake")
    first = without_times(tmp_path / "frames.jsonl")
    command("replay", clip, "--out", tmp_path, "--engine", "fake")
    assert without_times(tmp_path / "frames.jsonl") == first


@pytest.mark.parametrize("name", [*RESULTS, CINE])
def test_a_clip_that_the_replay_would_write_over_is_refused_and_kept(clip: Path, tmp_path: Path, name: str) -> None:
    target, link = tmp_path / name, tmp_path / "link.mp4"
    shutil.copy(clip, target)
    link.symlink_to(target)
    for given in (target, tmp_path / ".." / tmp_path.name / name, link):
        result = command("replay", given, "--out", tmp_path, "--engine", "fake")
        assert result.exit_code == 2
        assert "over the clip itself" in result.stderr
    assert target.read_bytes() == clip.read_bytes()


def test_the_command_line_s_scan_area_wins_over_the_file_s(clip: Path, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('scan_area = "0,0,96,64"\nsmoothing_s = 0.9\n')
    arguments = ("--engine", "fake", "--config", config, "--scan-area", "10,0,64,64")
    assert command("replay", clip, "--out", tmp_path / "out", *arguments).exit_code == 0
    line = json.loads((tmp_path / "out" / "frames.jsonl").read_text().splitlines()[0])
    assert line["scan_area"] == [10, 0, 64, 64]
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["config"]["smoothing_s"] == 0.9


def test_two_replays_at_once_do_not_mix_in_one_folder(clip: Path, tmp_path: Path) -> None:
    arguments = ("replay", clip, "--out", tmp_path / "out", "--engine", "fake")
    with alone_in(tmp_path / "out"):  # as the other one is
        result = command(*arguments)
    assert result.exit_code == 2
    assert f"another replay writes into {tmp_path / 'out'}" in result.stderr
    assert not list((tmp_path / "out").iterdir())
    assert command(*arguments).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--engine", "none_such"], 2, "none_such"),
        (["--engine", "fake", "--weights", "mine"], 2, "fake computes no network, so it takes no weights"),
        (["--engine", "fake", "--scan-area", "1,2,3"], 2, "1,2,3"),
        (["--engine", "fake", "--scan-area", "90,0,64,64"], 2, "scan area 90,0,64,64 leaves the 96x64 picture"),
        (["--engine", "fake", "--config", "none.toml"], 2, "none.toml"),
        (["--engine", "fake", "--out", "/dev/null/out"], 2, "cannot write /dev/null/out"),
        (["--engine", "fake", "--out", "/proc/sys"], 2, "cannot write /proc/sys/"),
    ],
)
def test_wrong_use_is_one_line_and_a_code(
    clip: Path, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    result = command("replay", clip, "--out", tmp_path, *arguments)
    assert result.exit_code == code
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert words in errors[0]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("what", "option"), [("replay", "--out"), ("run", "--record"), ("run", "--weights")])
def test_a_folder_without_a_name_is_wrong_use_and_not_the_current_one(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, option: str
) -> None:
    monkeypatch.chdir(tmp_path)
    source = [clip] if what == "replay" else ["--source", "none.mp4"]
    result = command(what, *source, "--engine", "fake", option, "")
    assert result.exit_code == 2
    assert f"'{option}': it is empty" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_missing_clip_is_one_line_and_leaves_no_folder(tmp_path: Path) -> None:
    result = command("replay", tmp_path / "none.mp4", "--out", tmp_path / "out", "--engine", "fake")
    assert result.exit_code == 3
    assert result.stderr.startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_a_run_whose_clip_is_missing_says_so_before_it_loads_an_engine(tmp_path: Path) -> None:
    result = command("run", "--source", tmp_path / "none.mp4", "--engine", "none_such", "--port", "0")
    assert result.exit_code == 3
    assert "none.mp4 does not exist" in result.stderr


@pytest.mark.parametrize(
    "source",
    ["phantom:?size=foo", "v4l2:/dev/video0?size=foo", "{clip}?size=foo", "igtl://", "faults:die@1+1/phantom:?fps=0"],
)
def test_what_makes_no_sense_in_a_source_is_told_before_an_engine_loads(clip: Path, source: str) -> None:
    result = command("run", "--source", source.format(clip=clip), "--engine", "none_such", "--port", "0")
    assert result.exit_code == 2
    assert "none_such" not in result.stderr


def test_a_truncated_clip_keeps_the_frames_that_could_be_read(clip: Path, tmp_path: Path) -> None:
    with av.open(str(clip)) as whole, av.open(str(tmp_path / "scan.ts"), "w") as container:
        stream = container.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    data = (tmp_path / "scan.ts").read_bytes()
    (tmp_path / "scan.ts").write_bytes(data[: len(data) * 2 // 3])
    result = command("replay", tmp_path / "scan.ts", "--out", tmp_path / "out", "--engine", "fake")
    frames = len((tmp_path / "out" / "frames.jsonl").read_text().splitlines())
    assert 1 <= frames < 12
    with av.open(str(tmp_path / "out" / "annotated.mp4")) as container:
        assert len(list(container.decode(video=0))) == frames
    assert "Traceback" not in result.stderr


def last_words(words: Sequence[str], trouble: str, *, under: tuple[str, ...] = ()) -> tuple[int, str]:
    """Ctrl-C as soon as a run has told ``trouble`` and its address: its exit code, and the last line after that."""
    command = ("-m", "stream", "run", "--engine", "fake", "--port", "0", *words)
    with started(*command, under=under, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = ""
        while not (trouble in said and "http://" in said):
            said += (line := process.stderr.readline())
            assert line, "it ended by itself"
        os.kill(process.pid, signal.SIGINT)
        *_, last = "", *process.stderr.read().splitlines()
    return process.returncode, last


@pytest.mark.parametrize("blocks", [0, 16])  # it fails at once, or in the middle
def test_a_live_recording_that_could_not_be_written_is_told_at_the_end_as_well(tmp_path: Path, blocks: int) -> None:
    small = ("sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh")
    words = ["--source", "phantom:?size=320x240", "--record", str(tmp_path)]
    code, last = last_words(words, "File too large", under=small)
    assert code == 2
    assert last.startswith("error: cannot write ")


def test_a_run_whose_source_broke_off_has_a_code_as_well(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "cut.avi", 30, codec="mjpeg")
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    code, last = last_words(["--source", str(clip)], "the run broke off")
    assert code == 3
    assert last.startswith("error: cut.avi is cut short")


def test_the_log_says_that_the_source_is_back() -> None:
    source = "faults:die@0.1+0.1/phantom:?size=320x240"
    assert last_words(["--source", source], "phantom (synthetic), with faults is back after") == (0, "")


def test_a_scan_area_in_the_config_file_that_makes_no_sense_is_told_before_anything_opens(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('scan_area = "somewhere"\n')
    result = command("replay", "none.mp4", "--config", tmp_path / "settings.toml", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "'somewhere' makes no sense" in result.stderr


def test_a_picture_that_cannot_be_read_is_told_and_has_a_code(tmp_path: Path) -> None:
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((64, 64), 90, np.uint8))
    (tmp_path / "1.png").write_bytes(b"no picture")
    result = command("replay", tmp_path, "--out", tmp_path / "out", "--engine", "fake")
    assert result.exit_code == 3
    assert "error: 1 of 2 pictures" in result.stderr
    assert len((tmp_path / "out" / "frames.jsonl").read_text().splitlines()) == 1


def test_a_single_picture_is_called(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "scan.png"), random.integers(20, 220, (240, 320), dtype=np.uint8))
    assert command("replay", str(tmp_path / "scan.png"), "--engine", "fake", "--out", str(tmp_path)).exit_code == 0
    (line,) = (tmp_path / "frames.jsonl").read_text().splitlines()
    assert json.loads(line)["state"] in ("clear_finding", "indeterminate")


def test_the_source_may_come_from_the_environment_where_no_process_list_shows_its_password() -> None:
    result = command("run", "--engine", "fake", "--port", "0", env={"RCDNET_SOURCE": "none.mp4"})
    assert result.exit_code == 3
    assert "none.mp4" in result.stderr


def test_recordings_of_one_second_get_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: dated(tmp_path / "records"), range(20)))
    assert len(set(folders)) == 20
    assert all(folder.is_dir() for folder in folders)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write"):
        dated(tmp_path / "file")


def test_a_folder_of_results_may_have_a_colon_in_its_name(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # FFmpeg would take what stands before the colon for a protocol
    result = command("replay", clip, "--out", "2026-11-25T10:30", "--engine", "fake")
    assert result.exit_code == 0, result.stderr
    with av.open(str(tmp_path / "2026-11-25T10:30" / "annotated.mp4")) as container:
        assert len(list(container.decode(video=0))) == 12


def test_the_real_clip_replays_whole_and_twice_the_same(shared_data: Path, tmp_path: Path) -> None:
    clip = shared_data / "clips" / "breast_linear_BR001.mp4"
    for folder in ("a", "b"):
        assert command("replay", clip, "--out", tmp_path / folder, "--engine", "fake").exit_code == 0
    assert without_times(tmp_path / "a" / "frames.jsonl") == without_times(tmp_path / "b" / "frames.jsonl")
    assert len(without_times(tmp_path / "a" / "frames.jsonl")) == 56
    with av.open(str(tmp_path / "a" / "annotated.mp4")) as container:
        assert len(list(container.decode(video=0))) == 56


def test_the_folder_of_a_picture_that_cannot_be_read_is_not_told(tmp_path: Path) -> None:
    folder = tmp_path / "Nobody^Erika" / "pictures"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "1.png"), np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    (folder / "2.png").write_bytes((folder / "1.png").read_bytes()[:500])
    done = python("-m", "stream", "replay", folder, "--engine", "fake", "--out", tmp_path / "out")
    assert "2.png" in done.stderr
    assert "Erika" not in done.stderr
