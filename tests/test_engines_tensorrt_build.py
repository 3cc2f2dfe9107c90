"""What can be known of the TensorRT engine without TensorRT: the graph against the source of the real Torch-TensorRT.

The wheel is unpacked beside the environment by ``make .venv/dev``, without its dependencies, so it cannot be imported:
its source is parsed.
"""

import ast
import importlib.util
import inspect
import json
import logging
from collections.abc import Iterator
from io import StringIO
from logging.config import dictConfig
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Optional

import pytest
import torch
from torch._export.utils import _collect_all_valid_cia_ops_for_aten_namespace, _get_decomp_for_cia

from engines import catalog, nvidia
from engines.errors import EngineUnavailable
from engines.half import HalfNet
from engines.tensorrt_build import (
    BATCHES,
    BUILD_OPTIONS,
    DEBUGGER_OPTIONS,
    IMAGE,
    OUTPUTS,
    TENSORRT_LOGGER,
    TensorrtNet,
    build,
    exported,
    precision_of,
    reasons_told,
    root_logging_kept,
)
from rcdnet import checkpoint
from tests.programs import ROOT

DYNAMO = ROOT / ".venv" / "torch_tensorrt" / "torch_tensorrt" / "dynamo"

REMOVED = {"aten._assert_tensor_metadata.default"}
"""What Torch-TensorRT takes out of a graph before it converts it (lowering/passes/remove_assert_nodes.py)."""


def parsed(path: str) -> ast.Module:
    return ast.parse((DYNAMO / path).read_text(encoding="utf-8"))


