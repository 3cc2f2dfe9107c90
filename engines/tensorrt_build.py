"""How is the TensorRT engine built, and in which precision did it come out?

``engines.half`` is exported and handed to Torch-TensorRT: TensorRT 11 knows strongly typed networks alone, so the
precision of every layer is the graph's. What is kept are serialized TensorRT engines, without pickle.
"""

import json
import logging
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engines import cache, half
from engines.errors import FAULTS, EngineError, faults_of, one_line
from engines.torch_reference import read_checkpoint
from rcdnet.model import RcdNet

NAME = "tensorrt_fp16"

BATCHES = (8, 1)
"""One engine of fixed shapes for each: replay and evaluation run in eights, a live frame and the rest one by one."""

IMAGE, OUTPUTS = "image", ("logits", "class_maps")
"""Names of the engine's input and outputs, as in the ONNX file."""

BUILD_OPTIONS: dict[str, Any] = {
    "require_full_compilation": True,  # nothing may be left to PyTorch
    "min_block_size": 1,
    "optimization_level": 5,
    "disable_tf32": True,  # float32 is float32, as in cuda_graph
    "immutable_weights": True,
    "cache_built_engines": False,  # Torch-TensorRT's own caches are pickles in the temporary folder
    "reuse_cached_engines": False,
    "arg_input_binding_names": (IMAGE,),
    "output_binding_names": OUTPUTS,
}
"""Keywords of ``torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine``."""

DEBUGGER_OPTIONS: dict[str, Any] = {"log_level": "internal_errors", "engine_builder_monitor": False}
"""Keywords of ``torch_tensorrt.dynamo.Debugger``: only under it is an engine built with the layer types that
``precision_of`` reads. At "error" it prints the traceback of what is raised as well."""

TENSORRT_LOGGER = "torch_tensorrt [TensorRT Conversion Context]"
"""Where Torch-TensorRT logs what TensorRT says."""

log = logging.getLogger(__name__)


def build(weights: Path) -> Path:
    """Export, build for this GPU, read the precision back and keep it: minutes. Returns the folder.

    Raises WeightsError, EngineUnavailable or EngineError.
    """
    logging.getLogger("torch_tensorrt").setLevel(logging.ERROR)  # it would ask for packages that are of no use here
    import torch_tensorrt

    from engines.tensorrt_fp16 import deserialized, information  # it needs TensorRT, which not all of this module does

    model = read_checkpoint(weights)
    key = cache.key_here(NAME, model.spec)
    log.info("building %s for %s: this takes minutes, and Ctrl-C ends it", NAME, key.gpu)
    network = TensorrtNet(model).cuda().eval()
    files: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        options = {**BUILD_OPTIONS, "timing_cache_path": str(Path(folder) / "timing.bin")}
        for batch in BATCHES:
            program = exported(network, batch)
            with (
                faults_of(f"TensorRT cannot build {NAME}"),
                reasons_told(),
                root_logging_kept(),
                torch_tensorrt.dynamo.Debugger(**DEBUGGER_OPTIONS, logging_dir=folder),
            ):
                files[file_name(batch)] = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
                    program, arg_inputs=program.example_inputs[0], **options
                )
    kinds = {precision_of(information(deserialized(data))) for data in files.values()}
    if kinds != {"f16"}:
        raise EngineError(f"TensorRT built {NAME} in {' and '.join(sorted(kinds))}, not in f16: it is not kept")
    return cache.write(key, cache.Artefact(files, "f16"))


@contextmanager
def reasons_told() -> Iterator[None]:
    """Raise RuntimeError with the last errors of TensorRT: if that builds nothing, Torch-TensorRT does not say why."""
    told: list[str] = []
    logger, handler = logging.getLogger(TENSORRT_LOGGER), logging.Handler(logging.ERROR)
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    level = logger.level
    logger.setLevel(logging.ERROR)
    logger.addHandler(handler)
    try:
        yield
    except FAULTS as error:
        raise RuntimeError("; ".join(told[-2:]) or one_line(error)) from error
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def root_logging_kept() -> Iterator[None]:
    """Torch-TensorRT's Debugger puts handlers and a level of its own in place of the root logger's, and leaves them."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


class TensorrtNet(half.HalfNet):
    """``HalfNet`` without scalars in float16: Torch-TensorRT expands each to the size of its maps, in two layers."""

    def __init__(self, model: RcdNet) -> None:
        super().__init__(model)
        half.replace(self, lambda child: Bounded() if isinstance(child, half.Relu6) else None)


class Bounded(nn.Module):
    """ReLU6 between bounds of four dimensions, as the maps have."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, bound in {"low": 0.0, "high": 6.0}.items():
            self.register_buffer(name, torch.full((1, 1, 1, 1), bound, dtype=torch.float16))

    def forward(self, x: Tensor) -> Tensor:
        """Float16 [N, C, h, w] -> the same."""
        return torch.clamp(x, self.low, self.high)


def exported(network: TensorrtNet, batch: int) -> torch.export.ExportedProgram:
    """``network`` as a graph for ``batch`` pictures, on the device that it is on."""
    device = next(network.parameters()).device
    images = torch.zeros(batch, network.spec.height_px, network.spec.width_px, dtype=torch.uint8, device=device)
    return torch.export.export(network, (images,))


def precision_of(information: str) -> str:
    """What most layers hand on, "f16" or "f32", from the JSON of TensorRT's engine inspector.

    TensorRT 10 says type and layout in "Format/Datatype", 11 in "DataType" and "Format"; the types are read wherever
    they stand. Raises RuntimeError if layers are given by name alone.
    """
    counts: Counter[str] = Counter()
    for layer in json.loads(information).get("Layers", []):
        for output in layer.get("Outputs", []) if isinstance(layer, dict) else []:
            text = " ".join(str(value) for name, value in output.items() if name.startswith(("Format", "DataType")))
            counts["f16"] += bool(re.search(r"FP16|Half", text))
            counts["f32"] += bool(re.search(r"FP32|Float\b", text))
    if not counts.total():
        raise RuntimeError("the engine does not say in which precision its layers compute")
    return counts.most_common(1)[0][0]


def file_name(batch: int) -> str:
    """What the engine of a batch is called among the kept files."""
    return f"batch{batch}.engine"
