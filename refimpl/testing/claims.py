"""Published claims: rows of TOML that state a figure, its source, and how ours is computed.

``validation/claims/*.toml`` hold rows ``[[claim]]``; ``sources.toml`` says what each source is and
whether its data are public. A row names a function below ``validation/`` that computes our figure,
or says why none can be computed. No row may be left out because we miss it: a figure that ours
differs from carries a ``reading``, what we think of the difference.
"""

from __future__ import annotations

import difflib
import fnmatch
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

import refimpl
from refimpl.errors import ConfigError

__all__ = ["RELATIONS", "Claim", "Source", "choose", "claims_root", "read_claims", "read_sources"]

RELATIONS = ("equal", "at most", "at least")
_TEXTS: tuple[str, ...] = (
    *("id", "source", "place", "quantity", "unit", "why", "basis", "relation", "compute"),
    *("cannot", "reading"),
)
_REQUIRED = ("id", "source", "place", "quantity", "value")


@dataclass(frozen=True)
class Source:
    """A published source.

    Attributes
    ----------
    key
        What rows call it.
    title, locator
        What it is, and where.
    public
        Whether the data behind its figures are public.
    data
        Where they are, or why they are not.
    """

    key: str
    title: str
    locator: str
    public: bool
    data: str


@dataclass(frozen=True)
class Claim:
    """One stated figure.

    Attributes
    ----------
    id
        ``system/what``, unique.
    source, place
        Key of the source, and the place in it.
    quantity, unit
        What is stated.
    value
        Number, text, truth value, or (nested) list of numbers.
    tolerance
        Absolute, in the unit of the value; a list goes with a list. 0 is equality.
    why
        Reason of the tolerance.
    relation
        Ours has to be equal to the value, at most or at least that.
    basis
        What ours is computed from: the same data, a simulated twin, the printed numbers ...
    compute, arguments
        Dotted function below the folder ``validation``, and its arguments.
    needs, modules
        Data by name (`refimpl.data`) and modules without which it cannot be checked here.
    public
        Whether the data behind the figure are public.
    seconds
        CPU time of ours where it is long; rows that share a computation carry it once.
    cannot
        Why it cannot be checked; then there is no `compute`.
    reading
        What we think of a difference. A row with a reading is one that ours does not meet.
    """

    id: str
    source: str
    place: str
    quantity: str
    value: Any
    unit: str = ""
    tolerance: Any = 0.0
    why: str = ""
    relation: str = "equal"
    basis: str = ""
    compute: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    public: bool = True
    seconds: float = 0.0
    cannot: str = ""
    reading: str = ""

    @property
    def system(self) -> str:
        """First part of the id."""
        return self.id.split("/")[0]


def claims_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Folder ``validation``: the one given, else of the working directory, else of the checkout.

    Raises
    ------
    ConfigError
        There is no folder ``claims`` in it.
    """
    beside = Path(refimpl.__file__).parents[1] / "validation"
    tried = [Path(root)] if root is not None else [Path("validation"), beside]
    for folder in tried:
        if (folder / "claims").is_dir():
            return folder.resolve()
    raise ConfigError(
        f"no folder claims in {' nor in '.join(map(str, tried))}: the claims come with the source "
        "code, not with the installed package; run in a checkout, or name its folder validation"
    )


def read_sources(root: Path) -> dict[str, Source]:
    """Sources by key.

    Raises
    ------
    ConfigError
        The file is not there, or not as it should be.
    """
    path = root / "claims" / "sources.toml"
    wanted = {f.name for f in fields(Source)} - {"key"}
    out = {}
    for key, row in _toml(path).items():
        if not isinstance(row, dict) or set(row) != wanted or not isinstance(row["public"], bool):
            raise ConfigError(
                f"source {key!r}: expected the keys {', '.join(sorted(wanted))}, 'public' true or "
                "false", path=path, key=key,
            )  # fmt: skip
        out[key] = Source(key, **row)
    return out


def read_claims(root: Path) -> tuple[Claim, ...]:
    """All rows, by file name and then as they stand in it.

    A table ``[defaults]`` of a file holds for all of its rows.

    Raises
    ------
    ConfigError
        A row lacks something, has an unknown key or source, or an id that is taken.
    """
    sources = read_sources(root)
    out: dict[str, Claim] = {}
    for path in sorted((root / "claims").glob("*.toml")):
        if path.name == "sources.toml":
            continue
        content = _toml(path)
        defaults = content.pop("defaults", {})
        rows = content.pop("claim", [])
        if content:
            raise ConfigError(f"unknown table {next(iter(content))!r}", path=path)
        for row in rows:
            claim = _claim({**defaults, **row}, sources, path)
            if claim.id in out:
                raise ConfigError(f"claim {claim.id!r} is there twice", path=path, key=claim.id)
            out[claim.id] = claim
    return tuple(out.values())


def choose(claims: Sequence[Claim], patterns: Sequence[str]) -> tuple[Claim, ...]:
    """Rows whose id or source fits one of the patterns (``*`` and ``?`` as in a shell).

    Raises
    ------
    ConfigError
        A pattern fits none.
    """
    if not patterns:
        return tuple(claims)
    names = sorted({c.id for c in claims} | {c.source for c in claims} | {c.system for c in claims})
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            near = difflib.get_close_matches(pattern, names, 3, 0.4)
            said = f"; near it are {', '.join(near)}" if near else ""
            raise ConfigError(f"--only {pattern}: no claim is called that{said}", got=pattern)
    return tuple(
        c for c in claims
        if any(fnmatch.fnmatchcase(n, p) for n in (c.id, c.source, c.system) for p in patterns)
    )  # fmt: skip


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ConfigError("no such file", path=path) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"not TOML: {exc}", path=path) from exc


def _claim(row: dict[str, Any], sources: Mapping[str, Source], path: Path) -> Claim:
    name = row.get("id", "?")

    def wrong(what: str, key: str = "") -> ConfigError:
        return ConfigError(f"claim {name!r}: {what}", path=path, key=key or name)

    known = [f.name for f in fields(Claim)]
    for key in row:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.0)[0]
            raise wrong(f"unknown key {key!r}; did you mean {near!r}?", key)
    for key in _REQUIRED:
        if key not in row:
            raise wrong(f"lacks {key!r}", key)
    for key in _TEXTS:
        if not isinstance(row.get(key, ""), str):
            raise wrong(f"{key!r} has to be text", key)
    if row["source"] not in sources:
        raise wrong(f"source {row['source']!r} is not in sources.toml", "source")
    for key in ("needs", "modules"):
        row[key] = tuple(row.get(key, ()))
    row.setdefault("public", sources[row["source"]].public)
    if "cannot" in row:  # what the defaults say of the computation is of the other rows
        for key in ("compute", "basis", "arguments", "needs", "modules", "why", "tolerance"):
            row.pop(key, None)
    claim = Claim(**row)
    if claim.relation not in RELATIONS:
        raise wrong(f"relation {claim.relation!r}: expected one of {', '.join(RELATIONS)}")
    if not claim.cannot:
        if not claim.compute or not claim.basis:
            raise wrong("needs 'compute' and 'basis', or 'cannot'")
        if not claim.why and np.any(np.asarray(claim.tolerance) > 0):
            raise wrong("a tolerance needs a reason, 'why'", "why")
    if np.ndim(claim.tolerance) and np.shape(claim.tolerance) != np.shape(claim.value):
        try:
            np.broadcast_shapes(np.shape(claim.tolerance), np.shape(claim.value))
        except ValueError:
            raise wrong("the list of tolerances does not go with that of values") from None
    return claim
