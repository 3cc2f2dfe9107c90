"""A network captured once as a CUDA graph, then replayed: one launch a call, nothing allocated, on one thread.

The recipe is PyTorch's ("CUDA semantics: CUDA Graphs"): warm up on a side stream, capture there, keep every tensor of
the graph alive. ``capture_error_mode="thread_local"`` lets other threads of the process call CUDA meanwhile.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.base import EngineOutput

Forward = Callable[[Tensor], tuple[Tensor, Tensor]]
"""uint8 [N, H, W] on the GPU -> logits [N, K], class maps [N, K, h, w] there."""

WARM_UPS = 3
"""Calls before the capture: libraries choose kernels and allocate in the first ones."""


class Replay:
    """``forward`` for pictures of one ``shape`` (N, H, W). Belongs to the thread that makes it.

    Two sets of pinned host buffers: while the GPU works on one batch, the next is written into the other.
    """

    def __init__(self, forward: Forward, shape: tuple[int, int, int]) -> None:
        self.batch = shape[0]
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._images = torch.zeros(shape, dtype=torch.uint8, device="cuda")
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                forward(self._images)
            self._stream.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                self._outputs = forward(self._images)
        self._slots = [_Slot(self._images, self._outputs) for _ in range(2)]

    def run(self, images: NDArray[np.uint8]) -> Iterator[EngineOutput]:
        """One output for each ``batch`` pictures of ``images`` [m * batch, H, W], as copies."""
        batches = len(images) // self.batch
        with torch.cuda.stream(self._stream):
            for turn in range(batches + 1):
                if turn < batches:
                    slot = self._slots[turn % 2]
                    slot.send(images[turn * self.batch : (turn + 1) * self.batch], self._images)
                    self._graph.replay()
                    slot.fetch(self._outputs, self._stream)
                if turn > 0:
                    yield self._slots[(turn - 1) % 2].result()


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


def joined(outputs: list[EngineOutput]) -> EngineOutput:
    """Several outputs as one, in order."""
    return EngineOutput(
        np.concatenate([output.logits for output in outputs]), np.concatenate([output.class_maps for output in outputs])
    )
