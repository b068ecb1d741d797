"""One campaign against one reader: change a file, read it, keep it if it went a new way.

A result, or an error of ``refimpl.errors`` whose text is one line of bearable length, is what a
reader owes to any file. A finding is anything else: another exception, more than
:data:`MOST_SECONDS`, more memory than :data:`MOST_GIB`, a crash of the interpreter.
"""

from __future__ import annotations

import hashlib
import random
import signal
import sys
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coverage_of import Coverage
from mutations import mutate, zipped
from readers import Reader
from sweeps import sweep

from refimpl.errors import RefimplError
from refimpl.hdf5 import check as hdf5_check

__all__ = ["MOST_GIB", "MOST_SECONDS", "Campaign", "Finding", "corpus_of", "judge", "write_corpus"]

MOST_SECONDS = 10.0
"""Of the processor."""
MOST_GIB = 6.0
"""Address space beyond what is in use when the campaign starts."""
MOST_TEXT = 2000
"""Characters of an error: a terminal full is no answer."""
CORPUS = Path(__file__).parent / "corpus"
FOUND = "found-"

# A loop inside the HDF5 library is an answer, given by the process that looks at files first; it
# need not take the time here that users grant a sound file on a slow disk.
hdf5_check.HANG_SECONDS, hdf5_check.LOOK_SECONDS = 0.5, 0.2


class TooLong(BaseException):
    """A reader took more than the time it has; no ``except Exception`` may hide it."""


@dataclass(frozen=True)
class Finding:
    """A file that a reader has no proper answer to."""

    reader: str
    what: str
    where: str
    data: bytes = field(repr=False)

    @property
    def key(self) -> str:
        """The same for the same defect: what was raised and in which line of refimpl."""
        return f"{self.what.split(':')[0]} at {self.where}"


def corpus_of(reader: Reader, folder: Path = CORPUS) -> dict[str, bytes]:
    """Stored files of a reader by name, in order; those that were findings are ``found-...``."""
    path = folder / f"{reader.name}.zip"
    if not path.exists():
        return {}
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in sorted(file.namelist())}


def write_corpus(
    reader: Reader, files: Iterable[bytes], found: Iterable[bytes] = (), folder: Path = CORPUS
) -> Path:
    """Store files, named by their content; the same files give the same archive.

    Parameters
    ----------
    found
        Files that were findings: they join the ones that are stored, and stay.
    """
    old = {name: data for name, data in corpus_of(reader, folder).items() if name.startswith(FOUND)}
    named = {digest(data): data for data in files}
    new = {FOUND + digest(data): data for data in found}
    path = folder / f"{reader.name}.zip"
    path.write_bytes(zipped(sorted((named | old | new).items()), zipfile.ZIP_DEFLATED))
    return path


def digest(data: bytes) -> str:
    """Name of a file by its content."""
    return hashlib.sha256(data).hexdigest()[:12]


@contextmanager
def _clock(seconds: float) -> Iterator[None]:
    """Processor time, so that a busy machine makes no finding; ``fuzz.py`` sees what only waits."""

    def stop(*_: Any) -> None:
        raise TooLong(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def judge(
    reader: Reader, data: bytes, folder: Path, run: Callable[[Callable[[], Any]], Any] | None = None
) -> Finding | None:
    """Give a file to a reader; None where it has a proper answer.

    Parameters
    ----------
    folder
        Where the file is written; other files there are removed.
    run
        Calls what it is given, as :meth:`Coverage.run` does.
    """
    for old in folder.iterdir():
        with suppress(OSError):
            old.unlink()
    path = folder / reader.file
    path.write_bytes(data)
    what = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with _clock(MOST_SECONDS):
                (run or (lambda call: call()))(lambda: reader.call(path))
        except RefimplError as error:
            if len(str(error)) > MOST_TEXT:
                what, where = f"an error of {len(str(error))} characters", _where(error)
        except (Exception, TooLong) as error:
            what, where = f"{type(error).__name__}: {str(error)[:200]}", _where(error)
    return Finding(reader.name, what, where, data) if what else None


def _where(error: BaseException) -> str:
    """Last line of refimpl that an exception went through."""
    ours = [
        frame for frame in traceback.extract_tb(error.__traceback__)
        if "/refimpl/" in Path(frame.filename).as_posix()
    ]  # fmt: skip
    if not ours:
        return "nowhere in refimpl"
    name = Path(ours[-1].filename).as_posix().rsplit("/refimpl/", 1)[-1]
    return f"refimpl/{name}:{ours[-1].lineno}"


class Campaign:
    """Reading changed files, steered by which lines they make the reader run.

    Attributes
    ----------
    corpus
        Files that went a way of their own, the ones it began with first.
    findings
        By :attr:`Finding.key`, the shortest file of each.
    n_runs, n_read
        Files given to the reader, and how many of them it did not refuse.
    """

    def __init__(self, reader: Reader, seeds: Sequence[bytes], folder: Path, seed: int = 0) -> None:
        self.reader, self.folder, self.rng = reader, folder, random.Random(seed)
        self.coverage = Coverage(reader.traced)
        self.seen: set[tuple[int, int, int]] = set()
        self.corpus: list[bytes] = []
        self.findings: dict[str, Finding] = {}
        self.n_runs = 0
        for data in sorted(set(seeds), key=lambda data: (len(data), data)):
            self.give(data)
        if not self.corpus:
            self.corpus.append(b"")

    def give(self, data: bytes) -> None:
        """Give one file to the reader, and learn from it."""
        self.n_runs += 1
        finding = judge(self.reader, data, self.folder, self.coverage.run)
        pairs = self.coverage.take()
        if finding is not None:
            known = self.findings.get(finding.key)
            if known is None or len(data) < len(known.data):
                self.findings[finding.key] = finding
        elif not pairs <= self.seen:
            self.corpus.append(data)
        self.seen |= pairs

    def run(self, *, seconds: float | None = None, runs: int | None = None) -> None:
        """Go on for a time or a number of files, whichever ends first.

        Up to a quarter of it goes to every change of one place of the files that it began with.
        """
        start, time_s = time.monotonic(), seconds if seconds is not None else 1e9
        end, n = start + time_s, runs if runs is not None else sys.maxsize
        quarter, last = self.n_runs + n // 4, self.n_runs + n
        for data in self.sweeps():
            if time.monotonic() > start + 0.25 * time_s or self.n_runs >= quarter:
                break
            self.give(data)
        while time.monotonic() < end and self.n_runs < last:
            data = self.rng.choice(self.corpus)
            self.give(mutate(data, self.reader.kind, self.rng, self.corpus))

    def sweeps(self) -> Iterator[bytes]:
        """Changes of one place, from all files of the corpus by turns; of each in its own order."""
        ways = [sweep(data, self.reader.kind) for data in self.corpus]
        while ways:
            way = self.rng.choice(ways)
            try:
                yield next(way)
            except StopIteration:
                ways.remove(way)

    def smallest(self) -> list[bytes]:
        """Few and short files that together go every way of the corpus."""
        ways = []
        for data in self.corpus:
            judge(self.reader, data, self.folder, self.coverage.run)
            ways.append((data, self.coverage.take()))
        kept: list[bytes] = []
        left = set().union(*(pairs for _, pairs in ways)) if ways else set()
        while left:
            data, pairs = max(ways, key=lambda way: (len(way[1] & left), -len(way[0])))
            if not pairs & left:
                break
            kept.append(data)
            left -= pairs
        return kept
