import os
import subprocess
import sys

import psutil

from benchmarks.processes import peak_rss_mb
from tests.programs import python

HOLDS_200_MB = """
import psutil
from benchmarks.processes import peak_rss_mb
before = peak_rss_mb(psutil.Process())
block = bytearray(b"\\1") * 200_000_000
del block
print(peak_rss_mb(psutil.Process()) - before)
"""


def test_memory_is_measured_at_its_peak() -> None:
    """In a process of its own: this one may have held more before."""
    assert 150 < float(python("-c", HOLDS_200_MB, check=True).stdout) < 260


def test_a_child_that_has_ended_hides_no_other_one_s_memory() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # it is gone, and nobody has asked for it
        assert peak_rss_mb(psutil.Process(ended.pid)) == 0
    assert peak_rss_mb(psutil.Process()) > 1
