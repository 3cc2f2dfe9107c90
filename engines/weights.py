"""The files in a folder of weights, as engines read them: a missing or altered one raises WeightsError."""

from pathlib import Path

from engines.errors import WeightsError
from rcdnet import onnx_file
from rcdnet.golden import Golden, GoldenError
from rcdnet.spec import ModelSpec
from rcdnet.weights import GOLDEN, ONNX


def read_onnx(weights: Path) -> tuple[bytes, ModelSpec]:
    """The network as ONNX, and what its weights mean. Raises WeightsError."""
    try:
        return onnx_file.read(weights / ONNX.name)
    except onnx_file.OnnxFileError as error:
        raise WeightsError(str(error)) from error


def read_golden(weights: Path) -> Golden:
    """The golden set of these weights. Raises WeightsError."""
    try:
        return Golden.load(weights / GOLDEN.name)
    except GoldenError as error:
        raise WeightsError(str(error)) from error
