import base64
import errno
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import av
import cv2
import numpy as np
import pytest

from rcdnet.notice import RESEARCH_NOTICE, SCOPE
from stream.errors import UsageError
from stream.handover import OVERWRITTEN
from stream.session import Session
from stream.sinks import RESULTS, report, report_episodes
from stream.sinks.report import ReportSink
from stream.sinks.report_episodes import MOST_KEY_FRAMES
from stream.sinks.video import VideoSink
from stream.timing import Counts
from stream.types import State, View
from tests.stream_views import SESSION, SPEC, ending, reported, view, written

FEW = MOST_KEY_FRAMES + 16
"""Pictures or findings that a report of these tests has room for."""


def test_the_summary_counts_what_was_seen(tmp_path: Path) -> None:
    summary, _ = written(tmp_path)
    assert summary["states"] == {"warming_up": 10, "clear_finding": 20, "not_analysed": 1}
    assert summary["findings"] == {"benign": 0, "malignant": 10, "normal": 10}
    assert summary["frames"]["captured"] == 33
    assert summary["frames"]["written"] == 31
    assert summary["frames"]["dropped"] == {"damaged": 2}
    assert summary["duration_s"] == pytest.approx(1.2)
    assert summary["peaks"]["malignant"] == {
        "probability": 0.7, "source": "clip.mp4", "frame": 10, "pts_s": 0.4
    }  # fmt: skip


def test_the_summary_says_what_it_was_made_with(tmp_path: Path) -> None:
    summary, _ = written(tmp_path)
    assert summary["notice"] == RESEARCH_NOTICE
    assert summary["engine"]["name"] == "fake"
    assert summary["model"]["version"] == "7"
    assert summary["config"]["smoothing_s"] == SESSION.config.smoothing_s


@pytest.mark.parametrize(
    ("still", "uncalled"),
    [(False, (7, "frames indeterminate or warming up")), (True, (4, "frames indeterminate"))],
)
def test_the_cards_add_up_to_the_frames_analysed(tmp_path: Path, still: bool, uncalled: tuple[int, str]) -> None:
    states = 6 * [State.CLEAR_FINDING] + 4 * [State.INDETERMINATE] + 2 * [State.NOT_ANALYSED]
    states += [] if still else 3 * [State.WARMING_UP]
    analysed = len(states) - 2
    views = [view(index, state=state) for index, state in enumerate(states)]
    _, page = reported(tmp_path, views, replace(SESSION, still=still), ending(counts=Counts(len(states), analysed)))
    found = re.findall(r'<div class="card"><b[^>]*>(\d+)</b>\s*(?:<span[^>]*>)?([^<]+)', page)
    (_, *cards) = [(int(number), name) for number, name in found]
    assert cards[0] == (analysed, "analysed")
    assert cards[-1] == uncalled
    assert sum(number for number, _ in cards[1:]) == analysed


def test_the_report_counts_each_finding_by_itself(tmp_path: Path) -> None:
    _, page = written(tmp_path)
    table = page[page.index("<h2>Frames</h2>") :]
    rows = re.findall(r'<tr><th>([^<]+)</th><td class="n">(\d+)</td></tr>', table[: table.index("</table>")])
    counts = {"flagged malignant": 10, "no lesion flagged": 10, "warming up": 10, "not analysed": 1}
    assert {name: int(count) for name, count in rows} == counts


def test_the_report_shows_the_timeline_and_the_notice_and_needs_no_network(tmp_path: Path) -> None:
    summary, page = written(tmp_path)
    svg = page[page.index("<svg") : page.index("</svg>") + 6]
    shapes = ElementTree.fromstring(svg)
    assert len(shapes.findall("polyline")) == 3
    assert [band.findtext("title") for band in shapes.findall("rect")] == [
        "warming up", "a finding, or no lesion flagged", "not analysed"
    ]  # fmt: skip
    quarters = [f"{float(seconds):.1f} s" for seconds in np.linspace(0, summary["duration_s"], 5)]
    assert [text.text for text in shapes.findall("text")][-5:] == quarters
    assert "nothing was called (amber), the model was warming up (grey) or pictures came but were not recorded" in page
    assert RESEARCH_NOTICE in page
    assert "http" not in page


