import json
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines import cache, nvidia
from engines.cache import RECIPE, Artefact, ArtefactError, Key, key_here, missing, read, root, write
from engines.errors import EngineUnavailable
from engines.fake import SPEC

KEY = Key(
    engine="tensorrt_fp16",
    weights_sha256="ab" * 32,
    spec="5bec",
    tensorrt="11.1.0",
    torch_tensorrt="2.14.0",
    driver="580.65.06",
    gpu="NVIDIA GeForce RTX 3090",
    capability="8.6",
    recipe="c0de",
)
ARTEFACT = Artefact({"batch1.engine": b"one", "batch8.engine": b"eight"}, "f16")


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user who has built nothing yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def folder() -> Path:
    """Where built engines are, with ARTEFACT among them."""
    write(KEY, ARTEFACT)
    return root()


def place(folder: Path) -> Path:
    return folder / KEY.digest


@pytest.mark.usefixtures("folder")
def test_what_was_written_is_read() -> None:
    assert read(KEY) == ARTEFACT


def test_building_again_replaces_it(folder: Path) -> None:
    write(KEY, Artefact({"batch1.engine": b"new"}, "f16"))
    assert read(KEY).files == {"batch1.engine": b"new"}
    assert [path.name for path in folder.iterdir()] == [KEY.digest]


def test_nobody_else_may_look(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(place(folder).stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in place(folder).iterdir()} == {0o600}


def test_a_folder_that_all_may_write_becomes_one_s_own() -> None:
    root().mkdir(parents=True)
    root().chmod(0o777)
    write(KEY, ARTEFACT)
    assert read(KEY) == ARTEFACT


@given(name=st.sampled_from([field.name for field in fields(Key)]), value=st.text(min_size=1))
def test_every_ingredient_changes_the_key(name: str, value: str) -> None:
    other = replace(KEY, **{name: value})
    assert (other.digest == KEY.digest) == (other == KEY)


@given(st.lists(st.text(), min_size=len(fields(Key)), max_size=len(fields(Key))))
def test_ingredients_do_not_run_into_each_other(values: list[str]) -> None:
    shifted = [values[0] + values[1], "", *values[2:]]
    assert (Key(*shifted).digest == Key(*values).digest) == (shifted == values)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """One with a GPU and these versions, and with the code that decides what is built in ``tmp_path``."""
    versions = {"tensorrt-cu13": "11.1.0", "torch-tensorrt": "2.14.0"}

    def version(package: str) -> str:
        if package not in versions:
            raise PackageNotFoundError(package)
        return versions[package]

    monkeypatch.setattr(cache, "version", version)
    monkeypatch.setattr(nvidia, "gpu", lambda: nvidia.Gpu("NVIDIA GeForce RTX 3090", "8.6", "580.65.06"))
    for name in RECIPE:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(cache.CODE / name, tmp_path / name)
    monkeypatch.setattr(cache, "CODE", tmp_path)
    return versions


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("change", [{"mean": 0.4}, {"std": 0.3}, {"height_px": 256}, {"weights_sha256": "cd" * 32}])
def test_other_weights_or_another_scaling_of_the_input_is_another_key(change: dict[str, Any]) -> None:
    assert key_here("tensorrt_fp16", SPEC) == key_here("tensorrt_fp16", replace(SPEC))
    assert key_here("tensorrt_fp16", SPEC) != key_here("tensorrt_fp16", replace(SPEC, **change))


@pytest.mark.parametrize("package", ["tensorrt-cu13", "torch-tensorrt"])
def test_another_version_is_another_key_and_none_is_told(machine: dict[str, str], package: str) -> None:
    before = key_here("tensorrt_fp16", SPEC)
    machine[package] = "99"
    assert key_here("tensorrt_fp16", SPEC) != before
    del machine[package]
    with pytest.raises(EngineUnavailable, match=r'TensorRT is not installed: it comes with .*"\.\[tensorrt\]"'):
        key_here("tensorrt_fp16", SPEC)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("name", ["half.py", "tensorrt_build.py", "model.py", "blocks.py"])
def test_other_code_of_the_network_or_its_build_is_another_key(tmp_path: Path, name: str) -> None:
    before = key_here("tensorrt_fp16", SPEC)
    (path,) = [tmp_path / each for each in RECIPE if each.endswith(f"/{name}")]
    path.write_text(path.read_text() + "# changed\n")
    assert key_here("tensorrt_fp16", SPEC) != before


def test_what_was_never_built_says_how_to() -> None:
    with pytest.raises(ArtefactError, match=r"RTX 3090.*build it with: python -m engines build tensorrt_fp16$"):
        read(KEY)


def test_a_folder_that_cannot_be_read_is_one_line() -> None:
    root().parent.mkdir()
    root().write_text("no folder")
    with pytest.raises(ArtefactError, match=r"cannot be read.*build it with"):
        read(KEY)


def test_one_of_another_machine_is_refused_with_the_difference(folder: Path) -> None:
    other = replace(KEY, gpu="NVIDIA H200", capability="9.0")
    place(folder).rename(folder / other.digest)
    with pytest.raises(ArtefactError, match="built for gpu NVIDIA GeForce RTX 3090 and not NVIDIA H200, capability"):
        read(other)


def altered(path: Path) -> None:
    (path / "batch1.engine").write_bytes(b"evil")


def without_a_file(path: Path) -> None:
    (path / "batch8.engine").unlink()


def without_a_manifest(path: Path) -> None:
    (path / "manifest.json").unlink()


def half_a_manifest(path: Path) -> None:
    (path / "manifest.json").write_text("{")


def manifest_of_another_kind(path: Path) -> None:
    (path / "manifest.json").write_text("[]")


def names_a_file_elsewhere(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["sha256"] = {"../../secret": "00"}
    (path / "manifest.json").write_text(json.dumps(manifest))


def a_link(path: Path) -> None:
    (path / "batch1.engine").rename(path.parent / "elsewhere")
    (path / "batch1.engine").symlink_to(path.parent / "elsewhere")


def linked_folder(path: Path) -> None:
    path.rename(path.parent / "elsewhere")
    path.symlink_to(path.parent / "elsewhere")


def group_writable_file(path: Path) -> None:
    (path / "batch1.engine").chmod(0o620)


def group_writable_folder(path: Path) -> None:
    path.chmod(0o770)


def group_writable_root(path: Path) -> None:
    path.parent.chmod(0o777)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (altered, "was altered after it was built"),
        (without_a_file, "batch8.engine cannot be read"),
        (without_a_manifest, "manifest.json cannot be read"),
        (half_a_manifest, "is damaged"),
        (manifest_of_another_kind, "is damaged"),
        (names_a_file_elsewhere, "secret cannot be read"),
        (a_link, "batch1.engine cannot be read"),
        (linked_folder, "is a link"),
        (group_writable_file, "may be written by others"),
        (group_writable_folder, "may be written by others"),
        (group_writable_root, "may be written by others"),
    ],
)
def test_what_was_tampered_with_is_refused_in_one_line(
    folder: Path, damage: Callable[[Path], None], words: str
) -> None:
    damage(place(folder))
    with pytest.raises(ArtefactError, match=rf"{words}.*build it with: python -m engines build") as refusal:
        read(KEY)
    assert "\n" not in str(refusal.value)


