"""The usual way to a heat map, with which ours is compared: eager PyTorch and pytorch-grad-cam, which uses hooks and a
backward pass."""

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
    """Grad-CAM of the likeliest class on the last features before the linear layer, with the weights of a folder.

    A context manager: leaving it removes the hooks. Raises WeightsError.
    """

    def __init__(self, weights: Path) -> None:
        self.model = read_checkpoint(weights)
        self._network = _LogitsAlone(self.model)
        self._cam = GradCAM(self._network, [self.model.attention])

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Prepared pictures uint8 [N, H, W] -> heat maps float32 [N, H, W], each stretched to 0..1, as Grad-CAM
        does."""
        return np.asarray(self._cam(torch.from_numpy(images).unsqueeze(1), targets=None), np.float32)

    @property
    def logits(self) -> NDArray[np.float32]:
        """The logits [N, K] of the last call."""
        return np.asarray(self._cam.outputs.detach(), np.float32)

    @property
    def class_maps(self) -> NDArray[np.float32]:
        """The class maps [N, K, h, w] of the last call."""
        return np.asarray(self._network.class_maps.detach(), np.float32)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cam.activations_and_grads.release()


class _LogitsAlone(nn.Module):
    """Our network as pytorch-grad-cam expects it: images [N, 1, H, W] in, one output. Keeps the class maps aside."""

    class_maps: Tensor

    def __init__(self, model: RcdNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """[N, 1, H, W] -> [N, K]."""
        logits: Tensor
        logits, self.class_maps = self.model(images.squeeze(1))
        return logits
