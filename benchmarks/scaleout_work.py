"""Work for the benchmark of scale-out, in a module that worker processes import."""

from __future__ import annotations

import time

import numpy as np


def arithmetic(passes: int) -> list[float]:
    """Take so many passes over a small array; tell when it began and ended, and its CPU time."""
    began, cpu = time.time(), time.thread_time()
    x = np.linspace(0.0, 1.0, 20_000)
    for _ in range(passes):
        np.sin(x, out=x)  # one thread, without Python's lock
    return [began, time.time(), time.thread_time() - cpu]
