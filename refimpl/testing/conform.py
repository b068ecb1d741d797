"""The conformance kit: hold any code, in any language, to the quantities of refimpl.

:func:`conform` runs a code under test (:mod:`refimpl.testing.conform_subjects`) on the vectors and
says, for each quantity, the worst error in its unit, in units in the last place and in multiples of
the tolerance, and which cases fail. Vectors come from the files of a checkout
(``validation/conformance/v2``) or, where there are none, from our definitions: an installed wheel
holds all that is needed. Not here: the quantities themselves (``conform_*_vectors.py``).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from refimpl.dispatch import use_backend
from refimpl.errors import ConfigError
from refimpl.io.atomic import make_folder
from refimpl.testing.conform_files import FORMATS, read_cases, write_cases
from refimpl.testing.conform_judge import QuantityVerdict, judge_quantity
from refimpl.testing.conform_records import VERSION, Case, Quantity, make_cases, quantities
from refimpl.testing.conform_subjects import Subject

__all__ = ["Report", "case_named", "chosen", "conform", "load", "vectors_root", "write_vectors"]


@dataclass(frozen=True)
class Report:
    """Verdicts of a code under test.

    Attributes
    ----------
    subject
        Its name.
    quantities
        Verdicts in the order of the records; those that are not offered are among them.
    """

    subject: str
    quantities: tuple[QuantityVerdict, ...]

    @property
    def is_met(self) -> bool:
        """Whether something is offered, and nothing fails but what is known to."""
        offered = [q for q in self.quantities if q.is_offered]
        return bool(offered) and all(q.is_met for q in offered)


def vectors_root() -> Path | None:
    """Folder of the stored vectors: REFIMPL_VECTORS, or that of the checkout; None if neither.

    Raises
    ------
    ConfigError
        REFIMPL_VECTORS names no folder.
    """
    named = os.environ.get("REFIMPL_VECTORS")
    if named and not Path(named).is_dir():
        raise ConfigError(f"REFIMPL_VECTORS = {named!r}: no such folder", key="REFIMPL_VECTORS")
    here = Path(__file__).resolve().parents[2] / "validation" / "conformance" / f"v{VERSION}"
    return Path(named) if named else here if here.is_dir() else None


def chosen(only: Sequence[str] = ()) -> list[tuple[Quantity, list[str]]]:
    """Quantities, each with patterns of its cases, that any of ``quantity[/case]`` names.

    Raises
    ------
    ConfigError
        A name that no quantity has.
    """
    known = quantities()
    if not only:
        return [(q, ["*"]) for q in known.values()]
    patterns: dict[str, list[str]] = {}
    for word in only:
        name, _, case = word.partition("/")
        found = [q for q in known.values() if fnmatchcase(q.name, name)]
        if not found:
            raise ConfigError(
                f"no quantity {name!r}: expected one of {', '.join(known)}", key="only", got=name
            )
        for q in found:
            patterns.setdefault(q.name, []).append(case or "*")
    return [(q, patterns[q.name]) for q in known.values() if q.name in patterns]


def load(quantity: Quantity, folder: Path | None = None) -> list[Case]:
    """Cases of a quantity, stored (JSON) or, without a folder or a file there, made anew."""
    if folder is not None and (path := folder / f"{quantity.name}.json").is_file():
        return read_cases(path, quantity)
    with use_backend("python"):
        return make_cases(quantity)


def case_named(word: str, folder: Path | None = None) -> tuple[Quantity, Case]:
    """One case by its id.

    Raises
    ------
    ConfigError
        There is no such case.
    """
    (quantity, (name,)), *others = chosen([word])
    every = load(quantity, folder)
    found = [c for c in every if c.name == name]
    if others or not found:
        ids = "" if others else f", one of {', '.join(c.id for c in every)}"
        raise ConfigError(f"no case {word!r}: expected quantity/case{ids}", got=word)
    return quantity, found[0]


def conform(
    subject: Subject,
    *,
    only: Sequence[str] = (),
    known: Sequence[str] = (),
    folder: Path | None = None,
) -> Report:
    """Run a code under test and judge it.

    Parameters
    ----------
    subject
        The code.
    only
        Quantities, or ``quantity/case``, with wildcards; by default all. A quantity named in full
        must be offered.
    known
        Patterns of ids that are known to fail.
    folder
        Of stored vectors; None makes them from our definitions.

    Raises
    ------
    ConfigError
        ``only`` names nothing.
    """
    verdicts = []
    for quantity, patterns in chosen(only):
        every = load(quantity, folder)
        for pattern in patterns:
            if not any(fnmatchcase(c.name, pattern) for c in every):
                ids = ", ".join(c.id for c in every)
                raise ConfigError(
                    f"no case {quantity.name}/{pattern}: expected one of {ids}", key="only"
                )
        cases = [c for c in every if any(fnmatchcase(c.name, p) for p in patterns)]
        got = subject.run(quantity, cases)
        if isinstance(got, str):
            is_known = all(any(fnmatchcase(c.id, p) for p in known) for c in cases)
            trouble = {c.name: got for c in cases}
            verdict = judge_quantity(quantity, cases, trouble, known)
            verdicts.append(
                verdict if is_known else QuantityVerdict(quantity.name, verdict.cases, got)
            )
        elif got is not None:
            verdicts.append(judge_quantity(quantity, cases, got, known))
        else:
            asked = any(word.partition("/")[0] == quantity.name for word in only)
            why = getattr(subject, "why_not_offered", "")
            trouble_words = f"asked for by name and not offered{why}" if asked else ""
            verdicts.append(QuantityVerdict(quantity.name, (), trouble_words))
    return Report(subject.name, tuple(verdicts))


def write_vectors(
    folder: Path, only: Sequence[str] = (), formats: Sequence[str] = FORMATS[:2]
) -> list[Path]:
    """Write vectors from the definitions, JSON and HDF5 twins; return the paths."""
    make_folder(folder)
    paths = []
    for quantity, _ in chosen(only):
        cases = load(quantity)
        for suffix in formats:
            path = folder / f"{quantity.name}.{suffix}"
            paths.append(write_cases(path, quantity, cases, bare=False))
    return paths
