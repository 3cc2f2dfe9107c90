"""The shipped model: where its files lie. Any folder with files of these names is a model."""

from pathlib import Path

SHIPPED = Path(__file__).parent
CHECKPOINT = SHIPPED / "rcdnet.safetensors"
ONNX = SHIPPED / "rcdnet.onnx"
GOLDEN = SHIPPED / "golden.npz"


def how_made(folder: Path) -> str:
    """How to repair a folder of weights whose ONNX file or golden set is missing or of another network."""
    return f"make it with: python -m rcdnet.export {folder / CHECKPOINT.name}"
