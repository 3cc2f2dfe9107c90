from pathlib import Path

import pytest
from pydantic import ValidationError

from stream.config import OverlayStyle, StreamConfig, load_config
from stream.errors import UsageError


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, "smoothing_s = 0.8\n[overlay]\nopacity = 0.2\n"))
    assert config == StreamConfig(smoothing_s=0.8, overlay=OverlayStyle(opacity=0.2))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("smoothing = 1", "unknown key 'smoothing'. Known: scan_area, smoothing_s"),
        ("[overlay]\ncolour = 1", "unknown key 'overlay.colour'. Known: opacity, stale_after_s."),
        ("smoothing_s = -1", "'smoothing_s': Input should be greater than 0, not -1"),
        ("[overlay]\nopacity = 3", "'overlay.opacity': Input should be less than or equal to 1, not 3"),
        ("stall_after_s = inf", "'stall_after_s': Input should be a finite number"),
        ("[overlay]\nstale_after_s = nan", "'overlay.stale_after_s': Input should be"),
        ("jpeg_quality = true", "'jpeg_quality': Input should be a valid integer, not True"),
        ("[overlay]\nopacity = '0.2'", "'overlay.opacity': Input should be a valid number, not '0.2'"),
        ("smoothing_s = ", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_the_name_of_its_key(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(UsageError) as refusal:
        load_config(written(tmp_path, text))
    assert expected in str(refusal.value)
    assert "\n" not in str(refusal.value).removeprefix("--config ")


def test_a_byte_order_mark_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("smoothing_s = 0.8\n", encoding="utf-8-sig")  # as PowerShell's -Encoding utf8
    assert load_config(path).smoothing_s == 0.8


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_config(tmp_path / "none.toml")


def test_binary_data_is_no_toml(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not TOML"):
        load_config(path)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        StreamConfig().smoothing_s = 1
