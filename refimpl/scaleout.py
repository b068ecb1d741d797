"""Blocks of work on threads or a cluster, with a ledger of what is done: the home of Parsl.

A block is one call of a function with one argument. Blocks do not know each other, so the result
cannot depend on their order or on who works on them. Each ending is one line of an append-only
file, the ledger; a run that was interrupted or killed goes on where it stopped. What a block
returns is small and goes into the ledger; large results are files that the block writes itself,
atomically, so that a block may be done twice. Not done here: what the blocks are, and limits of
time. Lost workers are tried again as often as the ``retries`` of the Parsl configuration say.
"""

from __future__ import annotations

import importlib.util
import json
import queue
import runpy
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from refimpl.dispatch import current_backend, resolve_threads, use_backend
from refimpl.errors import ConfigError, MissingExtra, RefimplError
from refimpl.ledger import Ledger, fingerprint

try:
    import fcntl
except ImportError:  # Windows: two runs in one folder are not noticed there
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "ENGINES",
    "Block",
    "Interrupted",
    "Outcome",
    "Run",
    "checkpoint",
    "fingerprint",
    "run_blocks",
]

ENGINES = ("auto", "serial", "threads", "parsl")
"""Engines by name; any other is the path of a Parsl configuration."""


class _Stop:
    """Whether a run is to stop: a bare flag, which a signal handler may set at any moment."""

    asked = False


_STOP: ContextVar[_Stop | None] = ContextVar("refimpl_stop", default=None)

Submit = Callable[..., "Future[dict[str, Any]]"]


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
        Of everything that its result depends on; see :func:`fingerprint`.
    outputs
        Files without which it does not count as done.
    """

    key: str
    argument: Any
    fingerprint: str = ""
    outputs: tuple[Path, ...] = ()


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
    """The run was stopped by Ctrl-C; the ledger is whole.

    Attributes
    ----------
    run
        What had ended by then.
    """

    def __init__(self, run: Run) -> None:
        super().__init__("interrupted")
        self.run = run


def checkpoint() -> None:
    """Stop here if Ctrl-C was pressed: for blocks that take long to call now and then.

    Threads cannot be stopped from outside; without this they work their block to its end.

    Raises
    ------
    KeyboardInterrupt
        The run is being stopped.
    """
    stop = _STOP.get()
    if stop is not None and stop.asked:
        raise KeyboardInterrupt


def run_blocks(
    function: Callable[[Any], Any],
    blocks: Sequence[Block],
    *,
    ledger: str | Path,
    engine: str | Path = "auto",
    workers: int | None = None,
    again: bool = False,
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
        File that is made or continued; its folder must exist.
    engine
        ``auto``: Parsl's threads where Parsl is installed, else ``threads``. ``serial``: one
        after the other in this thread. ``threads``: the standard library's. ``parsl``: Parsl's
        threads. Else the path of a Python file that assigns a :class:`parsl.config.Config` to
        ``config``: processes, Slurm and whatever else Parsl knows.
    workers
        Blocks at a time; default as of :func:`refimpl.dispatch.resolve_threads`. A configuration
        states its own.
    again
        Do everything, whatever the ledger says.
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
    Interrupted
        Ctrl-C, or a block that raised KeyboardInterrupt.
    """
    _check_keys(blocks)
    opened = _engine(engine, resolve_threads(workers))
    ended: dict[str, Outcome] = {}

    def settle(outcome: Outcome) -> None:
        ended[outcome.key] = outcome
        if progress is not None:
            progress(outcome, len(ended), len(blocks))

    with Ledger(Path(ledger)) as book:
        kept = (
            {}
            if again
            else {b.key: r for b in blocks if (r := book.records.get(b.key)) and _is_good(b, r)}
        )
        for record in kept.values():
            settle(_outcome(record, kept=True))
        to_do = [block for block in blocks if block.key not in kept]
        words, whole = "nothing: all was done before", True
        if to_do:
            with opened as (words, submit, near):
                book.append({"run": "start", "engine": words, "blocks": len(to_do)})
                whole = _work(function, to_do, submit, near, book, settle)
            book.append({"run": "end" if whole else "interrupted"})
    run = Run(tuple(ended[b.key] for b in blocks if b.key in ended), words)
    if not whole:
        raise Interrupted(run)
    return run


