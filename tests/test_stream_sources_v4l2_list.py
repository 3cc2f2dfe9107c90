"""A machine's capture devices, from folders laid out like those of Linux."""

from pathlib import Path

from stream.sources.v4l2_list import v4l2_devices


def test_devices_are_listed_in_order_with_their_names(tmp_path: Path) -> None:
    for name, label in (("video810", "Card B\n"), ("video82", "Card A\n"), ("v4l-subdev0", "no")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(label)
    (tmp_path / "video811").mkdir()
    assert list(v4l2_devices(tmp_path).items()) == [
        ("v4l2:/dev/video82", "Card A"),
        ("v4l2:/dev/video810", "Card B"),
        ("v4l2:/dev/video811", "unknown"),
    ]


def test_what_a_card_calls_itself_upsets_no_terminal(tmp_path: Path) -> None:
    (tmp_path / "video82").mkdir()
    (tmp_path / "video82" / "name").write_text("Card\x1b]0;renamed\x07\n")
    assert list(v4l2_devices(tmp_path).values()) == ["Card?]0;renamed?"]


def test_no_devices_are_no_error(tmp_path: Path) -> None:
    assert v4l2_devices(tmp_path / "absent") == {}


def test_a_card_is_listed_by_its_own_path_where_it_has_one(tmp_path: Path) -> None:
    for name in ("video80", "video81"):
        (tmp_path / "sys" / name).mkdir(parents=True)
        (tmp_path / name).touch()
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    (by_id / "usb-Maker_Card_123-video-index0").symlink_to(tmp_path / "video81")
    assert list(v4l2_devices(tmp_path / "sys", by_id)) == [
        "v4l2:/dev/video80",
        f"v4l2:{by_id}/usb-Maker_Card_123-video-index0",
    ]
