"""One file per runtime behind one small class (``engines.base.Engine``); ``engines.catalog`` chooses."""

import os
import sys

# Both runtimes tell their makers of each use, under an id that they keep in the user's folder, and ask nobody before.
# OpenVINO (Google Analytics, at its import) knows no setting against it, but goes without its package for this where
# there is none. ONNX Runtime (Microsoft, since 1.29 on Linux too) reads its setting once, when it is first used.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
