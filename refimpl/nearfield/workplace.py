"""Where the blocks of a near-field run are worked on and kept: folder, ledger, engine, time left.

A reconstruction has one for itself, a run of several grids has one for all its passes: the ledger
is read once, workers are started once, and the lit pixels are handed to other processes once, in a
file that all of a node map (:mod:`refimpl.io.shared`). Not here: what a block is
(:mod:`refimpl.nearfield.blocks`).
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from refimpl.dispatch import resolve_threads
from refimpl.io.atomic import make_folder
from refimpl.io.shared import remove_leftovers, shared_file
from refimpl.ledger import Ledger
from refimpl.scaleout import Block, GaveUp, Kept, Outcome, Run, run_blocks, sigterm_as_interrupt

__all__ = ["BLOCKS", "LEDGER", "Workplace"]

LEDGER = "ledger.jsonl"
"""Ledger of a reconstruction, beside the folder of what its blocks found."""

BLOCKS = "blocks"
"""Folder of what the blocks found."""

T = TypeVar("T")


class Workplace(AbstractContextManager["Workplace"]):
    """A place to work, to be used as a context.

    Parameters
    ----------
    folder
        Where blocks that are done are kept; None: in a temporary folder, for as long as this lasts.
    engine, threads, nodes, cpus, again, retries, backoff_s, patience_s
        As of :func:`refimpl.scaleout.run_blocks`; `threads` are its workers.
    limit_s
        As there, but for all that is done here together.
    shared_folder
        Where other processes find what they all need; default: the folder.

    Attributes
    ----------
    home
        The folder, absolute.

    Raises
    ------
    ConfigError
        An engine that cannot be, a folder that cannot be written to, another run works in it.
    """

    def __init__(
        self,
        folder: str | Path | None,
        *,
        engine: str | Path = "auto",
        threads: int | None = None,
        nodes: int | None = None,
        cpus: int | None = None,
        again: bool = False,
        retries: int = 2,
        backoff_s: Sequence[float] = (10.0, 20.0),
        patience_s: float | None = None,
        limit_s: float | None = None,
        shared_folder: str | Path | None = None,
    ) -> None:
        self.home, self._temporary = Path(folder or "").absolute(), folder is None
        self._crew = Kept(engine, resolve_threads(threads), nodes=nodes, cpus=cpus)
        self._how: dict[str, Any] = {
            "again": again, "retries": retries, "backoff_s": backoff_s, "patience_s": patience_s,
        }  # fmt: skip
        self._limit_s, self._began, self._shared = limit_s, time.monotonic(), shared_folder
        self._made: dict[Hashable, tuple[Any, tuple[object, ...]]] = {}
        self._files, self._stack, self._within = ExitStack(), ExitStack(), 0

    def __enter__(self) -> Workplace:
        with ExitStack() as stack:
            stack.enter_context(sigterm_as_interrupt())
            if self._temporary:
                made = tempfile.TemporaryDirectory(prefix="refimpl-nearfield-")
                self.home = Path(stack.enter_context(made))
            self._book = stack.enter_context(Ledger(make_folder(self.home) / LEDGER))
            for torn in make_folder(self.home / BLOCKS).glob(".*.part.npz"):
                torn.unlink(missing_ok=True)  # a run was killed while it was written
            remove_leftovers(self._share_folder, self._share_name)
            stack.callback(self._forget)
            stack.enter_context(self._crew)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def apart(self) -> bool:
        """Whether other processes do the work, which do not see the memory of this one."""
        return not self._crew.near

    @property
    def _share_folder(self) -> Path:
        return Path(self._shared if self._shared is not None else self.home).absolute()

    @property
    def _share_name(self) -> str:
        """Begins the names of our files: no other folder's run has it, whatever folder they share.

        Whoever holds our ledger may remove them.
        """
        return f"nearfield-{hashlib.sha256(str(self.home.resolve()).encode()).hexdigest()[:16]}"

    def once(self, of: tuple[object, ...], name: Hashable, make: Callable[[], T]) -> T:
        """What is made of these very objects under a name; made once, see :meth:`layer`."""
        key = (name, *map(id, of))
        if key not in self._made:
            self._made[key] = (make(), of)  # kept too: another could get the id of one that is gone
        made: T = self._made[key][0]
        return made

    @contextmanager
    def layer(self) -> Iterator[None]:
        """Let go of what is made and handed out within, at the end of the outermost."""
        self._within += 1
        try:
            yield
        finally:
            self._within -= 1
            if not self._within:
                self._forget()

    def _forget(self) -> None:
        self._made.clear()
        self._files.close()

    def handed(self, obj: Any, stack: ExitStack | None = None) -> Path:
        """File by which other processes read an object, until a stack or the layer is closed."""
        kept = self._files if stack is None else stack
        return kept.enter_context(shared_file(obj, self._share_folder, self._share_name))

    def waits(self, blocks: Sequence[Block]) -> bool:
        """Whether any block is still to be done."""
        known = {} if self._how["again"] else self._book.records
        return any(not block.is_done(known) for block in blocks)

    def run(
        self,
        function: Callable[[Any], Any],
        blocks: Sequence[Block],
        progress: Callable[[Outcome, int, int], None] | None,
    ) -> Run:
        """Work through blocks, as of :func:`refimpl.scaleout.run_blocks`."""
        limit_s = self._limit_s
        if limit_s is not None and limit_s > 0.0:
            limit_s = max(limit_s - (time.monotonic() - self._began), 1e-9)
        try:
            return run_blocks(
                function, blocks, ledger=self._book, engine=self._crew, limit_s=limit_s,
                progress=progress, **self._how,
            )  # fmt: skip
        except GaveUp as exc:
            if self._limit_s is None or time.monotonic() - self._began <= self._limit_s:
                raise
            raise GaveUp(
                f"not done within {self._limit_s:g} s; what is done is kept, and the same run "
                "again goes on from there", exc.run,
            ) from exc  # fmt: skip
