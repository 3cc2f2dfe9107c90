"""PyTorch in float16 on an NVIDIA GPU, channels last, captured as a CUDA graph and replayed.

Plain kernels, not ``torch.compile``: a graph's replay has already taken away what launching costs, and compiling asks
for a C compiler and most of a minute at each start, while a frame waits.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from engines import half
from engines.base import Closing, EngineInfo, EngineOutput, require_images
from engines.errors import EngineError, EngineUnavailable, faults_of
from engines.replay import Replay, joined
from engines.torch_reference import read_checkpoint

T = TypeVar("T")


class CudaGraph(Closing):
    """One thread of its own owns the GPU, whoever calls. Raises WeightsError, EngineUnavailable without a GPU that
    PyTorch can use, EngineError if the GPU refuses."""

    def __init__(self, weights: Path) -> None:
        model = read_checkpoint(weights)
        if not torch.cuda.is_available():
            raise EngineUnavailable(
                f"PyTorch {torch.__version__} finds no GPU. Expected its CUDA build and a driver for it."
            )
        self.spec = model.spec
        self._owner = ThreadPoolExecutor(1, "gpu")
        self._network = half.HalfNet(model)
        self.replays: list[Replay] = []
        try:
            with faults_of("cuda_graph cannot be captured"):
                self.replays.append(self._owner.submit(self._capture).result())
        except EngineError:
            self.close()
            raise
        self.info = EngineInfo(
            name="cuda_graph",
            precision=half.precision(self._network),
            device=torch.cuda.get_device_name(),
            built_for=f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}",
            weights_sha256=self.spec.weights_sha256,
        )

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        """See ``engines.base.Engine``."""
        require_images(images, self.spec)
        if not self.replays:
            raise EngineError("cuda_graph is closed")
        with faults_of("the GPU failed on a picture"):
            return self._owner.submit(_run, self.replays[0], images).result()

    def close(self) -> None:
        """See ``engines.base.Engine``."""
        self._owner.shutdown()
        while self.replays:
            self.replays.pop().close()

    def _capture(self) -> Replay:
        self._network.cuda().to(memory_format=torch.channels_last)
        with kernels():
            return Replay(self._network, (1, self.spec.height_px, self.spec.width_px))


def kernels() -> AbstractContextManager[None]:
    """How cuDNN chooses: by trying, which a graph keeps; and float32 is float32, not TF32 with its 10-bit mantissas."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)


def _run(replay: Replay, images: NDArray[np.uint8]) -> EngineOutput:
    return joined(list(replay.run(images)))
