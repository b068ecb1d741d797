"""How to make arguments for each pair of definition and twin: one entry a pair.

The twin test walks the registry of pairs and fails where a pair has no entry here. An entry is a
function ``(rng, n) -> arguments`` for ``n`` points, decorated with the pair's key. Arguments should
be plausible and break every symmetry: no zero, no equal pair, no axis-aligned geometry. The test
itself adds NaN and special angles, strides, read-only arrays and edge sizes.

The rooms' own entries are in the modules ``strategies_*.py`` beside this one. Not here: what is
done with the arguments, see :mod:`refimpl.testing.twins`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.units import DEG

__all__ = ["STRATEGIES", "Strategy", "random_geometry", "strategy"]

Arguments = dict[str, Any]
Make = Callable[[np.random.Generator, int], Arguments]
Outputs = tuple[NDArray[Any], ...]
PerOutput = Sequence[NDArray[np.float64] | float | None]


@dataclass(frozen=True)
class Strategy:
    """How to test one pair.

    Attributes
    ----------
    key
        ``module.function``, as in :data:`refimpl.dispatch.REGISTRY`.
    make
        Arguments for ``n`` points.
    chunk
        Size, or sizes, at which the twin changes its way (goes parallel, starts a new partial sum);
        the sizes around each are tested.
    most
        Most points of a random case; fewer than 64 for a slow definition.
    scale
        For each output the natural scale (a number or an array that broadcasts, None for none)
        below which an ulp stops meaning anything, because the value is a difference of numbers of
        that size. State why in a comment.
    standard_errors
        For an ``iterative`` pair: from arguments and the definition's outputs, the standard error
        of each output; None for an output that must be exactly equal.
    specials
        Values mixed into an argument, by name. By default NaN, signed zeros, infinity and special
        angles go into every floating-point argument that has an ``n`` axis.
    """

    key: str
    make: Make
    chunk: int | tuple[int, ...] = 4096
    scale: Callable[[Arguments], PerOutput] | None = None
    standard_errors: Callable[[Arguments, Outputs], PerOutput] | None = None
    specials: Mapping[str, Sequence[float]] | None = None
    most: int = 64

    @property
    def edges(self) -> tuple[int, ...]:
        """Sizes to test besides 0 and 1: just below, at and just above each chunk."""
        chunks = (self.chunk,) if isinstance(self.chunk, int) else self.chunk
        return tuple(size for c in chunks for size in (c - 1, c, c + 1))


STRATEGIES: dict[str, Strategy] = {}
"""Every entry by the key of its pair."""


def strategy(
    key: str,
    *,
    chunk: int | tuple[int, ...] = 4096,
    scale: Callable[[Arguments], PerOutput] | None = None,
    standard_errors: Callable[[Arguments, Outputs], PerOutput] | None = None,
    specials: Mapping[str, Sequence[float]] | None = None,
    most: int = 64,
) -> Callable[[Make], Make]:
    """Register a function that makes arguments for the pair ``key``; see :class:`Strategy`."""

    def register(make: Make) -> Make:
        if key in STRATEGIES:
            raise RuntimeError(f"two strategies are called {key}")
        STRATEGIES[key] = Strategy(key, make, chunk, scale, standard_errors, specials, most)
        return make

    return register


# --- detector/tilted_flat.py ----------------------------------------------------------------------


def random_geometry(
    rng: np.random.Generator, panels: int = 3
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Geometry vector (25,) and corrections (panels, 9) with every number non-zero and unequal.

    A detector of about 1500 by 1700 pixels of about 0.17 mm, 0.3 to 1 m away, tilted by up to
    three degrees, with distortion up to 1e-3 and panel corrections of about a pixel.
    """
    geometry = np.empty(25)
    geometry[0] = rng.uniform(300.0, 1000.0)
    geometry[1:3] = rng.uniform(600.0, 900.0, 2)
    geometry[3:6] = rng.uniform(-3.0, 3.0, 3) * DEG
    geometry[6:8] = rng.uniform(0.15, 0.2, 2)
    geometry[8] = rng.uniform(150.0, 250.0)
    geometry[9] = rng.uniform(0.05, 0.5)
    geometry[10:] = rng.uniform(-1e-3, 1e-3, 15)
    corrections = np.empty((panels, 9))
    corrections[:, :2] = rng.uniform(100.0, 1500.0, (panels, 2))
    corrections[:, 2:4] = rng.uniform(-1.0, 1.0, (panels, 2))
    corrections[:, 4] = rng.uniform(-0.5, 0.5, panels) * DEG
    corrections[:, 5] = rng.uniform(-0.5, 0.5, panels)
    corrections[:, 6] = rng.uniform(-1e-4, 1e-4, panels)
    corrections[:, 7:] = rng.uniform(-5e-3, 5e-3, (panels, 2))
    return geometry, corrections


def _detector_points(rng: np.random.Generator, n: int) -> Arguments:
    geometry, corrections = random_geometry(rng)
    fast, slow = rng.uniform(0.0, 1500.0, n), rng.uniform(0.0, 1700.0, n)
    panel = rng.integers(-1, len(corrections), n).astype(np.int32)
    if n:  # the beam centre, where eta and the harmonics have no direction
        fast[0], slow[0], panel[0] = geometry[1], geometry[2], -1
    return {
        "fast_px": fast,
        "slow_px": slow,
        "panel": panel,
        "geometry": geometry,
        "corrections": corrections,
    }


strategy("tilted_flat.ring_coordinates", chunk=20000)(_detector_points)
strategy("tilted_flat.ring_jacobian", chunk=20000)(_detector_points)


def _position_scale(arguments: Arguments) -> PerOutput:
    # A position is the beam centre minus an offset: where they cancel (near the edge of the image)
    # the last bits of sine and cosine show up at the size of the larger of the two.
    g = arguments["geometry"]
    with np.errstate(all="ignore"):
        reach = np.nan_to_num(np.abs(arguments["radius_mm"]), nan=0.0, posinf=0.0)
    return [np.abs(g[1]) + reach / g[6], np.abs(g[2]) + reach / g[7]]


@strategy("tilted_flat.pixel_position", chunk=20000, scale=_position_scale)
def _ring_points(rng: np.random.Generator, n: int) -> Arguments:
    geometry, corrections = random_geometry(rng)
    return {
        "radius_mm": rng.uniform(1.0, 200.0, n),
        "eta_rad": rng.uniform(-np.pi, np.pi, n),
        "panel": rng.integers(-1, len(corrections), n).astype(np.int32),
        "geometry": geometry,
        "corrections": corrections,
    }
