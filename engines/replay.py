"""A network captured once as a CUDA graph, then replayed: one launch a call, nothing allocated, one caller at a time.

The recipe is PyTorch's ("CUDA semantics: CUDA Graphs"): warm up on a side stream, capture there, keep every tensor of
the graph alive. ``capture_error_mode="thread_local"`` lets other threads of the process call CUDA at the same time.
"""

import ctypes
from collections.abc import Callable, Iterator
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.base import Engine, EngineOutput, require_images
from engines.errors import FAULTS, EngineError, faults_of

Forward = Callable[[Tensor], tuple[Tensor, Tensor]]
"""uint8 [N, H, W] on the GPU -> logits [N, K], class maps [N, K, h, w] there."""

WARM_UPS = 3
"""Calls before the capture: libraries choose kernels and allocate in the first ones."""


class Replay:
    """``forward`` for pictures of one ``shape`` (N, H, W). For one caller at a time.

    Two graphs, each with buffers of its own: while the GPU works on one batch, the next is written for the other.
    ``timings``, if somebody sets a list, gets the events before and after each replay of a graph.
    """

    def __init__(self, forward: Forward, shape: tuple[int, int, int]) -> None:
        self._forward = forward  # the graphs point into what it owns
        self._held = False
        self.batch = shape[0]
        self.timings: list[tuple[torch.cuda.Event, torch.cuda.Event]] | None = None
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            self._slots = [_Slot(forward, shape, self._stream) for _ in range(2)]

    def run(self, images: NDArray[np.uint8]) -> Iterator[EngineOutput]:
        """One output for each ``batch`` pictures of ``images`` [m * batch, H, W], as copies."""
        batches = len(images) // self.batch
        with torch.cuda.stream(self._stream):
            for turn in range(batches + 1):
                if turn < batches:
                    self._start(self._slots[turn % 2], images[turn * self.batch : (turn + 1) * self.batch])
                if turn > 0:
                    yield self._slots[(turn - 1) % 2].result()

    def close(self) -> None:
        """Release the graphs, then what they point into; after ``hold``, nothing. Call it once."""
        if not self._held:
            del self._slots, self._forward

    def _start(self, slot: "_Slot", images: NDArray[np.uint8]) -> None:
        np.copyto(slot.images.numpy(), images)
        if self.timings is None:
            slot.graph.replay()
        else:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            start.record(self._stream)
            slot.graph.replay()
            end.record(self._stream)
            self.timings.append((start, end))
        slot.done.record(self._stream)

    def hold(self) -> None:
        """Release none of this, not even when Python ends. For a GPU that has failed."""
        # If the GPU is lost, freeing pinned memory that it used throws in a destructor, which aborts the process
        # (pytorch#178154). A list of ours would be freed as Python ends; a reference that is never released is not.
        if not self._held:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))
            self._held = True


class _Slot:
    """A graph from pinned host memory through the GPU to pinned host memory, and the event that marks its end."""

    def __init__(self, forward: Forward, shape: tuple[int, int, int], stream: torch.cuda.Stream) -> None:
        self.images = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        self._on_gpu = torch.zeros(shape, dtype=torch.uint8, device="cuda")
        for _ in range(WARM_UPS):
            outputs = forward(self._on_gpu)
        self._outputs = [torch.empty(output.shape, dtype=output.dtype, pin_memory=True) for output in outputs]
        stream.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
            self._on_gpu.copy_(self.images, non_blocking=True)
            for mine, output in zip(self._outputs, forward(self._on_gpu), strict=True):
                mine.copy_(output.contiguous(), non_blocking=True)  # channels-last maps cannot be copied as they are
        # This is a busy wait: it lasts half a millisecond, and waking up from sleep would take a third of one.
        self.done = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def result(self) -> EngineOutput:
        self.done.synchronize()
        logits, class_maps = (output.numpy().copy() for output in self._outputs)
        return EngineOutput(logits, class_maps)


class GpuEngine(Engine):
    """What engines on a GPU share: ``replays``, the largest batch first, and a lock that lets in one caller at a time.

    Not a thread of its own: handing over each call and taking back the answer cost a sixth of a call.
    """

    def __init__(self) -> None:
        self._one_caller = Lock()
        self.replays: list[Replay] = []

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        """See ``engines.base.Engine``."""
        require_images(images, self.spec)
        with self._one_caller:
            if not self.replays:
                raise EngineError(f"{self.info.name} is closed")
            with faults_of("the GPU failed on a picture"):
                return self._run(images)

    def close(self) -> None:
        """See ``engines.base.Engine``."""
        with self._one_caller:
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
        return EngineOutput.joined(outputs)
