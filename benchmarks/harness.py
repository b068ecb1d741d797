"""Time things honestly: medians, CPU time, and whether the machine was quiet meanwhile.

A case during which other processes used more than :data:`QUIET` cores is not quoted: on a busy
machine the same call was measured to take 2 to 12 times as long, in CPU time too. Linux says how
busy it is in ``/proc/stat``; elsewhere nothing is quotable. A peer that lives in another
interpreter is timed there, by :func:`peer`, while this process sleeps.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["QUIET", "Timing", "measure", "peer", "serve"]

QUIET = 0.15
"""Cores that other processes may use while a case is timed."""

WINDOW_S = 1.0
"""Least length of a case: /proc/stat counts in hundredths of a second."""


@dataclass(frozen=True)
class Timing:
    """One case.

    Attributes
    ----------
    median_s, best_s
        Wall time of a call.
    cpu_s
        CPU time of a call, all threads, mean.
    repeats
        Calls that were timed.
    other_cores
        Cores used by other processes meanwhile; NaN where unknown.
    """

    median_s: float
    best_s: float
    cpu_s: float
    repeats: int
    other_cores: float

    @property
    def quotable(self) -> bool:
        """Whether the machine was quiet."""
        return self.other_cores < QUIET


def _busy_s() -> float:
    """CPU seconds that the whole machine has spent on anything; NaN where it does not say."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            fields = [int(v) for v in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return math.nan
    user, nice, system, _idle, _wait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _once(call: Callable[[], object], repeats: int, window_s: float) -> Timing:
    walls: list[float] = []
    busy, own, start = _busy_s(), _own_s(), time.perf_counter()
    while len(walls) < repeats or time.perf_counter() - start < window_s:
        before = time.perf_counter()
        call()
        walls.append(time.perf_counter() - before)
    wall = time.perf_counter() - start
    own = _own_s() - own
    other = max(0.0, _busy_s() - busy - own) / wall
    return Timing(statistics.median(walls), min(walls), own / len(walls), len(walls), other)


def measure(
    call: Callable[[], object],
    repeats: int = 5,
    *,
    window_s: float = WINDOW_S,
    attempts: int = 3,
    warm_up: bool = True,
) -> Timing:
    """Time a call after one warm-up call.

    Parameters
    ----------
    call
        What is timed; whatever it returns is dropped.
    repeats, window_s
        Least number of calls, least time over all of them.
    attempts
        A busy machine is tried again so many times in all; the quietest attempt is kept.
    warm_up
        False for what takes minutes, against which a first call is as good as any.
    """
    if warm_up:
        call()
    best: Timing | None = None
    for attempt in range(attempts):
        timing = _once(call, repeats, window_s)
        if best is None or not best.other_cores <= timing.other_cores:
            best = timing
        if best.quotable or math.isnan(timing.other_cores):
            break
        time.sleep(0.5 * (attempt + 1))
    assert best is not None
    return best


def peer(
    script: str | Path,
    request: Mapping[str, Any],
    *,
    python: str | None = None,
    threads: int = 1,
    timeout_s: float = 600.0,
) -> dict[str, Any]:
    """Ask ``script --worker`` in a fresh process, with so many threads; see :func:`serve`.

    Returns
    -------
    The worker's answer: name to :class:`Timing` under ``"timings"``, and whatever else it says;
    ``{"error": ...}`` in one line if it cannot run.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(threads))}
    try:
        done = subprocess.run(
            [python or sys.executable, str(script), "--worker"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            env=environment,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return {"error": str(exc)}
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or ["no reason given"])[-1]}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    answer["timings"] = {n: Timing(**t) for n, t in answer.get("timings", {}).items()}
    return answer


def serve(work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer one request of :func:`peer` on standard output, as the last line."""
    answer = work(json.loads(sys.stdin.read()))
    answer["timings"] = {n: asdict(t) for n, t in answer.get("timings", {}).items()}
    print(json.dumps(answer))
