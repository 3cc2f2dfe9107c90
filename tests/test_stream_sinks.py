"""What every sink keeps to when it cannot write, or is killed while it does."""

import json
import subprocess
from pathlib import Path

import av
import pytest

from stream.errors import UsageError
from stream.sinks.dicom import DicomSink
from stream.sinks.journal import JournalSink
from stream.sinks.report import ReportSink
from stream.sinks.video import VideoSink
from tests.programs import started
from tests.stream_views import SESSION, ending, view


@pytest.mark.parametrize("sink_of", [JournalSink, VideoSink, ReportSink, DicomSink])
def test_a_folder_that_is_not_there_is_one_clear_line(
    tmp_path: Path, sink_of: type[JournalSink | VideoSink | ReportSink | DicomSink]
) -> None:
    sink = sink_of(tmp_path / "none" / "some")
    with pytest.raises(UsageError, match=r"cannot write .*: No such file or directory") as told:
        sink.open(SESSION)
    assert "\n" not in str(told.value)
    sink.close(ending())


@pytest.mark.parametrize("sink_of", [JournalSink, VideoSink])
def test_a_full_disk_is_one_clear_line(sink_of: type[JournalSink | VideoSink]) -> None:
    sink = sink_of(Path("/dev/full"))
    sink.open(SESSION)
    with pytest.raises(UsageError, match="cannot write /dev/full: No space left on device"):
        sink.write(view())
    sink.close(ending())


@pytest.mark.parametrize("sink_of", [JournalSink, VideoSink])
def test_what_is_deleted_while_it_is_written_is_no_recording_any_more(
    tmp_path: Path, sink_of: type[JournalSink | VideoSink]
) -> None:
    sink = sink_of(tmp_path / "some")
    sink.open(SESSION)
    sink.write(view(0))
    (tmp_path / "some").rename(tmp_path / "moved")
    sink.write(view(1))
    (tmp_path / "moved").unlink()
    with pytest.raises(UsageError, match="some was deleted while being written"):
        sink.write(view(2))
    sink.close(ending())


def killed_after(count: int, sink: str, path: Path) -> None:
    """Let another process write to this sink until it has taken so many views, and kill it."""
    program = (
        "import itertools, sys; from pathlib import Path; from tests.stream_views import SESSION, view\n"
        "from stream.sinks.journal import JournalSink; from stream.sinks.video import VideoSink\n"
        f"sink = {sink}(Path(sys.argv[1])); sink.open(SESSION)\n"
        "for index in itertools.count():\n"
        "    sink.write(view(index)); print(flush=True)\n"
    )
    with started("-c", program, path, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(count):
            writer.stdout.readline()
        writer.kill()


def test_a_killed_process_leaves_whole_lines_in_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "frames.jsonl"
    killed_after(20, "JournalSink", path)
    lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    assert [json.loads(line)["frame"] for line in lines][:20] == list(range(20))


def test_a_killed_process_leaves_a_video_that_can_be_played(tmp_path: Path) -> None:
    killed_after(60, "VideoSink", tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert len(list(container.decode(video=0))) >= 60 - 2 * 15
