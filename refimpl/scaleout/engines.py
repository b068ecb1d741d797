"""Who works on blocks: this thread, threads, processes of this computer, whatever Parsl knows.

An engine is a context that gives a :class:`Crew` and leaves nothing behind on any way out: no
process, no folder. Not here: which block is done when (:mod:`refimpl.scaleout.handing`).
"""

from __future__ import annotations

import importlib.util
import logging
import os
import runpy
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from refimpl.errors import ConfigError, MissingExtra

__all__ = ["ENGINES", "Crew", "Engine", "is_near", "load_config", "opened"]

ENGINES = ("auto", "serial", "threads", "parsl", "processes")
"""Engines by name; any other is the path of a Parsl configuration."""

Submit = Callable[..., "Future[dict[str, Any]]"]

_LOST = {"WorkerLost", "ManagerLost"}
"""Parsl's errors for blocks whose worker or node is gone; others take their place."""

_DEAD = {"BadStateException", "TooManyJobFailuresError", "BrokenThreadPool", "BrokenProcessPool"}
"""Errors of engines that will do nothing more, by name: Parsl need not be here to know them."""

_INTERCHANGE = Path(__file__).with_name("interchange.py")


@dataclass
class Crew:
    """Workers that are ready.

    Attributes
    ----------
    words
        What they are, for people.
    submit
        ``submit(call, *arguments)`` returns a future; a block that is lost is its exception.
    near
        They are threads of this process, which see when to stop.
    abandoned
        Set by who gives up: do not wait for them at the end.
    """

    words: str
    submit: Submit
    near: bool
    abandoned: bool = False

    def fate(self, exc: BaseException) -> Literal["lost", "dead", "failed"]:
        """What an exception of the engine means for a block: try again, give up, it failed."""
        names = {cls.__name__ for cls in type(exc).__mro__}
        if names & _DEAD:
            return "dead"
        return "lost" if names & _LOST or isinstance(exc, OSError) else "failed"


Engine = AbstractContextManager[Crew]


def is_near(name: str | Path) -> bool:
    """Whether the workers of an engine are threads of this process, not other processes."""
    return str(name) in ENGINES and str(name) != "processes"


def opened(
    name: str | Path, workers: int, *, nodes: int | None = None, cpus: int | None = None
) -> Engine:
    """Engine by name, to be entered; what is wrong with it is said at once.

    Parameters
    ----------
    name
        One of :data:`ENGINES`, or the path of a Parsl configuration.
    workers
        Blocks at a time, except for a configuration.
    nodes, cpus
        Globals NODES and CPUS of a configuration, where they are stated.

    Raises
    ------
    ConfigError
        No such engine, a configuration that fails, nodes without a configuration.
    MissingExtra
        It needs Parsl, which is not here.
    """
    chosen = str(name)
    for key, value in (("nodes", nodes), ("cpus", cpus)):
        if value is not None and value < 1:
            raise ConfigError(f"{key} {value}: expected 1 or more", key=key, got=value)
    if chosen == "auto":
        chosen = "parsl" if importlib.util.find_spec("parsl") else "threads"
    if chosen in ENGINES and nodes is not None and nodes > 1:
        raise ConfigError(
            f"engine {chosen!r} works on this computer alone (got {nodes} nodes): name the .py "
            "file of a Parsl configuration, see 'refimpl cluster'", key="nodes", got=nodes,
        )  # fmt: skip
    if chosen == "serial":
        return _serial()
    if chosen == "threads":
        return _threads(workers)
    if chosen not in ENGINES and not chosen.endswith(".py"):
        raise ConfigError(
            f"unknown engine {chosen!r}: expected {', '.join(ENGINES[:-1])} or {ENGINES[-1]}, or "
            "the .py file of a Parsl configuration", key="engine", got=chosen,
        )  # fmt: skip
    if not importlib.util.find_spec("parsl"):
        raise MissingExtra("cluster", f"engine {chosen!r}")
    if chosen == "parsl":
        return _parsl_threads(workers)
    if chosen == "processes":
        return _processes(workers)
    return _configured(Path(chosen), load_config(Path(chosen), nodes=nodes, cpus=cpus))


@contextmanager
def _serial() -> Iterator[Crew]:
    def submit(call: Callable[..., dict[str, Any]], *arguments: Any) -> Future[dict[str, Any]]:
        future: Future[dict[str, Any]] = Future()
        future.set_result(call(*arguments))
        return future

    yield Crew("serial", submit, near=True)


@contextmanager
def _threads(workers: int) -> Iterator[Crew]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="refimpl")
    crew = Crew(f"{workers} thread{'s' * (workers > 1)}", pool.submit, near=True)
    try:
        yield crew
    finally:
        pool.shutdown(wait=not crew.abandoned, cancel_futures=crew.abandoned)


