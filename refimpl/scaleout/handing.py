"""Hand out blocks to an engine, write down how each ends, try again what was lost.

One thread, the driver's: it alone writes to the ledger. Not here: the attempt itself
(:mod:`refimpl.scaleout.attempts`) and who works (:mod:`refimpl.scaleout.engines`).
"""

from __future__ import annotations

import heapq
import itertools
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from refimpl.dispatch import current_backend
from refimpl.ledger import Ledger
from refimpl.scaleout.attempts import Stop, attempt, failure
from refimpl.scaleout.engines import Crew

if TYPE_CHECKING:
    from refimpl.scaleout.blocks import Block

__all__ = ["Patience", "hand_out"]

_LOOK_S = 0.2
"""Between two looks at the clock and at a signal that came just before a wait [s]."""


@dataclass(frozen=True)
class Patience:
    """How often and how long; see :func:`refimpl.scaleout.blocks.run_blocks`."""

    retries: int = 2
    backoff_s: tuple[float, ...] = (10.0, 20.0)
    patience_s: float | None = None
    limit_s: float | None = None

    def pause_s(self, tried: int) -> float:
        """Pause after so many attempts [s]."""
        return self.backoff_s[min(tried, len(self.backoff_s)) - 1] if self.backoff_s else 0.0


def hand_out(
    function: Callable[[Any], Any],
    blocks: Sequence[Block],
    crew: Crew,
    book: Ledger,
    stop: Stop,
    patience: Patience,
    settle: Callable[[Mapping[str, Any]], None],
) -> str:
    """Work through the blocks; return why it gave up, or nothing.

    Parameters
    ----------
    function, blocks
        The work.
    crew
        Who does it.
    book
        Gets a line for each ending, and for each attempt that is to be repeated.
    stop
        Set from outside or by a block: nothing is begun any more. Threads of this process are
        waited for, other processes are not.
    patience
        When to try again and when to give up.
    settle
        Called with the record of each block that ended.
    """
    hands = _Hands(function, crew, book, stop, patience, settle, len(blocks))
    try:
        for block in blocks:
            if hands.is_over():
                break
            hands.give(block)
            hands.take_all()
        while hands.expects() and not hands.is_over():
            hands.take(_LOOK_S)
            hands.give_again()
        if stop.asked and not hands.why:
            while crew.near and hands.out:  # what runs ends at its checkpoint, or whole
                hands.take(_LOOK_S)
        hands.take_all()
    except BaseException:
        stop.asked = True  # what waits must not begin while the engine is closed
        raise
    if hands.why:
        stop.asked = crew.abandoned = True
    return hands.why


class _Hands:
    """What is out at the engine, and what waits for another attempt."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        crew: Crew,
        book: Ledger,
        stop: Stop,
        patience: Patience,
        settle: Callable[[Mapping[str, Any]], None],
        left: int,
    ) -> None:
        self.function, self.crew, self.book = function, crew, book
        self.stop, self.patience, self.settle = stop, patience, settle
        self.backend = current_backend()
        self.ready: queue.SimpleQueue[tuple[Block, Future[dict[str, Any]]]] = queue.SimpleQueue()
        self.later: list[tuple[float, int, Block]] = []  # heap of when, a number, what
        self.number, self.tried = itertools.count(), dict[str, int]()
        self.out, self.left, self.why = 0, left, ""
        self.began = self.heard = time.monotonic()

    def give(self, block: Block) -> None:
        stop = self.stop if self.crew.near else None
        future = self.crew.submit(attempt, self.function, block.argument, self.backend, stop)
        future.add_done_callback(lambda done: self.ready.put((block, done)))
        self.out += 1
        self.tried[block.key] = self.tried.get(block.key, 0) + 1

    def give_again(self) -> None:
        while self.later and self.later[0][0] <= time.monotonic() and not self.stop.asked:
            if not self.out:
                self.heard = time.monotonic()  # the pause was ours
            self.give(heapq.heappop(self.later)[2])

    def take_all(self) -> None:
        while not self.ready.empty():
            self.take(0.0)

    def take(self, wait_s: float) -> None:
        try:
            block, future = self.ready.get(timeout=wait_s)
        except queue.Empty:
            return
        self.out -= 1
        self.heard = time.monotonic()
        exc = future.exception()
        record = future.result() if exc is None else self._of_engine(exc)
        if record is None or record["status"] == "waiting":
            return
        if record["status"] == "interrupted":
            self.stop.asked = True
        self._note(block, record)

    def _of_engine(self, exc: BaseException) -> dict[str, Any] | None:
        """Record of a block whose engine has an error; None if the engine itself is done for."""
        fate = self.crew.fate(exc)
        if fate == "dead":
            line = " ".join(str(exc).split())
            self.why = self.why or self._words(f"the workers are gone: {line}")
            return None
        return {**failure(exc), "again": fate == "lost"}

    def _note(self, block: Block, record: dict[str, Any]) -> None:
        """Write down how an attempt ended; settle the block, or plan the next attempt."""
        tried, again = self.tried[block.key], record.pop("again", False)
        if again and tried <= self.patience.retries:
            pause_s = self.patience.pause_s(tried)
            told = {name: record[name] for name in ("kind", "error")}
            self.book.append(
                {"retry": tried, "of": self.patience.retries, "key": block.key, **told,
                 "pause_s": pause_s}
            )  # fmt: skip
            heapq.heappush(self.later, (time.monotonic() + pause_s, next(self.number), block))
            return
        if again and tried > 1:
            record["error"] += f" (tried {tried} times)"
        record = {"key": block.key, "fingerprint": block.fingerprint, **record}
        self.book.append(record)
        self.left -= 1
        self.settle(record)

    def expects(self) -> bool:
        """Whether anything is still to come."""
        return bool(self.out or self.later)

    def is_over(self) -> bool:
        """Whether to end before all is done; if it gives up, `why` says so."""
        now, p = time.monotonic(), self.patience
        if not self.why and p.limit_s is not None and now - self.began > p.limit_s:
            self.why = self._words(f"not done within {p.limit_s:g} s")
        silent = self.out > 0 and self.ready.empty() and not self.stop.asked
        if (
            not self.why and silent and p.patience_s is not None
            and now - self.heard > p.patience_s
        ):  # fmt: skip
            self.why = self._words(f"no block ended for {p.patience_s:g} s")
        return bool(self.why) or self.stop.asked

    def _words(self, what: str) -> str:
        n = self.left
        return (
            f"{self.crew.words}: {what}; {n} block{'s' * (n != 1)} wait{'s' * (n == 1)}; what is "
            "done is kept, and the same run again goes on from there"
        )
