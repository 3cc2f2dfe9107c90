from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.helper as helper
import pytest
import torch
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from benchmarks import ratios
from benchmarks.ratios import class_maps_cost, eager_gradcam_over_engine, eager_half_over_cuda_graph, logits_alone
from benchmarks.turns import Ratio
from engines import half, nvidia
from engines.errors import EngineError
from engines.torch_reference import TorchReference


def test_without_a_gpu_the_ratio_on_it_says_why(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "absent", lambda: "no NVIDIA GPU here")
    assert eager_half_over_cuda_graph(0.0, untrained) == Ratio(None, "no NVIDIA GPU here")


def test_a_gpu_engine_that_is_refused_is_a_reason_and_no_end(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "absent", lambda: None)  # as if there were a GPU, which PyTorch then does not find
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    ratio = eager_half_over_cuda_graph(0.0, untrained)
    assert ratio.value is None
    assert "finds no GPU" in ratio.reason


def test_both_sides_of_the_ratio_on_a_gpu_answer_the_same_picture(
    untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the processor and in float32, which is faster there. The ratio is eager over graph."""
    answers = {}

    def once(calls, seconds):
        answers.update({name: call() for name, call in calls.items()})
        return {"eager_half": [30, 50, 40], "cuda_graph": [8, 8, 8]}

    monkeypatch.setattr(ratios, "missing", lambda name, weights: None)
    monkeypatch.setattr(ratios, "open_engine", lambda name, weights: TorchReference(weights))
    monkeypatch.setattr(ratios, "interleave", once)
    monkeypatch.setattr(half, "HalfNet", lambda model: model)
    for kind in (torch.nn.Module, torch.Tensor):
        monkeypatch.setattr(kind, "cuda", lambda on_gpu: on_gpu)
    assert eager_half_over_cuda_graph(1.0, untrained).value == 5.0
    output = answers["cuda_graph"]
    for eager, captured in zip(answers["eager_half"], (output.logits, output.class_maps), strict=True):
        np.testing.assert_allclose(eager, captured, atol=1e-4)


@pytest.mark.parametrize(("measure", "of"), [(eager_gradcam_over_engine, "openvino_cpu"), (class_maps_cost, "f32")])
def test_a_ratio_of_a_network_of_ones_own_is_measured(
    untrained: Path, monkeypatch: pytest.MonkeyPatch, measure: Callable[[str, float, Path], Ratio], of: str
) -> None:
    monkeypatch.setattr(ratios, "BUILDS", 1)
    ratio = measure(of, 0.0, untrained)
    assert (ratio.reason, ratio.engine, ratio.precision) == ("", "openvino_cpu", "f32")
    assert ratio.value is not None
    assert ratio.calls_ms is not None
    assert len(ratio.calls_ms) == 2


def headed(last: str = "ReduceMean") -> onnx.ModelProto:
    """A graph that ends as the shipped one does: linear layer per cell, then the mean over space."""
    random = np.random.default_rng(3)
    weight = random.normal(size=(3, 4, 1, 1)).astype(np.float32)
    constants = {"weight": weight, "bias": np.array([1, 2, 3], np.float32), "axes": np.array([2, 3], np.int64)}
    nodes = [
        helper.make_node("Relu", ["image"], ["features"]),
        helper.make_node("Conv", ["features", "weight", "bias"], ["class_maps"]),
        helper.make_node(last, ["class_maps", "axes"], ["logits"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 4, 5, 6])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3]),
            helper.make_tensor_value_info("class_maps", TensorProto.FLOAT, [1, 3, 5, 6]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_the_graph_without_class_maps_computes_the_same_logits() -> None:
    whole = headed()
    bare = logits_alone(whole)
    image = np.random.default_rng(4).normal(size=(1, 4, 5, 6)).astype(np.float32)
    expected, _ = ReferenceEvaluator(whole).run(None, {"image": image})
    (found,) = ReferenceEvaluator(bare).run(None, {"image": image})
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_without_class_maps_the_linear_layer_comes_after_the_pooling() -> None:
    assert [node.op_type for node in logits_alone(headed()).graph.node] == ["Relu", "ReduceMean", "Conv", "Squeeze"]


def test_a_graph_with_another_end_is_refused() -> None:
    with pytest.raises(EngineError, match=r"rcdnet\.export"):
        logits_alone(headed("ReduceMax"))
