import errno
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rcdnet import checkpoint
from rcdnet.errors import CheckpointError
from rcdnet.model import RcdNet
from rcdnet.spec import SPEC_KEY


@pytest.fixture
def path(untrained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(untrained / "rcdnet.safetensors", tmp_path))


def test_what_was_saved_is_what_is_loaded(path: Path, tmp_path: Path) -> None:
    model = checkpoint.load(path)
    again = tmp_path / "new" / "again.safetensors"
    spec = checkpoint.save(model, again)
    assert spec == model.spec == checkpoint.read_spec(again)
    assert not model.training
    for name, value in checkpoint.load(again).state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], atol=0, rtol=0)


def test_whoever_may_read_other_files_may_read_the_weights(path: Path, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    checkpoint.save(checkpoint.load(path), tmp_path / "weights")
    assert (tmp_path / "weights").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_file_that_cannot_be_written_is_an_error_of_the_disk(path: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot be written"):
        checkpoint.save(checkpoint.load(path), tmp_path)


def test_a_full_disk_leaves_the_weights_that_were_to_be_replaced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def filling(file: Path, data: bytes) -> None:
        with file.open("wb") as opened:
            opened.write(data[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    model = checkpoint.load(path)
    monkeypatch.setattr(Path, "write_bytes", filling)
    with pytest.raises(OSError, match=r"cannot be written: .*No space left"):
        checkpoint.save(model, path)
    assert checkpoint.load(path).spec == model.spec


def test_an_altered_weight_is_found(path: Path) -> None:
    tensors = load_file(path)
    tensors["classifier.bias"][0] += 1
    save_file(tensors, path, {SPEC_KEY: checkpoint.read_spec(path).to_json()})
    with pytest.raises(CheckpointError, match="not the file that its spec describes"):
        checkpoint.load(path)


def test_a_truncated_file_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint.load(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent\.safetensors"):
        checkpoint.load(tmp_path / "absent.safetensors")


def test_somebody_elses_safetensors_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="not an RcdNet checkpoint"):
        checkpoint.load(tmp_path / "other.safetensors")


def test_weights_of_another_network_are_refused(path: Path) -> None:
    tensors = load_file(path)
    del tensors["classifier.bias"]
    spec = replace(checkpoint.read_spec(path), weights_sha256=checkpoint.tensors_sha256(tensors))
    save_file(tensors, path, {SPEC_KEY: spec.to_json()})
    with pytest.raises(CheckpointError, match="does not fit"):
        checkpoint.load(path)


def test_a_backbone_that_nobody_knows_is_refused(path: Path) -> None:
    spec = replace(checkpoint.read_spec(path), backbone="no_such_network")
    save_file(load_file(path), path, {SPEC_KEY: spec.to_json()})
    with pytest.raises(CheckpointError, match="does not fit RcdNet on no_such_network"):
        checkpoint.load(path)


def test_the_hash_sees_names_shapes_and_types() -> None:
    zeros = torch.zeros(2, 3)
    variants = [{"a": zeros}, {"b": zeros}, {"a": zeros.T.contiguous()}, {"a": zeros.int()}, {"a": zeros + 1}]
    assert len({checkpoint.tensors_sha256(tensors) for tensors in variants}) == len(variants)
    assert checkpoint.tensors_sha256({"a": zeros, "b": zeros}) == checkpoint.tensors_sha256({"b": zeros, "a": zeros})


def test_half_precision_is_all_that_is_lost(path: Path) -> None:
    model = checkpoint.load(path)
    assert isinstance(model, RcdNet)
    assert all(p.dtype == torch.float32 and torch.equal(p, p.half().float()) for p in model.parameters())