def _check_keys(blocks: Sequence[Block]) -> None:
    seen: set[str] = set()
    for block in blocks:
        if block.key in seen:
            raise ConfigError(f"two blocks of the name {block.key!r}", key=block.key)
        seen.add(block.key)


def _is_good(block: Block, record: Mapping[str, Any]) -> bool:
    """Whether a block need not be done again."""
    same = record.get("status") == "done" and record.get("fingerprint") == block.fingerprint
    return same and all(path.exists() for path in block.outputs)


def _work(
    function: Callable[[Any], Any],
    blocks: Sequence[Block],
    submit: Submit,
    near: bool,
    book: Ledger,
    settle: Callable[[Outcome], None],
) -> bool:
    """Hand out the blocks and write down how each ends; False if the run was stopped.

    `near`: the workers are threads of this process, which see when to stop.
    """
    ready: queue.SimpleQueue[tuple[Block, Future[dict[str, Any]]]] = queue.SimpleQueue()
    stop, backend, out = _Stop(), current_backend(), 0

    def halt() -> None:
        stop.asked = True

    def hand_out(block: Block) -> None:
        future = submit(_attempt, function, block.argument, backend, stop if near else None)
        future.add_done_callback(lambda done: ready.put((block, done)))

    def take_in() -> int:
        try:
            # a signal that comes just before the wait does not end it: look up now and then
            block, future = ready.get(timeout=0.2)
        except queue.Empty:
            return 0
        record = _record(future)
        if record["status"] == "interrupted":
            stop.asked = True
        if record["status"] != "waiting":
            record = {"key": block.key, "fingerprint": block.fingerprint, **record}
            book.append(record)
            settle(_outcome(record))
        return 1

    with _first_interrupt(halt):
        try:
            for block in blocks:
                hand_out(block)
                out += 1
                while not ready.empty():
                    out -= take_in()
                if stop.asked:
                    break
            while out and (near or not stop.asked):
                out -= take_in()  # after a stop: what runs ends at its checkpoint, or whole
        except BaseException:
            stop.asked = True  # what waits must not begin while the engine is closed
            raise
    return not stop.asked


