"""TensorRT on an NVIDIA GPU, in float16: what ``engines.tensorrt_build`` built and kept, replayed as a CUDA graph.

It is loaded here and never built: that takes minutes, and a session must not wait for it.
"""

from pathlib import Path
from typing import Any

import tensorrt
import torch
from torch import Tensor

from engines import cache
from engines.base import EngineInfo
from engines.errors import FAULTS, EngineError, one_line
from engines.replay import GpuEngine, Replay
from engines.tensorrt_build import BATCHES, IMAGE, NAME, OUTPUTS, file_name, precision_of
from engines.weights import read_onnx


class TensorrtFp16(GpuEngine):
    """Loads what ``build`` kept. Raises WeightsError, EngineUnavailable if nothing fits this machine and these weights,
    EngineError if the GPU refuses."""

    def __init__(self, weights: Path) -> None:
        _, self.spec = read_onnx(weights)
        key = cache.key_here(NAME, self.spec)
        artefact = cache.read(key)
        super().__init__()
        try:
            precision = self._load(artefact)
        except (*FAULTS, KeyError) as error:
            self.close()
            raise EngineError(f"{NAME} cannot be loaded: {one_line(error)}; {cache.mend(key)}") from error
        self.info = EngineInfo(
            NAME,
            precision,
            key.gpu,
            f"TensorRT {key.tensorrt}, driver {key.driver}",
            key.weights_sha256,
            batch=max(BATCHES),
        )

    def _load(self, artefact: cache.Artefact) -> str:
        kinds = set()
        for batch in BATCHES:
            engine = deserialized(artefact.files[file_name(batch)])
            kinds.add(precision_of(information(engine)))
            shape = batch, self.spec.height_px, self.spec.width_px
            self.replays.append(Replay(_Execution(engine), shape))
        return " and ".join(sorted(kinds))


class _Execution:
    """A TensorRT engine as a function of tensors. Each input has an execution context and outputs of its own: NVIDIA
    advises one context for each captured graph, as a graph keeps the addresses that its context had."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._bound: dict[int, tuple[Any, list[Tensor]]] = {}

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if images.data_ptr() not in self._bound:
            self._bound[images.data_ptr()] = self._bind(images)
        context, outputs = self._bound[images.data_ptr()]
        if not context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise RuntimeError("TensorRT refused to execute the engine")
        return outputs[0], outputs[1]

    def _bind(self, images: Tensor) -> tuple[Any, list[Tensor]]:
        context = self._engine.create_execution_context()
        if context is None:
            raise RuntimeError("TensorRT gives no execution context: most likely the GPU has too little free memory")
        shapes = [tuple(self._engine.get_tensor_shape(name)) for name in OUTPUTS]
        outputs = [torch.empty(shape, dtype=torch.float32, device="cuda") for shape in shapes]
        for name, tensor in zip((IMAGE, *OUTPUTS), (images, *outputs), strict=True):
            if not context.set_tensor_address(name, tensor.data_ptr()):
                raise RuntimeError(f"TensorRT refused the memory for {name}")
        return context, outputs


def deserialized(data: bytes) -> Any:
    """A built engine, from its bytes. Raises RuntimeError."""
    try:
        runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
    except TypeError as error:  # from the binding, which got no object
        raise RuntimeError("TensorRT cannot start CUDA here: too little memory, or the driver does not fit") from error
    engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        raise RuntimeError("TensorRT cannot read the built engine")
    return engine


def information(engine: Any) -> str:
    """What TensorRT says about an engine's layers, as JSON."""
    inspector = engine.create_engine_inspector()
    return str(inspector.get_engine_information(tensorrt.LayerInformationFormat.JSON))
