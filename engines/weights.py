"""The files in a folder of weights, as engines read them: one missing or altered raises WeightsError, all NoWeights."""

from contextlib import suppress
from pathlib import Path

from engines.errors import NoWeights, WeightsError
from rcdnet import onnx_file
from rcdnet.golden import Golden, GoldenError
from rcdnet.spec import ModelSpec
from rcdnet.weights import CHECKPOINT, GOLDEN, ONNX


def read_onnx(weights: Path) -> tuple[bytes, ModelSpec]:
    """The network as ONNX, and what its weights mean. Raises WeightsError."""
    require_folder_of_weights(weights)
    try:
        return onnx_file.read(weights / ONNX.name)
    except onnx_file.OnnxFileError as error:
        raise WeightsError(str(error)) from error


def read_golden(weights: Path) -> Golden:
    """The golden set of these weights. Raises WeightsError."""
    require_folder_of_weights(weights)
    try:
        return Golden.load(weights / GOLDEN.name)
    except GoldenError as error:
        raise WeightsError(str(error)) from error


def require_folder_of_weights(path: Path) -> None:
    """Raises NoWeights if it is none: a checkpoint, a run folder, or a name that does not exist."""
    with suppress(OSError):  # it may not be looked into, which is told when it is read
        if not any((path / file.name).is_file() for file in (CHECKPOINT, ONNX, GOLDEN)):
            made_of = path if path.is_file() and path.suffix == CHECKPOINT.suffix else "CHECKPOINT"
            raise NoWeights(
                f"{path} is not a folder of weights. Make one with: python -m rcdnet.export {made_of} --out FOLDER"
            )
