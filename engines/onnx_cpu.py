"""ONNX Runtime on the CPU, in float32: the shipped ONNX where OpenVINO has no build."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

from engines.base import Engine, EngineInfo, EngineOutput, require_images
from engines.errors import FAULTS, EngineError, faults_of
from engines.weights import read_onnx

ERRORS = (
    *FAULTS,
    state.EPFail,
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NotImplemented,
    state.RuntimeException,
)
"""What ONNX Runtime raises; its own classes have no common parent."""


class OnnxCpu(Engine):
    """Raises WeightsError for a missing or altered file, EngineError if ONNX Runtime cannot load it."""

    def __init__(self, weights: Path) -> None:
        data, spec = read_onnx(weights)
        self.spec = spec
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only: it warns about what it cannot probe in a container
        with faults_of("ONNX Runtime cannot load the network", ERRORS):
            self._session: onnxruntime.InferenceSession | None = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
        self.info = EngineInfo("onnx_cpu", "f32", "cpu", f"ONNX Runtime {onnxruntime.__version__}", spec.weights_sha256)

    def run(self, images: NDArray[np.uint8]) -> EngineOutput:
        """See ``engines.base.Engine``."""
        require_images(images, self.spec)
        if self._session is None:
            raise EngineError("onnx_cpu is closed")
        with faults_of("ONNX Runtime failed on a picture", ERRORS):
            logits, maps = self._session.run(["logits", "class_maps"], {"image": np.ascontiguousarray(images)})
        return EngineOutput(np.asarray(logits), np.asarray(maps))

    def close(self) -> None:
        """See ``engines.base.Engine``."""
        self._session = None
