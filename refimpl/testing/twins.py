"""Compare a definition with its compiled twin: bits, ulps or standard errors, by kind.

``arithmetic`` pairs must agree to the last bit, ``libm`` pairs within 4 ulp, ``iterative`` pairs
within 1e-6 of the standard error that their strategy states. Elements that compare equal, or are
both NaN, agree. Whatever the kind, the twin must give the same bits for any number of threads and
any memory layout of its arguments, and must leave its arguments alone.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import refimpl
from refimpl.dispatch import Pair
from refimpl.testing.strategies import Arguments, Outputs, Strategy

__all__ = [
    "LAYOUTS",
    "SPECIALS",
    "THREADS",
    "as_outputs",
    "bounds_of",
    "check_layout",
    "check_pair",
    "describe_difference",
    "import_rooms",
    "make_arguments",
    "wrapped",
]

ULP = {"arithmetic": 0.0, "libm": 4.0}
ITERATIVE_FRACTION = 1e-6
THREADS = (1, 2, 5)
LAYOUTS = ("strided", "fortran", "read-only")
SPECIALS = (math.nan, 0.0, -0.0, math.pi, -math.pi, math.pi / 2.0, -math.pi / 2.0, math.inf)


def import_rooms(skip: Sequence[str] = ("cli", "centring", "report", "testing")) -> list[str]:
    """Import every module of refimpl that can hold a pair, so that the registry is complete.

    Returns
    -------
    Names of the imported modules.
    """
    names = []
    for found in pkgutil.walk_packages(refimpl.__path__, "refimpl."):
        if found.name.startswith("refimpl.testing.strategies_"):  # a room's own entries
            importlib.import_module(found.name)
            continue
        room = found.name.split(".")[1]
        if room not in skip and room != "_ext":
            importlib.import_module(found.name)
            names.append(found.name)
    return names


def wrapped(pair: Pair) -> Callable[..., Any]:
    """Public function of a pair, the one that chooses the backend."""
    module = importlib.import_module(pair.definition.__module__)
    function: Callable[..., Any] = getattr(module, pair.name)
    return function


def as_outputs(result: Any) -> Outputs:
    """Result of a pair, one array or a tuple of them, as a tuple of arrays."""
    return tuple(np.asarray(r) for r in (result if isinstance(result, tuple) else (result,)))


def make_arguments(
    pair: Pair, strategy: Strategy, rng: np.random.Generator, n: int, *, special: bool = False
) -> Arguments:
    """Arguments for ``n`` points; with ``special`` about one in eight is NaN or a special angle."""
    arguments = strategy.make(rng, n)
    if not special:
        return arguments
    chosen = strategy.specials
    if chosen is None:
        chosen = {
            name: SPECIALS
            for name, (dtype, letters) in pair.arrays.items()
            if dtype.startswith("f") and "n" in letters
        }
    for name, values in chosen.items():
        array = np.array(arguments[name])
        hit = rng.random(array.shape) < 1.0 / 8.0
        array[hit] = rng.choice(np.asarray(values, dtype=array.dtype), int(hit.sum()))
        arguments[name] = array
    return arguments


def _with_layout(value: Any, layout: str) -> Any:
    if not isinstance(value, np.ndarray) or value.ndim == 0:
        return value
    if layout == "fortran":
        return np.asfortranarray(value)
    if layout == "strided":
        wide = np.empty((*value.shape[:-1], 2 * value.shape[-1]), dtype=value.dtype)
        view = wide[..., ::2]
        view[...] = value
        return view
    frozen = value.copy()
    frozen.flags.writeable = False
    return frozen


def describe_difference(
    expected: NDArray[Any], actual: NDArray[Any], bound: NDArray[np.float64] | float, what: str
) -> str | None:
    """One line on the worst disagreement beyond ``bound`` (absolute), or None if there is none.

    A bound of 0 accepts only elements that compare equal or are both NaN.
    """
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        return (
            f"{what}: definition gives {expected.dtype}{expected.shape}, "
            f"twin {actual.dtype}{actual.shape}"
        )
    same = expected == actual
    if expected.dtype.kind == "f":
        same = same | (np.isnan(expected) & np.isnan(actual))
        with np.errstate(invalid="ignore"):
            gap = np.abs(expected - actual)
            same = same | (gap <= bound)  # NaN on one side only: False
    else:
        gap = np.ones(expected.shape)
    if same.all():
        return None
    gap = np.where(same, -1.0, np.nan_to_num(gap, nan=np.inf))
    worst = np.unravel_index(int(np.argmax(gap)), gap.shape)
    e, a = expected[worst], actual[worst]
    with np.errstate(all="ignore"):
        ulp = f", {abs(e - a) / np.spacing(abs(e)):.1f} ulp" if expected.dtype.kind == "f" else ""
    place = tuple(int(i) for i in worst)
    return (
        f"{what}: {int((~same).sum())} of {same.size} elements differ, worst at {place}: "
        f"definition {e!r}, twin {a!r}{ulp}"
    )


def bounds_of(
    pair: Pair, strategy: Strategy, arguments: Arguments, expected: Outputs
) -> list[NDArray[np.float64] | float]:
    """Absolute bound on each output, by the kind of the pair."""
    if pair.kind == "iterative":
        if strategy.standard_errors is None:
            raise AssertionError(f"{pair.key} is iterative: its strategy states no standard errors")
        errors = strategy.standard_errors(arguments, expected)
        return [0.0 if e is None else ITERATIVE_FRACTION * np.abs(e) for e in errors]
    scales = [None] * len(expected) if strategy.scale is None else strategy.scale(arguments)
    bounds: list[NDArray[np.float64] | float] = []
    for output, scale in zip(expected, scales, strict=True):
        if output.dtype.kind != "f":
            bounds.append(0.0)
            continue
        with np.errstate(invalid="ignore"):
            size = np.abs(output) if scale is None else np.maximum(np.abs(output), np.abs(scale))
            bounds.append(ULP[pair.kind] * np.spacing(size))
    return bounds


def check_pair(
    call: Callable[..., Any], strategy: Strategy, arguments: Arguments, *, case: str = ""
) -> None:
    """Run both sides on the same arguments, the twin with 1, 2 and 5 threads.

    Raises
    ------
    AssertionError
        They disagree by more than the pair's kind allows, or the twin's bits depend on the number
        of threads.
    """
    pair: Pair = call.pair  # type: ignore[attr-defined]
    with np.errstate(all="ignore"):
        expected = as_outputs(call(**arguments, backend="python"))
        actual = as_outputs(call(**arguments, backend="cython", threads=THREADS[0]))
    label = f"{pair.key} ({case})" if case else pair.key
    if len(expected) != len(actual):
        raise AssertionError(f"{label}: {len(expected)} outputs, the twin has {len(actual)}")
    bounds = bounds_of(pair, strategy, arguments, expected)
    for i, (e, a, bound) in enumerate(zip(expected, actual, bounds, strict=True)):
        if message := describe_difference(e, a, bound, f"{label}, output {i}"):
            raise AssertionError(message)
    for threads in THREADS[1:]:
        with np.errstate(all="ignore"):
            other = as_outputs(call(**arguments, backend="cython", threads=threads))
        _same_bits(actual, other, f"{label}, {threads} threads instead of {THREADS[0]}")


def check_layout(
    call: Callable[..., Any], arguments: Arguments, layout: str, *, backend: str = "cython"
) -> None:
    """Call with every array laid out another way and demand the same bits.

    Raises
    ------
    AssertionError
        The result depends on the layout, or an argument was changed by the call.
    """
    pair: Pair = call.pair  # type: ignore[attr-defined]
    before = {k: np.array(v) for k, v in arguments.items() if isinstance(v, np.ndarray)}
    with np.errstate(all="ignore"):
        plain = as_outputs(call(**arguments, backend=backend))
        turned = {name: _with_layout(value, layout) for name, value in arguments.items()}
        other = as_outputs(call(**turned, backend=backend))
    _same_bits(plain, other, f"{pair.key} ({backend}), {layout} arguments")
    for name, value in before.items():
        if value.tobytes() != np.asarray(arguments[name]).tobytes():
            raise AssertionError(f"{pair.key} ({backend}): changed its argument {name}")


def _same_bits(one: Outputs, other: Outputs, what: str) -> None:
    for i, (a, b) in enumerate(zip(one, other, strict=True)):
        if a.shape != b.shape or a.tobytes() != b.tobytes():
            differing = int((a != b).sum()) if a.shape == b.shape else "all"
            raise AssertionError(f"{what}: output {i} has other bits ({differing} elements)")
