"""The live path: source -> handover -> analyzer -> smoothing -> overlay -> sinks and page. Never imports torch."""

import os

ASLEEP = {"OPENCV_THREAD_POOL_ACTIVE_WAIT_MAIN": "0", "OPENCV_THREAD_POOL_ACTIVE_WAIT_WORKER": "0"}
"""OpenCV's threads wait for each other asleep. Awake, as they do by default, they took a twelfth of all processor time
of a live run on two cores, from the network. OpenCV reads it once, when it is loaded: in vain where somebody loads it
before this package."""

for _name, _value in ASLEEP.items():
    os.environ.setdefault(_name, _value)

os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
"""What it cannot read our errors tell, by name alone: its own lines give the whole path, which may name a patient."""
