"""A ledger: an append-only file of JSON lines that says how each piece of work ended.

One line an entry, written at once; the last entry of a key counts. A torn line, such as a killed
run leaves behind, is no entry and does no harm. One run at a time holds a ledger, by a lock that
ends with its process. Nothing is flushed to the platter: the promise is about killed programs,
not about a power cut.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from refimpl.errors import ConfigError, FormatError

try:
    import fcntl
except ImportError:  # Windows: two runs with one ledger are not noticed there
    fcntl = None  # type: ignore[assignment]

__all__ = ["Ledger", "fingerprint"]

_HEADER = {"ledger": "refimpl", "schema": 1}


class Ledger:
    """An open ledger, to be used as a context.

    Parameters
    ----------
    path
        File that is made or continued; its folder must exist.

    Attributes
    ----------
    records
        Key to its last entry.

    Raises
    ------
    ConfigError
        It cannot be written, or another run holds it.
    FormatError
        It is another file, or of a newer refimpl.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: dict[str, dict[str, Any]] = {}
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as exc:
            raise ConfigError(f"cannot write the ledger: {exc.strerror}", path=path) from exc

    def __enter__(self) -> Ledger:
        try:
            self._hold()
            self._read()
        except BaseException:
            os.close(self._file)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def _hold(self) -> None:
        """Lock the file; the lock ends with the process, however that ends."""
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError("another run is working with this ledger", path=self.path) from None
        except OSError:  # a file system without locks
            return

    def _read(self) -> None:
        content = self.path.read_bytes()
        header = json.dumps(_HEADER).encode()
        if header.startswith(content):  # new, or killed while it was made
            os.ftruncate(self._file, 0)
            self._write(header + b"\n")
            return
        lines = content.splitlines()
        first = _parsed(lines[0])
        if first.get("ledger") != _HEADER["ledger"]:
            raise FormatError("not a ledger of refimpl", path=self.path, line=1)
        if first.get("schema") != _HEADER["schema"]:
            raise FormatError(
                f"schema {first.get('schema')} of the ledger: this refimpl knows 1; upgrade",
                path=self.path, line=1,
            )  # fmt: skip
        for record in map(_parsed, lines[1:]):
            if "key" in record and "status" in record:
                self.records[str(record["key"])] = record
        if not content.endswith(b"\n"):  # a run was killed in the middle of a line
            self._write(b"\n")

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one line, at once."""
        made = datetime.now(UTC).isoformat(timespec="seconds")
        text = json.dumps({**record, "made": made}, ensure_ascii=False)
        self._write(text.encode("utf-8", "backslashreplace") + b"\n")
        if "key" in record and "status" in record:
            self.records[str(record["key"])] = dict(record)

    def _write(self, line: bytes) -> None:
        end = os.fstat(self._file).st_size
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as exc:
            with suppress(OSError):  # a full disk takes half a line
                os.ftruncate(self._file, end)
            raise ConfigError(f"cannot write the ledger: {exc.strerror}", path=self.path) from exc


def _parsed(line: bytes) -> dict[str, Any]:
    """Entry of a line; empty if it is torn."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def fingerprint(*parts: Any) -> str:
    """Hexadecimal sha256 of plain values; a path stands for its name, size and time of change.

    Parameters
    ----------
    *parts
        Anything JSON can hold, and :class:`~pathlib.Path`: a file, a folder (all files in it) or
        nothing yet.

    Raises
    ------
    ConfigError
        A part is neither.
    """

    def stamp(value: Any) -> Any:
        if not isinstance(value, Path):
            raise ConfigError(f"fingerprint of a {type(value).__name__}: expected plain values")
        files = sorted(p for p in value.rglob("*") if p.is_file()) if value.is_dir() else [value]
        stats = [(p, p.stat()) for p in files if p.exists()]
        return [str(value.resolve()), [[p.name, s.st_size, s.st_mtime_ns] for p, s in stats]]

    text = json.dumps(parts, sort_keys=True, default=stamp)
    return hashlib.sha256(text.encode()).hexdigest()
