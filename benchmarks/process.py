"""What one process spends: peak memory, time in imports. Standard library only, for peers too."""

from __future__ import annotations

import builtins
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["imports_counted", "peak_memory_mb"]


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


@contextmanager
def imports_counted() -> Iterator[list[float]]:
    """CPU seconds that import statements take inside the block, as the one item of a list."""
    real, spent, depth = builtins.__import__, [0.0], [0]

    def counted(*args: Any, **kwargs: Any) -> Any:
        before = time.process_time() if depth[0] == 0 else 0.0
        depth[0] += 1
        try:
            return real(*args, **kwargs)
        finally:
            depth[0] -= 1
            if depth[0] == 0:
                spent[0] += time.process_time() - before

    builtins.__import__ = counted
    try:
        yield spent
    finally:
        builtins.__import__ = real
