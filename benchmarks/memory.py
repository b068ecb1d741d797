"""Peak memory of the running process; standard library only, so that peers can use it too."""

from __future__ import annotations

import sys

__all__ = ["peak_memory_mb"]


def peak_memory_mb() -> float:
    """Greatest resident memory of this process so far [MB = 1e6 bytes].

    ``getrusage`` cannot be trusted alone: on Linux a process inherits the figure of the one that
    started it. The kernel's VmHWM begins anew with each program.
    """
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    import resource

    scale = 1.0 if sys.platform == "darwin" else 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6