@pytest.mark.usefixtures("folder")
def test_what_belongs_to_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda owner=os.getuid(): owner + 1)
    with pytest.raises(ArtefactError, match="belongs to user"):
        read(KEY)


def test_a_disk_that_refuses_is_one_line() -> None:
    root().parent.mkdir()
    root().write_text("no folder")
    with pytest.raises(ArtefactError, match="cannot keep a built engine"):
        write(KEY, ARTEFACT)


def test_a_disk_that_is_full_keeps_what_was_built_before_and_nothing_else(folder: Path) -> None:
    with pytest.raises(ArtefactError, match="cannot keep a built engine"):
        write(KEY, Artefact({"batch1.engine": b"new", "x" * 300: b"no name is as long"}, "f16"))
    assert read(KEY) == ARTEFACT
    assert [path.name for path in folder.iterdir()] == [KEY.digest]


def test_the_manifest_holds_the_key_and_the_precision(folder: Path) -> None:
    manifest = json.loads((place(folder) / "manifest.json").read_text())
    assert manifest["key"] == asdict(KEY)
    assert manifest["precision"] == "f16"


def test_the_place_follows_the_platform(tmp_path: Path) -> None:
    assert root() == tmp_path / "rcdnet-live" / "engines"


def test_without_a_gpu_or_without_a_built_engine_there_is_a_reason(untrained: Path) -> None:
    reason = missing(untrained, "tensorrt_fp16")
    assert reason is not None
    assert "\n" not in reason
