"""One file per runtime behind one small protocol (``engines.base.Engine``); ``engines.catalog`` chooses."""

import sys

# OpenVINO tells Google Analytics of each import, and keeps an id for it in the user's folder. It asks nobody before and
# knows no setting against it, but goes without its package for this where there is none.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
