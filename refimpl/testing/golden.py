"""Golden data: where it is, what it says about itself, and how to compare with it.

``data_fixtures/<quantity>/<case>/`` holds data, ``provenance.toml`` (source, locator, licence,
reason, a unit and a tolerance for every column) and ``make.py``, which writes the data anew or
checks them against their origin. ``MANIFEST.sha256`` pins every byte. Nothing is ever a pickle.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refimpl.errors import ConfigError, FormatError
from refimpl.testing.compare import assert_columns
from refimpl.testing.tolerances import CLASSES, Tolerance

__all__ = [
    "MANIFEST",
    "SOURCE_KINDS",
    "Case",
    "Column",
    "case_ids",
    "copy_or_check",
    "fixtures_root",
    "golden",
    "make_external",
    "manifest_problems",
    "manifest_text",
    "provenance_problems",
]

MANIFEST = "MANIFEST.sha256"
SOURCE_KINDS = ("derivation", "mpmath", "published", "measured", "external", "self")
ROLES = ("input", "expected", "label")
_KEYS = (
    "id", "quantity", "source_kind", "source", "locator", "command", "environment", "made",
    "licence", "why",
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """What a column of a golden table is.

    Attributes
    ----------
    unit
        As in the file.
    role
        ``input``, ``expected`` or ``label``.
    tolerance
        For ``expected`` columns.
    """

    unit: str
    role: str
    tolerance: Tolerance


@dataclass(frozen=True)
class Case:
    """One folder of golden data.

    Attributes
    ----------
    id
        ``quantity/case``.
    folder
        Where it is.
    provenance
        Content of ``provenance.toml``.
    """

    id: str
    folder: Path
    provenance: Mapping[str, Any]

    @property
    def columns(self) -> dict[str, Column]:
        """Columns by name, as the provenance describes them."""
        out = {}
        for name, spec in self.provenance.get("columns", {}).items():
            kind = CLASSES[spec.get("class", "EXTERNAL")]
            bound = Tolerance(
                kind.name,
                kind.meaning,
                atol=float(spec.get("atol", kind.atol)),
                rtol=float(spec.get("rtol", kind.rtol)),
                ulp=int(spec.get("ulp", kind.ulp)),
            )
            out[name] = Column(spec["unit"], spec["role"], bound)
        return out

    def path(self, name: str = "data.csv") -> Path:
        """Path of one of the case's files.

        Raises
        ------
        FormatError
            The case has no such file.
        """
        path = self.folder / name
        if not path.is_file():
            files = sorted(p.name for p in self.folder.iterdir())
            raise FormatError(f"golden {self.id}: no file {name!r}; it holds {', '.join(files)}")
        return path

    def text(self, name: str = "data.csv") -> str:
        """Text of a file, unpacked if its name ends in ``.gz``; invalid UTF-8 is replaced."""
        raw = self.path(name).read_bytes()
        raw = gzip.decompress(raw) if name.endswith(".gz") else raw
        return raw.decode("utf-8", errors="replace")

    def json(self, name: str = "data.json") -> Any:
        """Content of a JSON file."""
        return json.loads(self.text(name))

    def table(self, name: str = "data.csv") -> dict[str, NDArray[Any]]:
        """Columns of a table with one header line; commas or blanks between.

        Columns of numbers are float64 (an empty cell is NaN), others are strings.
        """
        lines = [line for line in self.text(name).splitlines() if line and line[0] != "#"]
        comma = "," in lines[0]
        rows = [[w.strip() for w in (x.split(",") if comma else x.split())] for x in lines]
        header = rows[0]
        for number, row in enumerate(rows[1:], start=2):
            if len(row) != len(header):
                raise FormatError(
                    f"{len(row)} cells, expected {len(header)}", path=self.path(name), line=number
                )
        cells = zip(*rows[1:], strict=True) if len(rows) > 1 else [()] * len(header)
        return {h: _numbers_or_strings(c) for h, c in zip(header, cells, strict=True)}

    def check(self, got: Mapping[str, ArrayLike], name: str = "data.csv") -> None:
        """Compare columns with the expected ones of a table, at the tolerances of the provenance.

        Raises
        ------
        refimpl.testing.compare.Mismatch
            A column is missing or outside its tolerance.
        """
        bounds = {
            key: (column.tolerance, column.unit)
            for key, column in self.columns.items()
            if column.role == "expected"
        }
        assert_columns(got, self.table(name), bounds, case=self.id)


def _numbers_or_strings(cells: tuple[str, ...]) -> NDArray[Any]:
    try:
        return np.array([float(c) if c else np.nan for c in cells], dtype=np.float64)
    except ValueError:
        return np.array(cells, dtype=str)


def fixtures_root() -> Path:
    """Folder of the golden data: REFIMPL_FIXTURES, or ``data_fixtures`` of the checkout.

    Raises
    ------
    ConfigError
        It is not there: the goldens are part of the repository, not of the wheel.
    """
    named = os.environ.get("REFIMPL_FIXTURES")
    root = Path(named) if named else Path(__file__).resolve().parents[2] / "data_fixtures"
    if not root.is_dir():
        raise ConfigError(
            f"golden data not found at {root}: set REFIMPL_FIXTURES to the folder data_fixtures of "
            "a checkout of refimpl",
            key="REFIMPL_FIXTURES",
        )
    return root


def case_ids(quantity: str | None = None) -> list[str]:
    """Identifiers of all cases, or of one quantity's, sorted."""
    root = fixtures_root()
    found = sorted(p.parent.relative_to(root).as_posix() for p in root.glob("*/*/provenance.toml"))
    return [c for c in found if quantity is None or c.split("/")[0] == quantity]


