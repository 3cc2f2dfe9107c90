import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from rcdnet import checkpoint
from rcdnet.errors import CheckpointError
from tests.tiny_training import like_udiat, recipe, teacher_that_says
from train import loop, predictions, training, views
from train.datasets import CLASS_NAMES, load
from train.errors import DataError, LeakError
from train.peers import Peer
from train.plan import plan
from train.recipes import Recipe, RecipeError
from train.training import Training


def test_a_finished_run_holds_weights_curves_predictions_and_provenance(data, start, finished):
    folder, twin = finished
    assert (folder.name, twin.name) == ("seed0-random", "seed0-by_group")
    assert checkpoint.load(folder / "model.safetensors").spec.class_names == ("benign", "malignant")
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8  # 7:3 of 24
    assert {row["label"] for row in rows} == {"benign", "malignant"}
    assert json.loads((folder / "config.json").read_text())["recipe"]["name"] == "tiny"
    assert (folder / "curves.png").stat().st_size > 0
    assert json.loads((folder / "spec.json").read_text())["class_names"] == ["benign", "malignant"]
    assert json.loads((folder / "predictions_heat_maps.json").read_text())["n_masks"] == 8
    assert not (folder / "state.pt").exists()
    assert loop.fit({folder.parent: recipe()}, data, start=start, only=["random", "group"]) == [folder, twin]


def test_training_on_the_external_set_is_refused(data, tmp_path):
    like_udiat(load(data / "tiny"), tmp_path / "udiat")
    external = Recipe(name="x", about="", data=("udiat",), protocol="all", class_names=("benign", "malignant"))
    with pytest.raises(LeakError, match="external"):
        plan(external, tmp_path)


def test_a_peer_trains_under_the_same_recipe(data, tmp_path):
    plain = {"frozen_stages": 0, "frozen_large_filters": False}
    peer = recipe(architecture="peer", backbone="mobilenetv2_100", **plain)
    (folder,) = loop.fit({tmp_path: peer}, data, start="scratch", only=["random"])
    logits, maps = loop.load_trained(folder)(torch.zeros(1, 64, 64, dtype=torch.uint8))
    torch.testing.assert_close(logits, maps.mean(dim=(2, 3)))


def test_a_peer_whose_weights_were_altered_is_told(tmp_path):
    peer = recipe(architecture="peer", backbone="mobilenetv2_100")
    config = {"recipe": peer.model_dump(mode="json"), "start": "scratch", "n_test_leaked": 0}
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights = tmp_path / "model.safetensors"
    checkpoint.save(Peer(peer.spec()), weights)
    altered = bytearray(weights.read_bytes())
    altered[-1] ^= 1
    weights.write_bytes(altered)
    with pytest.raises(CheckpointError, match="is not the file that its spec describes"):
        loop.load_trained(tmp_path)


def test_a_start_that_has_seen_the_test_pictures_is_refused(data, finished, tmp_path):
    random = Path(shutil.copytree(finished[0], tmp_path / "first"))
    (random / "predictions.csv").unlink()  # as a network would come whose held-out pictures nobody knows
    with pytest.raises(LeakError, match=r"was trained on 8 pictures that seed0-random .* names alone"):
        loop.fit({tmp_path / "second": recipe()}, data, start=random / "model.safetensors")


def test_a_run_that_may_not_begin_is_told_before_another_is_trained(data, finished, tmp_path):
    with pytest.raises(LeakError, match="pictures that seed0-by_group tests on"):
        loop.fit({tmp_path: recipe()}, data, start=finished[0] / "model.safetensors")
    assert not list(tmp_path.iterdir())  # although seed0-random could be trained


def test_a_network_that_only_lies_beside_held_out_answers_may_have_seen_them(data, finished, tmp_path):
    random, by_group = finished
    mixed = Path(shutil.copytree(random, tmp_path / "first")) / "mixed.safetensors"
    checkpoint.save(checkpoint.load(by_group / "model.safetensors"), mixed)
    with pytest.raises(LeakError, match="pictures that seed0-random tests on"):
        loop.fit({tmp_path / "second": recipe()}, data, start=mixed, only=["random"])


def test_random_filters_are_not_kept_as_they_are(data, tmp_path):
    with pytest.raises(RecipeError, match="--set frozen_stages=0"):
        loop.fit({tmp_path: recipe()}, data, start="scratch", only=["random"])


