import csv
import json

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rcdnet import checkpoint
from rcdnet.model import RcdNet
from train import loop, splits
from train.datasets import load
from train.recipes import Recipe


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twenty-four pictures laid out like BUSI: benign ones with a dark disc, malignant ones with a bright one."""
    root = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for label, shade in (("benign", 20), ("malignant", 230)):
        (root / "tiny" / label).mkdir(parents=True)
        for index in range(12):
            picture = cv2.resize(random.integers(80, 160, (8, 8), dtype=np.uint8), (64, 64))
            mask = cv2.circle(np.zeros((64, 64), np.uint8), (32, int(random.integers(20, 44))), 10, 255, -1)
            picture[mask > 0] = shade
            cv2.imwrite(str(root / "tiny" / label / f"{label} ({index}).png"), picture)
            cv2.imwrite(str(root / "tiny" / label / f"{label} ({index})_mask.png"), mask)
    return root


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A backbone file with random filters, in the form of the pretrained one."""
    torch.manual_seed(0)
    tensors = RcdNet(recipe().spec()).backbone.state_dict()
    tensors["conv_stem.weight"] = tensors["conv_stem.weight"].repeat(1, 3, 1, 1) / 3 / 128
    path = tmp_path_factory.mktemp("start") / "start.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def recipe(**changes):
    settings = {"size_px": 64, "epochs": 1, "batch": 8, "class_names": ("benign", "malignant"), **changes}
    return Recipe(name="tiny", about="", data=("tiny",), protocol=settings.pop("protocol", "random"), **settings)


def test_a_finished_run_holds_weights_curves_predictions_and_provenance(data, start, tmp_path):
    (folder,) = loop.fit(recipe(), data, tmp_path, pretrained=start)
    assert checkpoint.load(folder / "model.safetensors").spec.class_names == ("benign", "malignant")
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8  # 7:3 of 24
    assert {row["label"] for row in rows} == {"benign", "malignant"}
    assert json.loads((folder / "config.json").read_text())["recipe"]["name"] == "tiny"
    assert (folder / "curves.png").stat().st_size > 0
    assert json.loads((folder / "spec.json").read_text())["class_names"] == ["benign", "malignant"]
    assert json.loads((folder / "held_out.json").read_text())["tiny"]["n"] == 8
    assert not (folder / "state.pt").exists()


def test_a_finished_run_is_not_trained_again(data, start, tmp_path):
    (folder,) = loop.fit(recipe(), data, tmp_path, pretrained=start)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    loop.fit(recipe(), data, tmp_path, pretrained=start)
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def test_an_interrupted_run_goes_on_where_it_stopped(data, start, tmp_path, monkeypatch):
    def stop_after_one(path, rows, **_):
        write(path, rows, **_)
        if path.name == "metrics.csv" and len(rows) == 2:
            raise KeyboardInterrupt

    write = loop._write_rows
    monkeypatch.setattr(loop, "_write_rows", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        loop.fit(recipe(epochs=3), data, tmp_path, pretrained=start)
    monkeypatch.setattr(loop, "_write_rows", write)
    (folder,) = loop.fit(recipe(epochs=3), data, tmp_path, pretrained=start)
    with (folder / "metrics.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]


def test_training_on_the_external_set_is_refused(data, tmp_path):
    root = tmp_path / "udiat"
    for name in ("original", "GT"):
        (root / name).mkdir(parents=True)
    lines = ["image,pathology,diagnosis"]
    for index, sample in enumerate(load(data / "tiny")):
        stem = f"{index:06d}"
        (root / "original" / f"{stem}.png").write_bytes(sample.image.read_bytes())
        (root / "GT" / f"{stem}.png").write_bytes(sample.masks[0].read_bytes())
        lines.append(f"{stem},{sample.label},x")
    (root / "labels.csv").write_text("\n".join(lines))
    external = Recipe(name="x", about="", data=("udiat",), protocol="all", class_names=("benign", "malignant"))
    with pytest.raises(splits.LeakError, match="external"):
        loop.plan(external, tmp_path)


def test_a_peer_trains_under_the_same_recipe(data, tmp_path):
    network = loop._network(recipe(architecture="peer", backbone="mobilenetv2_100"), data / "none")
    logits, maps = network(torch.zeros(1, 64, 64, dtype=torch.uint8))
    torch.testing.assert_close(logits, maps.mean(dim=(2, 3)))