@contextmanager
def _parsl_threads(workers: int) -> Iterator[Crew]:
    from parsl.config import Config
    from parsl.executors import ThreadPoolExecutor as ParslThreads

    threads = ParslThreads(label="refimpl", max_threads=workers)
    with tempfile.TemporaryDirectory(prefix="refimpl-parsl-") as folder:
        config = Config(
            executors=[threads], run_dir=folder, strategy="none", initialize_logging=False
        )
        words = f"Parsl, {workers} thread{'s' * (workers > 1)}"
        crew = Crew(words, lambda *arguments: Future(), near=True)
        with _kernel(config, crew):
            try:
                yield crew
            finally:
                if crew.abandoned:  # or the kernel waits for a thread that never ends
                    threads.executor.shutdown(wait=False, cancel_futures=True)
                    threads.shutdown = lambda block=True: None


@contextmanager
def _processes(workers: int) -> Iterator[Crew]:
    from refimpl.scaleout.local import local_config

    # the workers may still write their logs while the folder is removed
    with tempfile.TemporaryDirectory(prefix="refimpl-parsl-", ignore_cleanup_errors=True) as folder:
        config, end = local_config(workers, folder)
        words = f"Parsl, {workers} process{'es' * (workers > 1)}"
        crew = Crew(words, lambda *arguments: Future(), near=False)
        try:
            with _kernel(config, crew):
                yield crew
        finally:
            end()


@contextmanager
def _configured(path: Path, config: Any) -> Iterator[Crew]:
    labels = ", ".join(executor.label for executor in config.executors)
    for executor in config.executors:
        if getattr(executor, "interchange_launch_cmd", None) == ["interchange.py"]:
            executor.interchange_launch_cmd = interchange_command()
    crew = Crew(f"Parsl, {labels} ({path.name})", lambda *arguments: Future(), near=False)
    with _kernel(config, crew):
        yield crew


def interchange_command() -> list[str]:
    """Command of Parsl's go-between that ends when this process does, however that ends."""
    return [sys.executable, "-P", str(_INTERCHANGE), str(os.getpid())]


def load_config(path: Path, *, nodes: int | None = None, cpus: int | None = None) -> Any:
    """Parsl configuration that a Python file assigns to ``config``; nothing is started.

    Parameters
    ----------
    path
        The file; it is run.
    nodes, cpus
        Its globals NODES and CPUS, where they are stated.

    Raises
    ------
    ConfigError
        There is no such file, it fails, or it assigns something else.
    """
    from parsl.config import Config

    if not path.is_file():
        raise ConfigError("no such Parsl configuration", path=path)
    stated = {n: v for n, v in (("NODES", nodes), ("CPUS", cpus)) if v is not None}
    try:
        config = runpy.run_path(str(path), init_globals=stated).get("config")
    except Exception as exc:  # it is the user's program: anything may come out of it
        line = " ".join(f"{type(exc).__name__}: {exc}".split())
        raise ConfigError(f"the Parsl configuration fails: {line}", path=path) from exc
    if not isinstance(config, Config):
        raise ConfigError(
            f"the Parsl configuration must assign a parsl.config.Config to 'config' (got "
            f"{type(config).__name__})", path=path, key="config",
        )  # fmt: skip
    return config


@contextmanager
def _kernel(config: Any, crew: Crew) -> Iterator[None]:
    """Parsl of our own, beside any that the caller has loaded; gone at the end."""
    from parsl.dataflow.dflow import DataFlowKernel

    log = logging.getLogger("parsl")
    before = list(log.handlers)
    try:
        kernel = DataFlowKernel(config)
    except BaseException as exc:  # of whatever the configuration starts: a queue, a port, a program
        for executor in config.executors:
            with suppress(Exception):  # most were not started
                executor.shutdown()
        if not isinstance(exc, Exception):
            raise
        line = " ".join(f"{type(exc).__name__}: {exc}".split())
        raise ConfigError(f"Parsl cannot start what the configuration says: {line}") from exc

    def submit(call: Callable[..., dict[str, Any]], *arguments: Any) -> Future[dict[str, Any]]:
        return kernel.submit(
            call, app_args=arguments, executors="all", cache=False, ignore_for_cache=None,
            app_kwargs={},
        )  # fmt: skip

    crew.submit = submit
    logs = [handler for handler in log.handlers if handler not in before]
    try:
        yield
    finally:
        try:
            kernel.cleanup()
        finally:
            for handler in logs:  # Parsl leaves its file open
                handler.close()
