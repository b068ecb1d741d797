"""How much two threads speed up a case, and what the machine itself gives just then.

A virtual machine seldom gives two whole cores, and not the same share from second to second. So
one thread and two are timed in turn, and between them an arithmetic loop that shares nothing: once
alone, then two at once. Standard library only.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

__all__ = ["Speedup", "speedup"]

PAIRS = 5
LONGEST_S = 1.0
"""Longest run of the arithmetic loop; it lasts as long as the case up to that."""


@dataclass(frozen=True)
class Speedup:
    """Medians over the pairs.

    Attributes
    ----------
    ratio
        Wall time with one thread / wall time with two.
    machine
        The same of two loops that share nothing: 2 if each has a core to itself.
    pairs
        How many.
    """

    ratio: float
    machine: float
    pairs: int

    def note(self, what: str) -> str:
        """Sentence for a table."""
        return (
            f"Two threads, {what}: {self.ratio:.2f} times one; two loops that share nothing: "
            f"{self.machine:.2f} (medians of {self.pairs} pairs in turn)."
        )


def _loop(rounds: int) -> None:
    """Only arithmetic, in the first cache, without the interpreter's lock."""
    hashlib.pbkdf2_hmac("sha256", b"two", b"threads", rounds)


def _wall(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def speedup(run: Callable[[int], object], pairs: int = PAIRS) -> Speedup:
    """Time run(1) and run(2) in turn, after a warm-up of each."""
    run(2)
    run(1)
    lasts = min(_wall(lambda: run(1)), LONGEST_S)
    rounds = max(1000, int(100_000 * lasts / _wall(lambda: _loop(100_000))))
    ratios, machine = [], []
    with ThreadPoolExecutor(2) as pool:

        def both() -> None:
            list(pool.map(_loop, [rounds, rounds]))

        both()
        for _ in range(pairs):
            ratios.append(_wall(lambda: run(1)) / _wall(lambda: run(2)))
            machine.append(2.0 * _wall(lambda: _loop(rounds)) / _wall(both))
    return Speedup(statistics.median(ratios), statistics.median(machine), pairs)
