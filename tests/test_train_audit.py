import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from rcdnet.notice import RESEARCH_NOTICE
from train.__main__ import app


@pytest.fixture(scope="module")
def flawed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set like BUSI with every flaw that the audit looks for, once."""
    root, random = tmp_path_factory.mktemp("flawed"), np.random.default_rng(0)
    scans = [
        cv2.resize(random.integers(20, 150, (12, 14), np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
        for _ in range(4)
    ]
    marked = cv2.putText(scans[1].copy(), "RT 3", (40, 60), cv2.FONT_HERSHEY_PLAIN, 1, 255)
    coloured = cv2.cvtColor(scans[3], cv2.COLOR_GRAY2BGR)
    coloured[30:50, 30:60] = (0, 0, 255)
    pictures = {
        "benign/same": scans[0],
        "malignant/same too": scans[0],
        "benign/plain": scans[1],
        "benign/marked": marked,
        "benign/wide": cv2.resize(scans[2], (200, 120)),
        "benign/turned": np.ascontiguousarray(scans[2][:, ::-1]),
        "normal/coloured": coloured,
    }
    for name, picture in pictures.items():
        (root / name).parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(root / f"{name}.png"), picture)
    return root


def test_the_audit_finds_every_flaw(flawed, tmp_path):
    sheet, written = tmp_path / "sheet.png", tmp_path / "audit.json"
    done = CliRunner().invoke(app, ["audit", str(flawed), "--json", str(written), "--sheet", str(sheet)])
    assert done.exit_code == 0, done.stderr
    found = json.loads(written.read_text())

    def names(key):
        return {frozenset(name.split("/")[1] for name in entry) for entry in found[key]}

    assert found["notice"] == RESEARCH_NOTICE
    assert found["n"] == 7
    assert names("groups") == {
        frozenset(("same", "same too")),
        frozenset(("plain", "marked")),
        frozenset(("wide", "turned")),
    }
    assert names("exact") == names("conflicts") == {frozenset(("same", "same too"))}
    assert names("mirrored") == {frozenset(("wide", "turned"))}
    assert [name.split("/")[1] for name in found["markers"]] == ["marked"]
    assert [name.split("/")[1] for name in found["colour"]] == ["coloured"]
    assert (found["sizes"]["smallest"], found["sizes"]["largest"]) == ([160, 120], [200, 120])
    assert "same too" in done.stdout
    assert cv2.imread(str(sheet)) is not None


def test_a_folder_without_a_data_set_is_one_line_and_code_three(tmp_path):
    done = CliRunner().invoke(app, ["audit", str(tmp_path)])
    assert done.exit_code == 3
    assert "contains no data set" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mask_that_cannot_be_decoded_is_told(flawed, tmp_path):
    broken = Path(shutil.copytree(flawed, tmp_path / "broken")) / "benign" / "plain_mask.png"
    broken.write_bytes(b"no picture")
    done = CliRunner().invoke(app, ["audit", str(tmp_path / "broken")])
    assert done.exit_code == 3
    assert "plain_mask.png cannot be decoded" in done.stderr


def test_a_kind_of_sheet_that_cannot_be_written_is_told_before_anything_is_read(tmp_path):
    done = CliRunner().invoke(app, ["audit", str(tmp_path), "--sheet", str(tmp_path / "sheet.pdf")])
    assert done.exit_code == 2
    assert "OpenCV writes no .pdf" in done.stderr


def test_names_that_a_file_on_windows_cannot_hold_are_escaped(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8)
    for label in ("benign", "malignant"):
        (tmp_path / label).mkdir()
        assert cv2.imwrite(str(tmp_path / label / f"超声 {label}.png"), picture)
    done = CliRunner(charset="cp1252").invoke(app, ["audit", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "/\\u8d85\\u58f0 benign = " in done.stdout
