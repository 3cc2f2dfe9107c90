"""PyTorch in float32 on the CPU: slow, and the reference for every other engine."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from engines.base import Engine, EngineInfo, EngineOutput, require_images
from engines.errors import WeightsError, faults_of
from engines.weights import require_folder_of_weights
from rcdnet import checkpoint
from rcdnet.errors import CheckpointError
from rcdnet.model import RcdNet
from rcdnet.weights import CHECKPOINT


class TorchReference(Engine):
    """Reads the safetensors checkpoint; computes in "f32". Raises WeightsError if it is missing or altered."""

    def __init__(self, weights: Path) -> None:
        self._model = read_checkpoint(weights)
        self.spec = self._model.spec
        self.info = EngineInfo(
            "torch_reference", "f32", "cpu", f"PyTorch {torch.__version__}", self.spec.weights_sha256
        )

    @torch.inference_mode()
    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        """See ``engines.base.Engine``."""
        require_images(images, self.spec)
        with faults_of(f"PyTorch refused a batch {list(images.shape)}"):
            logits, maps = self._model(torch.from_numpy(images.copy()))  # PyTorch takes no read-only memory
        return EngineOutput(logits.numpy(), maps.numpy())


def read_checkpoint(weights: Path) -> RcdNet:
    """The network of a folder of weights, in float32 on the CPU. Raises WeightsError."""
    require_folder_of_weights(weights)
    try:
        return checkpoint.load(weights / CHECKPOINT.name)
    except CheckpointError as error:
        raise WeightsError(str(error)) from error