def test_a_backbone_that_cannot_be_folded_is_refused_before_it_is_trained(data, tmp_path):
    with pytest.raises(RecipeError, match="densenet121 cannot be RcdNet's backbone"):
        loop.fit({tmp_path: recipe(backbone="densenet121", **PLAIN)}, data, start="scratch", only=["random"])
    assert not (tmp_path / "seed0-random" / "metrics.csv").exists()


def test_stages_that_are_not_known_are_not_frozen(data, tmp_path):
    seen_elsewhere = teacher_that_says("benign", tmp_path, backbone="resnet18")
    with pytest.raises(RecipeError, match=r"which stages of resnet18 .* --set frozen_stages=0"):
        loop.fit({tmp_path: recipe(backbone="resnet18")}, data, start=seen_elsewhere, only=["random"])


@pytest.mark.parametrize("architecture", ["rcdnet", "peer"])
def test_a_backbone_that_the_hub_has_no_weights_of_is_refused_in_words(data, tmp_path, architecture):
    rare = recipe(backbone="efficientnet_b0_gn", architecture=architecture)
    with pytest.raises(RecipeError, match=r"hub has no weights of efficientnet_b0_gn\. Start --from-scratch"):
        loop.fit({tmp_path: rare}, data, start="hub", only=["random"])


def test_a_start_that_held_out_the_same_pictures_is_taken_on(data, finished, tmp_path):
    (second,) = loop.fit({tmp_path: recipe()}, data, start=finished[0] / "model.safetensors", only=["random"])
    assert json.loads((second / "config.json").read_text())["start"] == "trained on tiny"


