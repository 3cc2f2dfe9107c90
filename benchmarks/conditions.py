"""Under which conditions was it measured? The clocks of the machine, and how busy other processes kept it."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from engines import nvidia
from engines.errors import EngineUnavailable

GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")

QUIET_CORES = 0.2
"""A machine is shared if other work keeps more cores than this busy during a measurement."""


@dataclass(frozen=True)
class ProcessorTimes:
    """Processor times at one moment, by a monotonic clock: ``busy_s`` is how long all cores together have worked since
    boot, ``own_s`` how much of that was for this process and its children that have ended."""

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


def foreign_cores(start: ProcessorTimes, end: ProcessorTimes) -> float | None:
    """How many cores other processes kept busy, on average, between two moments; None if no time has passed.

    Time that the host took away (steal) counts, and so do grandchildren for which nobody waited, and virtual machines
    that share the counters. It is never negative, although the counters can disagree by a tick.
    """
    lasted_s = end.at_s - start.at_s
    if lasted_s <= 0:
        return None
    return max(0.0, (end.busy_s - start.busy_s - (end.own_s - start.own_s)) / lasted_s)


def idle_check() -> float | None:
    """How many cores other processes keep busy before a measurement: ``foreign_cores`` while this one waits half a
    second."""
    start = ProcessorTimes.now()
    time.sleep(0.5)
    return foreign_cores(start, ProcessorTimes.now())


def clocks() -> dict[str, Any]:
    """The processor's clock in MHz and its governor, and the GPU's clock. None where the system does not report it (as
    on most virtual machines), or where there is no GPU."""
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
    """The conditions of a measurement, as a report holds them: "before", and "during" once the context is left."""
    found = {"before": load(idle_check()) | clocks()}
    start = ProcessorTimes.now()
    yield found
    found["during"] = load(foreign_cores(start, ProcessorTimes.now()))


def shared(found: Mapping[str, Any]) -> str | None:
    """A warning if other work kept cores busy during a measurement; ``found`` is what ``watched`` gave."""
    busy = found.get("during", {}).get("foreign_cores_busy")
    if busy is None or busy <= QUIET_CORES:
        return None
    return f"{busy} cores were busy with other work. Ratios, too, differ from those of a quiet machine."


def load(foreign_cores: float | None) -> dict[str, Any]:
    """The foreign load and the load average, as a report holds them."""
    return {
        "foreign_cores_busy": None if foreign_cores is None else round(foreign_cores, 2),
        "load_1_min": load_1_min(),
    }


def load_1_min() -> float | None:
    """The load average of the last minute: how many processes, ours included, ran or waited to run. None on Windows."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
