"""Where does a contestant find the packages that it needs, in the versions that it needs?"""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.report import err
from engines import cache
from rcdnet.extras import install

REQUIREMENTS = {
    "opencv_timm_torchcam": (
        "torchcam==0.5.0",
        *("numpy", "opencv-python-headless", "psutil", "pydantic", "safetensors", "timm", "torch", "torchvision"),
    ),
    "roboflow_inference": ("inference==1.8.3",),
}
"""The packages of each environment; one without a version gets the version that we have. Contestants that are not named
here run in our environment."""


class PeerError(RuntimeError):
    """A contestant cannot run here; the message says why."""


def interpreter(name: str) -> Path:
    """The Python with the packages that a contestant needs. Its environment is made if there is none, or if that has
    other packages. Raises PeerError."""
    if name not in REQUIREMENTS:
        return Path(sys.executable)
    home = cache.root().with_name("peers") / name
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    try:
        packages = [need if "=" in need else f"{need}=={version(need)}" for need in REQUIREMENTS[name]]
    except PackageNotFoundError as error:
        raise PeerError(f"it gets our versions, and {error.name} is not installed: {install('train')}") from error
    made_of = home / "made_of.json"
    if python.exists() and made_of.exists() and made_of.read_text() == json.dumps(packages):
        return python
    beside = Path(sys.executable).parent / "uv"
    uv = shutil.which("uv") or (str(beside) if beside.exists() else None)
    if uv is None:
        raise PeerError("its environment cannot be made without uv. Expected it on the PATH: pip install uv")
    err.print(f"making an environment for {name}: {', '.join(packages)}")
    for command_line in (
        [uv, "venv", "--clear", "--python", sys.executable, str(home)],
        [uv, "pip", "install", "--python", str(python), *packages],
    ):
        done = subprocess.run(command_line, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PeerError(f"its environment cannot be made: {last_line(done.stderr)}")
    made_of.write_text(json.dumps(packages))
    return python


def last_line(text: str) -> str:
    """The last line that is not empty, in which Python and uv name the error."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it printed nothing"