def golden(case_id: str) -> Case:
    """Golden case by its identifier, ``quantity/case``.

    Raises
    ------
    ConfigError
        There is no such case.
    """
    folder = fixtures_root() / case_id
    if not (folder / "provenance.toml").is_file():
        raise ConfigError(
            f"no golden case {case_id!r}: known are {', '.join(case_ids())}", got=case_id
        )
    return Case(case_id, folder, tomllib.loads((folder / "provenance.toml").read_text("utf-8")))


def provenance_problems(case: Case) -> list[str]:
    """What is missing or wrong in a case's provenance; empty if all is well."""
    p = case.provenance
    out = [f"{case.id}: provenance lacks {key!r}" for key in _KEYS if not p.get(key)]
    if p.get("id") != case.id:
        out.append(f"{case.id}: provenance has id {p.get('id')!r}")
    if p.get("quantity") != case.id.split("/")[0]:
        out.append(f"{case.id}: provenance has quantity {p.get('quantity')!r}")
    if p.get("source_kind") not in SOURCE_KINDS:
        out.append(f"{case.id}: source_kind {p.get('source_kind')!r}")
    if p.get("source_kind") == "self" and not case.id.startswith("_snapshots/"):
        out.append(f"{case.id}: our own output belongs in _snapshots")
    for name, spec in p.get("columns", {}).items():
        if not spec.get("unit") or spec.get("role") not in ROLES:
            out.append(f"{case.id}: column {name!r} needs a unit and a role of {ROLES}")
        if spec.get("class", "EXTERNAL") not in CLASSES:
            out.append(f"{case.id}: column {name!r} has class {spec['class']!r}")
        if spec.get("role") == "expected" and spec.get("class") != "EXACT" and not spec.get("why"):
            out.append(f"{case.id}: column {name!r} has a tolerance without a reason")
    make = case.folder / "make.py"
    if not make.is_file():
        out.append(f"{case.id}: no make.py")
    elif "INPUTS" not in make.read_text("utf-8"):
        out.append(f"{case.id}: make.py does not name its INPUTS")
    return out


def _pinned_files(root: Path) -> list[Path]:
    files = (p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return sorted(p for p in files if p.name != MANIFEST)


def manifest_text(root: Path | None = None) -> str:
    """Text of the manifest, in the format of ``sha256sum``."""
    top = root or fixtures_root()
    return "".join(
        f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(top).as_posix()}\n"
        for p in _pinned_files(top)
    )


def manifest_problems(root: Path | None = None) -> list[str]:
    """Files that are missing, not listed or changed against the manifest; empty if all is well."""
    top = root or fixtures_root()
    listed = dict(
        line.split("  ", 1)[::-1] for line in (top / MANIFEST).read_text("utf-8").splitlines()
    )
    actual = dict(line.split("  ", 1)[::-1] for line in manifest_text(top).splitlines())
    out = [f"{name}: listed and missing" for name in sorted(listed.keys() - actual.keys())]
    out += [f"{name}: not listed" for name in sorted(actual.keys() - listed.keys())]
    both = sorted(listed.keys() & actual.keys())
    return out + [f"{name}: changed" for name in both if listed[name] != actual[name]]


def copy_or_check(
    case_folder: Path, origin: Path, files: Mapping[str, str], *, write: bool = False
) -> list[str]:
    """Write a case's files from their originals, or check that they are equal byte by byte.

    Parameters
    ----------
    case_folder
        Folder of the case.
    origin
        Folder that the originals are in.
    files
        Name in the case by name in the origin; a name ending in ``.gz`` is packed on the way.
    write
        Write instead of checking.

    Returns
    -------
    Names in the case that differ from their originals.
    """
    different = []
    for source, name in files.items():
        data = (origin / source).read_bytes()
        target = case_folder / name
        if write:
            target.write_bytes(gzip.compress(data, 9, mtime=0) if name.endswith(".gz") else data)
        here = target.read_bytes() if target.is_file() else b""
        if (gzip.decompress(here) if name.endswith(".gz") and here else here) != data:
            different.append(name)
    return different


def make_external(make_py: str, files: Mapping[str, str]) -> int:
    """Work of the ``make.py`` of a case whose data come from outside; returns its exit status.

    ``python make.py [--write] FOLDER``: FOLDER holds the originals, by default
    ``powder-golden`` in REFIMPL_DATA.
    """
    words = [w for w in sys.argv[1:] if w != "--write"]
    folder = Path(words[0]) if words else Path(os.environ["REFIMPL_DATA"]) / "powder-golden"
    here = Path(make_py).parent
    different = copy_or_check(here, folder, files, write="--write" in sys.argv)
    sys.stderr.write(f"{here.name}: {', '.join(different) or 'nothing'} differs from {folder}\n")
    return 1 if different else 0
