"""The only file that knows the order of the stages. It owns their threads; a recording has one of its own.

    source -> _capture -> [captured] -> _analyse -> [judged] -> _draw -> Recorder -> [drawn] -> sinks on disk
                                                                  └-> page, receivers

Each arrow is a call, each bracket a handover to the next thread. ``_analyse`` blanks what lies outside the scan area,
refuses what is no scan, asks the network and smooths its answer.
"""

import atexit
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines.base import Engine
from stream.analyzer import Analyzer
from stream.config import OverlayStyle, StreamConfig
from stream.handover import STOPPED, EveryFrame, Handover, LatestFrame
from stream.overlay import Labels, draw, mapped_class
from stream.recorder import Recorder
from stream.scan_gate import ScanGate
from stream.session import Session
from stream.sink_group import SinkGroup
from stream.sinks.base import Sink
from stream.smoothing import Smoother
from stream.sources.base import Source
from stream.stage import POLL_S, Caught, Stage, explain, received, unforeseen
from stream.status import Board, Phase, Status
from stream.types import Assessment, Frame, ScanArea, State, View

CUT_SHORT = "stopped before the end of the source"

LET_GO_S = 5.0
"""How long ``stop`` waits for a source to notice that it was closed."""

SETTLE_S = 1.0
"""How long the source is held back at most, for what was captured before to be drawn: an engine may hang."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judged:
    """A frame on its way from the analysis to the drawing; ``times`` in ns by stage, ``engine`` by name."""

    frame: Frame
    assessment: Assessment
    times: dict[str, int]
    engine: str


class Pipeline:
    """capture -> analysis -> drawing, each on its own thread, as is each recording. A context manager: started, then
    stopped.

    Live, the newest frame wins at every hop; in replay every frame takes every hop, in order. The pipeline closes
    ``source`` and all sinks; the engine stays with the caller, for the next pipeline, and must not be closed before
    ``stop`` has returned.

    ``on_view`` and the sinks that are not on disk get every drawn frame, on the drawing thread, and should return at
    once. When nothing new comes in live use, they get the last frame once more, with the reason for that.

    Raises UsageError if config and weights do not go together.
    """

    style: OverlayStyle
    """How the next picture is drawn; assign a new one at any time, from any thread."""

    session: Session
    """The run's facts."""

    error: BaseException | None = None
    """What broke the run, once ``wait`` says True."""

    def __init__(
        self,
        source: Source,
        engine: Engine,
        config: StreamConfig,
        sinks: Sequence[Sink] = (),
        on_view: Callable[[View], None] | None = None,
    ) -> None:
        patience_s = 3 / source.fps if source.fps else 0.0  # a slow source is not silent, nor elsewhere, before that
        config = config.model_copy(
            update={"gap_s": max(config.gap_s, patience_s), "stall_after_s": max(config.stall_after_s, patience_s)}
        )
        self.style = config.overlay
        self._source = source
        self._engine = engine
        self.session = Session(
            source.name,
            source.live,
            source.synthetic,
            engine.spec,
            config,
            still=source.still,
            looped=source.looped,
            left_out=source.left_out,
        )
        self._labels = Labels.of(self.session)
        self._smoother = Smoother(engine.spec, config, still=source.still)
        self._board = Board(self.session)
        self._gate = ScanGate(config, self._board.stages, still=source.still)
        self._analyzer = Analyzer(engine, self._board.stages)
        self._recorder = self._recorder_of([sink for sink in sinks if sink.on_disk])
        self._receivers = SinkGroup([sink for sink in sinks if not sink.on_disk], self.session, self._board)
        self._on_view = on_view
        self._batch = 1 if source.live else engine.info.batch
        self._captured: Handover[Frame] = LatestFrame() if source.live else EveryFrame(max(4, self._batch))
        self._judged: Handover[Judged] = LatestFrame() if source.live else EveryFrame()
        self._damaged = 0  # of the source's damaged frames, how many are counted
        self._judging_ns: int | None = None  # since when the present frames are judged, monotonic
        self._cut_short = False  # a replay that does not get to the end of its source
        self._stopping = Event()
        self._finished = Event()
        self._starting = Lock()  # held while the threads are started: ``stop`` joins all or none
        self._taking_in = Lock()  # held while a frame is counted and handed to the analysis
        self._showing = Lock()  # held while a frame is drawn and handed out
        self._switching = Lock()  # held while a recording is finished
        stages = (self._capture, self._analyse, self._draw)
        self._threads = [Thread(target=stage, name=stage.__name__.strip("_"), daemon=True) for stage in stages]

    def start(self) -> None:
        """Start the threads and return. Raises RuntimeError the second time: a source can be read once."""
        atexit.register(self.stop)  # a daemon thread that is in OpenCV or an engine when Python ends aborts the program
        with self._starting:
            self._recorder.start()
            for thread in self._threads:
                thread.start()

    def stop(self) -> None:
        """End all threads and close source and sinks. Safe to call twice; what was recorded is on disk on return."""
        self._stopping.set()
        self._source.close()
        with self._starting:
            if self._threads[0].ident is None:
                self._finished.set()
                return
        self._threads[0].join(LET_GO_S)
        self._captured.close()  # a device that hangs must not keep the rest from finishing
        for thread in self._threads[1:]:
            thread.join()
        self._finished.wait()  # Python before 3.13 takes a thread whose join Ctrl-C broke off for one that has ended
        atexit.unregister(self.stop)  # last: what another Ctrl-C breaks off is then finished as Python ends

    def record(self, sinks: Sequence[Sink]) -> str | None:
        """End the recording, if there is one, and begin another with these sinks on disk; without any, only end it.
        What is seen goes on. Returns why the one that ended is incomplete, if it is.

        For a live run that was started; nothing happens once it is stopped or has ended.
        """
        if self._stopping.is_set():
            return None
        with self._switching:
            if self._finished.is_set():
                return None
            with self._between_two_frames():
                before, status = self._recorder, self.status()
                self._recorder = self._recorder_of(sinks)
            failed = before.finish(status)
            self._board.recording_over()
            self._recorder.start()
            return failed

    @property
    def recorded(self) -> bool:
        """Whether it has sinks on disk, or had them at its end."""
        return not self._recorder.idle

    def wait(self, timeout_s: float | None = None) -> bool:
        """True once the source has ended or failed and everything drawn is recorded."""
        return self._finished.wait(timeout_s)

    @property
    def scan_area(self) -> ScanArea | None:
        """Where the scan lay in the frame that was looked at last; None if it was not found."""
        return self._gate.scan_area

    def sketch(self) -> NDArray[np.uint8] | None:
        """Where things lie around the scan area, uint8 [h, w, 4] RGBA, too coarse to be read; None before any frame."""
        return self._gate.sketch()

    def status(self) -> Status:
        """A snapshot, from any thread."""
        return self._board.snapshot(self._engine.info, self._source.reopened, self._source.trouble)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _recorder_of(self, sinks: Sequence[Sink]) -> Recorder:
        return Recorder(sinks, self.session, self._board, self.status)

    @contextmanager
    def _between_two_frames(self) -> Iterator[None]:
        """Hold the source back, and wait until all that was captured is drawn or lost: so each recording counts its own
        frames, and all of them."""
        until_s = time.monotonic() + SETTLE_S
        with self._taking_in:
            while not self._board.settled and not self._stopping.is_set() and time.monotonic() < until_s:
                time.sleep(0.001)
            with self._showing:
                yield

    def _capture(self) -> None:
        counters = self._board.counters
        with Stage(None, self._captured), self._source:
            self._cut_short = not self.session.live
            frames = self._source.frames()
            while not self._stopping.is_set():
                try:
                    with self._board.stages.measure("source"):
                        frame = next(frames, None)
                finally:
                    self._count_damaged()
                if frame is None:
                    self._cut_short = self._cut_short and self._stopping.is_set()
                    return
                with self._taking_in:
                    counters.captured()
                    lost = self._captured.put(frame)
                    if lost is not None:
                        counters.dropped(lost)
                if lost == STOPPED:
                    return

    def _count_damaged(self) -> None:
        """Frames that the source could not decode were captured as well, and lost."""
        new = self._source.damaged - self._damaged
        self._damaged += new
        with self._taking_in:
            self._board.counters.captured(new)
            self._board.counters.dropped("damaged", new)

    def _analyse(self) -> None:
        with Stage(self._captured, self._judged):
            while not self._captured.exhausted:
                if frames := self._captured.get_several(self._batch, POLL_S):
                    self._judge(frames)
        with Caught():  # an error of the source, which the one that ended the analysis came before
            for frame in received(self._captured):
                if frame is not None:
                    self._board.counters.dropped(STOPPED)

    def _judge(self, frames: Sequence[Frame]) -> None:
        """Several frames share the time that their analysis takes."""
        left = len(frames)  # which are not counted yet
        start_ns = time.perf_counter_ns()
        self._judging_ns = start_ns
        try:
            admitted = [self._gate.admit(frame, self._source.scan_area) for frame in frames]
            fit = [(frame, area) for frame, area, refusal in admitted if area is not None and refusal is None]
            predictions = iter(self._analyzer.analyse(fit))
            share_ns = (time.perf_counter_ns() - start_ns) // left
            for frame, area, refusal in admitted:
                outcome = refusal or next(predictions)
                self._board.stages.add("analysis", share_ns)
                times = {"analysis": share_ns}
                with self._board.stages.measure("smoothing", times):
                    assessment = self._smoother.update(frame, area, outcome, time.perf_counter_ns())
                self._board.judged(outcome)
                left -= 1
                lost = self._judged.put(Judged(frame, assessment, times, self._engine.info.name))
                if lost is not None:
                    self._board.not_drawn()
                if lost == STOPPED:
                    self._captured.close()
        except BaseException:
            self._board.counters.failed("internal error", left)
            raise
        finally:
            self._judging_ns = None

    def _draw(self) -> None:
        """Also ends the run, as what broke in the stages before is known here."""
        with Stage(self._judged, None) as drawing:
            self._receivers.open()
            last: Judged | None = None
            last_ns = time.perf_counter_ns()
            for judged in received(self._judged):
                if judged is not None:
                    last, last_ns = judged, time.perf_counter_ns()
                    self._show(judged)
                elif self.session.live and last is not None:
                    self._withdraw_finding(last, (time.perf_counter_ns() - last_ns) / 1e9)
        self._end(last, drawing.error)

    def _end(self, last: Judged | None, error: BaseException | None) -> None:
        """Finish what is recorded and sent; ``error`` is what broke the run."""
        self.error = error
        fault = None if error is None else explain(error)
        if self.session.live and last is not None:  # else the last finding would stay on the screen
            why = "stopped" if self._stopping.is_set() else "the source has ended"
            with Caught():  # what broke may be the drawing itself
                self._show_again(last, fault or why)
        if fault is not None and self.session.live:  # a replay ends with it
            log.error("the run broke off: %s", fault, exc_info=unforeseen(error))
        end = Phase.STOPPING if self._stopping.is_set() else Phase.ENDED
        self._board.ended(end, fault or (CUT_SHORT if self._cut_short else None))
        with self._switching:
            if self._recorder.finish(self.status()) is None:
                self._board.recording_over()
            self._receivers.close(self.status)  # last: to close one may take long
            self._finished.set()

    def _withdraw_finding(self, last: Judged, silent_s: float) -> None:
        """Show that the last finding no longer holds, and why, once nothing was judged for ``stall_after_s``."""
        stall_s = self.session.config.stall_after_s
        if silent_s <= stall_s:
            return
        since_ns, trouble = self._judging_ns, self._source.trouble
        if since_ns is None:
            silence = f"no new frame for {silent_s:.1f} s"
            self._show_again(last, silence if trouble is None else f"{silence}: {trouble}")
        elif (time.perf_counter_ns() - since_ns) / 1e9 > stall_s:
            slow = f"judging a frame takes longer than {stall_s:g} s: the engine is too slow, or the machine too busy"
            self._show_again(last, slow, State.NOT_ANALYSED)
        else:  # the first frame after a pause, as it may be
            self._show_again(last, f"nothing was judged for {silent_s:.1f} s", State.NOT_ANALYSED)

    def _show(self, judged: Judged) -> None:
        frame, assessment = judged.frame, judged.assessment
        with self._showing:
            style = self.style
            with self._board.stages.measure("drawing", judged.times):
                picture = draw(frame, assessment, style, self._labels)
            heat_map = mapped_class(assessment, style, self._labels)
            view = View(frame, assessment, picture, judged.times, judged.engine, heat_map)
            self._board.drawn(frame, assessment)
            self._hand_out(view)
            self._recorder.put(view)

    def _hand_out(self, view: View) -> None:
        if self._on_view is not None:
            with self._board.stages.measure("showing"):
                self._on_view(view)
        self._receivers.write(view)

    def _show_again(self, last: Judged, reason: str, state: State = State.NO_SIGNAL) -> None:
        """Show and send the last frame once more, with the reason why nothing is said of it any more."""
        frame, area = last.frame, last.assessment.scan_area
        age_ms = (time.perf_counter_ns() - frame.captured_ns) / 1e6
        assessment = Assessment(frame.index, area, state, reason, age_ms)
        self._board.interrupted(assessment)
        if self._on_view is not None or self._receivers.working:
            picture = draw(frame, assessment, self.style, self._labels)
            self._hand_out(View(frame, assessment, picture, engine=self._engine.info.name, repeated=True))
