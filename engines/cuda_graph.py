"""PyTorch in float16 on an NVIDIA GPU, channels last, captured as a CUDA graph and replayed.

Plain kernels, not ``torch.compile``, which needs a C compiler and half a minute at the first start, while a frame waits
(docs/gpu.md).
"""

from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines import half
from engines.base import EngineInfo
from engines.errors import EngineError, EngineUnavailable, faults_of
from engines.replay import GpuEngine, Replay
from engines.torch_reference import read_checkpoint


class CudaGraph(GpuEngine):
    """Raises WeightsError, EngineUnavailable without a GPU that PyTorch can use, EngineError if the GPU refuses."""

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
                self.replays.append(self._capture())
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
        half.replace(self._network, _pointwise)
        self._network.cuda().to(memory_format=torch.channels_last)
        with kernels():
            return Replay(self._network, (1, self.spec.height_px, self.spec.width_px))


class Pointwise(nn.Conv2d):
    """A 1x1 convolution as the matrix product that it is: cuBLAS adds the bias in the same kernel, cuDNN does not."""

    def __init__(self, of: nn.Conv2d) -> None:
        super().__init__(of.in_channels, of.out_channels, 1)
        self.weight, self.bias = of.weight, of.bias

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, h, w], channels last (else copied) -> [N, K, h, w], channels last."""
        n, _, h, w = x.shape
        cells = x.permute(0, 2, 3, 1).flatten(0, 2)
        product: Tensor = F.linear(cells, self.weight.flatten(1), self.bias)
        return product.view(n, h, w, -1).permute(0, 3, 1, 2)


def _pointwise(module: nn.Module) -> nn.Module | None:
    if isinstance(module, nn.Conv2d) and module.kernel_size == module.stride == (1, 1) and module.groups == 1:
        return Pointwise(module)
    return None


def kernels() -> AbstractContextManager[None]:
    """How cuDNN chooses: the same kernels each time, not by trial, because float16 rounds differently in each and a
    replay must be repeatable; and float32 is float32, not TF32 with its 10-bit mantissas."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
