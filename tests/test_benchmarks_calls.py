import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.calls import CALLS, app
from tests.clips import picture

HEAD = "dataset,name,label,patient,external,normal,benign,malignant\n"


def rows(tmp_path: Path, *arguments: str) -> list[dict]:
    json_file = tmp_path / "calls.json"
    result = CliRunner().invoke(app, [*arguments, "--engine", "fake", "--json", str(json_file)])
    assert result.exit_code == 0, result.output
    assert "Research use only" in result.output
    return json.loads(json_file.read_text())["rows"]


def test_held_out_answers_are_put_to_the_rule(tmp_path: Path) -> None:
    answers = {
        "a,benign": (-9, 0, -9),
        "b,benign": (0, -9, -9),
        "c,malignant": (-9, -9, 0),
        "d,malignant": (0, -9, 0),  # as likely a lesion as none
    }
    table = tmp_path / "predictions.csv"
    lines = (f"busi,{key},p,," + ",".join(map(str, logits)) for key, logits in answers.items())
    table.write_text(HEAD + "\n".join(lines) + "\n")
    told = [list(row.values()) for row in rows(tmp_path, str(table))]
    assert told == [["busi, held out", "benign", 2, 1, 1, 0, 0, 0], ["busi, held out", "malignant", 2, 0, 0, 1, 1, 0]]


def test_pictures_go_the_way_of_a_replay(tmp_path: Path) -> None:
    for label, brightness in (("benign", 1.0), ("malignant", 0.4)):
        folder = tmp_path / "ours" / label
        folder.mkdir(parents=True)
        for number in range(3):
            cv2.imwrite(str(folder / f"{label} {number}.png"), picture(number, 480, 640) * brightness)
    cv2.imwrite(str(tmp_path / "ours" / "malignant" / "nothing.png"), np.zeros((480, 640, 3), np.uint8))
    benign, malignant = rows(tmp_path, str(tmp_path / "ours"))
    assert (benign["n"], malignant["n"]) == (3, 4)
    assert (benign["not judged"], malignant["not judged"]) == (0, 1)
    for row in (benign, malignant):
        assert sum(row[call] for call in CALLS) == row["n"]
    assert benign["pictures"] == "ours"


@pytest.mark.parametrize("wrong", ["none", "none.csv"])
def test_what_holds_no_labels_is_one_clear_line(tmp_path: Path, wrong: str) -> None:
    result = CliRunner().invoke(app, [str(tmp_path / wrong), "--engine", "fake"])
    assert result.exit_code == 2
    assert "error: " in result.stderr


def test_answers_of_a_split_that_leaks_are_not_counted_as_held_out(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text(HEAD + "busi,a,benign,p,,-9,0,-9\n")
    (tmp_path / "config.json").write_text(json.dumps({"recipe": {}, "start": "hub", "n_test_leaked": 55}))
    result = CliRunner().invoke(app, [str(tmp_path / "predictions.csv"), "--engine", "fake"])
    assert result.exit_code == 2
    assert "55 of its pictures have a near copy" in result.stderr
