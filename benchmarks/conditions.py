"""Under which conditions was it measured? The clocks, and what others did with the machine meanwhile."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from engines import nvidia
from engines.errors import EngineUnavailable

GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


@dataclass(frozen=True)
class Moment:
    """``busy_s`` is what all cores have worked since boot, ``own_s`` what this process and its ended children have."""

    at_s: float
    busy_s: float
    own_s: float

    @classmethod
    def now(cls) -> Self:
        """Read the counters."""
        cpu, own = psutil.cpu_times(), os.times()
        idle_s = cpu.idle + getattr(cpu, "iowait", 0.0)
        guests_s = getattr(cpu, "guest", 0.0) + getattr(cpu, "guest_nice", 0.0)  # Linux counts them in user as well
        own_s = own.user + own.system + own.children_user + own.children_system
        return cls(time.monotonic(), sum(cpu) - idle_s - guests_s, own_s)


def foreign_cores(start: Moment, end: Moment) -> float | None:
    """How many cores others kept busy on average between two moments; None if no time has passed.

    Steal is in it. So is what grandchildren did that nobody waited for, and what virtual machines that share the
    counters did. Never below 0, where the two clocks disagree by a tick.
    """
    lasted_s = end.at_s - start.at_s
    if lasted_s <= 0:
        return None
    return max(0.0, (end.busy_s - start.busy_s - (end.own_s - start.own_s)) / lasted_s)


def idle_check(seconds: float = 0.5) -> float | None:
    """Cores that are busy while we wait: the foreign load before a measurement."""
    start = Moment.now()
    time.sleep(seconds)
    return foreign_cores(start, Moment.now())


def clocks() -> dict[str, Any]:
    """The processor's clock in MHz and its governor, and the GPU's clock; None where the system does not tell (most
    virtual machines) or there is no GPU."""
    frequency = psutil.cpu_freq()
    gpu_mhz: tuple[int | None, int | None] = None, None
    with suppress(EngineUnavailable):
        gpu_mhz = nvidia.clocks_mhz()
    return {
        "mhz": None if frequency is None else round(frequency.current),
        "mhz_max": None if frequency is None or not frequency.max else round(frequency.max),
        "governor": GOVERNOR.read_text().strip() if GOVERNOR.exists() else None,
        "gpu_mhz": gpu_mhz[0],
        "gpu_mhz_max": gpu_mhz[1],
    }


@contextmanager
def watched() -> Iterator[dict[str, Any]]:
    """What a report tells of the conditions, "before" and, once this is left, "during"."""
    told = {"before": load(idle_check()) | clocks()}
    start = Moment.now()
    yield told
    told["during"] = load(foreign_cores(start, Moment.now()))


def load(foreign_cores: float | None) -> dict[str, Any]:
    """How many cores others kept busy, as it is written down, and the load now."""
    return {
        "foreign_cores_busy": None if foreign_cores is None else round(foreign_cores, 2),
        "load_1_min": load_1_min(),
    }


def load_1_min() -> float | None:
    """Processes that run or wait to, over the last minute, ours included; None where the system has no such number."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
