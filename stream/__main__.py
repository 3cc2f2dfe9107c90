"""python -m stream run | replay | devices. The only place that reads arguments and sets exit codes.

0 done, 2 wrong use, 3 source failed, 4 engine failed, 130 replay stopped before its end. Data goes to stdout, progress
and errors to stderr.
"""

import atexit
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated

if __name__ == "__main__":  # until the rest is imported, Ctrl-C just ends it
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from engines.errors import EngineError
from engines.failover import open_with_failover
from rcdnet.notice import RESEARCH_NOTICE
from rcdnet.printing import escape_what_stdout_lacks
from rcdnet.weights import SHIPPED
from stream.config import StreamConfig, load_config
from stream.errors import StreamError, UsageError
from stream.kept_areas import KeptAreas
from stream.pipeline import Pipeline
from stream.scan_area import finder
from stream.sinks import CINE, RESULTS, alone_in, exporting, recording, sending
from stream.sinks.base import Sink, refused
from stream.sources import ON_DISK, kind, open_source, opener
from stream.sources.uri import is_path, split
from stream.stage import explain, unforeseen
from stream.status import Recording, Status

INTERRUPTED = 130
"""What shells say of a command that Ctrl-C ended."""

PATIENCE_S = 10.0
"""How long what was recorded is finished whatever keys are pressed."""

OPEN_TO_NETWORK = "Everyone on the network can see the picture and use the controls."

log = logging.getLogger("stream")

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=f"RcdNet on every frame of an ultrasound stream. {RESEARCH_NOTICE}",
)


def path(text: str | Path) -> Path:
    """Without this, an empty one, as of a variable that is not set, would be the current folder. Raises BadParameter.
    A default comes as it is."""
    if not str(text):
        raise typer.BadParameter("it is empty. Expected a path; a variable of the shell may not be set.")
    return Path(text)


EngineName = Annotated[str, typer.Option("--engine", help="auto, or a name from: python -m engines list")]
WeightsFolder = Annotated[
    Path, typer.Option("--weights", parser=path, help="folder of another network, as python -m rcdnet.export makes it")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", parser=path, help="TOML file with the keys of stream/config.py")
]
Receiver = Annotated[
    str | None,
    typer.Option(
        "--send",
        help="igtl://host:18944 gets the newest annotated picture and its finding; "
        "while the receiver is busy, older ones are skipped",
    ),
]
AreaText = Annotated[
    str | None,
    typer.Option(
        "--scan-area", help="x,y,width,height or a polygon x,y/x,y/... in pixels, or full; the rest is blanked"
    ),
]