def decorated(tree: ast.AST, decorator: str) -> Iterator[str]:
    """The first argument of every use of a decorator, as written: ``torch.ops.aten.add.Tensor``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and ast.unparse(call.func) == decorator:
                    yield ast.unparse(call.args[0]).removeprefix("torch.ops.")


def parameters(path: str, function: str) -> set[str]:
    """The named parameters of a function, or of Class.method, without ``**kwargs``."""
    found: ast.AST = parsed(path)
    for part in function.split("."):
        found = next(node for node in ast.walk(found) if getattr(node, "name", None) == part)
    assert isinstance(found, ast.FunctionDef)
    return {argument.arg for argument in (*found.args.args, *found.args.kwonlyargs)}


@pytest.fixture(scope="module")
def program(untrained: Path) -> torch.export.ExportedProgram:
    return exported(TensorrtNet(checkpoint.load(untrained / "rcdnet.safetensors")), 1)


@pytest.fixture(scope="module")
def groups() -> ModuleType:
    """Torch-TensorRT's choice of decompositions: the one file of it that needs nothing but PyTorch."""
    spec = importlib.util.spec_from_file_location("groups", DYNAMO / "lowering" / "_decomposition_groups.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def operators(program: torch.export.ExportedProgram, groups: ModuleType) -> set[str]:
    """Of the graph as Torch-TensorRT's ``get_decompositions`` leaves it."""
    table = dict(groups.ENABLED_TORCH_DECOMPOSITIONS)
    for op in _collect_all_valid_cia_ops_for_aten_namespace():
        if op not in groups.torch_disabled_decompositions:
            table[op] = _get_decomp_for_cia(op)
    graph = program.run_decompositions(table).graph
    return {str(node.target) for node in graph.nodes if node.op == "call_function"} - REMOVED


@pytest.fixture(scope="module")
def converters() -> set[str]:
    files = ("aten_ops_converters", "ops_evaluators", "prims_ops_converters", "custom_ops_converters")
    return {
        name
        for file in files
        for name in decorated(parsed(f"conversion/{file}.py"), "dynamo_tensorrt_converter")
    }  # fmt: skip


def test_the_wheel_is_there() -> None:
    assert DYNAMO.is_dir(), f"{DYNAMO} is missing; make .venv/dev unpacks it"


def test_it_stays_out_of_the_way_of_imports() -> None:
    """Or ``find_spec`` would say that Torch-TensorRT is installed."""
    found = importlib.util.find_spec("torch_tensorrt")
    assert found is None or ".venv/torch_tensorrt/" not in str(found.origin)


def test_every_operator_has_a_converter(operators: set[str], converters: set[str]) -> None:
    assert "aten.convolution.default" in operators
    assert sorted(operators - converters) == []


def test_no_scalar_is_expanded_to_the_size_of_the_maps(operators: set[str]) -> None:
    """Torch-TensorRT leaves tensors of as many dimensions as they are; a scalar has none."""
    assert "aten.clamp.Tensor" in operators
    assert "aten.clamp.default" not in operators
    source = (DYNAMO / "conversion" / "impl" / "elementwise" / "base.py").read_text(encoding="utf-8")
    assert "if len(lhs_val.shape) == len(rhs_val.shape) and all(" in source


def test_a_gap_would_be_found(converters: set[str]) -> None:
    """The pooling that CBAM was first written with has none, which is why it is not used."""
    assert len(converters) > 150
    assert "aten.adaptive_max_pool2d.default" not in converters


def test_assertions_are_still_taken_out_of_the_graph() -> None:
    source = (DYNAMO / "lowering" / "passes" / "remove_assert_nodes.py").read_text(encoding="utf-8")
    assert "_assert_tensor_metadata" in source


def test_only_the_scaling_and_the_end_are_cast(program: torch.export.ExportedProgram, groups: ModuleType) -> None:
    """uint8 -> float32 -> float16 -> float32: each further cast would stand between two kernels."""
    lowered = program.run_decompositions(dict(groups.ENABLED_TORCH_DECOMPOSITIONS))
    casts = [node.meta["val"].dtype for node in lowered.graph.nodes if "_to_copy" in str(node.target)]
    assert casts == [torch.float32, torch.float16, torch.float32]


def test_the_picture_is_cast_before_anything_else(program: torch.export.ExportedProgram) -> None:
    """TensorRT takes uint8 at the border of a network alone."""
    (image,) = [node for node in program.graph.nodes if node.name == "images"]
    users = [user for user in image.users if "_assert" not in str(user.target)]
    assert [user.meta["val"].dtype for user in users] == [torch.float32]


def test_every_keyword_exists() -> None:
    convert = "convert_exported_program_to_serialized_trt_engine"
    known = parameters("_compiler.py", convert)
    assert {*BUILD_OPTIONS, "timing_cache_path", "arg_inputs"} <= known
    assert "enabled_precisions" not in known  # strongly typed alone: nothing else would ask for half precision
    assert {*DEBUGGER_OPTIONS, "logging_dir"} <= parameters("debug/_Debugger.py", "Debugger.__init__")


def attributes(tree: ast.AST, of: tuple[str, ...] = ("",)) -> set[str]:
    """The names of what is asked of expressions that begin with one of ``of``."""
    asked = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return {node.attr for node in asked if ast.unparse(node.value).startswith(of)}


def test_every_name_of_tensorrt_is_one_that_torch_tensorrt_uses() -> None:
    ours = ast.parse((ROOT / "engines" / "tensorrt_fp16.py").read_text(encoding="utf-8"))
    asked = attributes(ours, ("tensorrt", "engine", "inspector", "context", "self._engine"))
    assert {"Runtime", "get_engine_information", "set_tensor_address", "execute_async_v3"} <= asked
    sources = (path.read_text(encoding="utf-8") for path in DYNAMO.parent.rglob("*.py"))
    used = {name for source in sources if "import tensorrt as trt" in source for name in attributes(ast.parse(source))}
    assert sorted(asked - used) == []
    assert "get_engineinformation" not in used  # an earlier slip of ours, which no machine without TensorRT ran


def test_tf32_is_turned_off_by_its_keyword() -> None:
    """TensorRT's default is to let it in."""
    assert BUILD_OPTIONS["disable_tf32"] is True
    source = " ".join((DYNAMO / "conversion" / "_TRTInterpreter.py").read_text(encoding="utf-8").split())
    assert "if self.compilation_settings.disable_tf32: builder_config.clear_flag(trt.BuilderFlag.TF32)" in source


def test_the_debugger_leaves_our_logging_as_it_was(tmp_path: Path) -> None:
    """With the settings that Torch-TensorRT's own source gives it, on entering and on leaving."""
    tree = parsed("debug/_Debugger.py")
    (method,) = [node for node in ast.walk(tree) if getattr(node, "name", "") == "get_logging_config"]
    names: dict[str, Any] = {"Optional": Optional, "Any": Any}
    exec(compile(ast.unparse(method), "_Debugger.py", "exec"), names)
    debugger = SimpleNamespace(original_lvl=logging.INFO, cfg=SimpleNamespace(logging_dir=str(tmp_path)))
    root, told = logging.getLogger(), StringIO()
    ours = logging.StreamHandler(told)
    root.addHandler(ours)
    before = root.handlers[:], root.level
    try:
        with root_logging_kept():
            for level in (logging.WARNING, None):
                dictConfig(names["get_logging_config"](debugger, level))
            assert ours not in root.handlers
        assert (root.handlers, root.level) == before
        root.warning("after it")
    finally:
        root.removeHandler(ours)
    assert told.getvalue() == "after it\n"


def test_why_tensorrt_builds_nothing_is_told() -> None:
    """Torch-TensorRT then fails an assertion without a word, and its Debugger silences TensorRT's logger."""
    assert f'logging.getLogger("{TENSORRT_LOGGER}")' in (DYNAMO.parent / "logging.py").read_text(encoding="utf-8")
    logger = logging.getLogger(TENSORRT_LOGGER)

    @reasons_told()
    @root_logging_kept()
    def build(*errors: str, raised: str) -> None:
        logging.getLogger().setLevel(logging.CRITICAL)
        logger.warning("Try a larger workspace")
        for error in errors:
            logger.error(error)
        raise RuntimeError(raised)

    with pytest.raises(RuntimeError, match=r"^Error Code 2: OutOfMemory; Error Code 10: no implementation$"):
        build("Skipping tactic", "Error Code 2: OutOfMemory", "Error Code 10: no implementation", raised="an error: ")
    with pytest.raises(RuntimeError, match=r"^no converter$"):
        build(raised="no converter")
    assert (logger.handlers, logger.level) == ([], logging.NOTSET)


def test_nobody_is_asked_to_install_what_a_build_does_not_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "torch_tensorrt.py").write_text(
        "import logging\n"
        "logging.getLogger('torch_tensorrt.dynamo.conversion').warning('Please install modelopt')\n"
        "raise ImportError('a stand-in')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="a stand-in"):
        build(tmp_path)
    assert caplog.records == []


def test_both_names_can_be_reached() -> None:
    imports = [node for node in ast.walk(parsed("__init__.py")) if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in imports for alias in node.names}
    assert {"convert_exported_program_to_serialized_trt_engine", "Debugger"} <= names


def test_the_debugger_is_what_makes_layers_tell_their_types() -> None:
    source = " ".join((DYNAMO / "conversion" / "_TRTInterpreter.py").read_text(encoding="utf-8").split())
    assert "trt.ProfilingVerbosity.DETAILED if self._debugger_config else" in source


def test_the_binding_names_fit_the_graph(program: torch.export.ExportedProgram) -> None:
    assert len(program.graph_signature.user_inputs) == len(BUILD_OPTIONS["arg_input_binding_names"]) == len((IMAGE,))
    assert len(program.graph_signature.user_outputs) == len(OUTPUTS)


def test_the_exported_graph_is_the_network(program: torch.export.ExportedProgram, untrained: Path) -> None:
    network = HalfNet(checkpoint.load(untrained / "rcdnet.safetensors"))
    images = torch.randint(0, 256, (1, 96, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        for found, expected in zip(program.module()(images), network(images), strict=True):
            torch.testing.assert_close(found, expected)


def test_batches_cover_every_number_of_pictures() -> None:
    assert sorted(BATCHES, reverse=True) == list(BATCHES)
    assert BATCHES[-1] == 1


def test_a_capture_asks_pytorch_for_keywords_that_it_has() -> None:
    assert {"stream", "capture_error_mode"} <= set(inspect.signature(torch.cuda.graph.__init__).parameters)
    assert {"enabled", "benchmark", "deterministic", "allow_tf32"} <= set(
        inspect.signature(torch.backends.cudnn.flags).parameters
    )


def layers(*outputs: dict[str, str]) -> str:
    return json.dumps({"Layers": [{"Name": "conv", "LayerType": "CaskConvolution", "Outputs": [o]} for o in outputs]})


def test_the_precision_is_read_from_the_layers_of_either_tensorrt() -> None:
    ten = {"Name": "a", "Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}
    eleven = {"Name": "a", "Format": "kHWC8", "DataType": "Half"}
    wide = {"Name": "a", "Format/Datatype": "Row major linear FP32"}
    wide_eleven = {"Name": "a", "Format": "kLINEAR", "DataType": "Float"}
    assert precision_of(layers(ten, ten, wide)) == precision_of(layers(eleven, wide_eleven, eleven)) == "f16"
    assert precision_of(layers(ten, wide, wide)) == precision_of(layers(wide_eleven)) == "f32"


def test_an_engine_that_does_not_tell_is_not_believed() -> None:
    with pytest.raises(RuntimeError, match="does not say in which precision"):
        precision_of(json.dumps({"Layers": ["conv1", "conv2"]}))
    with pytest.raises(RuntimeError, match="does not say in which precision"):
        precision_of("{}")


@pytest.mark.parametrize("package", ["tensorrt", "torch_tensorrt", "torch"])
def test_a_missing_library_is_one_line_with_the_mend(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "absent", lambda: None)  # as if there were a GPU
    monkeypatch.setattr(catalog, "find_spec", lambda name: None if name == package else object())
    with pytest.raises(EngineUnavailable, match=rf'{package} is not installed.*"\.\[tensorrt\]"$') as refusal:
        catalog.build_artefact("tensorrt_fp16")
    assert "\n" not in str(refusal.value)
