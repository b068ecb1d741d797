"""Refusals of numbers that a loop would follow out of its arrays.

The compiled twins trust their arguments: what shapes cannot tell is checked here first, for both
sides of a pair (``check=`` of :func:`refimpl.dispatch.twin`). Not here: shapes and dtypes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError

__all__ = ["check_finite", "check_offsets", "check_within"]


def check_offsets(
    name: str, offsets: NDArray[np.int64], runs: int | None, rows: int, of: str
) -> None:
    """Refuse offsets that a loop would follow out of its rows.

    Parameters
    ----------
    name, of
        Of the offsets and of the array whose rows they number, for the message.
    offsets
        (runs + 1,) first row of each run, and the end of the last.
    runs
        Number of runs; None for any, also none at all.
    rows
        Rows that there are.

    Raises
    ------
    ConfigError
        There are not ``runs + 1`` of them, or they do not rise from 0 or more to ``rows`` at most.
    """
    if runs is not None and len(offsets) != runs + 1:
        raise ConfigError(f"{name} has {len(offsets)} elements: expected {runs + 1}")
    if len(offsets) and (
        offsets[0] < 0 or offsets[-1] > rows or bool((offsets[1:] < offsets[:-1]).any())
    ):
        raise ConfigError(f"{name} do not rise within the {rows} rows of {of}")


def check_within(name: str, value: int | NDArray[Any], low: int, high: int) -> None:
    """Refuse a whole number, or an array with one, that is not from ``low`` to ``high``.

    Raises
    ------
    ConfigError
        With the first such number.
    """
    values = np.atleast_1d(np.asarray(value))
    if values.size and not (values.min() >= low and values.max() <= high):
        bad = values[(values < low) | (values > high)][0]
        raise ConfigError(f"{name} = {bad}: expected {low} to {high}", got=bad)


def check_finite(**numbers: float) -> None:
    """Refuse NaN and infinity among numbers that are given by name.

    Raises
    ------
    ConfigError
        With the name of the first.
    """
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise ConfigError(f"{name} = {value}: expected a finite number", got=value)
