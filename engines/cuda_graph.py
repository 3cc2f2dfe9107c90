"""PyTorch in float16 on an NVIDIA GPU, channels last, captured as a CUDA graph and replayed.

Plain kernels, not ``torch.compile``: a graph's replay has already taken away what launching costs, and compiling asks
for a C compiler and most of a minute at each start, while a frame waits.
"""

from contextlib import AbstractContextManager
from pathlib import Path

import torch

from engines import half
from engines.base import EngineInfo
from engines.errors import EngineError, EngineUnavailable, faults_of
from engines.replay import GpuEngine, Replay
from engines.torch_reference import read_checkpoint


class CudaGraph(GpuEngine):
    """One thread of its own owns the GPU, whoever calls. Raises WeightsError, EngineUnavailable without a GPU that
    PyTorch can use, EngineError if the GPU refuses."""

    def __init__(self, weights: Path) -> None:
        model = read_checkpoint(weights)
        if not torch.cuda.is_available():
            raise EngineUnavailable(
                f"PyTorch {torch.__version__} finds no GPU. Expected its CUDA build and a driver for it."
            )
        self.spec = model.spec
        super().__init__()
        self._network = half.HalfNet(model)
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

    def _capture(self) -> Replay:
        self._network.cuda().to(memory_format=torch.channels_last)
        with kernels():
            return Replay(self._network, (1, self.spec.height_px, self.spec.width_px))


def kernels() -> AbstractContextManager[None]:
    """How cuDNN chooses: the same each time, not by trying, as float16 rounds otherwise with every kernel and a replay
    must repeat itself; and float32 is float32, not TF32 with its 10-bit mantissas."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
