"""The shipped model: where its files lie."""

from pathlib import Path

SHIPPED = Path(__file__).parent
CHECKPOINT = SHIPPED / "rcdnet.safetensors"
ONNX = SHIPPED / "rcdnet.onnx"
GOLDEN = SHIPPED / "golden.npz"
