from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from rcdnet.notice import RESEARCH_NOTICE, SCOPE
from stream.sinks.video import VideoSink, fit
from tests.stream_views import SESSION, ending, view


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def recorded(
    path: Path, pts_s: list[float], size_px: tuple[int, int] = (48, 64), *, live: bool = False
) -> list[av.VideoFrame]:
    sink = VideoSink(path)
    sink.open(replace(SESSION, live=live))
    for index, at_s in enumerate(pts_s):
        sink.write(view(index, at_s, size_px=size_px))
    sink.close(ending())
    sink.close(ending())
    return decoded(path)


def test_every_picture_comes_back_in_order_and_at_its_time(tmp_path: Path) -> None:
    pts_s = [5 + n / 25 for n in range(40)]
    frames = recorded(tmp_path / "a.mp4", pts_s)
    greys = [frame.to_ndarray(format="rgb24").mean() for frame in frames]
    np.testing.assert_allclose(greys, [10 + 4 * n for n in range(40)], atol=3)
    np.testing.assert_allclose([frame.time for frame in frames], [n / 25 for n in range(40)], atol=1e-4)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"


def test_a_run_without_a_picture_leaves_no_file(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "a.mp4")
    sink.open(SESSION)
    sink.close(ending())
    assert not list(tmp_path.iterdir())


def test_the_file_says_by_itself_what_it_is_for_and_what_made_it(tmp_path: Path) -> None:
    recorded(tmp_path / "a.mp4", [0.0, 0.04])
    with av.open(str(tmp_path / "a.mp4")) as container:
        said = container.metadata
    assert said["title"] == f"RcdNet Live. {RESEARCH_NOTICE}"
    assert said["comment"].startswith(f"{RESEARCH_NOTICE} {SCOPE} Software rcdnet-live ")
    assert "network 7; calibration temperature 1.0, cubic 0.0; operating point balanced." in said["comment"]
    assert "clip.mp4" not in str(said)


def test_the_file_tells_players_its_colours(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "a.mp4")
    sink.open(SESSION)
    sink.write(replace(view(0, 0.0), picture=np.full((64, 48, 3), (64, 190, 178), np.uint8)))
    sink.close(ending())
    (frame,) = decoded(tmp_path / "a.mp4")
    assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (6, 1, 1, 13)
    luma = 16 + 219 / 255 * (0.299 * 64 + 0.587 * 190 + 0.114 * 178)  # by BT.601; BT.709 has 155
    assert frame.to_ndarray()[:64].mean() == pytest.approx(luma, abs=2)


def test_live_time_that_jumps_or_loops_goes_on_with_the_usual_step(tmp_path: Path) -> None:
    frames = recorded(tmp_path / "a.mp4", [0.0, 0.5, 1.0, 0.0, 0.5, 90.0, 90.0], live=True)
    np.testing.assert_allclose([frame.time for frame in frames], [0, 0.5, 1, 1.5, 2, 2.5, 3], atol=1e-4)


def test_a_clip_s_own_pauses_are_kept(tmp_path: Path) -> None:
    frames = recorded(tmp_path / "a.mp4", [0.0, 2.0, 4.0, 9.0])
    np.testing.assert_allclose([frame.time for frame in frames], [0, 2, 4, 9], atol=1e-4)


@pytest.mark.parametrize(
    ("pts_s", "still", "seconds"), [([0.0, 0.5, 1.0], True, 1.5), ([0.0], True, 0.5), ([0.0, 0.04, 0.08], False, 0.12)]
)
def test_the_last_picture_is_shown_as_long_as_the_others(
    tmp_path: Path, pts_s: list[float], still: bool, seconds: float
) -> None:
    sink = VideoSink(tmp_path / "a.mp4")
    sink.open(replace(SESSION, still=still))
    for index, at_s in enumerate(pts_s):
        sink.write(view(index, at_s))
    sink.close(ending())
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.duration / av.time_base == pytest.approx(seconds)


def test_a_pause_is_no_usual_step(tmp_path: Path) -> None:
    frames = recorded(tmp_path / "a.mp4", [0.0, 0.5, 5.5, 5.5, 6.0])
    np.testing.assert_allclose([frame.time for frame in frames], [0, 0.5, 5.5, 6, 6.5], atol=1e-4)


@pytest.mark.parametrize("size_px", [(47, 65), (1, 1), (31, 300)])
def test_odd_sizes_are_padded_to_even(tmp_path: Path, size_px: tuple[int, int]) -> None:
    frames = recorded(tmp_path / "a.mp4", [0.0, 0.04], size_px)
    assert [(f.height, f.width) for f in frames] == [tuple(side + side % 2 for side in size_px)] * 2


def test_a_picture_of_another_size_is_fitted_whole(tmp_path: Path) -> None:
    sink = VideoSink(tmp_path / "a.mp4")
    sink.open(SESSION)
    sink.write(view(0, size_px=(48, 64)))
    sink.write(view(1, size_px=(96, 300)))
    sink.close(ending())
    assert [(f.height, f.width) for f in decoded(tmp_path / "a.mp4")] == [(48, 64)] * 2


def test_fit_keeps_what_fits_and_scales_what_does_not() -> None:
    white = np.full((10, 20, 3), 255, np.uint8)
    assert fit(white, 10, 20) is white
    np.testing.assert_array_equal(fit(white, 12, 20)[:10], white)
    assert fit(white, 12, 20)[10:].max() == 0
    assert fit(white, 5, 5).shape == (5, 5, 3)
