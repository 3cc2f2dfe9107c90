import json
import sys
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from benchmarks import peers
from benchmarks.environments import REQUIREMENTS, PeerError, interpreter
from benchmarks.ours import our_pipeline
from benchmarks.peer_loops import Annotator, plain_loop, queued
from benchmarks.peer_meter import WARM_UP_S, Clip, Meter, Trial, pictures
from benchmarks.peer_models import NETWORKS, Look, Network, with_looks
from engines.catalog import open_engine
from rcdnet.glance import LOOK_WEIGHT, Floats, judge
from rcdnet.golden import Golden
from rcdnet.onnx_file import read
from rcdnet.preprocess import to_grey
from rcdnet.weights import GOLDEN, ONNX
from tests.clips import picture, write_clip

SHORT_S = 0.2


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return peers.clip_of(write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", size_px=(320, 240)), None)


def trial(name: str, clip: Clip, setting: str = "default") -> Trial:
    return Trial(name, setting, SHORT_S, 2, clip)


class Keeping(Meter):
    """A meter that also keeps what was delivered."""

    def __init__(self) -> None:
        super().__init__(SHORT_S)
        self.pictures: list[NDArray[np.uint8]] = []

    def deliver(self, captured_ns: int, picture: NDArray[np.uint8]) -> None:
        self.pictures.append(picture)
        super().deliver(captured_ns, picture)


FLAT = np.zeros((1, 3), np.float32)
INDIFFERENT = Network(
    read(ONNX)[1],
    lambda _: Look(FLAT, np.zeros((1, 3, 14, 14), np.float32), np.ones((14, 14), np.float32)),
)
"""Knows nothing, and is quick about it."""


def test_ours_and_a_plain_loop_deliver_pictures_of_the_same_size(clip: Clip) -> None:
    ours, theirs = Keeping(), Keeping()
    our_pipeline(trial("ours", clip), False, ours)
    plain_loop(Annotator(INDIFFERENT, INDIFFERENT.spec, clip), False, theirs)
    assert {shown.shape for shown in ours.pictures} == {shown.shape for shown in theirs.pictures}


@pytest.mark.parametrize("live", [False, True])
def test_a_meter_ends_our_pipeline(clip: Clip, live: bool) -> None:
    meter = Keeping()
    our_pipeline(trial("ours", clip), live, meter)
    assert meter.ended.is_set()
    assert all(age_ms > 0 for age_ms in meter.ages_ms)


def test_the_usual_drawing_leaves_what_is_not_scan_alone(clip: Clip) -> None:
    part = Clip(clip.path, (40, 30, 200, 100), clip.canvas_px)
    annotator, shown = Annotator(INDIFFERENT, INDIFFERENT.spec, part), picture(1, 240, 320)
    drawn = annotator.draw(shown, annotator.judge(shown))
    changed = (drawn[:240, :320] != shown).any(axis=2)
    assert changed[30:130, 40:240].mean() > 0.9
    changed[30:130, 40:240] = False
    assert not changed.any()


def test_the_heat_of_two_looks_is_hottest_where_both_looked(clip: Clip) -> None:
    shown = picture(1, 240, 320)
    peaked = np.zeros((1, 3, 14, 14), np.float32)
    peaked[:, :, 7, 7] = 1
    network = Network(INDIFFERENT.spec, lambda _: Look(FLAT, peaked, np.ones((14, 14), np.float32)))
    heats = [Annotator(network, with_looks(network.spec, n), clip).judge(shown).heat for n in (1, 2)]
    assert heats[0].min() == pytest.approx(1)
    assert (heats[1].min(), heats[1].max()) == (pytest.approx(1 - LOOK_WEIGHT), pytest.approx(1))


def test_the_best_setting_of_grad_cam_gives_what_its_default_gives() -> None:
    default, best = (NETWORKS["opencv_timm_gradcam"](chosen) for chosen in (False, True))
    image = Golden.load(GOLDEN).images[:1]
    theirs, expected = best.look(image), default.look(image)
    np.testing.assert_allclose(theirs.logits, expected.logits, atol=2e-3)
    np.testing.assert_allclose(theirs.heat, expected.heat, atol=2e-3)


@pytest.mark.parametrize("name", ["opencv_onnxruntime", "opencv_timm_gradcam"])
def test_a_contestant_writes_what_we_find_with_one_look_and_with_two(name: str, clip: Clip) -> None:
    """The others' environments hold the same two lines around the same weights."""
    shown = picture(1, 240, 320)
    network = NETWORKS[name](False)
    specs = [with_looks(network.spec, looks) for looks in (1, 2)]
    with open_engine("openvino_cpu") as engine:

        def run(images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
            output = engine.run(images)
            return output.logits, output.class_maps

        grey = to_grey(np.ascontiguousarray(shown[:, :, ::-1]))
        ours = [judge(grey, spec, run).probabilities for spec in specs]
    for spec, p in zip(specs, ours, strict=True):
        top = int(p.argmax())
        assert Annotator(network, spec, clip).judge(shown).label == f"{spec.class_names[top]} {p[top]:.0%}"


def test_a_meter_counts_after_the_warm_up_and_until_the_end() -> None:
    now_s = iter((0.0, WARM_UP_S, WARM_UP_S + 1, WARM_UP_S + 2, WARM_UP_S + 9))
    moments = [round(1e9 * moment) for moment in now_s]
    clock = iter(moments)
    meter = Meter(2.0, clock_ns=lambda: next(clock))
    for moment, age_ms in zip(moments, (900, 900, 20, 30, 900), strict=True):
        meter.deliver(moment - age_ms * 10**6, picture(0))
    assert meter.ages_ms == [20, 30]
    assert meter.frames_per_s == 1.0
    assert meter.ended.is_set()


def test_a_clip_that_opencv_cannot_read_is_told_without_its_folder() -> None:
    absent = Clip("/SMITH JANE/absent.mp4", (0, 0, 320, 240), (240, 463))
    with pytest.raises(ValueError, match=r"no picture from absent\.mp4\."):
        next(pictures(absent, Event()))


def test_a_queue_loses_nothing_and_keeps_the_order() -> None:
    shown = picture(0)
    assert [stamp for stamp, _ in queued((stamp, shown) for stamp in range(100))] == list(range(100))


def test_a_queue_that_gets_longer_shows_as_growth() -> None:
    at_s = [0.0, 1.0, 2.0, 3.0]
    assert peers.growth_ms_per_s(at_s, [50.0, 380.0, 710.0, 1040.0]) == pytest.approx(330)
    assert peers.growth_ms_per_s(at_s, [50.0, 40.0, 40.0, 50.0]) == pytest.approx(0)


def test_rounds_are_summed_up_by_medians_and_the_ages_of_all_frames() -> None:
    rounds = [
        {"frames_per_s": rate, "cpu_s_per_frame": 0.01, "rss_mb": rss, "at_s": [1.0, 2.0], "age_ms": [age, age]}
        for rate, rss, age in ((10, 300, 20.0), (90, 500, 30.0), (11, 400, 40.0))
    ]
    row = peers.summary("ours", "default", rounds)
    assert (row.frames_per_s, row.rss_mb, row.rounds) == (11, 500, 3)
    assert row.age_ms == {"p50": 30.0, "p95": 40.0, "max": 40.0, "growth": pytest.approx(0)}


def test_the_better_setting_stands_for_a_contestant() -> None:
    rows = [
        peers.Result("ours", "default", "", frames_per_s=60.0),
        peers.Result("opencv_onnxruntime", "default", "", frames_per_s=20.0),
        peers.Result("opencv_onnxruntime", "best", "", frames_per_s=30.0),
        peers.Result("roboflow_inference", "best", "", error="not here"),
    ]
    assert peers.ratio(rows, "opencv_onnxruntime") == 2.0
    assert peers.ratio(rows, "roboflow_inference") is None


@pytest.fixture(autouse=True)
def no_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def no_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))


