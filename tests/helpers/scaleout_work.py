"""Work for other processes: they import it by name, with this folder in their PYTHONPATH."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def twice(x: float) -> float:
    return 2.0 * x


def slow_pid(seconds: float) -> list[object]:
    time.sleep(seconds)
    return [os.getpid(), os.environ.get("OMP_NUM_THREADS")]


def die_at_first(mark: str) -> str:
    """Kill this very process with -9, but not where an earlier attempt left its mark."""
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return "second"
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def kill_manager_at_first(mark: str) -> str:
    """Kill the manager of all workers, as if the node were gone."""
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return "second"
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60.0)
    return "never"
