"""How many cores there are for us."""

import math
import os
from pathlib import Path

CONTROL_GROUP = Path("/sys/fs/cgroup")


def usable_cores(control_group: Path = CONTROL_GROUP) -> int:
    """Cores that this process may run on, and no more than its container's limit pays for; at least 1.

    A limit such as Docker's `cpus: 1.5` is a share of time on all cores: as many processes as the machine has cores
    would only take turns, each with its own memory.

    Args:
        control_group: where the kernel shows this container's limits, of version 2 or 1.
    """
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = (control_group / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            quota, period = (
                (control_group / "cpu" / f"cpu.cfs_{what}_us").read_text(encoding="ascii").strip()
                for what in ("quota", "period")
            )
        except OSError:
            return cores
    if not (quota.isdecimal() and period.isdecimal()):  # max, or -1: no limit
        return cores
    return max(1, min(cores, math.ceil(int(quota) / max(int(period), 1))))