@pytest.mark.usefixtures("no_uv")
def test_without_uv_a_contestant_says_so() -> None:
    with pytest.raises(PeerError, match="without uv"):
        interpreter("roboflow_inference")


@pytest.fixture
def roboflow(tmp_path: Path) -> Path:
    """Python in an environment made of what is wanted."""
    python = tmp_path / "rcdnet-live" / "peers" / "roboflow_inference" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    (python.parents[1] / "made_of.json").write_text(json.dumps(REQUIREMENTS["roboflow_inference"]))
    return python


def test_an_environment_that_was_made_of_the_same_is_used_again(roboflow: Path) -> None:
    assert interpreter("roboflow_inference") == roboflow


@pytest.mark.usefixtures("no_uv")
def test_an_environment_whose_list_broke_off_is_to_be_made_anew(roboflow: Path) -> None:
    (roboflow.parents[1] / "made_of.json").write_text("[")
    with pytest.raises(PeerError, match="without uv"):
        interpreter("roboflow_inference")


def test_a_contestant_that_gets_versions_which_are_not_here_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REQUIREMENTS, "opencv_timm_torchcam", ("no-such-package",))
    with pytest.raises(PeerError, match=r"no-such-package is not installed: .*\[train\]"):
        interpreter("opencv_timm_torchcam")


def test_a_contestant_that_breaks_is_told_with_its_reason(clip: Clip) -> None:
    with pytest.raises(PeerError, match="KeyError: 'nobody'"):
        peers.one_round(Path(sys.executable), trial("nobody", clip))


@pytest.mark.parametrize(
    ("name", "setting", "told"), [("ours", "default", True), ("nobody", "default", False), ("nobody", "best", True)]
)
def test_peers_are_told_how_opencv_waits_at_their_best_alone(
    name: str, setting: str, told: bool, clip: Clip, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nenv | grep -c OPENCV_THREAD_POOL_ACTIVE_WAIT || true\n")
    python.chmod(0o755)
    assert bool(peers.one_round(python, trial(name, clip, setting))) is told


def test_a_clip_that_is_not_there_ends_with_3(tmp_path: Path) -> None:
    result = CliRunner().invoke(peers.app, ["--clip", str(tmp_path / "absent.mp4")])
    assert result.exit_code == 3
    assert "absent.mp4" in result.stderr


def test_a_whole_run_writes_who_was_measured_and_who_was_not(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "SETTINGS", {"ours": {"default": "as it is"}, "nobody": {"default": "none"}})
    path = tmp_path / "peers.json"
    options = ["--clip", clip.path, "--seconds", "0.5", "--rounds", "1", "--json", str(path)]
    result = CliRunner().invoke(peers.app, options)
    assert result.exit_code == 0, result.stderr
    assert "not measured" in result.stdout
    ours, nobody = json.loads(path.read_text())["results"]
    assert ours["name"] == "ours"
    assert ours["frames_per_s"] > 0
    assert ours["rss_mb"] > 50
    assert set(ours["age_ms"]) == {"p50", "p95", "max", "growth"}
    assert "KeyError" in nobody["error"]
    assert nobody["frames_per_s"] is None
