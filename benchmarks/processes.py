"""What did a process and its children take of the machine? Runs in the environments of the peers as well."""

from pathlib import Path

import psutil


def family(of: psutil.Process | None = None) -> list[psutil.Process]:
    """A process (by default this one) and all of its descendants."""
    head = of or psutil.Process()
    return [head, *head.children(recursive=True)]


def cpu_s() -> float:
    """Processor time so far of this process and its running children."""
    times = [process.cpu_times() for process in family()]
    return float(sum(spent.user + spent.system for spent in times))


def peak_rss_mb(process: psutil.Process) -> float:
    """The peak of a process's resident memory, in 10^6 bytes; on other systems than Linux, its resident memory now.

    ``ru_maxrss`` is not used, because it starts from what the parent held.
    """
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        kib = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(next(kib, 0)) * 1024 / 1e6  # a zombie has no such line
    return float(process.memory_info().rss) / 1e6