@app.command()
def run(
    source: Annotated[
        str,
        typer.Option(envvar="RCDNET_SOURCE", help="clip, image folder, v4l2:/dev/video0, dshow:video=NAME, phantom:"),
    ] = "phantom:",
    engine: EngineName = "auto",
    weights: WeightsFolder = SHIPPED,
    config: ConfigFile = None,
    host: Annotated[str, typer.Option(help="address to serve on; 0.0.0.0 opens the page to the network")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one")] = 7860,
    record: Annotated[
        Path | None,
        typer.Option(
            parser=path, help="folder that gets one subfolder per recording; the page can end one and begin the next"
        ),
    ] = None,
    scan_area: AreaText = None,
    send: Receiver = None,
) -> None:
    """Annotate a live source, or a clip in a loop, on a web page until Ctrl-C."""
    with exit_codes():
        from stream.web.app import listen, page_address, seen_by_network, serve  # the web part is not needed to replay
        from stream.web.control import Control, label

        settings = settings_of(config, scan_area)
        opener(source)  # what makes no sense is told before anything runs
        if kind(source) in ON_DISK and not is_path(split(source).target):
            open_source(source)  # which says that it is not there
        listener = listen(host, port)
        receivers = partial(sending, send)
        receivers()  # as a wrong address
        recordings = None if record is None else partial(announced_recording, record)

        def ready() -> None:
            warning = f" {OPEN_TO_NETWORK}" if seen_by_network(listener) else ""
            tell(f"{page_address(host, listener)}  {RESEARCH_NOTICE} Ctrl-C ends it.{warning}")

        kept_areas = KeptAreas(Path(typer.get_app_dir("rcdnet-live")) / "scan_areas.json")
        with listener, Control(settings, source, engine, receivers, recordings, kept_areas, weights) as control:
            tell(f"loading the engine, then opening {label(source)}")
            try:
                control.start()
                serve(control, listener, ready)
            except KeyboardInterrupt:
                tell("stopped")
            finish_undisturbed()
            if not control.now().stopped:
                tell_what_is_finished(control.now().pipeline)
            control.stop()
            if control.unrecorded is not None:
                raise UsageError(control.unrecorded)
            last = control.now().pipeline
            if last is not None and last.error is not None:
                raise last.error if unforeseen(last.error) is None else StreamError(explain(last.error))  # it is logged


@app.command()
def replay(
    clip: Annotated[str, typer.Argument(help="clip or image folder")],
    out: Annotated[
        Path, typer.Option(parser=path, help="folder for the results; those of an earlier replay are replaced")
    ],
    engine: EngineName = "auto",
    weights: WeightsFolder = SHIPPED,
    config: ConfigFile = None,
    scan_area: AreaText = None,
    send: Receiver = None,
    dicom: Annotated[
        bool, typer.Option("--dicom", help="write annotated.dcm too, a DICOM cine without a patient")
    ] = False,
) -> None:
    """Annotate every frame of a clip: annotated.mp4, frames.jsonl, summary.json and report.html."""
    with exit_codes(INTERRUPTED):
        settings = settings_of(config, scan_area)
        if kind(clip) not in ON_DISK:
            tell("this is not a recording: it lasts until its source ends, or Ctrl-C")
        refuse_overwriting(clip, out)
        further = (*exporting(out, dicom=dicom), *sending(send))  # what is wrong is told before anything runs
        with (
            open_source(clip, live=False) as source,
            open_with_failover(engine, weights, wait=True) as opened,
            alone_in(out),
            Pipeline(source, opened, settings, (*recording(out), *further)) as pipeline,
        ):
            try:
                follow(pipeline)
            except KeyboardInterrupt:
                finish_undisturbed()  # or the engine is closed before the frames that wait for it are judged
                tell_what_is_finished(pipeline)
                raise
        status = pipeline.status()
        try:
            say(outcome(status, out))
        finally:  # what went wrong in the replay is worse than a line that is lost
            raise_failures(pipeline, status, settings.scan_area)


@app.command()
def devices() -> None:
    """List the capture devices of this machine, one URI per line."""
    from stream.sources.device import devices as attached

    with exit_codes():
        found = attached()
        for uri, name in found.items():
            say(f"{uri}\t{name}")
        if not found:
            tell("no capture device is attached")


def settings_of(config: Path | None, scan_area: str | None) -> StreamConfig:
    """The config file, or the defaults, with the scan area of the command line in its place."""
    settings = StreamConfig() if config is None else load_config(config)
    if scan_area is not None:
        settings = settings.model_copy(update={"scan_area": scan_area})
    finder(settings.scan_area)  # raises if it makes no sense
    return settings


def refuse_overwriting(clip: str, out: Path) -> None:
    """Raises UsageError if a replay of ``clip`` into ``out`` would write over the clip itself."""
    target = split(clip).target
    there = [path for path in (out / name for name in (*RESULTS, CINE)) if is_path(target) and is_path(str(path))]
    for path in there:
        among = path.name == CINE and kind(clip) == "dicom" and path.parent.samefile(target)  # a folder of them
        if among or path.samefile(target):
            raise UsageError(f"the replay would write {path} over the clip itself. Give another folder with --out.")


def announced_recording(folder: Path) -> tuple[Sink, ...]:
    """The sinks of a recording in a new subfolder, which the log tells. Raises UsageError."""
    subfolder = dated(folder)
    log.info("recording into %s", subfolder)
    return recording(subfolder)


def dated(folder: Path) -> Path:
    """A new subfolder, named by the time of day in UTC; no other process gets the same. Raises UsageError."""
    name, number = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ"), 1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            path = folder / (name if number == 1 else f"{name}-{number}")
            with suppress(FileExistsError):
                path.mkdir()
                return path
            number += 1
    except OSError as error:
        raise refused(folder, error) from error


def follow(pipeline: Pipeline) -> None:
    """Wait for the end, with a line of progress on a terminal; give up early if nothing can be written."""
    columns = (SpinnerColumn(), TextColumn("{task.completed} frames, {task.fields[fps]:.0f} fps"), TimeElapsedColumn())
    console = Console(stderr=True)  # elsewhere than on a terminal it would get an empty line, and may not take it
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("replay", total=None, fps=0.0)
        while not pipeline.wait(0.2):
            status = pipeline.status()
            progress.update(task, completed=status.counts.captured - status.counts.in_flight, fps=status.fps)
            if status.recording is Recording.FAILED:
                return


def outcome(status: Status, out: Path) -> str:
    """One line for the end of a replay."""
    counts = status.counts
    parts = [f"{counts.analysed} of {counts.captured} frames analysed"]
    for fate, reasons in counts.lost.items():
        parts += [f"{count} {fate} ({reason})" for reason, count in reasons.items()]
    return f"{out}: {', '.join(parts)}. {RESEARCH_NOTICE}"


def raise_failures(pipeline: Pipeline, status: Status, scan_area: str | None) -> None:
    """Raise what went wrong in a run that is over: source, disk, receiver, engine, or the scan area asked for."""
    if pipeline.error is not None:
        raise pipeline.error
    if status.recording is Recording.FAILED:
        raise UsageError(status.recording_error)
    if status.sending_error is not None:
        raise UsageError(status.sending_error)
    if status.counts.failed:
        raise EngineError(f"{sum(status.counts.failed.values())} frames failed: {next(iter(status.counts.failed))}")
    if scan_area not in (None, "full") and status.counts.not_analysed and not status.counts.analysed:
        reason = next(iter(status.counts.not_analysed))
        raise UsageError(f"with the scan area {scan_area} no frame was analysed: {reason}")


@contextmanager
def exit_codes(interrupted: int = 0) -> Iterator[None]:
    """Turn the errors of users, sources and engines into one line on stderr and an exit code.

    ``interrupted`` is that of Ctrl-C and SIGTERM: the end of live use, but for a replay it comes too early.
    """
    escape_what_stdout_lacks()
    try:
        yield
    except (StreamError, EngineError) as error:
        tell(f"error: {error}")
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        tell("stopped")
        raise typer.Exit(interrupted) from error


def end_as_by_ctrl_c() -> None:
    """Make SIGTERM, and the terminal's closing, end the program as Ctrl-C does: what was recorded is finished."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's shell ignores it for what it starts with &
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # last of all: the exit code is settled
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # else it is nohup's
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))  # the terminal was closed


def finish_undisturbed() -> None:
    """For PATIENCE_S, and SIGTERM as well: held down, or as a terminal is closed, they come again, into what is being
    finished. Later they end what hangs."""
    until_s = time.monotonic() + PATIENCE_S

    def pressed(number: int, frame: FrameType | None) -> None:
        if time.monotonic() >= until_s:
            signal.default_int_handler(number, frame)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, pressed)


def tell_what_is_finished(pipeline: Pipeline | None) -> None:
    """Say before a run is stopped why that may take a while, and why Ctrl-C does nothing meanwhile."""
    if pipeline is not None and pipeline.status().recording is Recording.ON:
        tell("finishing what was recorded")


def say(words: str) -> None:
    """Write a line to stdout. Raises UsageError with the line, if stdout does not take it."""
    try:
        typer.echo(words)
    except OSError as error:
        raise UsageError(f"cannot write to standard output: {error.strerror}. It would have read: {words}") from error


def tell(words: str) -> None:
    """Write a line to stderr, if it takes it: a log that cannot be written is no reason not to run."""
    with suppress(OSError):
        typer.echo(words, err=True)


def give_up_what_was_not_taken() -> None:
    """Lose what stdout or the log did not take: Python would try to write it once more, and then end with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    end_as_by_ctrl_c()
    line = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.WARNING, format=line, datefmt="%Y-%m-%dT%H:%M:%S%z")
    logging.getLogger("engines").setLevel(logging.INFO)  # which engine is taken, and why not the others
    logging.getLogger("stream").setLevel(logging.INFO)  # that the source is back, what was pressed on the page
    try:
        app()
    finally:
        finish_undisturbed()
        give_up_what_was_not_taken()
