"""An engine that several runs of blocks use one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType

from refimpl.scaleout.engines import Crew, Engine, is_near, opened

__all__ = ["Kept"]


class Kept:
    """An engine for several runs of blocks: started when one has work, ended with the context.

    Starting one takes seconds, and in a queue hours. What a run that was stopped had handed out may
    still be worked on, so its driver is expected to leave the context then.

    Parameters
    ----------
    name, workers, nodes, cpus
        As of :func:`opened`, which checks them at once.

    Attributes
    ----------
    near
        Its workers are threads of this process, not other processes.
    """

    def __init__(
        self, name: str | Path, workers: int, *, nodes: int | None = None, cpus: int | None = None
    ) -> None:
        self._again = partial(opened, name, workers, nodes=nodes, cpus=cpus)
        self._next: Engine | None = self._again()
        self._open: Crew | None = None
        self._stack = ExitStack()
        self.near = is_near(name)

    def __enter__(self) -> Kept:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open = None
        self._stack.close()

    @contextmanager
    def lent(self) -> Iterator[Crew]:
        """Workers for one run; ended after it if it failed or gave them up."""
        if self._open is None:
            self._open = self._stack.enter_context(self._next or self._again())
            self._next = None
        crew = self._open
        try:
            yield crew
        except BaseException:
            self.__exit__(None, None, None)
            raise
        if crew.abandoned:
            self.__exit__(None, None, None)
