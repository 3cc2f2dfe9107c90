"""The usual way to a heat map, to be measured against: PyTorch eager, hooks and a backward pass (pytorch-grad-cam)."""

from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_grad_cam import GradCAM
from torch import Tensor, nn

from engines.torch_reference import read_checkpoint
from rcdnet.model import RcdNet


class EagerGradCam:
    """Grad-CAM of the likeliest class on the last maps before the linear layer, with a folder's weights. Raises
    WeightsError.

    A context manager: leaving it removes the hooks.
    """

    def __init__(self, weights: Path) -> None:
        self.model = read_checkpoint(weights)
        self._network = _LogitsAlone(self.model)
        self._cam = GradCAM(self._network, [self.model.attention])

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [N, H, W] prepared -> float32 [N, H, W], 0..1, each stretched to its own range, as Grad-CAM does."""
        return np.asarray(self._cam(torch.from_numpy(images).unsqueeze(1), targets=None), np.float32)

    @property
    def logits(self) -> NDArray[np.float32]:
        """[N, K], of the last call."""
        return np.asarray(self._cam.outputs.detach(), np.float32)

    @property
    def class_maps(self) -> NDArray[np.float32]:
        """[N, K, h, w], of the last call."""
        return np.asarray(self._network.class_maps.detach(), np.float32)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cam.activations_and_grads.release()


class _LogitsAlone(nn.Module):
    """Grad-CAM expects images [N, 1, H, W] and one output; the other, ``class_maps``, is kept."""

    class_maps: Tensor

    def __init__(self, model: RcdNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """[N, 1, H, W] -> [N, K]."""
        logits: Tensor
        logits, self.class_maps = self.model(images.squeeze(1))
        return logits
