"""Timing that refuses to be fooled by neighbours.

CPU time is not immune to load: on a busy machine the same call can cost several times the CPU
seconds that it costs alone (shared caches, memory and cores). So every run is watched for what
*other* processes used meanwhile, and only runs beside a quiet machine are quoted.

Needs nothing but the standard library, so that peers can be timed in their own interpreter.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["MOST_OTHER_CORES", "Measured", "measure", "peak_memory_mb", "stopwatch"]

MOST_OTHER_CORES = 0.15
"""A run during which other processes used more than this is not quoted."""

WINDOW_S = 0.25
"""A run is repeated until it fills this: the kernel counts in ticks of 0.01 s."""

_BUSY = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal; the rest is idle or counted


@dataclass
class Measured:
    """Seconds of one call.

    Attributes
    ----------
    wall, cpu
        Medians; `cpu` of this process, its threads and the children it waited for.
    other_cores
        Cores that other processes used meanwhile, median; NaN where the system does not say.
    repeats
        Runs that the medians are of.
    quiet
        Whether enough runs had `other_cores` within :data:`MOST_OTHER_CORES`. If not, the
        medians are of all runs and must not be quoted.
    """

    wall: float = 0.0
    cpu: float = 0.0
    other_cores: float = 0.0
    repeats: int = 0
    quiet: bool = False


def _machine_busy() -> float:
    """CPU seconds that the whole machine has used since it started; NaN if unknown."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            ticks = file.readline().split()[1:]
    except OSError:
        return float("nan")
    return sum(int(ticks[i]) for i in _BUSY) / os.sysconf("SC_CLK_TCK")


def _own_cpu() -> float:
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _window(fn: Callable[[], object], at_least: float) -> tuple[float, float, float]:
    """Wall and CPU seconds of one call, and other cores, over as many calls as fill the window."""
    busy, own, start = _machine_busy(), _own_cpu(), time.perf_counter()
    calls, wall = 0, 0.0
    while calls == 0 or wall < at_least:
        fn()
        calls += 1
        wall = time.perf_counter() - start
    own = _own_cpu() - own
    other = max(0.0, _machine_busy() - busy - own) / wall
    return wall / calls, own / calls, other


def measure(
    fn: Callable[[], object], repeats: int = 5, *, warm_up: int = 1, attempts: int = 3
) -> Measured:
    """Median time of a call, over runs beside a quiet machine only.

    Parameters
    ----------
    fn
        What to call.
    repeats
        Clean runs wanted.
    warm_up
        Calls thrown away first.
    attempts
        At most `attempts` times `repeats` runs are made; it gives up early where the first
        `repeats` runs are all disturbed.
    """
    for _ in range(warm_up):
        fn()
    runs: list[tuple[float, float, float]] = []
    clean: list[tuple[float, float, float]] = []
    while len(clean) < repeats and len(runs) < attempts * repeats:
        run = _window(fn, WINDOW_S)
        runs.append(run)
        if run[2] <= MOST_OTHER_CORES:
            clean.append(run)
        elif len(runs) == repeats and not clean:
            break
    quiet = len(clean) >= repeats
    chosen = clean if quiet else runs
    wall, cpu, other = (statistics.median(column) for column in zip(*chosen, strict=True))
    return Measured(wall, cpu, other, len(chosen), quiet)


@contextmanager
def stopwatch() -> Iterator[Measured]:
    """Time one block that cannot be repeated; the numbers are there when it ends."""
    out = Measured(repeats=1)
    busy, own, start = _machine_busy(), _own_cpu(), time.perf_counter()
    yield out
    out.wall, out.cpu = time.perf_counter() - start, _own_cpu() - own
    out.other_cores = max(0.0, _machine_busy() - busy - out.cpu) / out.wall
    out.quiet = out.other_cores <= MOST_OTHER_CORES


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
