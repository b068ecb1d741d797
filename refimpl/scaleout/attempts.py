"""One attempt at a block, where it is worked on: whatever comes of it is a record.

The record goes back to the driver and into the ledger. Here too: how a block learns that its run
is being stopped, and which failures are worth another attempt. Not here: who hands out blocks
(:mod:`refimpl.scaleout.handing`).
"""

from __future__ import annotations

import errno
import json
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from refimpl.dispatch import use_backend
from refimpl.errors import RefimplError

__all__ = ["Stop", "attempt", "checkpoint", "failure", "orderly_stop", "sigterm_as_interrupt"]

_PLACE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE}
"""Troubles of the place that is written to, which may pass: full, over quota, gone for a moment."""


class Stop:
    """Whether a run is to stop: a bare flag, which a signal handler may set at any moment."""

    asked = False


_STOP: ContextVar[Stop | None] = ContextVar("refimpl_stop", default=None)


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


def attempt(
    function: Callable[[Any], Any], argument: Any, backend: str, stop: Stop | None
) -> dict[str, Any]:
    """Do one block where it is; ``waiting`` if the run was stopped before it began.

    Parameters
    ----------
    function, argument
        The block.
    backend
        Of the twins, as in the driver.
    stop
        Seen by :func:`checkpoint`; None in other processes, which cannot see it.

    Returns
    -------
    A record: ``status``, ``value`` or ``error`` and its ``kind``, ``seconds``; ``again`` if it
    failed of something that may pass.
    """
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
        record = failure(exc)
    finally:
        _STOP.reset(token)
    return {**record, "seconds": round(time.perf_counter() - began, 3)}


def failure(exc: BaseException) -> dict[str, Any]:
    """Record of an error: one line, and the traceback of what was not raised on purpose."""
    kind, text = type(exc).__name__, " ".join(str(exc).split())
    record: dict[str, Any] = {"status": "failed", "kind": kind, "error": text}
    if not isinstance(exc, RefimplError):
        record["error"] = f"{kind}: {text}"
        record["traceback"] = "".join(traceback.format_exception(exc))
    if _may_pass(exc):
        record["again"] = True
    return record


def _may_pass(exc: BaseException) -> bool:
    """Whether another attempt may succeed: an OSError, or our words for one of a full disk."""
    if isinstance(exc, RefimplError):
        cause = exc.__cause__
        return isinstance(cause, OSError) and cause.errno in _PLACE
    return isinstance(exc, OSError)


@contextmanager
def orderly_stop(stop: Stop) -> Iterator[None]:
    """Set the flag on the first Ctrl-C or SIGTERM, instead of ending wherever the program is.

    A second one does what it does without us. Only signals that still do what Python makes them
    do, and only in the main thread; handlers of the caller are left alone.
    """
    usual: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        ours = (
            (signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL),
            (signal.SIGTERM, _interrupt),
        )  # fmt: skip
        usual = {n: handler for n, handler in ours if signal.getsignal(n) is handler}

    def handle(number: int, frame: Any) -> None:
        signal.signal(number, usual[number])
        stop.asked = True

    for number in usual:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end what runs as Ctrl-C does, so that all that is to be removed is removed.

    Under the conditions of :func:`orderly_stop`, which may be entered within.
    """
    main = threading.current_thread() is threading.main_thread()
    ours = main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