def test_a_run_on_everything_is_trained_on_by_itself_and_held_to_nothing(data, start, tmp_path):
    everything = recipe().model_copy(update={"protocol": "all"})
    (first,) = loop.fit({tmp_path / "first": everything}, data, start=start)
    assert loop.fit({tmp_path / "second": everything}, data, start=first / "model.safetensors")
    with pytest.raises(LeakError, match="was trained on"):
        loop.fit({tmp_path / "third": recipe()}, data, start=first / "model.safetensors", only=["random"])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"backbone": "tf_efficientnet_lite1"}, CheckpointError, "which does not fit tf_efficientnet_lite1"),
        (
            {"backbone": "tf_efficientnet_lite1", "class_names": ("malignant", "benign")},
            CheckpointError,
            "which does not fit tf_efficientnet_lite1",
        ),
        ({"architecture": "peer"}, RecipeError, "not a file"),
    ],
)
def test_a_start_of_another_kind_is_refused_in_words(data, finished, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        loop.fit({tmp_path: recipe(**changes)}, data, start=finished[0] / "model.safetensors", only=["random"])


def test_a_network_remembers_what_its_start_has_seen(data, finished, tmp_path):
    (tmp_path / "other").symlink_to(data / "tiny")
    other = recipe().model_copy(update={"data": ("other",)})
    start = finished[0] / "model.safetensors"
    (second,) = loop.fit({tmp_path / "second": other}, tmp_path, start=start, only=["random"])
    assert checkpoint.read_spec(second / "model.safetensors").trained_on == "tiny + other"


def test_a_network_learns_to_answer_as_its_teacher_does_whatever_the_labels_say(data, start, tmp_path):
    teacher = teacher_that_says("benign", tmp_path)  # without it, the network would say malignant
    learning = recipe(teacher_weight=1.0, pointing_weight=0.0, epochs=2, lr_head=0.1, lr_body=0.0, ema_decay=0.0)
    (folder,) = loop.fit({tmp_path / "runs": learning}, data, start=start, teachers=[teacher], only=["random"])
    with (folder / "predictions.csv").open(newline="") as file:
        assert all(float(row["benign"]) > float(row["malignant"]) for row in csv.DictReader(file))
    assert json.loads((folder / "config.json").read_text())["teachers"][0].startswith("tf_efficientnet_lite0 by tiny, ")
    assert checkpoint.read_spec(folder / "model.safetensors").trained_on == "elsewhere + tiny"


def test_a_teacher_that_has_seen_the_test_pictures_is_refused(data, start, finished, tmp_path):
    random, by_group = (folder / "model.safetensors" for folder in finished)
    with pytest.raises(LeakError, match="pictures that seed0-by_group tests on"):
        loop.fit({tmp_path: recipe()}, data, start=start, teachers=[random], only=["by_group"])
    assert loop.fit({tmp_path: recipe()}, data, start=start, teachers=[by_group], only=["by_group"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size_px": 96}, "its height_px is 96, not 64"),
        ({"class_names": ("malignant", "benign")}, "its class_names is"),
    ],
)
def test_a_teacher_of_another_question_or_size_is_refused(data, start, tmp_path, changes, said):
    teacher = teacher_that_says("malignant", tmp_path, **changes)
    with pytest.raises(CheckpointError, match=f"cannot teach this network: {said}"):
        loop.fit({tmp_path / "runs": recipe()}, data, start=start, teachers=[teacher], only=["random"])
    assert not list(tmp_path.glob("runs/*/*"))  # the folder is still free


def test_a_missing_external_set_is_told_before_anything_is_trained(data, start, tmp_path):
    with pytest.raises(DataError, match="nowhere is not a folder"):
        loop.fit({tmp_path / "runs": recipe(external=("nowhere",))}, data, start=start)
    assert not (tmp_path / "runs").exists()


def test_a_teacher_that_has_seen_the_external_set_is_refused(data, start, tmp_path):
    lay_elsewhere(tmp_path / "data")
    shutil.copytree(data / "tiny", tmp_path / "data" / "tiny")
    teacher, known = teacher_that_says("benign", tmp_path), recipe(external=("elsewhere",))
    with pytest.raises(LeakError, match="was trained on 2 pictures that tiny tests on"):
        loop.fit({tmp_path / "runs": known}, tmp_path / "data", start=start, teachers=[teacher])


def lay_elsewhere(root):
    """Another set, of one picture a class with its mask."""
    random = np.random.default_rng(1)
    for label in ("benign", "malignant"):
        (root / "elsewhere" / label).mkdir(parents=True)
        picture = cv2.resize(random.integers(0, 255, (8, 8), dtype=np.uint8), (64, 64))
        for name in ("a", "a_mask"):
            cv2.imwrite(str(root / "elsewhere" / label / f"{name}.png"), picture)


@pytest.fixture
def external_answers(data, start, tmp_path):
    """Of a network that knows normal pictures, to an external set that has one and is laid out like BUSI."""
    shutil.copytree(data / "tiny", tmp_path / "data" / "tiny")
    lay_elsewhere(tmp_path / "data")
    shutil.copytree(tmp_path / "data/elsewhere/benign", tmp_path / "data/elsewhere/normal")
    (tmp_path / "data/elsewhere/normal/a_mask.png").unlink()
    recipe_with = recipe(class_names=CLASS_NAMES, external=("elsewhere",))
    (folder,) = loop.fit({tmp_path / "runs": recipe_with}, tmp_path / "data", start=start, only=["random"])
    return predictions.read([folder / "external.csv"])


def test_of_an_external_set_all_pictures_of_known_classes_are_answered(external_answers):
    assert [external_answers.class_names[truth] for truth in external_answers.truth] == list(CLASS_NAMES)


def test_an_external_set_is_external_whatever_its_layout(external_answers):
    assert external_answers.external.all()


@pytest.mark.parametrize("broken", ["tiny/benign/benign (0)_mask.png", "elsewhere/benign/a_mask.png"])
def test_a_mask_that_cannot_be_decoded_is_told_before_anything_is_trained(data, start, tmp_path, broken):
    shutil.copytree(data / "tiny", tmp_path / "data" / "tiny")
    lay_elsewhere(tmp_path / "data")
    (tmp_path / "data" / broken).write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"_mask\.png cannot be decoded"):
        loop.fit({tmp_path / "runs": recipe(external=("elsewhere",))}, tmp_path / "data", start=start)
    assert not (tmp_path / "runs").exists()


def test_a_lesion_class_without_pictures_is_refused(data, start, tmp_path):
    shutil.copytree(data / "tiny" / "benign", tmp_path / "data" / "tiny" / "benign")
    with pytest.raises(DataError, match="no picture to learn malignant from"):
        loop.fit({tmp_path / "runs": recipe(protocol="all")}, tmp_path / "data", start=start)


def test_a_hub_out_of_reach_is_one_clear_line(data, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(RecipeError, match="--pretrained FILE"):
        loop.fit({tmp_path / "runs": recipe()}, data, start="hub", only=["random"])


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())


