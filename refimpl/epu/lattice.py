"""Calibration from the XML files alone: all holes fall onto one lattice in stage coordinates.

``stage + beam_shift @ M = origin + n @ U`` with whole numbers n: M turns beam shifts into
micrometres, U is the hole lattice. The steps of the beam shift from hole to hole (rows of B,
:mod:`refimpl.epu.hole_pattern`) are lattice vectors, so ``U = B @ M``, and for a column q of
``inv(U)`` the phase ``stage . q + (beam_shift @ inv(B))`` is the same for all holes up to whole
turns: the peaks of the phase sums over q are the candidates. The stage often moves by several
holes at once; then many q do nearly as well, and what tells them apart is that the beam shift
makes up for where the stage came to rest. So candidates are fitted by least squares and ranked by
rms / pitch: a denser lattice has more sites, 1 / pitch^2 of them, and so explains less
(docs/theory/epu).
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from refimpl.clustering.lattices import (
    axis_of,
    means_of,
    peaks_of,
    phase_power,
    reduced,
)
from refimpl.epu.calibration import Alternative, Calibration
from refimpl.epu.hole_pattern import Pattern, pattern_of
from refimpl.epu.lattice_fit import LatticeFit, fitted
from refimpl.epu.session import Session
from refimpl.epu.visits import Visits, visits_of
from refimpl.errors import ConfigError, ConvergenceError
from refimpl.frames import F64

__all__ = ["K_RANGE", "STRETCH", "lattice"]

K_RANGE = (15.0, 45.0)
"""k [um] that microscopes have, where no spacing is stated (specification: 24.4 on a Titan)."""
STRETCH = 1.15
"""Larger over smaller singular value that a microscope has at most (real session: 1.012)."""

_STAYS = 250  # stays that the search looks at; the fit takes all
_PEAKS, _PAIRS, _LOOKED_AT = 600, 400, 8
_LOOSE = 0.15  # rms / pitch from which there is no lattice (random: 0.41)
_SURE = 4.6  # log likelihood ratio of 100 to 1, two per stay
_FEWEST = 6  # stays below which a wrong answer may leave no other (benchmarks/epu_limits.py)


def lattice(
    session: Session,
    *,
    spacing_um: float | None = None,
    k_range: tuple[float, float] = K_RANGE,
    stretch: float = STRETCH,
) -> Calibration:
    """Calibrate from stage positions and beam shifts alone.

    Parameters
    ----------
    session
        Exposures; hole ids tell shots from holes.
    spacing_um
        Distance of neighbouring holes, if known, to 10 %.
    k_range
        Without it: least and largest k [um] looked for.
    stretch
        Largest anisotropy.

    Returns
    -------
    The answer with the smallest rms / pitch, and up to five others.

    Raises
    ------
    ConvergenceError
        No lattice in the beam shifts or on the stage, or too few stays of the stage.
    ConfigError
        A spacing or range that cannot be.
    """
    _check(spacing_um, k_range, stretch)
    visits = visits_of(session)
    pattern = pattern_of(visits)
    if spacing_um is None:
        return _calibration(_search(visits, pattern, k_range, stretch), visits)
    k = spacing_um / math.sqrt(abs(float(np.linalg.det(pattern.basis))))
    told = _search(visits, pattern, (0.9 * k, 1.1 * k), stretch)
    found = _calibration(told, visits, f"spacing told: {spacing_um:g} um")
    with suppress(ConvergenceError):
        free = _search(visits, pattern, k_range, stretch)[0]
        ratio = told[0].misfit / free.misfit
        if ratio > 1.0 and 2.0 * _stays(visits) * math.log(ratio) > _SURE:
            pitch = math.sqrt(abs(float(np.linalg.det(free.lattice))))
            note = (
                f"the spacing is doubtful: holes {pitch:.3g} um apart fit {ratio:.2f} times better "
                "(rms / pitch)"
            )
            return replace(found, notes=(*found.notes, note))
    return found


def _search(
    visits: Visits, pattern: Pattern, k_range: tuple[float, float], stretch: float
) -> list[LatticeFit]:
    """Answers for all visits, smallest misfit first; the candidates are those of some stays."""
    few = _few(visits)
    starts = _candidates(few, pattern, k_range, stretch)
    some = _distinct([fitted(few, pattern.basis, start) for start in starts], k_range, stretch)
    if not some:
        raise ConvergenceError(
            "no lattice on the stage: no matrix puts the holes of different stage positions onto "
            f"one lattice (k {k_range[0]:.3g} to {k_range[1]:.3g} um, {_stays(visits)} stays)"
        )
    whole = [fitted(visits, pattern.basis, f.lattice, f.matrix) for f in some]
    best = _distinct(whole, k_range, stretch)
    if not best or best[0].misfit > _LOOSE:
        raise ConvergenceError(
            "no lattice on the stage: the best matrix leaves the holes "
            f"{best[0].misfit if best else math.nan:.2f} of their distance from one"
        )
    return best


def _check(spacing: float | None, k_range: tuple[float, float], stretch: float) -> None:
    if spacing is not None and not (math.isfinite(spacing) and spacing > 0.0):
        raise ConfigError(
            f"spacing {spacing:g} um: expected a positive number", key="spacing", got=spacing
        )
    if not 0.0 < k_range[0] < k_range[1] < math.inf:
        raise ConfigError(f"range of k {k_range}: expected two positive numbers, rising")
    if not 1.0 < stretch < math.inf:
        raise ConfigError(f"stretch {stretch:g}: expected a number above 1")


def _stays(visits: Visits) -> int:
    return len(np.unique(visits.stay))


def _few(visits: Visits) -> Visits:
    """Stays for the search: of the squares that have most."""
    stays, first = np.unique(visits.stay, return_index=True)
    square = visits.square[first]
    count = np.bincount(square)
    order = np.lexsort((stays, square, -count[square]))
    kept = stays[order[:_STAYS]]
    return visits.some(np.isin(visits.stay, kept))


def _candidates(
    visits: Visits, pattern: Pattern, k_range: tuple[float, float], stretch: float
) -> list[F64]:
    """Hole lattices U whose reciprocal vectors are both peaks of the phase sums."""
    inverse = np.asarray(np.linalg.inv(pattern.basis), dtype=np.float64)
    phase = np.exp(2j * np.pi * (visits.beam_shift @ inverse))
    stays, first, row = np.unique(visits.stay, return_index=True, return_inverse=True)
    row = row.reshape(-1)
    place, square = means_of(visits.stage_um, row), visits.square[first]
    count = np.bincount(square)
    if (count < 2).all():
        raise ConvergenceError(
            f"no lattice on the stage: {len(stays)} stays in {len(count)} squares, expected "
            "several in one"
        )
    extent = max(float(np.ptp(place[square == s], axis=0).max()) for s in np.unique(square))
    wide = math.sqrt(stretch)
    length = np.hypot(*inverse)
    axis = axis_of(wide * float(length.max()) / k_range[0], extent)
    found = []
    for i in (0, 1):
        weight = np.bincount(row, phase[:, i].real) + 1j * np.bincount(row, phase[:, i].imag)
        power = phase_power(place, weight, square, axis)
        q, height = peaks_of(power, axis, 0.3 * float(power.max()), 20 * _PEAKS)
        far = np.hypot(*q.T)
        there = (far > length[i] / k_range[1] / wide) & (far < wide * length[i] / k_range[0])
        found.append((q[there][:_PEAKS], np.log(height[there][:_PEAKS])))
    return _pairs(found[0], found[1], inverse, stretch)


def _pairs(one: tuple[F64, F64], two: tuple[F64, F64], inverse: F64, stretch: float) -> list[F64]:
    """Hole lattices of two peaks that a scaled rotation, mirrored or not, nearly relates.

    ``inv(U) = inv(M) @ inv(B)``: with the columns of inv(B) and of inv(U) as complex numbers,
    a scaled rotation is a factor, a mirror the conjugate.
    """
    (q1, h1), (q2, h2) = one, two
    if not len(q1) or not len(q2):
        return []
    u1, u2 = inverse[0] + 1j * inverse[1]
    tree = cKDTree(q2)
    scored: list[tuple[float, int, int]] = []
    for a, (x, y) in enumerate(q1):
        q = complex(x, y)
        for second in (q / u1 * u2, q / np.conj(u1) * np.conj(u2)):
            near = tree.query_ball_point([second.real, second.imag], (stretch - 1) * abs(second))
            scored += [(-(h1[a] + h2[b]), a, b) for b in near]
    scored.sort()
    pairs = dict.fromkeys((a, b) for _, a, b in scored)
    return [np.linalg.inv(np.stack([q1[a], q2[b]], axis=1)) for a, b in list(pairs)[:_PAIRS]]


def _possible(fit: LatticeFit, k_range: tuple[float, float], stretch: float) -> bool:
    large, small = np.linalg.svd(fit.matrix, compute_uv=False)
    return bool(large < stretch * small and k_range[0] <= math.sqrt(large * small) <= k_range[1])


def _distinct(
    fits: list[LatticeFit | None], k_range: tuple[float, float], stretch: float
) -> list[LatticeFit]:
    """One of each possible matrix, smallest misfit first; no more than are looked at."""
    kept: list[LatticeFit] = []
    for fit in sorted((f for f in fits if f is not None), key=lambda f: f.misfit):
        size = float(np.abs(fit.matrix).max())
        if _possible(fit, k_range, stretch) and all(
            np.abs(fit.matrix - other.matrix).max() > 0.01 * size for other in kept
        ):
            kept.append(fit)
        if len(kept) == _LOOKED_AT:
            break
    return kept


def _again(fit: LatticeFit, visits: Visits) -> int:
    """Visits of holes on a site that another hole was on before."""
    key = np.column_stack([visits.square, fit.site])
    return len(key) - len(np.unique(key, axis=0))


def _calibration(
    fits: list[LatticeFit], visits: Visits, told: str = "the spacing was not told"
) -> Calibration:
    best, others = fits[0], fits[1:6]
    short = reduced(best.lattice)[0]
    alternatives = tuple(
        Alternative(
            f.matrix, tuple(np.hypot(*reduced(f.lattice)[0].T).tolist()), f.rms,
            f.misfit / best.misfit, _again(f, visits),
        )
        for f in others
    )  # fmt: skip
    margin = alternatives[0].misfit_ratio if alternatives else None
    stays = _stays(visits)
    notes = [f"from the hole lattice on the stage, {stays} stays; {told}"]
    sure = stays >= _FEWEST and (margin is None or 2.0 * stays * math.log(margin) >= _SURE)
    if not sure:
        why = (
            "the next answer fits nearly as well"
            if stays >= _FEWEST
            else f"{stays} stays of the stage are too few to know"
        )
        notes.append(
            f"not decided: {why}; wait for more exposures, state the spacing, or use the metadata "
            "(GridSquare_*.dm)"
        )
    return Calibration(
        "lattice", best.matrix, best.rms, len(visits), best.sigma, short, alternatives, margin,
        _again(best, visits), sure, tuple(notes),
    )  # fmt: skip
