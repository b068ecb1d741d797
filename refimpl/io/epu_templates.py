"""EPU's XML read by its places: the files of a session differ in a few texts only.

The strict reader notes where the texts of a file stand. What lies between the texts that were seen
to differ is compared byte by byte with a file that the strict reader accepted; the texts
themselves must be plain ASCII without markup. Then the file is well-formed and has the same
elements, so that the strict reader could not find other values. Anything else (another order,
prefix or blank, an entity, a comment, a cut) fails the comparison and goes to the strict reader.
"""

from __future__ import annotations

import math
import os
import stat
from typing import Any

from refimpl.errors import FormatError
from refimpl.io.epu_fields import Fields, convert
from refimpl.io.epu_names import seconds_of
from refimpl.io.epu_xml import Leaf, Parsed, is_plain, parse_strict

__all__ = ["EpuReader"]

_MOST = 16
"""Layouts kept at a time: several detectors or versions of EPU in one folder are not many."""
_LARGEST = 1 << 26
"""[byte] An exposure's XML has about 12 kB; what is larger than this is something else."""
_TIME_S = Fields._fields.index("time_s")


class _Layout:
    """One sequence of elements, with the texts that may differ and those that never did."""

    def __init__(self, data: bytes, parsed: Parsed) -> None:
        self._data = data
        self._parsed = parsed
        self._free: set[int] = set()
        self._arrange()

    def learn(self, data: bytes, leaves: tuple[Leaf, ...]) -> None:
        """Let the texts differ in which another file of this layout differs."""
        own = self._parsed.leaves
        pairs = enumerate(zip(own, leaves, strict=True))
        self._free |= {
            i for i, (a, b) in pairs if self._data[a.start : a.end] != data[b.start : b.end]
        }
        self._arrange()

    def read(self, text: str) -> Fields | None:
        """Fields of a file (decoded as latin-1: a letter a byte), or None where it is another."""
        if not text.startswith(self._head):
            return None
        at, found = len(self._head), []
        for after in self._after:
            end = text.find("<", at)
            if end <= at or not text.startswith(after, end):
                return None
            found.append(text[at:end])
            at = end + len(after)
        if at != len(text) or not is_plain("".join(found)):
            return None
        try:
            return self._fields(found)
        except ValueError:
            return None

    def _arrange(self) -> None:
        leaves = [self._parsed.leaves[i] for i in sorted(self._free)]
        text = self._data.decode("latin-1")
        starts = [leaf.start for leaf in leaves] + [len(text)]
        self._head = text[: starts[0]]
        self._after = tuple(
            text[leaf.end : start] for leaf, start in zip(leaves, starts[1:], strict=True)
        )
        self._slots = tuple(
            (i, leaf.field, Fields._fields.index(leaf.field))
            for i, leaf in enumerate(leaves)
            if leaf.field is not None
        )

    def _fields(self, found: list[str]) -> Fields | None:
        values: list[Any] = list(self._parsed.fields)
        for i, name, column in self._slots:
            values[column] = convert(name, found[i])
            if name == "time":
                values[_TIME_S] = seconds_of(found[i])
                if math.isnan(values[_TIME_S]):
                    return None
        return Fields._make(values)


class EpuReader:
    """Reads the XML of many exposures; it learns the layouts of a session as it goes.

    What it gives does not depend on what it has read before, only its speed does.

    Attributes
    ----------
    strict
        Number of files that went to the strict reader.
    """

    def __init__(self) -> None:
        self.strict = 0
        self._layouts: dict[bytes, _Layout] = {}

    def read_fast(self, data: bytes) -> Fields | None:
        """Read by a layout that is known; None where there is none for this file."""
        text = data.decode("latin-1")
        for layout in self._layouts.values():
            fields = layout.read(text)
            if fields is not None:
                return fields
        return None

    def read(self, data: bytes) -> Fields:
        """Read the content of a file.

        Raises
        ------
        FormatError
            As :func:`refimpl.io.epu_xml.read_strict` does.
        """
        fields = self.read_fast(data)
        if fields is not None:
            return fields
        self.strict += 1
        parsed = parse_strict(data)
        if parsed.is_plain:
            self._learn(data, parsed)
        return parsed.fields

    def read_file(self, path: str | os.PathLike[str]) -> Fields:
        """Read a file.

        Raises
        ------
        FormatError
            As :meth:`read` does; no regular file, or too large to be the XML of an exposure.
        OSError
            It cannot be opened.
        """
        status = os.stat(path)  # before opening: a pipe would never end
        if not stat.S_ISREG(status.st_mode):
            raise FormatError("not a regular file")
        if status.st_size > _LARGEST:
            raise FormatError(f"more than {_LARGEST >> 20} MB: not the XML of an exposure")
        with open(path, "rb", buffering=0) as file:
            data = file.readall()
        return self.read(data)

    def _learn(self, data: bytes, parsed: Parsed) -> None:
        edges = [0, *(i for leaf in parsed.leaves for i in leaf[:2]), len(data)]
        between = zip(edges[::2], edges[1::2], strict=True)
        key = b"\0".join(data[start:end] for start, end in between)
        layout = self._layouts.pop(key, None)
        if layout is None:
            layout = _Layout(data, parsed)
        else:
            layout.learn(data, parsed.leaves)
        # the newest first: neighbouring files are alike
        rest = list(self._layouts.items())[: _MOST - 1]
        self._layouts = {key: layout, **dict(rest)}
