"""What a block is, how it may end, and the one call that works through many: :func:`run_blocks`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from refimpl.dispatch import resolve_threads
from refimpl.errors import ConfigError, ConvergenceError
from refimpl.ledger import Ledger
from refimpl.scaleout import engines
from refimpl.scaleout.attempts import Stop, orderly_stop
from refimpl.scaleout.handing import Patience, hand_out
from refimpl.scaleout.kept import Kept

__all__ = ["Block", "GaveUp", "Interrupted", "Outcome", "Run", "run_blocks"]


@dataclass(frozen=True)
class Block:
    """One piece of work.

    Attributes
    ----------
    key
        Its name in the ledger, of its own among the blocks of a run.
    argument
        Handed to the function. Other processes must be able to unpickle it.
    fingerprint
        Of everything that its result depends on; see :func:`refimpl.ledger.fingerprint`.
    outputs
        Files without which it does not count as done.
    """

    key: str
    argument: Any
    fingerprint: str = ""
    outputs: tuple[Path, ...] = ()

    def is_done(self, records: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether a ledger of these records shows it as done, so that it need not be again."""
        record = records.get(self.key, {})
        same = record.get("status") == "done" and record.get("fingerprint") == self.fingerprint
        return same and all(path.exists() for path in self.outputs)


@dataclass(frozen=True)
class Outcome:
    """How a block ended.

    Attributes
    ----------
    key, status
        Of the block; ``interrupted`` blocks are done again next time, ``failed`` ones too.
    value
        What the function returned, as JSON restores it.
    error, kind
        One line, and the class of the error.
    seconds
        Wall time that it took when it was done.
    kept
        Done by an earlier run and not again.
    """

    key: str
    status: Literal["done", "failed", "interrupted"]
    value: Any = None
    error: str = ""
    kind: str = ""
    seconds: float = 0.0
    kept: bool = False


@dataclass(frozen=True)
class Run:
    """Outcomes in the order of the blocks, and in words what they ran on."""

    outcomes: tuple[Outcome, ...]
    engine: str


class Interrupted(KeyboardInterrupt):
    """The run was stopped by Ctrl-C or SIGTERM; the ledger is whole.

    Attributes
    ----------
    run
        What had ended by then.
    """

    def __init__(self, run: Run) -> None:
        super().__init__("interrupted")
        self.run = run


class GaveUp(ConvergenceError):
    """The engine died or did not answer, or the time was up; the ledger is whole.

    Attributes
    ----------
    run
        What had ended by then.
    """

    def __init__(self, message: str, run: Run) -> None:
        super().__init__(message)
        self.run = run


