"""What the conformance kit knows of a quantity: its arrays, its tolerances and its cases.

A quantity is a function from arrays to arrays that any calibration code has in some form. Its
record says what goes in and out, in which units, how far an output may be off, and which function
of refimpl defines it. Cases come in three kinds, told by the beginning of their name: ``ordinary``,
``edge`` and ``random``; a random one is made from the name of its quantity and its number, so its
id is enough to make it again. The records are in the modules ``conform_*_vectors.py`` beside this
one. Not here: files (:mod:`refimpl.testing.conform_files`) and verdicts
(:mod:`refimpl.testing.conform_judge`).
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.testing.tolerances import Tolerance

__all__ = [
    "QUANTITIES",
    "SCHEMA",
    "VERSION",
    "Array",
    "Case",
    "Inputs",
    "Output",
    "Outputs",
    "Quantity",
    "make_cases",
    "quantities",
    "quantity",
    "rng_of",
]

SCHEMA = "refimpl-conformance"
VERSION = 2
"""Of the vectors: grows when a case, a definition or a tolerance changes."""

Inputs = dict[str, Any]
Outputs = dict[str, NDArray[Any]]
Compare = Literal["value", "angle", "exact", "labels"]

_ROOMS = (
    "geometry", "crystal", "grains", "rotation", "nearfield", "images", "fits", "electrons",
    "targets",
)  # fmt: skip


@dataclass(frozen=True)
class Array:
    """An array that goes in.

    Attributes
    ----------
    name
        Its unit ends it, where it has one.
    unit
        ``1`` for none.
    shape
        Letters with commas, such as ``n,3``; equal letters are equal lengths within a case, a
        number is that length, nothing is a scalar.
    meaning
        In words.
    dtype
        ``f8``, ``i8`` or ``str`` (a scalar word).
    """

    name: str
    unit: str
    shape: str
    meaning: str
    dtype: str = "f8"


@dataclass(frozen=True)
class Output(Array):
    """An array that comes out, and how far it may be off.

    Attributes
    ----------
    atol
        Absolute tolerance in the unit.
    ulp
        Tolerance in units in the last place of the expected value; the larger of the two counts.
    why
        Of the tolerance.
    compare
        ``value``; ``angle``, modulo a full turn in rad; ``exact``; ``labels``, whatever the numbers
        of the groups are, negative ones being outside of all groups.
    """

    atol: float = 0.0
    ulp: int = 0
    why: str = ""
    compare: Compare = "value"

    @property
    def tolerance(self) -> Tolerance:
        """Both parts."""
        return Tolerance("CONFORMANCE", self.why, atol=self.atol, ulp=self.ulp)


@dataclass(frozen=True, eq=False)
class Case:
    """One set of inputs.

    Attributes
    ----------
    id
        ``quantity/kind-name``.
    inputs
        Arrays and words by name.
    outputs
        What our definition gives; empty in a file that a code under test is given.
    """

    id: str
    inputs: Inputs
    outputs: Outputs = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Without the quantity."""
        return self.id.split("/", 1)[1]


@dataclass(frozen=True)
class Quantity:
    """A quantity of the kit.

    Attributes
    ----------
    name
        Unique; the name of the function that a code under test offers.
    title
        One line.
    definition
        Dotted name of the function of refimpl that defines it.
    inputs, outputs
        In the order of a function's arguments and of a tuple of results.
    reference
        Outputs by name from inputs by name.
    cases
        Inputs by the name of the case.
    note
        What a reader must know besides: conventions, order of rows.
    """

    name: str
    title: str
    definition: str
    inputs: tuple[Array, ...]
    outputs: tuple[Output, ...]
    reference: Callable[..., Mapping[str, Any]]
    cases: Callable[[], Iterator[tuple[str, Inputs]]]
    note: str = ""

    def expected(self, inputs: Inputs) -> Outputs:
        """Outputs of our definition, as arrays of the stated types."""
        got = self.reference(**inputs)
        return {o.name: np.asarray(got[o.name], dtype=o.dtype) for o in self.outputs}


QUANTITIES: dict[str, Quantity] = {}
"""Every record that was imported, by name; :func:`quantities` imports them all."""


def quantity(record: Quantity) -> Quantity:
    """Enter a record."""
    if record.name in QUANTITIES:
        raise RuntimeError(f"two quantities are called {record.name}")
    QUANTITIES[record.name] = record
    return record


def quantities() -> dict[str, Quantity]:
    """All records by name, in the order of their modules."""
    modules = [f"refimpl.testing.conform_{room}_vectors" for room in _ROOMS]
    for module in modules:
        importlib.import_module(module)
    # whoever imported one of them before does not change the order
    place = {module: number for number, module in enumerate(modules)}
    named = sorted(QUANTITIES.items(), key=lambda item: place.get(item[1].cases.__module__, 99))
    return dict(named)


def rng_of(name: str, number: int) -> np.random.Generator:
    """Return the generator of the random case ``number`` of a quantity."""
    return np.random.default_rng([zlib.crc32(name.encode()), number])


def make_cases(record: Quantity, *, only: str | None = None) -> list[Case]:
    """Cases of a quantity with the outputs of our definition; ``only`` one of them by its name.

    Raises
    ------
    ConfigError
        There is no such case.
    """
    made = [
        Case(f"{record.name}/{name}", inputs, record.expected(inputs))
        for name, inputs in record.cases()
        if only in (None, name)
    ]
    if only is not None and not made:
        raise ConfigError(f"quantity {record.name} has no case {only!r}", got=only)
    return made
