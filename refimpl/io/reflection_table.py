"""A table of reflections: columns under the names of their files, with the types of the files.

Rows are reflections; a column is an array (n,) or (n, k). Tables are values: every change gives a
new one. Bytes are in ``io.refl_files``; which columns a calculation needs is said by the
calculation, with :meth:`ReflectionTable.require`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refimpl.errors import FormatError

__all__ = [
    "CENTROID_OUTLIER",
    "EXCLUDED_FOR_REFINEMENT",
    "INDEXED",
    "INTEGRATED_PRF",
    "INTEGRATED_SUM",
    "NOT_SUITABLE_FOR_REFINEMENT",
    "OBSERVED",
    "OVERLOADED",
    "PREDICTED",
    "REFERENCE_SPOT",
    "STRONG",
    "TYPES",
    "USED_IN_REFINEMENT",
    "ColumnType",
    "ReflectionTable",
    "Shoeboxes",
    "type_of",
]

Rows = NDArray[np.bool_] | NDArray[np.integer[Any]] | list[int] | slice
"""A mask (n,), row numbers, or a slice."""

PREDICTED: Final = 1
OBSERVED: Final = 2
INDEXED: Final = 4
USED_IN_REFINEMENT: Final = 8
STRONG: Final = 32
REFERENCE_SPOT: Final = 64
INTEGRATED_SUM: Final = 256
INTEGRATED_PRF: Final = 512
OVERLOADED: Final = 1024
CENTROID_OUTLIER: Final = 1 << 17
EXCLUDED_FOR_REFINEMENT: Final = 1 << 25
NOT_SUITABLE_FOR_REFINEMENT: Final = 1 << 27


@dataclass(frozen=True)
class ColumnType:
    """How a column of a type is stored: dtype of an element, and its shape in one row."""

    dtype: str
    shape: tuple[int, ...] = ()


TYPES: Final[Mapping[str, ColumnType]] = {
    "bool": ColumnType("?"),
    "int": ColumnType("<i4"),
    "std::size_t": ColumnType("<u8"),
    "double": ColumnType("<f8"),
    "vec2<double>": ColumnType("<f8", (2,)),
    "vec3<double>": ColumnType("<f8", (3,)),
    "mat3<double>": ColumnType("<f8", (3, 3)),
    "int6": ColumnType("<i4", (6,)),
    "cctbx::miller::index<>": ColumnType("<i4", (3,)),
}
"""Column types of fixed size by their name in the files; besides ``std::string``, ``Shoebox<>``."""

_SIZE_T = ("panel", "flags", "partial_id")


def type_of(name: str, values: NDArray[Any]) -> str:
    """Type that a new column is written as, from its dtype and shape.

    Raises
    ------
    FormatError
        No type of the files holds such an array.
    """
    kind, shape = values.dtype.kind, values.shape[1:]
    if kind == "f":
        for label in ("double", "vec2<double>", "vec3<double>", "mat3<double>"):
            if TYPES[label].shape == shape:
                return label
    elif kind in "iu" and shape == ():
        return "std::size_t" if name in _SIZE_T or values.dtype == np.uint64 else "int"
    elif kind in "iu" and shape in ((3,), (6,)):
        return "int6" if shape == (6,) else "cctbx::miller::index<>"
    elif kind == "b" and shape == ():
        return "bool"
    elif kind == "U" and shape == ():
        return "std::string"
    raise FormatError(
        f"column {name!r}: {values.dtype} of shape {values.shape} has no type in a reflection file",
        key=name,
    )


@dataclass(frozen=True, eq=False)
class Shoeboxes:
    """Pixels around each reflection, of all reflections back to back.

    Attributes
    ----------
    panel
        (n,) uint32.
    bbox
        (n, 6) int32: x0, x1, y0, y1, z0, z1 [px, px, image], ends not included.
    flag
        (n,) uint8: 0 where no pixels are stored, else the flag of the file.
    start
        (n + 1,) int64: pixels of reflection i are ``start[i]:start[i + 1]``, in the order z, y, x.
    data, background
        (m,) float32.
    mask
        (m,) uint8 (version 2 of the files) or int32 (version 1).
    """

    panel: NDArray[np.uint32]
    bbox: NDArray[np.int32]
    flag: NDArray[np.uint8]
    start: NDArray[np.int64]
    data: NDArray[np.float32]
    mask: NDArray[Any]
    background: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.panel)

    def pixels(self, row: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Data, mask and background (z, y, x) of one reflection; empty where none are stored."""
        x0, x1, y0, y1, z0, z1 = (int(v) for v in self.bbox[row])
        shape = (z1 - z0, y1 - y0, x1 - x0) if self.flag[row] else (0, 0, 0)
        part = slice(int(self.start[row]), int(self.start[row + 1]))
        data, mask, background = (
            a[part].reshape(shape) for a in (self.data, self.mask, self.background)
        )
        return data, mask, background

    def select(self, rows: Rows) -> Shoeboxes:
        """Shoeboxes of some rows: a mask (n,) or row numbers."""
        index = np.arange(len(self))[rows]
        sizes = np.diff(self.start)[index]
        start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        # pixel k of the new arrays: its reflection's first old pixel plus its place in it
        at = np.repeat(self.start[:-1][index] - start[:-1], sizes) + np.arange(start[-1])
        return Shoeboxes(
            self.panel[index], self.bbox[index], self.flag[index], start,
            self.data[at], self.mask[at], self.background[at],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class ReflectionTable:
    """Columns of equal length.

    Attributes
    ----------
    columns
        Arrays (n,) or (n, k) by name.
    types
        Type of each column in the files; filled in for columns that it lacks.
    identifiers
        Identifier of the experiment that an ``id`` stands for.
    shoeboxes
        Pixels by column name, ``shoebox`` as a rule.
    source
        File that it was read from, for messages.
    version
        Of the file's layout: 1 stores shoebox masks as int32, 2 as uint8.

    Raises
    ------
    FormatError
        Columns of different lengths, or that no type of the files can hold.
    """

    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    identifiers: Mapping[int, str] = field(default_factory=dict)
    shoeboxes: Mapping[str, Shoeboxes] = field(default_factory=dict)
    source: Path | None = None
    version: int = 2

    def __post_init__(self) -> None:
        lengths = {name: len(c) for name, c in self.columns.items()}
        lengths |= {name: len(c) for name, c in self.shoeboxes.items()}
        if len(set(lengths.values())) > 1:
            raise FormatError(f"columns of different lengths: {lengths}", path=self.source)
        kept = {name: t for name, t in self.types.items() if name in lengths}
        for name, values in self.columns.items():
            kept.setdefault(name, type_of(name, values))
        for name in self.shoeboxes:
            kept.setdefault(name, "Shoebox<>")
        object.__setattr__(self, "types", kept)

    def __len__(self) -> int:
        for values in self.columns.values():
            return len(values)
        for boxes in self.shoeboxes.values():
            return len(boxes)
        return 0

    def __contains__(self, name: object) -> bool:
        return name in self.columns or name in self.shoeboxes

    def __getitem__(self, name: str) -> NDArray[Any]:
        self.require(name)
        return self.columns[name]

    def require(self, *names: str) -> None:
        """Demand columns.

        Raises
        ------
        FormatError
            Some are missing; names them and those that are there.
        """
        if missing := [name for name in names if name not in self]:
            there = ", ".join(sorted([*self.columns, *self.shoeboxes])) or "none"
            raise FormatError(
                f"missing column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
                f"there are: {there}",
                path=self.source,
                key=missing[0],
            )

    def select(self, rows: Rows) -> ReflectionTable:
        """Some rows: a mask (n,) or row numbers, in their order."""
        return replace(
            self,
            columns={name: values[rows] for name, values in self.columns.items()},
            shoeboxes={name: boxes.select(rows) for name, boxes in self.shoeboxes.items()},
        )

    def with_columns(
        self, columns: Mapping[str, ArrayLike] | None = None, /, **more: ArrayLike
    ) -> ReflectionTable:
        """Columns replaced or added; one that is there already keeps its type if it fits."""
        new = {name: np.asarray(v) for name, v in {**(columns or {}), **more}.items()}
        types = {
            name: label
            for name, label in self.types.items()
            if name not in new or _fits(new[name], label)
        }
        return replace(self, columns={**self.columns, **new}, types=types)

    def without(self, *names: str) -> ReflectionTable:
        """Drop columns; names that are not there are no error."""
        return replace(
            self,
            columns={k: v for k, v in self.columns.items() if k not in names},
            shoeboxes={k: v for k, v in self.shoeboxes.items() if k not in names},
        )

    def has_flags(self, bits: int) -> NDArray[np.bool_]:
        """(n,) whether all of some flags are set."""
        self.require("flags")
        flags = self.columns["flags"].astype(np.uint64)
        return np.asarray((flags & np.uint64(bits)) == np.uint64(bits))


def _fits(values: NDArray[Any], label: str) -> bool:
    """Whether an array can be stored as a type without a change of its values' kind."""
    if label == "std::string":
        return values.dtype.kind == "U"
    known = TYPES.get(label)
    if known is None or values.shape[1:] != known.shape:
        return False
    stored = np.dtype(known.dtype).kind
    return stored == values.dtype.kind or (stored in "iu" and values.dtype.kind in "iu")
