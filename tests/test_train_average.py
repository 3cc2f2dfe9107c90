from dataclasses import replace

import pytest
import torch

from rcdnet import checkpoint
from rcdnet.errors import CheckpointError
from rcdnet.model import RcdNet
from rcdnet.spec import ModelSpec
from train.average import average

SPEC = ModelSpec(("normal", "benign", "malignant"), 64, 64, 0.485, 0.229, "tf_efficientnet_lite0")


def saved(path, seed, spec=SPEC):
    torch.manual_seed(seed)
    checkpoint.save(RcdNet(spec), path)
    return path


def test_every_weight_is_the_mean(tmp_path):
    paths = [saved(tmp_path / f"{seed}.safetensors", seed) for seed in range(3)]
    states = [checkpoint.load(path).state_dict() for path in paths]
    for name, value in average(paths).state_dict().items():
        torch.testing.assert_close(value.float(), sum(state[name] for state in states) / 3)


def test_networks_of_different_recipes_are_not_averaged(tmp_path):
    paths = [saved(tmp_path / "a.safetensors", 0), saved(tmp_path / "b.safetensors", 1, replace(SPEC, version="b"))]
    with pytest.raises(CheckpointError, match="average networks of one recipe"):
        average(paths)


def test_no_checkpoint_is_no_network():
    with pytest.raises(CheckpointError, match="nothing to average"):
        average([])
