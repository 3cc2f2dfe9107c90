import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.feeds import FEEDS, app
from benchmarks.variants import SCREEN_ROWS
from tests.clips import picture


@pytest.mark.parametrize("name", FEEDS)
@pytest.mark.parametrize("size", [(480, 640), (479, 641)])
def test_a_feed_changes_a_picture_and_leaves_it_recognisable(name: str, size: tuple[int, int]) -> None:
    sent = cv2.GaussianBlur(picture(1, *size), (0, 0), 3)
    came = FEEDS[name](sent)
    assert (came.shape, came.dtype) == (sent.shape, np.uint8)
    assert not np.array_equal(came, sent)
    assert np.corrcoef(came.ravel(), sent.ravel())[0, 1] > 0.95


def test_levels_are_moved_as_video_s_are() -> None:
    ramp = np.array([0, 16, 125, 235, 255], np.uint8).reshape(1, -1, 1).repeat(3, 2)
    assert FEEDS["full range taken for video levels"](ramp)[0, :, 0].tolist() == [0, 0, 127, 255, 255]
    assert FEEDS["video levels taken for full range"](ramp)[0, :, 0].tolist() == [16, 30, 123, 218, 235]


def test_what_a_feed_changes_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []

    def dark(sent: np.ndarray) -> np.ndarray:
        shapes.append(sent.shape)
        return np.zeros_like(sent)

    monkeypatch.setattr("benchmarks.feeds.FEEDS", {"as it is": lambda sent: sent, "no signal": dark})
    (tmp_path / "ours" / "benign").mkdir(parents=True)
    for number in range(3):
        cv2.imwrite(str(tmp_path / "ours" / "benign" / f"{number}.png"), picture(number, 240, 320))
    json_file = tmp_path / "feeds.json"
    result = CliRunner().invoke(app, [str(tmp_path / "ours"), "--engine", "fake", "--json", str(json_file)])
    assert result.exit_code == 0, result.output
    assert "Research use only" in result.output
    assert result.stderr == "ours: as it is\nours: no signal\n"
    same, none = json.loads(json_file.read_text())["rows"]
    assert shapes == [(SCREEN_ROWS, SCREEN_ROWS * 4 // 3, 3)] * 3
    assert list(same.values()) == ["ours", "as it is", 3, 0, 0, 0, 0.0, 0.0]
    assert list(none.values())[:6] == ["ours", "no signal", 3, 3, 0, 3]


def test_answers_alone_are_refused() -> None:
    answers = Path(__file__).parents[1] / "docs/results/protocols/twin/seed0-fold1/predictions.csv"
    result = CliRunner().invoke(app, [str(answers), "--engine", "fake"])
    assert result.exit_code == 2
    assert "no pictures" in result.stderr