def test_stills_have_a_table_and_no_timeline(tmp_path: Path) -> None:
    _, page = written(tmp_path, replace(SESSION, still=True))
    assert "<svg" not in page
    start = page.index("<table>", page.index("<h2>Pictures</h2>"))
    table = ElementTree.fromstring(page[start : page.index("</table>", start) + 8])
    rows = [[" ".join(cell.itertext()).strip() for cell in row] for row in table]
    assert rows[0] == ["picture", "called", "benign", "malignant", "no lesion"]
    assert rows[11] == ["clip.mp4", "no lesion flagged", "20.0%", "70.0%", "10.0%"]
    assert rows[21] == ["clip.mp4", "malignant", "20.0%", "70.0%", "10.0%"]
    assert rows[31] == ["clip.mp4", "no picture"]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_PICTURES", FEW)
    monkeypatch.setattr(report_episodes, "MOST_EPISODES", FEW)


@pytest.mark.usefixtures("few")
def test_a_table_of_too_many_stills_holds_the_first_and_says_so(tmp_path: Path) -> None:
    views = [view(index, size_px=(2, 2)) for index in range(FEW + 1)]
    _, page = reported(tmp_path, views, replace(SESSION, still=True))
    assert f"Pictures, the first {FEW}; all are in frames.jsonl" in page
    assert page.count("<tr><td>clip.mp4</td>") == FEW


def figures(page: str) -> list[tuple[str, bool]]:
    """The words below each episode, and whether a picture stands above them."""
    found = []
    for figure in page.split("<figure>")[1:]:
        block = ElementTree.fromstring(
            "<figure>" + re.sub(r"(<img [^>]*)>", r"\1/>", figure.partition("</figure>")[0]) + "</figure>"
        )
        caption = block.find("figcaption")
        assert caption is not None
        found.append((" ".join("".join(caption.itertext()).split()), block.find("img") is not None))
    return found


