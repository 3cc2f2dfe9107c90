"""What do exact class maps gain and cost, and what does a CUDA graph gain?"""

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from benchmarks.turns import Ratio, interleave, ratio_of_medians, summaries
from engines.catalog import missing, open_engine
from engines.errors import FAULTS, EngineError, one_line
from engines.openvino_cpu import core
from engines.weights import read_golden, read_onnx
from rcdnet import glance
from rcdnet.box import Box
from rcdnet.preprocess import place, to_pixels
from rcdnet.spec import ModelSpec

if TYPE_CHECKING:
    from openvino import InferRequest  # not at run time: engines must be imported first, which turns its telemetry off

BUILDS = 5
"""``class_maps_cost`` compiles both graphs this often: where the buffers of one build happen to lie can change the
result by two percent."""

LEAST_ROUNDS_A_BUILD = 100
"""It times each build at least this often: the median is then steady to a percent on a machine that is not idle."""


def eager_gradcam_over_engine(name: str, seconds: float, weights: Path) -> Ratio:
    """How many times as long as our engine the usual way takes: the same network in eager PyTorch, in float32, with
    pytorch-grad-cam. Both take a prepared picture, and give logits and a heat map of its size, 0..1.

    It is the ratio of the medians. Raises EngineError as ``open_engine`` does.
    """
    absent = [package for package in ("torch", "timm", "pytorch_grad_cam") if find_spec(package) is None]
    if absent:
        return Ratio(None, f"it needs PyTorch with Grad-CAM to compare with; not installed: {', '.join(absent)}")
    from benchmarks.gradcam import EagerGradCam

    image = read_golden(weights).images[:1]
    with open_engine(name, weights) as engine, EagerGradCam(weights) as eager:
        at = place(Box(0, 0, engine.spec.width_px, engine.spec.height_px), engine.spec)

        def ours() -> NDArray[np.float32]:
            output = engine.run(image)
            return to_pixels(glance.scaled_rise(output.class_maps[0, int(output.logits[0].argmax())]), at)

        durations = interleave({"eager_gradcam": lambda: eager(image), "engine": ours}, seconds)
        return ratio_of_medians(durations, engine.info)


def eager_half_over_cuda_graph(seconds: float, weights: Path) -> Ratio:
    """How many times as long as the engine ``cuda_graph`` the same float16 network takes in eager PyTorch, on the same
    GPU, in the same memory layout and with the same choice of kernels. Both take a prepared picture on the host and
    give logits and class maps on the host, so copies and the wait for the GPU are included.

    It is the ratio of the medians; without a GPU, or if ``cuda_graph`` is refused there, a reason in place of a value.
    """
    absent = missing("cuda_graph", weights)
    if absent is not None:
        return Ratio(None, absent)
    try:
        engine = open_engine("cuda_graph", weights)
    except EngineError as error:
        return Ratio(None, str(error))
    import torch

    from engines.cuda_graph import kernels
    from engines.half import HalfNet
    from engines.torch_reference import read_checkpoint

    image = read_golden(weights).images[:1].copy()  # PyTorch takes no read-only memory

    @torch.inference_mode()
    def eager() -> list[NDArray[np.float32]]:
        return [output.cpu().numpy() for output in network(torch.from_numpy(image).cuda())]  # cpu() waits

    with engine, kernels():
        try:
            network = HalfNet(read_checkpoint(weights)).cuda().to(memory_format=torch.channels_last)
            durations = interleave({"eager_half": eager, "cuda_graph": lambda: engine.run(image)}, seconds)
        except (EngineError, *FAULTS) as error:
            return Ratio(None, f"the GPU failed during the measurement: {one_line(error)}")
        return ratio_of_medians(durations, engine.info)


def class_maps_cost(precision: str, seconds: float, weights: Path) -> Ratio:
    """How much longer a call takes because of the class maps (0.03 = 3 %): the shipped graph against the same graph
    with only logits, both in OpenVINO at the same precision and with the same settings.

    Each call is compared with the one next to it in time, when the machine was equally busy. The result is the median
    of these ratios within a build, and then the median over BUILDS. Raises EngineError if OpenVINO cannot compile a
    graph.
    """
    data, spec = read_onnx(weights)
    image = read_golden(weights).images[:1]
    graphs = {
        "with_class_maps": data,
        "logits_alone": logits_alone(onnx.load_model_from_string(data)).SerializeToString(),
    }
    costs: list[float] = []
    all_durations: dict[str, list[int]] = {side: [] for side in graphs}
    for _ in range(BUILDS):
        requests = {side: compiled(graph, spec, precision) for side, graph in graphs.items()}
        with_maps, without = (request.infer({0: image})["logits"] for request in requests.values())
        if not np.allclose(with_maps, without, atol=0.1):
            raise EngineError(f"the graph with logits alone gives other logits: {without} instead of {with_maps}")
        calls = {side: partial(request.infer, {0: image}) for side, request in requests.items()}
        durations = interleave(calls, seconds / BUILDS, least_rounds=LEAST_ROUNDS_A_BUILD)
        pairs = zip(durations["with_class_maps"], durations["logits_alone"], strict=True)
        costs.append(median(with_ns / without_ns for with_ns, without_ns in pairs) - 1)
        for side, values in durations.items():
            all_durations[side] += values
    return Ratio(median(costs), "", "medians of pairs", "openvino_cpu", precision, summaries(all_durations))


def compiled(graph: bytes, spec: ModelSpec, precision: str) -> "InferRequest":
    """Compile an ONNX graph in OpenVINO, for one call at a time. ``engines.openvino_cpu`` cannot be used for it,
    because it needs class maps."""
    try:
        network = core().read_model(graph)
        network.reshape({0: [1, spec.height_px, spec.width_px]})
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        return core().compile_model(network, "CPU", settings).create_infer_request()
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot compile the graph: {error}") from error


def logits_alone(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network as it would be without class maps: with logits as its only output, and pooling before the linear
    layer in place of after it.

    Raises EngineError if the graph does not end in class maps and their mean.
    """
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    graph = cut.graph
    makers = {name: node for node in graph.node for name in node.output}
    linear, pooling = makers["class_maps"], makers["logits"]
    if linear.op_type != "Conv" or pooling.op_type != "ReduceMean" or pooling.input[0] != "class_maps":
        raise EngineError("the graph does not end in class maps and their mean. Make it with: python -m rcdnet.export")
    features = linear.input[0]
    graph.initializer.append(numpy_helper.from_array(np.array([2, 3], np.int64), "space"))
    head = [
        helper.make_node("ReduceMean", [features, "space"], ["pooled"], keepdims=1),
        helper.make_node("Conv", ["pooled", *linear.input[1:]], ["linear"]),
        helper.make_node("Squeeze", ["linear", "space"], ["logits"]),
    ]
    kept = [node for node in graph.node if node not in (linear, pooling)]
    outputs = [output for output in graph.output if output.name == "logits"]
    del graph.node[:], graph.output[:]
    graph.node.extend([*kept, *head])
    graph.output.extend(outputs)
    onnx.checker.check_model(cut)
    return cut
