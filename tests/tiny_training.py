"""A training that takes a second: pictures, a start, a recipe and a teacher."""

import shutil
from dataclasses import replace

import cv2
import numpy as np
import torch
from safetensors.torch import save_file

from rcdnet import checkpoint
from rcdnet.model import RcdNet
from train.recipes import Recipe


def pictures(root, name="tiny", *, each=12, seed=0):
    """``each`` benign pictures, with a dark disc, and as many malignant ones, with a bright one, laid out like BUSI."""
    random = np.random.default_rng(seed)
    for label, shade in (("benign", 20), ("malignant", 230)):
        (root / name / label).mkdir(parents=True)
        for index in range(each):
            picture = cv2.resize(random.integers(80, 160, (8, 8), dtype=np.uint8), (64, 64))
            mask = cv2.circle(np.zeros((64, 64), np.uint8), (32, int(random.integers(20, 44))), 10, 255, -1)
            picture[mask > 0] = shade
            cv2.imwrite(str(root / name / label / f"{label} ({index}).png"), picture)
            cv2.imwrite(str(root / name / label / f"{label} ({index})_mask.png"), mask)
    return root


def like_udiat(samples, root):
    """The same pictures laid out like UDIAT, which is external."""
    for folder in ("original", "GT"):
        (root / folder).mkdir(parents=True)
    lines = ["image,pathology,diagnosis"]
    for index, sample in enumerate(samples):
        shutil.copy(sample.image, root / "original" / f"{index:06d}.png")
        shutil.copy(sample.masks[0], root / "GT" / f"{index:06d}.png")
        lines.append(f"{index:06d},{sample.label},x")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")


def backbone(folder):
    """A backbone file with random filters, in the form of the pretrained one."""
    torch.manual_seed(0)
    tensors = RcdNet(recipe().spec()).backbone.state_dict()
    tensors["conv_stem.weight"] = tensors["conv_stem.weight"].repeat(1, 3, 1, 1) / 3 / 128
    path = folder / "start.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def recipe(**changes):
    settings = {"size_px": 64, "epochs": 1, "batch": 8, "class_names": ("benign", "malignant"), **changes}
    return Recipe(name="tiny", about="", data=("tiny",), protocol=settings.pop("protocol", "random"), **settings)


def teacher_that_says(label, folder, **changes):
    """A network that says ``label`` of whatever it is shown, trained on pictures of ``elsewhere``."""
    torch.manual_seed(0)
    spec = replace(recipe(**changes).spec(), trained_on="elsewhere")
    model = RcdNet(spec)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.fill_(-3.0)[spec.index(label)] = 3.0
    checkpoint.save(model, folder / "teacher.safetensors")
    return folder / "teacher.safetensors"