def run_blocks(
    function: Callable[[Any], Any],
    blocks: Sequence[Block],
    *,
    ledger: str | Path | Ledger,
    engine: str | Path | Kept = "auto",
    workers: int | None = None,
    nodes: int | None = None,
    cpus: int | None = None,
    again: bool = False,
    retries: int = 2,
    backoff_s: Sequence[float] = (10.0, 20.0),
    patience_s: float | None = None,
    limit_s: float | None = None,
    progress: Callable[[Outcome, int, int], None] | None = None,
) -> Run:
    """Call a function on every block that the ledger does not show as done.

    Parameters
    ----------
    function
        Called as ``function(block.argument)``; returns what JSON can hold. On an engine with
        other processes it must be importable there. An exception fails this block alone.
    blocks
        The work; keys must differ.
    ledger
        File that is made or continued, whose folder must exist; or an open
        :class:`~refimpl.ledger.Ledger` of a driver that calls this more than once, left open.
    engine
        ``auto``: Parsl's threads where Parsl is installed, else ``threads``. ``serial``: one
        after the other in this thread. ``threads``: the standard library's. ``parsl``: Parsl's
        threads. ``processes``: Parsl's worker processes on this computer, of one thread each.
        Else the path of a Python file that assigns a :class:`parsl.config.Config` to ``config``:
        Slurm, PBS and whatever else Parsl knows (:mod:`refimpl.scaleout.cluster` writes them).
        Or a :class:`~refimpl.scaleout.Kept` of a driver that calls this more than once, whose
        workers, nodes and cpus count.
    workers
        Blocks at a time; default as of :func:`refimpl.dispatch.resolve_threads`. A configuration
        states its own.
    nodes, cpus
        Handed to a configuration as its globals NODES and CPUS (of a node); it decides where they
        are None. Without a configuration there is one node.
    again
        Do everything, whatever the ledger says.
    retries
        How often a block is tried again that its engine lost (a worker was killed, a node is
        gone) or that failed of an OSError, such as a full disk. Other errors are not retried.
    backoff_s
        Pauses before these attempts [s], the last for all that follow. Default: those of the
        published wrapper (MIDAS ``nf_MIDAS_Multiple_Resolutions.py``), like ``retries``.
    patience_s
        The run gives up where no block ended for so long [s]; None: it waits. In a queue, time
        spent waiting for nodes counts too.
    limit_s
        The run gives up after so long [s].
    progress
        Called in this thread with each outcome, the number of ended blocks and that of all.

    Returns
    -------
    Run
        Independent of order, engine and number of workers.

    Raises
    ------
    ConfigError
        Keys that are not unique, an unknown engine, a number of workers below 1, a configuration
        that does not work, a ledger that cannot be written or that another run holds.
    FormatError
        The ledger is another file.
    MissingExtra
        The engine needs Parsl.
    GaveUp
        A ConvergenceError: the engine is dead, or patience or time ran out. What is done is kept.
        The workers of an engine with other processes are ended; threads are not waited for, but
        the program is, by Python, until they end.
    Interrupted
        Ctrl-C, SIGTERM, or a block that raised KeyboardInterrupt.
    """
    _check(blocks, retries, backoff_s, patience_s, limit_s)
    opened = (
        engine.lent()
        if isinstance(engine, Kept)
        else engines.opened(engine, resolve_threads(workers), nodes=nodes, cpus=cpus)
    )
    patience = Patience(retries, tuple(backoff_s), patience_s, limit_s)
    ended: dict[str, Outcome] = {}

    def settle(outcome: Outcome) -> None:
        ended[outcome.key] = outcome
        if progress is not None:
            progress(outcome, len(ended), len(blocks))

    stop, words, why = Stop(), "nothing: all was done before", ""
    with nullcontext(ledger) if isinstance(ledger, Ledger) else Ledger(Path(ledger)) as book:
        known = {} if again else book.records
        kept = {block.key: known[block.key] for block in blocks if block.is_done(known)}
        for record in kept.values():
            settle(_outcome(record, kept=True))
        to_do = [block for block in blocks if block.key not in kept]
        if to_do:
            with orderly_stop(stop), opened as crew:
                words = crew.words
                book.append({"run": "start", "engine": words, "blocks": len(to_do)})
                why = hand_out(
                    function, to_do, crew, book, stop, patience, lambda r: settle(_outcome(r))
                )
            book.append({"run": "gave up", "why": why} if why else
                        {"run": "interrupted" if stop.asked else "end"})  # fmt: skip
    run = Run(tuple(ended[b.key] for b in blocks if b.key in ended), words)
    if why:
        raise GaveUp(why, run)
    if stop.asked:
        raise Interrupted(run)
    return run


def _check(
    blocks: Sequence[Block],
    retries: int,
    backoff_s: Sequence[float],
    patience_s: float | None,
    limit_s: float | None,
) -> None:
    seen: set[str] = set()
    for block in blocks:
        if block.key in seen:
            raise ConfigError(f"two blocks of the name {block.key!r}", key=block.key)
        seen.add(block.key)
    if retries < 0:
        raise ConfigError(f"retries {retries}: expected 0 or more", key="retries", got=retries)
    if not all(0.0 <= pause < float("inf") for pause in backoff_s):
        raise ConfigError(f"backoff_s {tuple(backoff_s)}: expected seconds", key="backoff_s")
    for name, value in (("patience_s", patience_s), ("limit_s", limit_s)):
        if value is not None and not value > 0.0:
            raise ConfigError(f"{name} {value:g}: expected > 0", key=name, got=value)


def _outcome(record: Mapping[str, Any], *, kept: bool = False) -> Outcome:
    names = ("key", "status", "value", "error", "kind", "seconds")
    return Outcome(**{n: record[n] for n in names if n in record}, kept=kept)
