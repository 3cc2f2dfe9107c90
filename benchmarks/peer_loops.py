"""How long does one contestant take for a clip? Runs in that contestant's environment, and prints one line of JSON:

    python -m benchmarks.peer_loops TRIAL

TRIAL is a ``peer_meter.Trial`` as JSON.

There are two runs over the looped clip. In the first, every frame is judged, as fast as possible. In the second, a
camera gives 30 frames a second, whether they are taken or not, and a slow consumer holds the contestant up by SLOW_S
for each picture.

For each frame every contestant gives a label, a heat map and an annotated picture, all of one size. With two looks all
of them judge as the weights ask, by a glance and a second look, and draw the heat of both; with one all of them, even
ours, only glance. The others write one label on the picture; ours also blanks, smooths the answer and draws the panel.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.peer_meter import CAMERA_FPS, Clip, Meter, Picture, Trial, camera, pictures
from benchmarks.peer_models import NETWORKS, Look, Network, with_looks
from rcdnet.box import Box
from rcdnet.glance import LOOK_WEIGHT, Floats, judge
from rcdnet.preprocess import place, to_pixels
from rcdnet.spec import ModelSpec

SLOW_S = 0.05
"""How long the slow consumer holds a contestant up for each picture: it cannot keep up with the camera."""


@dataclass(frozen=True)
class Finding:
    """The label to write on the picture, and the heat map over the scan, float32 [H, W], 0..1."""

    label: str
    heat: NDArray[np.float32]


@dataclass(frozen=True)
class Annotator:
    """The code that people write around a network: judge each frame as ``spec`` asks, then draw with OpenCV."""

    network: Network
    spec: ModelSpec
    clip: Clip

    def judge(self, bgr: Picture) -> Finding:
        """The label of a picture, and the heat of its looks, weighted as the answer weighs them."""
        grey = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), np.uint8)
        looks: list[Look] = []

        def run(images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
            looks.append(self.network.look(images))
            return looks[-1].logits, looks[-1].class_maps

        judgement = judge(grey, self.spec, run, Box(*self.clip.scan_px))
        top = int(judgement.probabilities.argmax())
        label = f"{self.spec.class_names[top]} {judgement.probabilities[top]:.0%}"
        heat = to_pixels(looks[0].heat, judgement.placement)
        if judgement.look is not None:
            heat *= 1 - LOOK_WEIGHT
            x, y = judgement.look.x_px - self.clip.scan_px[0], judgement.look.y_px - self.clip.scan_px[1]
            crop = heat[y : y + judgement.look.height_px, x : x + judgement.look.width_px]
            crop += LOOK_WEIGHT * to_pixels(looks[1].heat, place(judgement.look, self.spec))
        return Finding(label, heat)

    def draw(self, bgr: Picture, finding: Finding) -> Picture:
        """The picture with its heat map, and the label in a margin on the right."""
        height, width = bgr.shape[:2]
        canvas_height, canvas_width = self.clip.canvas_px
        picture = cv2.copyMakeBorder(bgr, 0, canvas_height - height, 0, canvas_width - width, cv2.BORDER_CONSTANT)
        x, y, scan_width, scan_height = self.clip.scan_px
        scan = picture[y : y + scan_height, x : x + scan_width]
        colours = cv2.applyColorMap(cv2.convertScaleAbs(finding.heat, alpha=255), cv2.COLORMAP_INFERNO)
        scan[:] = cv2.addWeighted(scan, 0.65, colours, 0.35, 0)
        cv2.putText(picture, finding.label, (width + 8, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 1)
        return np.asarray(picture, np.uint8)


def plain_loop(annotator: Annotator, live: bool, meter: Meter) -> None:
    """Read, judge, draw and deliver each frame in turn. In a live run frames wait in a queue, as in the buffers of a
    network stream, because cv2.VideoCapture cannot be asked for the newest one.
    """
    for captured_ns, bgr in queued(camera(annotator.clip, meter.ended)) if live else read(annotator.clip, meter):
        meter.deliver(captured_ns, annotator.draw(bgr, annotator.judge(bgr)))
        if meter.ended.is_set():
            return


def read(clip: Clip, meter: Meter) -> Iterator[tuple[int, Picture]]:
    """The frames of a recording: each counts as captured when it is read."""
    for picture in pictures(clip, meter.ended):
        yield time.perf_counter_ns(), picture


def queued(frames: Iterator[tuple[int, Picture]]) -> Iterator[tuple[int, Picture]]:
    """The same frames, through a queue that a thread fills."""
    queue: SimpleQueue[tuple[int, Picture] | None] = SimpleQueue()

    def fill() -> None:
        for frame in frames:
            queue.put(frame)
        queue.put(None)

    Thread(target=fill, daemon=True).start()
    while (frame := queue.get()) is not None:
        yield frame


def roboflow_pipeline(annotator: Annotator, best: bool, live: bool, meter: Meter) -> None:
    """Roboflow's InferencePipeline, which decodes, judges and draws in threads of its own, with queues between them.

    Best, in a live run: one result waits instead of 512, one frame waits, and the newest frame wins.
    """
    from inference import InferencePipeline
    from inference.core.interfaces.camera.entities import SourceProperties, VideoFrameProducer
    from inference.core.interfaces.camera.video_source import BufferConsumptionStrategy, BufferFillingStrategy

    captured_ns: list[int] = []

    class Producer(VideoFrameProducer):  # type: ignore[misc]  # only their environment has it
        """The source of the frames, in their interface: in a loop, or in real time."""

        def __init__(self) -> None:
            self._frames = camera(annotator.clip, meter.ended) if live else read(annotator.clip, meter)
            self._picture: Picture | None = None

        def grab(self) -> bool:
            captured, self._picture = next(self._frames, (0, None))
            captured_ns.append(captured)
            return self._picture is not None

        def retrieve(self) -> tuple[bool, Any]:
            return self._picture is not None, self._picture

        def isOpened(self) -> bool:  # noqa: N802
            return not meter.ended.is_set()

        def release(self) -> None:
            pass

        def discover_source_properties(self) -> SourceProperties:
            _, _, width, height = annotator.clip.scan_px
            return SourceProperties(
                width, height, total_frames=-1, is_file=not live, fps=CAMERA_FPS, is_reconnectable=False
            )

    newest = {
        "predictions_queue_size": 1,
        "decoding_buffer_size": 1,
        "source_buffer_filling_strategy": BufferFillingStrategy.DROP_OLDEST,
        "source_buffer_consumption_strategy": BufferConsumptionStrategy.EAGER,
    }
    pipeline = InferencePipeline.init_with_custom_logic(
        video_reference=Producer,
        on_video_frame=lambda frames: [annotator.judge(frame.image) for frame in frames],
        on_prediction=lambda finding, frame: meter.deliver(
            captured_ns[frame.frame_id - 1], annotator.draw(frame.image, finding)
        ),
        **(newest if best and live else {}),
    )
    pipeline.start(use_main_thread=False)
    pipeline.join()  # ends with its source; terminate() can wait forever for room in a queue of one


def run(trial: Trial, live: bool, meter: Meter) -> None:
    """Run one contestant until the meter has ended."""
    if trial.name == "ours":
        from benchmarks.ours import our_pipeline  # needs all that the others' environments lack

        our_pipeline(trial, live, meter)
        return
    network = NETWORKS[trial.name](trial.best)
    annotator = Annotator(network, with_looks(network.spec, trial.looks), trial.clip)
    if trial.name == "roboflow_inference":
        roboflow_pipeline(annotator, trial.best, live, meter)
    else:
        plain_loop(annotator, live, meter)


def measure(trial: Trial) -> dict[str, Any]:
    """Measure both runs of one contestant. ``at_s`` and ``age_ms`` are of the live run, frame by frame."""
    fast, slow = Meter(trial.seconds), Meter(trial.seconds, SLOW_S)
    run(trial, False, fast)
    run(trial, True, slow)
    return {
        "frames_per_s": fast.frames_per_s,
        "cpu_s_per_frame": fast.cpu_s_per_frame,
        "rss_mb": max(fast.rss_mb, slow.rss_mb),
        "at_s": slow.at_s,
        "age_ms": slow.ages_ms,
    }


if __name__ == "__main__":
    print(json.dumps(measure(Trial.from_json(sys.argv[1]))), flush=True)  # noqa: T201
