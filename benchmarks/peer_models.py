"""How do others get label and heat map out of the same weights? One network each, by name.

Nothing of ``stream`` or ``engines`` is imported here, and no runtime before it is asked for: each of these runs in an
environment of its own, which may hold no other.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
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
    """``logits`` [1, K], ``class_maps`` [1, K, h, w], and the heat map of the likeliest class as this runtime gives it,
    float32 [h, w] of any size, 0..1."""

    logits: Floats
    class_maps: Floats
    heat: Floats


@dataclass(frozen=True)
class Network:
    """``look`` is called for the whole scan, and again for the crop where the weights ask for a second look."""

    spec: ModelSpec
    look: Callable[[Images], Look]


def onnxruntime(best: bool) -> Network:
    """ONNX Runtime on the shipped ONNX, whose class maps are the heat map.

    Best: a thread for each core that may be used (by default one for each that the machine has), and no numbers too
    small to matter, which cost a processor more than others.
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
    """PyTorch eager with pytorch-grad-cam, as its README shows it.

    Best: ``tuned``, and gradients for the last layer alone, so that the backward pass ends where Grad-CAM reads it.
    """
    from benchmarks.gradcam import EagerGradCam

    eager = EagerGradCam(SHIPPED)
    if best:
        tuned(eager.model)
        eager.model.requires_grad_(False)
        eager.model.attention.requires_grad_(True)

    def look(images: Images) -> Look:
        heat = eager(images)[0]
        return Look(eager.logits, eager.class_maps, heat)

    return Network(eager.model.spec, look)


def timm_torchcam(best: bool) -> Network:
    """PyTorch eager with torchcam's Grad-CAM.

    Best: ``tuned``, and torchcam's CAM instead, which needs no backward pass for a network that ends in pooling and one
    linear layer; so the forward pass keeps nothing for one.
    """
    import torch
    from torchcam.methods import CAM, GradCAM

    from rcdnet import checkpoint

    model = checkpoint.load(CHECKPOINT)
    if best:
        tuned(model)
    extractor: Any = CAM(model, "attention", "classifier") if best else GradCAM(model, "attention")

    def look(images: Images) -> Look:
        with torch.inference_mode(best):
            scores, class_maps = model(torch.from_numpy(images))
            heat = extractor(int(scores.argmax()), None if best else scores)[0]
        return Look(scores.detach().numpy(), class_maps.detach().numpy(), heat[0].numpy())

    return Network(model.spec, look)


def tuned(model: Any) -> None:
    """Give PyTorch a thread for each core that may be used, and the layout of memory that its convolutions prefer."""
    import torch

    torch.set_num_threads(cores())
    model.to(memory_format=torch.channels_last)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


NETWORKS: dict[str, Callable[[bool], Network]] = {
    "opencv_timm_gradcam": timm_gradcam,
    "opencv_timm_torchcam": timm_torchcam,
    "opencv_onnxruntime": onnxruntime,
    "roboflow_inference": onnxruntime,
}
"""By the names of the peers; called with whether the best setting is wanted."""
