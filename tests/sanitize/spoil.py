"""Wrong arguments for a pair: plausible ones with one thing spoilt at a time.

Every array loses or gains rows or axes, alone and together with those it shares a length with; its
numbers become NaN, infinite, huge, negative or out of order; every scalar takes the limits of its
type. What comes of it is for :mod:`fuzz_twins` to judge.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.dispatch import Pair

__all__ = ["spoilt"]

Arguments = dict[str, Any]
FLOATS = (math.nan, math.inf, -math.inf, 0.0, -1.0, 1e300, -1e300, 1e-320, 3e9)
WHOLE = (0, 1, -1, 2, 7, 1000, 2**31 - 1, -(2**31), 2**31, 2**62, 2**63 - 1, -(2**63))


def _elements(array: NDArray[Any]) -> list[Any]:
    """Numbers that do not belong into an array of its type."""
    kind = array.dtype
    if kind.kind == "f":
        return list(FLOATS)
    limits = np.iinfo(kind)
    wanted = {-1, -2, 0, array.size, array.size + 1, 1000, limits.min, limits.max, 2**31 - 1}
    return sorted(v for v in wanted if limits.min <= v <= limits.max)


def _numbers(array: NDArray[Any], rng: np.random.Generator) -> Iterator[tuple[str, NDArray[Any]]]:
    if not array.size:
        return
    for value in _elements(array):
        for where in ("first", "last", "any", "all"):
            changed = array.copy()
            at = {"first": 0, "last": -1, "any": int(rng.integers(array.size))}
            if where == "all":
                changed[...] = value
            else:
                changed.reshape(-1)[at[where]] = value
            yield f"{where} = {value}", changed
    yield "backwards", array[::-1].copy()
    yield "shuffled", rng.permuted(array.reshape(-1)).reshape(array.shape)


def _shapes(array: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    yield "one axis more", array[None]
    yield "flat", array.reshape(-1)
    for axis in range(array.ndim):
        keep = [slice(None)] * array.ndim
        for what, part in (
            ("nothing", slice(0, 0)),
            ("one", slice(0, 1)),
            ("one less", slice(0, -1)),
            ("every other", slice(0, None, 2)),
        ):
            keep[axis] = part
            yield f"axis {axis}: {what}", array[tuple(keep)]
        yield f"axis {axis}: twice", np.concatenate([array, array], axis=axis)


def _together(pair: Pair, arguments: Arguments) -> Iterator[tuple[str, Arguments]]:
    """Every array of a length cut alike: what the checks of shapes let through."""
    letters = {x for _, shape in pair.arrays.values() for x in shape if not x.isdecimal()}
    for letter in sorted(letters):
        for size in (0, 1, 2):
            changed = dict(arguments)
            for name, (_, shape) in pair.arrays.items():
                if arguments.get(name) is not None:
                    cut = tuple(slice(0, size) if x == letter else slice(None) for x in shape)
                    changed[name] = np.asarray(arguments[name])[cut]
            yield f"{letter} cut to {size}", changed
    for name in pair.arrays:
        if arguments.get(name) is not None:
            yield f"{name}: a list", arguments | {name: np.asarray(arguments[name]).tolist()}


def spoilt(
    pair: Pair, arguments: Arguments, rng: np.random.Generator
) -> Iterator[tuple[str, Arguments]]:
    """Words on what is wrong, and the arguments."""
    yield "nothing", arguments
    yield from _together(pair, arguments)
    for name, value in arguments.items():
        if isinstance(value, np.ndarray):
            for what, changed in (*_numbers(value, rng), *_shapes(value)):
                yield f"{name}: {what}", arguments | {name: changed}
        elif isinstance(value, bool):
            yield f"{name}: not {value}", arguments | {name: not value}
        elif isinstance(value, int | np.integer):
            for other in WHOLE:
                yield f"{name} = {other}", arguments | {name: other}
        elif isinstance(value, float):
            for number in FLOATS:
                yield f"{name} = {number}", arguments | {name: number}
