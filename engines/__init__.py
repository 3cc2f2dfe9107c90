"""One file per runtime behind one small class (``engines.base.Engine``); ``engines.catalog`` chooses."""

import os
import sys

# Both runtimes report each use to their makers, under an id that they keep in the user's folder, without asking.
# OpenVINO (Google Analytics, on import) has no setting to stop it, but does without its telemetry package if there is
# none. ONNX Runtime (Microsoft, since 1.29 on Linux too) reads its setting once, when it is first used.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