def test_each_finding_is_listed_with_its_times_from_the_start_and_its_key_frame(tmp_path: Path) -> None:
    during = range(110, 120)  # of a recording that began while the source ran
    views = [view(index, finding="malignant" if index in during else "normal") for index in range(100, 130)]
    summary, page = reported(tmp_path, views)
    (episode,) = summary["episodes"]
    assert episode == {
        "finding": "malignant", "start_s": 4.4, "end_s": 4.76, "frames": 10,
        "peak": {"probability": 0.7, "source": "clip.mp4", "frame": 110, "pts_s": 4.4, "video_s": 0.4},
    }  # fmt: skip
    assert figures(page) == [("malignant 0.40 to 0.76 s, 10 frames; highest 70.0% at 0.40 s, frame 110", True)]
    (jpeg,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(jpeg), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture[40, 60] == pytest.approx(view(110).frame.rgb[40, 60], abs=3)


def with_video(folder: Path, views: list[View], session: Session = SESSION) -> tuple[dict, str, list[float]]:
    """Summary and page, and the times of the pictures in the video beside them."""
    told = reported(folder, views, session)
    sink = VideoSink(folder / "annotated.mp4")
    sink.open(session)
    for each in views:
        sink.write(each)
    sink.close(ending())
    with av.open(str(folder / "annotated.mp4")) as clip:
        return *told, [frame.time for frame in clip.decode(video=0)]


def test_after_an_outage_the_time_in_the_video_is_told_too(tmp_path: Path) -> None:
    indices = (*range(10), *range(210, 220))
    views = [view(index, finding="malignant" if index in (3, 214) else "normal") for index in indices]
    summary, page, times_s = with_video(tmp_path, views, replace(SESSION, live=True))
    before, after = summary["episodes"]
    assert [before["peak"]["video_s"], after["peak"]["video_s"]] == pytest.approx([times_s[3], times_s[14]])
    first, second = figures(page)
    assert "annotated.mp4" not in first[0]
    assert second[0].endswith("at 8.56 s, frame 214, in annotated.mp4 at 0.56 s")


def test_the_time_in_the_video_holds_where_the_source_s_time_stands_still(tmp_path: Path) -> None:
    # a long finding that is surest on frame 7
    views = [view(index, index // 2 / 12, malignant=0.8 if index == 7 else 0.6) for index in range(40)]
    summary, _, times_s = with_video(tmp_path, views)
    (episode,) = summary["episodes"]
    assert episode["peak"]["video_s"] == pytest.approx(times_s[7], abs=1e-4)


def test_a_finding_that_lasts_to_the_end_is_listed(tmp_path: Path) -> None:
    summary, page = written(tmp_path)
    assert [episode["frames"] for episode in summary["episodes"]] == [10]
    assert len(figures(page)) == 1


def test_a_flagged_still_is_listed_by_its_name(tmp_path: Path) -> None:
    _, page = reported(tmp_path, map(view, range(3)), replace(SESSION, still=True))
    assert figures(page) == 3 * [("malignant 70.0%: clip.mp4", True)]


def test_a_finding_in_one_of_several_recordings_names_it(tmp_path: Path) -> None:
    _, page = reported(tmp_path, [view()], replace(SESSION, source="cines"))
    assert figures(page)[0][0].endswith("at 0.00 s, frame 0 of clip.mp4")


def test_the_report_calls_nothing_certain(tmp_path: Path) -> None:
    _, page = reported(tmp_path, [view(malignant=1.0)])
    assert page.count("&gt;99.9%") == 2  # of the finding, and of the class
    assert "100.0%" not in page


def apart(findings: Iterable[tuple[str, float]]) -> Iterator[View]:
    """A small frame of each finding, with its probability of malignant, and one without a finding behind it."""
    for number, (finding, malignant) in enumerate(findings):
        yield view(2 * number, finding=finding, malignant=malignant, size_px=(2, 2))
        yield view(2 * number + 1, finding="normal", size_px=(2, 2))


@pytest.mark.usefixtures("few")
def test_of_too_many_findings_the_first_are_listed_and_the_highest_have_pictures(tmp_path: Path) -> None:
    surest = range(10, 10 + MOST_KEY_FRAMES)
    summary, page = reported(tmp_path, apart(("malignant", 0.9 if n in surest else 0.7) for n in range(FEW + 2)))
    assert (len(summary["episodes"]), summary["episodes_unlisted"]) == (FEW, 2)
    assert f"Flagged, {FEW} times of {FEW + 2}; all are in frames.jsonl" in page
    assert f"With {MOST_KEY_FRAMES} pictures; listed and pictured are malignant ones first, then" in page
    surest_first = [*surest, *(number for number in range(FEW) if number not in surest)]  # no holes between pictures
    assert [(f"frame {2 * number}", number in surest) for number in surest_first] == [
        (words.rpartition(", ")[2], pictured) for words, pictured in figures(page)
    ]


@pytest.mark.usefixtures("few")
def test_a_malignant_finding_is_listed_however_many_came_before(tmp_path: Path) -> None:
    summary, page = reported(tmp_path, apart([*FEW * [("benign", 0.1)], *3 * [("malignant", 0.6)]]))
    assert (len(summary["episodes"]), summary["episodes_unlisted"]) == (FEW, 3)
    frames = [episode["peak"]["frame"] for episode in summary["episodes"]]
    assert frames == [*range(0, 2 * FEW - 6, 2), *range(2 * FEW, 2 * FEW + 6, 2)]
    pictured = [words.partition(" ")[0] for words, picture in figures(page) if picture]
    assert pictured == [*(MOST_KEY_FRAMES - 3) * ["benign"], *3 * ["malignant"]]


def test_the_pictures_of_malignant_findings_are_the_last_to_be_left_out(tmp_path: Path) -> None:
    _, page = reported(tmp_path, apart([("malignant", 0.6), *MOST_KEY_FRAMES * [("benign", 0.1)]]))
    pictured = [pictured for _, pictured in figures(page)]
    assert pictured == [*MOST_KEY_FRAMES * [True], False]


def test_one_networks_calibrations_are_told_apart(tmp_path: Path) -> None:
    spec = replace(SPEC, temperature=1.5, cubic=0.07)
    summary, page = written(tmp_path, replace(SESSION, spec=spec))
    assert summary["model"]["calibration"] == {"temperature": 1.5, "cubic": 0.07}
    assert "temperature 1.5, cubic term 0.07" in page


def test_what_is_called_at_which_probability_is_what_was_applied(tmp_path: Path) -> None:
    spec = replace(SPEC, indeterminate=(0.3, 0.6))
    summary, page = written(tmp_path, replace(SESSION, spec=spec))
    called = summary["model"]["called"]
    assert called["no_lesion_below"] < spec.operating_points["balanced"].lesion < called["lesion_from"]
    assert (called["benign_below"], called["malignant_from"]) == (0.3, 0.6)
    assert "60%, benign below 30%" in page


def test_where_was_looked_stands_in_summary_and_report(tmp_path: Path) -> None:
    summary, page = written(tmp_path)
    assert summary["scan_areas"] == [
        {"where": "64x48 at 0,0, the whole picture", "sides": [0, 0, 64, 48], "corners": [], "frames": 31}
    ]
    assert "64x48 at 0,0, the whole picture: 31 frames" in page


def test_the_report_says_for_what_it_is_not(tmp_path: Path) -> None:
    summary, page = written(tmp_path)
    assert summary["scope"] == SCOPE
    assert SCOPE in page


def test_the_report_never_reassures(tmp_path: Path) -> None:
    _, page = written(tmp_path)
    words = page[page.index("</style>") :].replace("--normal", "")
    assert "no lesion flagged" in words
    assert "normal" not in words


@pytest.mark.parametrize("live", [True, False])
def test_only_a_live_run_has_a_latency(tmp_path: Path, live: bool) -> None:
    _, page = written(tmp_path, replace(SESSION, live=live))
    assert ("60 ms" in page) == live


def test_an_error_is_on_the_page_and_names_are_escaped(tmp_path: Path) -> None:
    session = Session("<script>.mp4", False, True, SPEC, SESSION.config)
    _, page = written(tmp_path, session, error="the device <b> went away")
    assert "the device &lt;b&gt; went away" in page
    assert "&lt;script&gt;.mp4 (synthetic picture)" in page
    assert "<script>" not in page


def test_what_was_lost_on_the_way_is_in_the_report_and_why(tmp_path: Path) -> None:
    counts = Counts(5, dropped={OVERWRITTEN: 5})
    _, page = reported(tmp_path, [], status=replace(ending(None, counts), not_drawn=3, not_recorded=7))
    assert "<h2>Frames that were not analysed or not recorded, and why</h2>" in page
    assert 'dropped: overwritten, as a newer one was ready</th><td class="n">5<' in page
    assert 'not drawn: a newer one was ready, or the run ended</th><td class="n">3<' in page
    assert 'not recorded: the disk was too slow</th><td class="n">7<' in page


def test_nothing_seen_is_still_a_report(tmp_path: Path) -> None:
    summary, page = reported(tmp_path, [], status=ending("no frame came"))
    assert (summary["frames"]["written"], summary["first_pts_s"], summary["duration_s"]) == (0, 0, 0)
    assert "no frame came" in page


def test_the_rate_is_that_of_the_whole_run(tmp_path: Path) -> None:
    times_ms = [*range(0, 200, 40), 900]  # with a pause before the last: the rate of the last seconds is 0
    views = [view(index, captured_ns=10**12 + at_ms * 10**6) for index, at_ms in enumerate(times_ms)]
    assert reported(tmp_path, views)[0]["times"]["fps"] == 5.56


def test_the_duration_is_from_the_first_frame_to_the_last(tmp_path: Path) -> None:
    summary, _ = reported(tmp_path, [view(0, 7.0), view(0, 7.5)])
    assert (summary["first_pts_s"], summary["duration_s"]) == (7, 0.5)


def test_a_single_frame_has_no_rate(tmp_path: Path) -> None:
    assert reported(tmp_path, [view()])[0]["times"]["fps"] is None


def test_an_earlier_run_s_files_are_gone_as_soon_as_the_next_begins(tmp_path: Path) -> None:
    written(tmp_path)
    ReportSink(tmp_path).open(SESSION)
    assert not any((tmp_path / name).exists() for name in RESULTS)


def test_an_earlier_file_that_cannot_be_removed_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "summary.json").mkdir()
    sink = ReportSink(tmp_path)
    with pytest.raises(UsageError, match=r"cannot write .*summary.json"):
        sink.open(SESSION)
    sink.close(ending())


@pytest.mark.parametrize(("refused", "kept"), [("summary.json", "report.html"), ("report.html", "summary.json")])
def test_one_file_is_written_where_the_other_cannot_be(tmp_path: Path, refused: str, kept: str) -> None:
    sink = ReportSink(tmp_path)
    sink.open(SESSION)
    sink.write(view())
    (tmp_path / refused).mkdir()
    with pytest.raises(UsageError, match=f"cannot write .*{refused}"):
        sink.close(ending())
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [kept]


def test_both_files_have_room_on_a_disk_that_filled_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def bounded(path: Path, data: bytes) -> int:
        others = [other for other in tmp_path.iterdir() if other != path]
        if sum(other.stat().st_size for other in others) + len(data) > size:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    sink = ReportSink(tmp_path)
    sink.open(SESSION)
    for index in range(30):
        sink.write(view(index, size_px=(600, 800)))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())  # of the disk: not a byte is free
    monkeypatch.setattr(Path, "write_bytes", bounded)
    sink.close(ending())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "summary.json"]
