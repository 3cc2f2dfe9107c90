"""A network captured once as a CUDA graph, then replayed: one launch a call, nothing allocated, on one thread.

The recipe is PyTorch's ("CUDA semantics: CUDA Graphs"): warm up on a side stream, capture there, keep every tensor of
the graph alive. ``capture_error_mode="thread_local"`` lets other threads of the process call CUDA meanwhile.
"""

import ctypes
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.base import Closing, EngineInfo, EngineOutput, require_images
from engines.errors import FAULTS, EngineError, faults_of
from rcdnet.spec import ModelSpec

Forward = Callable[[Tensor], tuple[Tensor, Tensor]]
"""uint8 [N, H, W] on the GPU -> logits [N, K], class maps [N, K, h, w] there."""

WARM_UPS = 3
"""Calls before the capture: libraries choose kernels and allocate in the first ones."""


class Replay:
    """``forward`` for pictures of one ``shape`` (N, H, W). Belongs to the thread that makes it.

    Two sets of pinned host buffers: while the GPU works on one batch, the next is written into the other.
    ``timings``, where somebody sets a list, is given the events before and after each replay of the graph.
    """

    def __init__(self, forward: Forward, shape: tuple[int, int, int]) -> None:
        self._forward = forward  # the graph points into what it owns
        self._held = False
        self.batch = shape[0]
        self.timings: list[tuple[torch.cuda.Event, torch.cuda.Event]] | None = None
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._images = torch.zeros(shape, dtype=torch.uint8, device="cuda")
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                self._compute()
            self._stream.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                self._outputs = self._compute()
        self._slots = [_Slot(self._images, self._outputs) for _ in range(2)]

    def run(self, images: NDArray[np.uint8]) -> Iterator[EngineOutput]:
        """One output for each ``batch`` pictures of ``images`` [m * batch, H, W], as copies."""
        batches = len(images) // self.batch
        with torch.cuda.stream(self._stream):
            for turn in range(batches + 1):
                if turn < batches:
                    slot = self._slots[turn % 2]
                    slot.send(images[turn * self.batch : (turn + 1) * self.batch], self._images)
                    self._launch()
                    slot.fetch(self._outputs, self._stream)
                if turn > 0:
                    yield self._slots[(turn - 1) % 2].result()

    def close(self) -> None:
        """Give back the graph, then what it points into; nothing of one that is held. Once."""
        if not self._held:
            del self._graph, self._forward

    def _compute(self) -> tuple[Tensor, Tensor]:
        """Contiguous, because copying a channels-last map to the host would first make one that is, in each call."""
        logits, class_maps = self._forward(self._images)
        return logits.contiguous(), class_maps.contiguous()

    def _launch(self) -> None:
        if self.timings is None:
            self._graph.replay()
            return
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record(self._stream)
        self._graph.replay()
        end.record(self._stream)
        self.timings.append((start, end))

    def hold(self) -> None:
        """Keep all of this until the process ends, and past the end of Python: the GPU failed."""
        # If the GPU is lost, freeing pinned memory that it used throws in a destructor, which aborts the process
        # (pytorch#178154). A list of ours would be freed as Python ends; a reference that nobody gives back is not.
        if not self._held:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))
            self._held = True


class _Slot:
    """Pinned host memory for one batch on its way in and out, and the event that says that it is out."""

    def __init__(self, images: Tensor, outputs: tuple[Tensor, Tensor]) -> None:
        self._images = torch.empty(images.shape, dtype=images.dtype, pin_memory=True)
        self._outputs = [torch.empty(output.shape, dtype=output.dtype, pin_memory=True) for output in outputs]
        self._done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # waits asleep: others need the processor

    def send(self, images: NDArray[np.uint8], to: Tensor) -> None:
        np.copyto(self._images.numpy(), images)
        to.copy_(self._images, non_blocking=True)

    def fetch(self, outputs: tuple[Tensor, Tensor], stream: torch.cuda.Stream) -> None:
        for mine, output in zip(self._outputs, outputs, strict=True):
            mine.copy_(output, non_blocking=True)
        self._done.record(stream)

    def result(self) -> EngineOutput:
        self._done.synchronize()
        logits, class_maps = (output.numpy().copy() for output in self._outputs)
        return EngineOutput(logits, class_maps)


class GpuEngine(Closing):
    """What engines on a GPU share: ``replays``, the largest batch first, and one thread that owns the GPU."""

    info: EngineInfo
    spec: ModelSpec

    def __init__(self) -> None:
        self._owner = ThreadPoolExecutor(1, "gpu")
        self.replays: list[Replay] = []

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        """See ``engines.base.Engine``."""
        require_images(images, self.spec)
        if not self.replays:
            raise EngineError(f"{self.info.name} is closed")
        with faults_of("the GPU failed on a picture"):
            return self._owner.submit(self._run, images).result()

    def close(self) -> None:
        """See ``engines.base.Engine``."""
        self._owner.shutdown()
        while self.replays:
            self.replays.pop().close()

    def _run(self, images: NDArray[np.uint8]) -> EngineOutput:
        outputs: list[EngineOutput] = []
        try:
            for replay in self.replays:
                whole = len(images) // replay.batch * replay.batch
                outputs += replay.run(images[:whole])
                images = images[whole:]
        except FAULTS:
            for replay in self.replays:  # a GPU that is lost to one is lost to all
                replay.hold()
            raise
        return EngineOutput(
            np.concatenate([output.logits for output in outputs]),
            np.concatenate([output.class_maps for output in outputs]),
        )
