"""Checkpoint -> a folder of weights, as engines load it: ``python -m rcdnet.export CHECKPOINT --out FOLDER``."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import torch
import typer
from onnx import TensorProto, helper, numpy_helper

from rcdnet import checkpoint, onnx_file
from rcdnet.errors import CheckpointError
from rcdnet.golden import Golden, pictures
from rcdnet.spec import ModelSpec
from rcdnet.weights import CHECKPOINT, GOLDEN, ONNX

OPSET = 18
"""Old enough for every recent runtime, new enough for the exporter to need no conversion."""


def export(checkpoint_path: Path, onnx_path: Path) -> ModelSpec:
    """Write ``image`` uint8 [N, H, W] -> ``logits`` float32 [N, K], ``class_maps`` float32 [N, K, h, w], N free.

    One file, sealed (``rcdnet.onnx_file``). Returns its spec. Raises CheckpointError.
    """
    model = checkpoint.load(checkpoint_path)
    example = torch.zeros(2, model.spec.height_px, model.spec.width_px, dtype=torch.uint8)
    program = torch.onnx.export(
        model,
        (example,),
        input_names=["image"],
        output_names=["logits", "class_maps"],
        dynamic_shapes={"images": {0: torch.export.Dim("n", min=1)}},
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # it is None only for dynamo=False
    graph = program.model_proto
    strip(graph)
    halve(graph)
    onnx.checker.check_model(graph)
    onnx_file.write(graph, model.spec, onnx_path)
    return model.spec


def strip(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes, which quote source lines and paths of the machine it ran on."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


def halve(model: onnx.ModelProto) -> None:
    """Store float32 initializers as float16 with a Cast after each, where that changes no value.

    A checkpoint holds values rounded to float16, so nearly all qualify; the exporter's own products (batch norms that
    it folded) keep float32.
    """
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.nbytes < 1024 or np.abs(values).max() > np.finfo(np.float16).max:
            continue
        half = values.astype(np.float16)
        if np.array_equal(half.astype(np.float32), values):
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.float16"))
            casts.append(helper.make_node("Cast", [tensor.name], [name], f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def write_golden(checkpoint_path: Path, golden_path: Path) -> Golden:
    """Write the outputs of the float32 PyTorch reference for ``golden.pictures``. Raises CheckpointError."""
    model = checkpoint.load(checkpoint_path)
    images = pictures(model.spec)
    with torch.inference_mode():
        logits, class_maps = model(torch.from_numpy(images))
    golden = Golden(images, logits.numpy(), class_maps.numpy(), model.spec)
    golden.save(golden_path)
    return golden


def main(
    weights: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A .safetensors file of rcdnet.checkpoint.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write to; by default the checkpoint's own.")] = None,
) -> None:
    """Write rcdnet.onnx and golden.npz beside rcdnet.safetensors. Exit code 4 if the checkpoint cannot be read, 2 if
    the files cannot be written."""
    folder = out or weights.parent
    copy, network, golden_set = (folder / file.name for file in (CHECKPOINT, ONNX, GOLDEN))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        spec = export(weights, network)
        golden = write_golden(weights, golden_set)
        if not (copy.exists() and copy.samefile(weights)):
            shutil.copyfile(weights, copy)
    except CheckpointError as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(4) from error
    except OSError as error:
        sys.stderr.write(f"error: cannot write to {folder}: {error.strerror}. Give a folder that can be written.\n")
        raise typer.Exit(2) from error
    surest = np.bincount(golden.logits.argmax(1), minlength=len(spec.class_names))
    told = ", ".join(f"{name} on {count}" for name, count in zip(spec.class_names, surest, strict=True))
    sys.stderr.write(
        f"{GOLDEN.name} has this network's answers to {len(golden.images)} synthetic pictures, by which engines are "
        f"verified; its surest class is {told}. They do not tell how good it is.\n"
    )
    sys.stdout.writelines(f"{file}\n" for file in (copy, network, golden_set))


if __name__ == "__main__":
    typer.run(main)
