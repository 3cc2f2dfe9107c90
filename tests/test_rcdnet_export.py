import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from typer.testing import CliRunner, Result

import rcdnet.export
from rcdnet import checkpoint, onnx_file
from rcdnet.golden import Golden, GoldenError, pictures
from rcdnet.onnx_file import OnnxFileError
from rcdnet.spec import ModelSpec


@pytest.fixture
def path(untrained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(untrained / "rcdnet.onnx", tmp_path))


def test_onnxs_own_reference_computes_what_pytorch_computed(untrained: Path) -> None:
    golden = Golden.load(untrained / "golden.npz")
    session = ReferenceEvaluator(str(untrained / "rcdnet.onnx"))
    logits, maps = session.run(["logits", "class_maps"], {"image": golden.images[:2]})
    np.testing.assert_allclose(logits, golden.logits[:2], atol=2e-3)
    np.testing.assert_allclose(maps, golden.class_maps[:2], atol=5e-3)


def test_the_batch_is_free_and_the_rest_is_not(path: Path) -> None:
    model = onnx.load(path)
    (image,) = model.graph.input
    assert image.name == "image"
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim] == ["n", 96, 128]
    assert [output.name for output in model.graph.output] == ["logits", "class_maps"]


def test_the_picture_is_cast_before_anything_else(path: Path) -> None:
    """TensorRT takes uint8 at the border of a network alone."""
    readers = [node for node in onnx.load(path).graph.node if "image" in node.input]
    assert [node.op_type for node in readers] == ["Cast"]


def test_the_spec_travels_with_it(path: Path, untrained: Path) -> None:
    data, spec = onnx_file.read(path)
    assert data == path.read_bytes()
    assert spec == checkpoint.read_spec(untrained / "rcdnet.safetensors")


def test_halving_changes_no_value_and_nearly_halves_the_file(path: Path, untrained: Path) -> None:
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    for name, value in checkpoint.load(untrained / "rcdnet.safetensors").state_dict().items():
        if f"{name}.float16" in stored:
            np.testing.assert_array_equal(stored[f"{name}.float16"].astype(np.float32), value.numpy())
    assert path.stat().st_size < 0.6 * 4 * sum(value.size for value in stored.values())


def test_it_says_nothing_of_the_machine_it_was_made_on(path: Path) -> None:
    assert str(Path(rcdnet.export.__file__).parents[1]).encode() not in path.read_bytes()


def test_an_altered_weight_is_found(path: Path) -> None:
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] += 1
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, path)
    with pytest.raises(OnnxFileError, match="altered after export"):
        onnx_file.read(path)


def test_an_altered_spec_is_found(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"temperature":1.0', b'"temperature":2.0'))
    with pytest.raises(OnnxFileError, match="altered after export"):
        onnx_file.read(path)


def test_a_truncated_file_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(OnnxFileError, match="not ONNX"):
        onnx_file.read(path)


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(OnnxFileError, match=r"python -m rcdnet\.export"):
        onnx_file.read(tmp_path / "rcdnet.onnx")


def test_somebody_elses_onnx_is_refused(path: Path) -> None:
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(OnnxFileError, match=r"rcdnet\.export did not write it"):
        onnx_file.read(path)


def test_golden_pictures_are_seeded_and_differ() -> None:
    spec = ModelSpec(("a", "b"), 64, 80, 0.5, 0.25, "none")
    images = pictures(spec, 5)
    np.testing.assert_array_equal(images, pictures(spec, 5))
    assert len({image.tobytes() for image in images}) == 5
    assert images.shape == (5, 64, 80)


def test_the_same_golden_set_is_the_same_file(untrained: Path, tmp_path: Path) -> None:
    golden = Golden.load(untrained / "golden.npz")
    golden.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (untrained / "golden.npz").read_bytes()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x93NUMPY"])
def test_a_broken_golden_set_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "golden.npz").write_bytes(content)
    with pytest.raises(GoldenError, match=r"golden\.npz"):
        Golden.load(tmp_path / "golden.npz")


@given(st.data())
def test_a_golden_set_with_a_wrong_byte_is_refused_or_the_same(untrained: Path, data: st.DataObject) -> None:
    whole = (untrained / "golden.npz").read_bytes()
    broken = bytearray(whole)
    broken[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "golden.npz"
        path.write_bytes(broken)
        try:
            golden = Golden.load(path)
        except GoldenError:
            return
    np.testing.assert_array_equal(golden.logits, Golden.load(untrained / "golden.npz").logits)


def command(*arguments: object) -> Result:
    app = rcdnet.export.typer.Typer()
    app.command()(rcdnet.export.main)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_checkpoint_of_any_name_becomes_a_folder_of_weights_and_each_file_is_named(untrained: Path) -> None:
    names = ("rcdnet.safetensors", "rcdnet.onnx", "golden.npz")
    assert untrained.with_suffix(".txt").read_text() == "".join(f"{untrained / name}\n" for name in names)
    assert sorted(file.name for file in untrained.iterdir()) == sorted(names)
    given = untrained.with_suffix(".safetensors")
    assert (untrained / "rcdnet.safetensors").read_bytes() == given.read_bytes()


def test_what_the_golden_set_is_is_said(untrained: Path) -> None:
    told = re.search(
        r"answers to 16 synthetic pictures, by which engines are verified; its surest class is "
        r"normal on (\d+), benign on (\d+), malignant on (\d+)\.",
        untrained.with_suffix(".err").read_text(),
    )
    assert told is not None
    assert sum(map(int, told.groups())) == 16


def test_a_second_export_gives_the_same_bytes(untrained: Path, tmp_path: Path) -> None:
    result = command(untrained.with_suffix(".safetensors"), "--out", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    for name in ("rcdnet.safetensors", "rcdnet.onnx", "golden.npz"):
        assert (tmp_path / "mine" / name).read_bytes() == (untrained / name).read_bytes()


def test_a_folder_that_cannot_be_written_is_one_line_and_exit_code_2(untrained: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    result = command(untrained / "rcdnet.safetensors", "--out", tmp_path / "file")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: cannot write to ")
    assert len(result.stderr.splitlines()) == 1


def test_a_missing_checkpoint_is_one_line_and_exit_code_4(tmp_path: Path) -> None:
    result = command(tmp_path / "absent.safetensors")
    assert result.exit_code == 4
    assert result.stderr.startswith(f"error: {tmp_path / 'absent.safetensors'}")
    assert result.stdout == ""