@pytest.fixture
def on_the_processor(monkeypatch):
    """Where the same training gives the same bits."""
    monkeypatch.setattr(training, "Fabric", lambda accelerator, **how: Fabric(accelerator="cpu", **how))


PLAIN = {"frozen_stages": 0, "frozen_large_filters": False, "epochs": 2}
OURS, PEER = recipe(**PLAIN), recipe(architecture="peer", backbone="mobilenetv2_100", **PLAIN)


@pytest.mark.usefixtures("on_the_processor")
def test_networks_trained_side_by_side_are_those_trained_alone_also_where_one_was_interrupted(
    data, tmp_path, monkeypatch
):
    def stop_in_the_second(self, loss, seconds):
        if self.folder.is_relative_to(tmp_path / "peer") and self.epoch == 1:  # the other has finished
            raise KeyboardInterrupt
        end(self, loss, seconds)

    end = Training.end
    monkeypatch.setattr(Training, "end", stop_in_the_second)
    monkeypatch.setattr(training, "SAVING_PAUSE", 0)
    together = {tmp_path / "ours": OURS, tmp_path / "peer": PEER}
    with pytest.raises(KeyboardInterrupt):
        loop.fit(together, data, start="scratch", only=["random"])
    monkeypatch.setattr(Training, "end", end)
    folders = loop.fit(together, data, start="scratch", only=["random"])
    assert [folder.parent.name for folder in folders] == ["ours", "peer"]
    for folder, alone in zip(folders, (OURS, PEER), strict=True):
        (other,) = loop.fit({tmp_path / f"{folder.parent.name} alone": alone}, data, start="scratch", only=["random"])
        assert same(weights(folder), weights(other))


@pytest.mark.usefixtures("on_the_processor")
def test_an_interrupted_run_goes_on_where_it_stopped_and_learns_the_same(data, start, tmp_path, monkeypatch):
    def stop_after_the_second(self, loss, seconds):
        end(self, loss, seconds)
        if self.epoch == 2:
            raise KeyboardInterrupt

    end, ended = Training.end, []
    learning = {"teachers": [teacher_that_says("benign", tmp_path)], "start": start, "only": ["random"]}
    (whole,) = loop.fit({tmp_path / "whole": recipe(epochs=2)}, data, **learning)
    monkeypatch.setattr(Training, "end", stop_after_the_second)
    monkeypatch.setattr(training, "SAVING_PAUSE", 1e9)  # so that only the first epoch's state is saved
    with pytest.raises(KeyboardInterrupt):
        loop.fit({tmp_path / "parts": recipe(epochs=2)}, data, **learning)
    monkeypatch.setattr(Training, "end", lambda self, *args: ended.append(self.epoch + 1) or end(self, *args))
    (parts,) = loop.fit({tmp_path / "parts": recipe(epochs=2)}, data, **learning)
    assert ended == [2]
    with (parts / "metrics.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]
    assert same(weights(whole), weights(parts))


@pytest.mark.usefixtures("on_the_processor")
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on one core
def test_how_many_processes_draw_views_changes_nothing(data, start, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        views,
        "DataLoader",
        lambda *args, num_workers, **how: (
            asked.append(num_workers) or DataLoader(*args, num_workers=num_workers, **how)
        ),
    )
    (one,) = loop.fit({tmp_path / "one": recipe()}, data, start=start, only=["random"])
    (two,) = loop.fit({tmp_path / "two": recipe()}, data, start=start, only=["random"], workers=2)
    assert asked == [1, 2]
    assert same(weights(one), weights(two))


def test_a_training_that_diverges_ends_there_and_leaves_no_network(data, start, tmp_path):
    with pytest.raises(RecipeError, match=r"has diverged\. Lower lr_head \(1e\+30\)"):
        loop.fit({tmp_path: recipe(lr_head=1e30, lr_body=1e30)}, data, start=start, only=["random"])
    assert not (tmp_path / "seed0-random" / "model.safetensors").exists()


def test_networks_of_different_recipes_are_not_trained_side_by_side(data, tmp_path):
    together = {tmp_path / "ours": OURS, tmp_path / "peer": PEER.model_copy(update={"batch": 4})}
    with pytest.raises(RecipeError, match="need one recipe: these differ in batch"):
        loop.fit(together, data, start="scratch")
