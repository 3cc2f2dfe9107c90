import pytest
import torch
from safetensors.torch import save_file

from rcdnet.errors import CheckpointError
from rcdnet.model import RcdNet
from rcdnet.spec import ModelSpec
from train.backbone import load_folded

SPEC = ModelSpec(("benign", "malignant"), 64, 64, 0.485, 0.229, "tf_efficientnet_lite0")


def folded_file(path, model, stem):
    tensors = {f"{name}": tensor.clone() for name, tensor in model.backbone.state_dict().items()}
    tensors["conv_stem.weight"] = stem
    save_file(tensors, path)
    return tensors["conv_stem.bias"]


def test_stem_computes_what_the_file_computes_on_its_own_scale(tmp_path):
    torch.manual_seed(0)
    stem = torch.randn(32, 3, 3, 3) / 128
    model = RcdNet(SPEC).eval()
    bias = folded_file(tmp_path / "start.safetensors", model, stem)
    load_folded(model, tmp_path / "start.safetensors")
    grey = torch.randint(0, 256, (1, 1, 33, 33)).float()
    theirs = torch.nn.functional.conv2d((grey - 127).expand(-1, 3, -1, -1), stem, bias, stride=2)
    scaled = (grey / 255 - SPEC.mean) / SPEC.std
    conv = model.backbone.conv_stem
    ours = torch.nn.functional.conv2d(scaled, conv.weight, conv.bias, stride=2)
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


def test_a_file_of_another_network_is_refused(tmp_path):
    save_file(
        {"conv_stem.weight": torch.zeros(8, 3, 3, 3), "conv_stem.bias": torch.zeros(8)}, tmp_path / "x.safetensors"
    )
    with pytest.raises(CheckpointError, match=r"conv_stem.weight of shape \[32, 3, 3, 3\]"):
        load_folded(RcdNet(SPEC), tmp_path / "x.safetensors")


def test_a_file_that_is_no_safetensors_is_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load_folded(RcdNet(SPEC), tmp_path / "x.safetensors")
