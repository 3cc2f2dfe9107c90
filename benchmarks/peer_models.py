"""How do others get a label and a heat map from the same weights? A function for each peer makes its network.

Each peer runs in an environment of its own, which may lack what the others need. So nothing of ``stream`` or
``engines`` is imported here, and a runtime only in the function that needs it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rcdnet import glance
from rcdnet.glance import Floats
from rcdnet.spec import SPEC_KEY, ModelSpec
from rcdnet.weights import CHECKPOINT, ONNX, SHIPPED

Images = NDArray[np.uint8]
"""One prepared picture, uint8 [1, H, W]."""


@dataclass(frozen=True)
class Look:
    """What a peer makes of one picture: ``logits`` [1, K], ``class_maps`` [1, K, h, w], and the ``heat`` map of the
    likeliest class by the peer's own method, float32 [h, w] of any size, 0..1."""

    logits: Floats
    class_maps: Floats
    heat: Floats


@dataclass(frozen=True)
class Network:
    """A peer's network. ``look`` is called for the whole scan and, if the weights ask for a second look, for a crop."""

    spec: ModelSpec
    look: Callable[[Images], Look]


def onnxruntime(best: bool) -> Network:
    """ONNX Runtime with the shipped ONNX; the heat map is made from its class maps.

    Best: one thread per core that may be used (the default counts all cores of the machine), and denormal numbers
    treated as zero, because they are slow.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    if best:
        options.intra_op_num_threads = cores()
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
    session = ort.InferenceSession(ONNX, options, providers=["CPUExecutionProvider"])

    def look(images: Images) -> Look:
        logits, class_maps = session.run(["logits", "class_maps"], {"image": images})
        return Look(logits, class_maps, glance.scaled_rise(class_maps[0, int(logits[0].argmax())]))

    return Network(ModelSpec.from_json(session.get_modelmeta().custom_metadata_map[SPEC_KEY]), look)


def timm_gradcam(best: bool) -> Network:
    """Eager PyTorch with pytorch-grad-cam, as in its README.

    Best: ``tune``, and gradients for the last layer only, so that the backward pass ends where Grad-CAM needs it.
    """
    from benchmarks.gradcam import EagerGradCam

    eager = EagerGradCam(SHIPPED)
    if best:
        tune(eager.model)
        eager.model.requires_grad_(False)
        eager.model.attention.requires_grad_(True)

    def look(images: Images) -> Look:
        heat = eager(images)[0]
        return Look(eager.logits, eager.class_maps, heat)

    return Network(eager.model.spec, look)


def timm_torchcam(best: bool) -> Network:
    """Eager PyTorch with torchcam's Grad-CAM.

    Best: ``tune``, and torchcam's CAM, which needs no backward pass, as the network ends in pooling and a linear layer.
    """
    import torch
    from torchcam.methods import CAM, GradCAM

    from rcdnet import checkpoint

    model = checkpoint.load(CHECKPOINT)
    if best:
        tune(model)
    extractor: Any = CAM(model, "attention", "classifier") if best else GradCAM(model, "attention")

    def look(images: Images) -> Look:
        with torch.inference_mode(best):
            scores, class_maps = model(torch.from_numpy(images))
            heat = extractor(int(scores.argmax()), None if best else scores)[0]
        return Look(scores.detach().numpy(), class_maps.detach().numpy(), heat[0].numpy())

    return Network(model.spec, look)


def with_looks(spec: ModelSpec, looks: int) -> ModelSpec:
    """``spec``, without its second look if ``looks`` is 1."""
    return replace(spec, second_look=None) if looks == 1 else spec


def tune(model: Any) -> None:
    """Use one thread per core that may be used, and the memory layout with which convolutions are fastest, in place."""
    import torch

    torch.set_num_threads(cores())
    model.to(memory_format=torch.channels_last)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


NETWORKS: dict[str, Callable[[bool], Network]] = {
    "opencv_timm_gradcam": timm_gradcam,
    "opencv_timm_torchcam": timm_torchcam,
    "opencv_onnxruntime": onnxruntime,
    "roboflow_inference": onnxruntime,
}
"""The function that makes each peer's network. Its argument says whether the best setting is wanted, or the default."""
