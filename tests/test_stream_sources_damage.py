"""No picture is shown that was made from a damaged one: real clips, with bytes lost or overwritten."""

from pathlib import Path

import av
import numpy as np
import pytest

from stream.sources import open_here
from stream.sources.damage import MOST_KEYS, Breaks
from tests.clips import picture, spoil_a_scene, write_scenes


@pytest.mark.parametrize("place", [0.1, 0.5], ids=["filled up", "refused"])
def test_no_picture_is_shown_that_is_made_from_a_damaged_one(tmp_path: Path, place: float) -> None:
    clip = write_scenes(tmp_path / "clip.mp4", b_frames=0)
    with open_here(str(clip)) as source:
        sent = [frame.rgb for frame in source.frames()]
    spoil_a_scene(clip, place)
    with open_here(str(clip)) as source:
        shown = {round(25 * frame.pts_s): frame.rgb for frame in source.frames()}
        assert source.damaged == 10
    assert [*shown] == [*range(10), *range(20, 40)]
    assert all((rgb == sent[number]).all() for number, rgb in shown.items())


def test_no_b_frame_is_shown_whose_later_picture_is_damaged(tmp_path: Path) -> None:
    clip = write_scenes(tmp_path / "clip.mp4", b_frames=2)
    with open_here(str(clip)) as source:
        sent = [frame.rgb for frame in source.frames()]
    whole = clip.read_bytes()
    with av.open(str(clip)) as container:
        packets = [(packet.pos, packet.size, packet.pts) for packet in container.demux(video=0) if packet.size]
    first = next(at for at, packet in enumerate(packets) if packets[at + 1][2] < packet[2])  # made before its B-frames
    at, size, _ = packets[first]
    clip.write_bytes(whole[: at + 12] + bytes(size - 12) + whole[at + size :])
    with open_here(str(clip)) as source:
        shown = {round(25 * frame.pts_s): frame.rgb for frame in source.frames()}
        assert source.damaged == 40 - len(shown)
    assert {*range(10, 40)} <= {*shown} != {*range(40)}
    assert all((rgb == sent[number]).all() for number, rgb in shown.items())


def test_pictures_come_back_after_damage_where_only_the_first_picture_is_whole_in_itself(tmp_path: Path) -> None:
    clip = write_scenes(tmp_path / "clip.mp4", b_frames=0, refresh=True)
    spoil_a_scene(clip, 0.5)
    with open_here(str(clip)) as source:
        shown = {round(25 * frame.pts_s) for frame in source.frames()}
        assert source.damaged == 40 - len(shown)
    assert {*range(10), *range(20, 40)} <= shown != {*range(40)}


def test_no_picture_is_shown_that_inherits_a_loss(tmp_path: Path) -> None:
    stream_bytes = write_scenes(tmp_path / "whole.ts", b_frames=2).read_bytes()
    packets = [stream_bytes[start : start + 188] for start in range(0, len(stream_bytes), 188)]
    first = [at for at, packet in enumerate(packets) if packet[1:3] == b"\x41\x00"]  # of each picture
    lossy = tmp_path / "lossy.ts"
    lossy.write_bytes(b"".join(packet for at, packet in enumerate(packets) if at != first[10] + 3))
    with open_here(str(lossy)) as source:
        shown = {round(25 * frame.pts_s): frame.rgb for frame in source.frames()}
        assert source.damaged == 40 - len(shown)
    assert {*range(6), *range(20, 40)} <= {*shown} != {*range(40)}
    for number, rgb in shown.items():
        assert np.abs(rgb.astype(int) - picture(number // 10, 240, 320)).mean() < 6


def test_key_frames_of_which_nothing_comes_out_for_days_take_no_memory() -> None:
    breaks = Breaks()
    for number in range(2 * MOST_KEYS):
        packet = av.Packet(b"nothing that can be decoded")
        packet.pts, packet.is_keyframe = number, True
        breaks.add(packet)
    assert len(breaks._keys) == MOST_KEYS
