"""Watch a session while EPU writes it, and tell of duplicates as they come.

Only new files are opened at each look. A file that cannot be read yet is half-written until proved
otherwise: it is tried again at every look, and after some looks without a change told as unusable,
once; should it be completed after all, it counts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refimpl.epu.calibration import Calibration
from refimpl.epu.copies import COPY
from refimpl.epu.duplicates import Duplicates, find_duplicates
from refimpl.epu.file_cache import FileCache
from refimpl.epu.radius import DEFAULT_RADIUS, Radius
from refimpl.epu.session import Session, Source, read_session
from refimpl.errors import ConfigError, ConvergenceError, FormatError

__all__ = ["Update", "watch"]

GROWTH = 1.5
"""A session this many times as large as when it was calibrated is calibrated again: each exposure
is worked on a few times in all, and the first answer, from few holes, does not stay."""


@dataclass(frozen=True, eq=False)
class Update:
    """What a look at the folder brought.

    Attributes
    ----------
    session
        Everything read so far.
    duplicates
        The search; None as long as beam shifts are not calibrated.
    new, partners
        Names of exposures that are duplicates and were not told before, and of those that they
        repeat.
    withdrawn
        Names told before that are none after all: a later calibration moved them apart.
    waiting
        Paths of files that cannot be read yet.
    unusable
        (path, reason) of files that waited too long, each told once.
    note
        Why there is no calibration, or no look; empty if all is well.
    is_calibrated_anew
        Whether this look changed the calibration.
    """

    session: Session
    duplicates: Duplicates | None
    new: tuple[str, ...] = ()
    partners: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    unusable: tuple[tuple[str, str], ...] = ()
    note: str = ""
    is_calibrated_anew: bool = False


def watch(
    folder: str | os.PathLike[str],
    calibration: Calibration | Callable[[Session], Calibration],
    radius: Radius | str = DEFAULT_RADIUS,
    *,
    interval_s: float = 30.0,
    tries: int = 5,
    looks: int | None = None,
    ignore_same_hole: bool = False,
    source: str | Source = "epu",
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Update]:
    """Look at a folder again and again; yield what changed.

    Parameters
    ----------
    folder, source
        See :func:`refimpl.epu.session.read_session`; it may still be empty.
    calibration
        Given, or how to find it; it is found again as the session grows by :data:`GROWTH`.
    radius, ignore_same_hole
        See :func:`refimpl.epu.duplicates.find_duplicates`.
    interval_s
        Between looks.
    tries
        Looks at an unreadable file that does not change, or at a folder that cannot be read,
        before it is told, or raised.
    looks
        Stop after so many; None: go on until interrupted.
    sleep
        Called with ``interval_s`` between looks.

    Yields
    ------
    An update for the first look and for each that brought something.

    Raises
    ------
    ConfigError
        There is no such folder, or a radius or interval is impossible.
    FormatError, ConfigError
        The folder could not be read ``tries`` times running.
    """
    if not interval_s > 0.0:
        raise ConfigError(f"interval {interval_s:g} s: expected > 0", key="watch", got=interval_s)
    state = _State(calibration, radius, ignore_same_hole, tries)
    read = _Reader(folder, source, tries)
    look = 0
    while looks is None or look < looks:
        if look:
            sleep(interval_s)
        look += 1
        session = read()
        update = (
            Update(state.session, state.found, note=read.trouble)
            if session is None
            else state.update(session)
        )
        if update is not None:
            yield update


class _Reader:
    """Reads the folder at each look; lets a few failures after the first success pass."""

    def __init__(self, folder: str | os.PathLike[str], source: str | Source, tries: int) -> None:
        self._folder, self._source, self._tries = folder, source, tries
        self._cache: FileCache | None = FileCache() if source == "epu" else None
        self._failed, self._was_read, self.trouble = 0, False, ""

    def __call__(self) -> Session | None:
        try:
            session = read_session(
                self._folder, source=self._source, cache=self._cache, allow_empty=True
            )
        except (ConfigError, FormatError, OSError) as error:
            self._failed += 1
            if not self._was_read or self._failed >= self._tries:
                raise
            self.trouble = f"cannot look: {error}"
            return None
        self._failed, self._was_read = 0, True
        return session


@dataclass
class _State:
    """What was told before."""

    calibrate: Calibration | Callable[[Session], Calibration]
    radius: Radius | str
    ignore_same_hole: bool
    tries: int
    session: Session = field(default_factory=lambda: _empty())
    found: Duplicates | None = None
    calibration: Calibration | None = None
    n_tried: int = 0
    note: str = ""
    told: frozenset[str] = frozenset()
    seen: dict[str, tuple[Any, int]] = field(default_factory=dict)
    names: tuple[str, ...] | None = None

    def update(self, session: Session) -> Update | None:
        """What a session brings that was not there before; None: nothing."""
        first = self.names is None
        names = tuple(session.table["name"])
        grown = names != self.names
        self.session, self.names = session, names
        waiting, unusable = self._unreadable(session)
        note, anew = self.note, False
        if grown:
            anew = self._calibrated()
            if self.calibration is not None and len(session):
                self.found = find_duplicates(
                    session, self.calibration, self.radius, ignore_same_hole=self.ignore_same_hole
                )
        repeats = {} if self.found is None else _partners(self.found)
        new = tuple(name for name in repeats if name not in self.told)
        withdrawn = tuple(sorted(self.told.difference(repeats)))
        self.told = frozenset(repeats)
        if not (first or grown or unusable or note != self.note):
            return None
        return Update(
            session, self.found, new, tuple(repeats[name] for name in new), withdrawn, waiting,
            unusable, self.note, anew,
        )  # fmt: skip

    def _calibrated(self) -> bool:
        """Calibrate if that is due; whether the calibration changed."""
        if isinstance(self.calibrate, Calibration):
            anew, self.calibration = self.calibration is None, self.calibrate
            return anew
        n = len(self.session)
        if n == 0 or n < GROWTH * self.n_tried:
            return False
        self.n_tried = n
        kept = "the earlier calibration stays" if self.calibration else "not calibrated yet"
        try:
            found = self.calibrate(self.session)
        except (ConvergenceError, ConfigError) as error:
            self.note = f"{kept}: {error}"
            return False
        if not found.is_decided:
            self.note = f"{kept}: from {n} exposures two answers fit equally well"
            return False
        self.calibration, self.note = found, ""
        return True

    def _unreadable(self, session: Session) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
        """Files that wait, and those that have waited long enough and were not told."""
        errors = session.errors
        bad = errors[~errors["used"].astype(bool) & ~errors["reason"].str.startswith(COPY)]
        seen: dict[str, tuple[Any, int]] = {}
        waiting, unusable = [], []
        for path, reason in zip(bad["path"].tolist(), bad["reason"].tolist(), strict=True):
            state = _file_state(path)
            before, count = self.seen.get(path, (None, 0))
            # one that was told stays told, even if it changes and is still of no use
            count = count + 1 if state == before or count >= self.tries else 1
            seen[path] = (state, count)
            if count < self.tries:
                waiting.append(path)
            elif count == self.tries:
                unusable.append((path, reason))
        self.seen = seen
        return tuple(waiting), tuple(unusable)


def _partners(found: Duplicates) -> dict[str, str]:
    """Name of each bad exposure with that of the one it repeats, in the order of time."""
    names, rows = found.session.table["name"].to_numpy(), found.bad.nonzero()[0]
    return dict(zip(names[rows].tolist(), names[found.kept[rows]].tolist(), strict=True))


def _file_state(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _empty() -> Session:
    from refimpl.epu.exposures import table_of

    none: list[float] = []
    return Session(
        table_of(beam_shift_x=none, beam_shift_y=none, stage_x_um=none, stage_y_um=none),
        folder=Path(),
    )
