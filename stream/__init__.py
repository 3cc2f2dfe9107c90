"""The live path: source -> handover -> analyzer -> smoothing -> overlay -> sinks and page. Never imports torch."""

import os

ASLEEP = {"OPENCV_THREAD_POOL_ACTIVE_WAIT_MAIN": "0", "OPENCV_THREAD_POOL_ACTIVE_WAIT_WORKER": "0"}
"""OpenCV's threads sleep while they wait for each other. By default they spin: in a live run on two cores that took a
twelfth of all processor time, away from the network. OpenCV reads this once, when it is loaded, so it has no effect if
somebody loads OpenCV before this package."""

for _name, _value in ASLEEP.items():
    os.environ.setdefault(_name, _value)

os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
"""Our errors say what it cannot read, without the folder; its lines give the whole path, which may name a patient."""
