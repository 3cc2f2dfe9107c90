"""A GPU that is not there: ``torch`` as engines.replay uses it, on the processor.

It records what PyTorch computes while a graph is captured, and computes it again into the same tensors, which is what a
CUDA graph does. It has neither streams nor pinned memory: what goes wrong with those, it does not show.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Recorder(TorchDispatchMode):
    """Keeps each operator of PyTorch with what went in and what came out."""

    def __init__(self, steps: list[tuple[Any, ...]]) -> None:
        super().__init__()
        self._steps = steps

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self._steps.append((func, args, kwargs or {}, out))
        return out


class Graph:
    """Holds tensors, like a CUDA graph, and not who computed them."""

    def __init__(self, gpu: "Gpu") -> None:
        self._gpu = gpu
        self.steps: list[tuple[Any, ...]] = []

    @torch.inference_mode()
    def replay(self) -> None:
        self._gpu.did.append("replay")
        if self._gpu.lost:
            raise torch.AcceleratorError("CUDA error: unspecified launch failure")
        for func, args, kwargs, out in self.steps:
            for old, new in zip(tree_leaves(out), tree_leaves(func(*args, **kwargs)), strict=True):
                old.copy_(new)


class Event:
    def __init__(self, gpu: "Gpu", enable_timing: bool = False, blocking: bool = False) -> None:
        self._gpu, self._enable_timing = gpu, enable_timing

    def record(self, stream: object) -> None:
        assert stream is self._gpu.stream
        self._gpu.did.append("time" if self._enable_timing else "done")

    def synchronize(self) -> None: ...


class Gpu:
    """Stands for ``torch``. ``did`` is what was asked of the GPU after the capture, ``memory`` its tensors by address;
    once it is ``lost``, every launch fails."""

    def __init__(self) -> None:
        self.lost = False
        self.did: list[str] = []
        self.memory: dict[int, Tensor] = {}
        self.stream = SimpleNamespace(wait_stream=lambda other: None, synchronize=lambda: None, cuda_stream=7)
        self.uint8, self.float32, self.inference_mode = torch.uint8, torch.float32, torch.inference_mode
        self.cuda = SimpleNamespace(
            Stream=lambda: self.stream,
            current_stream=lambda: self.stream,
            stream=lambda stream: nullcontext(),
            CUDAGraph=lambda: Graph(self),
            Event=lambda **asked: Event(self, **asked),
            graph=self._graph,
        )

    @contextmanager
    def _graph(self, graph: Graph, stream: object, capture_error_mode: str) -> Iterator[None]:
        with Recorder(graph.steps):
            yield

    def zeros(self, shape: Any, dtype: torch.dtype, device: str) -> Tensor:
        return self._kept(torch.zeros(shape, dtype=dtype))

    def empty(self, shape: Any, dtype: torch.dtype, device: str = "cpu", pin_memory: bool = False) -> Tensor:
        made = torch.empty(shape, dtype=dtype)
        return made if device == "cpu" else self._kept(made)

    def _kept(self, tensor: Tensor) -> Tensor:
        self.memory[tensor.data_ptr()] = tensor
        return tensor


class Forward:
    """Class maps that are channels-last, as of a network in that layout, and their mean."""

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = torch.stack([images.float(), 255 - images.float()], dim=1).contiguous(memory_format=torch.channels_last)
        return maps.mean(dim=(2, 3)), maps