@contextmanager
def _first_interrupt(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` on the first Ctrl-C, instead of raising wherever the program happens to be.

    A second one raises KeyboardInterrupt as ever. Only where Ctrl-C does what Python does.
    """
    usual = signal.default_int_handler
    mine = threading.current_thread() is threading.main_thread()
    mine = mine and signal.getsignal(signal.SIGINT) is usual

    def handle(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, usual)
        act()

    if mine:
        signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGINT, usual)


def _attempt(
    function: Callable[[Any], Any], argument: Any, backend: str, stop: _Stop | None
) -> dict[str, Any]:
    """Do one block where it is; whatever comes of it is a record."""
    if stop is not None and stop.asked:
        return {"status": "waiting"}
    began, token = time.perf_counter(), _STOP.set(stop)
    try:
        with use_backend(backend):
            value = json.loads(json.dumps(function(argument), allow_nan=False))
        record: dict[str, Any] = {"status": "done", "value": value}
    except KeyboardInterrupt:
        record = {"status": "interrupted"}
        if stop is not None:
            stop.asked = True  # at once: the others need not wait for the main thread
    except (Exception, SystemExit) as exc:  # of a block we know nothing; the others go on
        record = _failure(exc)
    finally:
        _STOP.reset(token)
    return {**record, "seconds": round(time.perf_counter() - began, 3)}


def _failure(exc: BaseException) -> dict[str, Any]:
    """Record of an error: one line, and the traceback of what was not raised on purpose."""
    kind, text = type(exc).__name__, " ".join(str(exc).split())
    if isinstance(exc, RefimplError):
        return {"status": "failed", "kind": kind, "error": text}
    trace = "".join(traceback.format_exception(exc))
    return {"status": "failed", "kind": kind, "error": f"{kind}: {text}", "traceback": trace}


def _record(future: Future[dict[str, Any]]) -> dict[str, Any]:
    """Record of an ended block; an engine that lost it has an error of its own."""
    exc = future.exception()
    return future.result() if exc is None else _failure(exc)


def _outcome(record: Mapping[str, Any], *, kept: bool = False) -> Outcome:
    names = ("key", "status", "value", "error", "kind", "seconds")
    return Outcome(**{n: record[n] for n in names if n in record}, kept=kept)


def _engine(name: str | Path, workers: int) -> AbstractContextManager[tuple[str, Submit, bool]]:
    """Engine by name, to be started: in words, its submit, whether it works in this process."""
    chosen = str(name)
    if chosen == "auto":
        chosen = "parsl" if importlib.util.find_spec("parsl") else "threads"
    if chosen == "serial":
        return _serial()
    if chosen == "threads":
        return _threads(workers)
    if chosen not in ENGINES and not chosen.endswith(".py"):
        raise ConfigError(
            f"unknown engine {chosen!r}: expected {', '.join(ENGINES)} or the .py file of a Parsl "
            "configuration", key="engine", got=chosen,
        )  # fmt: skip
    if not importlib.util.find_spec("parsl"):
        raise MissingExtra("cluster", f"engine {chosen!r}")
    return _parsl_threads(workers) if chosen == "parsl" else _parsl_file(Path(chosen))


@contextmanager
def _serial() -> Iterator[tuple[str, Submit, bool]]:
    def submit(call: Callable[..., dict[str, Any]], *arguments: Any) -> Future[dict[str, Any]]:
        future: Future[dict[str, Any]] = Future()
        future.set_result(call(*arguments))
        return future

    yield "serial", submit, True


@contextmanager
def _threads(workers: int) -> Iterator[tuple[str, Submit, bool]]:
    with ThreadPoolExecutor(workers, thread_name_prefix="refimpl") as pool:
        yield f"{workers} thread{'s' * (workers > 1)}", pool.submit, True


@contextmanager
def _parsl_threads(workers: int) -> Iterator[tuple[str, Submit, bool]]:
    from parsl.config import Config
    from parsl.executors import ThreadPoolExecutor as ParslThreads

    with tempfile.TemporaryDirectory(prefix="refimpl-parsl-") as folder:
        config = Config(
            executors=[ParslThreads(label="refimpl", max_threads=workers)],
            run_dir=folder, strategy="none", initialize_logging=False,
        )  # fmt: skip
        with _kernel(config) as submit:
            yield f"Parsl, {workers} thread{'s' * (workers > 1)}", submit, True


def _parsl_file(path: Path) -> AbstractContextManager[tuple[str, Submit, bool]]:
    """Engine of a user's configuration, read at once: what is wrong in it is said at once."""
    from parsl.config import Config

    if not path.is_file():
        raise ConfigError("no such Parsl configuration", path=path)
    try:
        config = runpy.run_path(str(path)).get("config")
    except Exception as exc:  # it is the user's program: anything may come out of it
        line = " ".join(f"{type(exc).__name__}: {exc}".split())
        raise ConfigError(f"the Parsl configuration fails: {line}", path=path) from exc
    if not isinstance(config, Config):
        raise ConfigError(
            f"the Parsl configuration must assign a parsl.config.Config to 'config' (got "
            f"{type(config).__name__})", path=path, key="config",
        )  # fmt: skip

    @contextmanager
    def engine() -> Iterator[tuple[str, Submit, bool]]:
        labels = ", ".join(executor.label for executor in config.executors)
        with _kernel(config) as submit:
            yield f"Parsl, {labels} ({path.name})", submit, False

    return engine()


@contextmanager
def _kernel(config: Any) -> Iterator[Submit]:
    """Parsl of our own, beside any that the caller has loaded; gone at the end."""
    from parsl.dataflow.dflow import DataFlowKernel

    try:
        kernel = DataFlowKernel(config)
    except Exception as exc:  # of whatever the configuration starts: a queue, a port, a program
        line = " ".join(f"{type(exc).__name__}: {exc}".split())
        raise ConfigError(f"Parsl cannot start what the configuration says: {line}") from exc

    def submit(call: Callable[..., dict[str, Any]], *arguments: Any) -> Future[dict[str, Any]]:
        return kernel.submit(
            call, app_args=arguments, executors="all", cache=False, ignore_for_cache=None,
            app_kwargs={},
        )  # fmt: skip

    try:
        yield submit
    finally:
        kernel.cleanup()
