"""What brings one near-field map into the sample frame of another: a turn and a shift."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.spatial import cKDTree

from refimpl.crystal.misorientation import disorientation, misorientation
from refimpl.crystal.symmetry_operators import operators
from refimpl.frames import F64
from refimpl.nearfield.compare import MapComparison, compare_maps, pitch_mm
from refimpl.nearfield.maps import NearfieldMap
from refimpl.rotations import conjugate_quaternion, euler_of_quaternion, multiply_quaternions
from refimpl.units import DEG

__all__ = ["Alignment", "align_maps", "frame_hint", "in_frame"]

_NEAR: Final = 10.0 * DEG
_CAP: Final = 5.0 * DEG
_SOME, _STEPS, _BETTER, _TIMES, _MOST = 1500, 4.0, 0.8, 5.0, 0.5
_IDENTITY = np.array([1.0, 0.0, 0.0, 0.0])


@dataclass(frozen=True, eq=False)
class Alignment:
    """What brings the second map into the sample frame of the first.

    Attributes
    ----------
    turn
        (4,) quaternion r from the first to the second.
    turn_deg
        (3,) its rotation vector about x, y, z of the sample.
    sigma_deg
        (3,) standard uncertainties of that, as if voxels were independent.
    shift_mm
        (2,) from the first to the second.
    voxels
        That the turn was found from; 0: none, the identity.
    """

    turn: F64
    turn_deg: F64
    sigma_deg: F64
    shift_mm: F64
    voxels: int


def align_maps(
    a: NearfieldMap, b: NearfieldMap, pairs: MapComparison, min_confidence: float = 0.0
) -> Alignment:
    """Shift by steps of the grid, then turn, that bring one map onto another.

    Parameters
    ----------
    a, b
        Reference and map.
    pairs
        Of the two as they stand.
    min_confidence
        Voxels of the first below it are left out.
    """
    turn, _, _ = _turn(a, b, pairs)
    shift = _shift(a, b, turn, min_confidence)
    if shift.any():
        here = Alignment(_IDENTITY, np.zeros(3), np.zeros(3), shift, 0)
        pairs = compare_maps(in_frame(b, here), a, reference_min_confidence=min_confidence)
    turn, sigma, n = _turn(a, b, pairs)
    vector = 2.0 * np.arctan2(np.sqrt(turn[1:] @ turn[1:]), turn[0]) * _unit(turn[1:])
    return Alignment(turn, vector / DEG, sigma / DEG, shift, n)


def _unit(v: F64) -> F64:
    size = np.sqrt(v @ v)
    return np.asarray(v / size if size > 0.0 else v)


def _turn(a: NearfieldMap, b: NearfieldMap, pairs: MapComparison) -> tuple[F64, F64, int]:
    """Common turn (4,), its uncertainty (3,) [rad] and the number of voxels it is from."""
    near = pairs.misorientation_rad < _NEAR
    few = max(3.0, _MOST * len(pairs))
    if near.sum() < few:
        return _IDENTITY, np.full(3, np.nan), 0
    q1, q2 = a.quaternions[pairs.reference_rows[near]], b.quaternions[pairs.rows[near]]
    crystal, _ = disorientation(q1, q2, a.operators)
    r = multiply_quaternions(multiply_quaternions(q1, crystal), conjugate_quaternion(q1))
    vectors = 2.0 * r[:, 1:]  # of turns this small, to a thousandth
    middle = np.median(vectors, axis=0)
    away = np.sqrt(((vectors - middle) ** 2).sum(axis=1))
    keep = away <= max(3.0 * float(np.median(away)), 1e-12)
    mean = r[keep].mean(axis=0)
    n = int(keep.sum())
    if n < few:  # a grain may come near another orientation by chance
        return _IDENTITY, np.full(3, np.nan), 0
    sigma = vectors[keep].std(axis=0) / np.sqrt(n)
    return np.asarray(mean / np.sqrt(mean @ mean)), np.asarray(sigma), n


def _shift(a: NearfieldMap, b: NearfieldMap, turn: F64, least: float) -> F64:
    """(2,) [mm] step of the grid at which most voxels agree; 0 unless another is clearly better."""
    own = np.flatnonzero(a.solved & (a.confidence >= least))
    other = np.flatnonzero(b.solved)
    pitch = pitch_mm(b.voxels)
    if len(own) < 3 or len(other) < 3 or not np.isfinite(pitch):
        return np.zeros(2)
    xy, tree = a.voxels.xy_mm[own], cKDTree(b.voxels.xy_mm[other])
    middle = xy[np.argmin(((xy - np.median(xy, axis=0)) ** 2).sum(axis=1))]
    sites = b.voxels.xy_mm[cKDTree(b.voxels.xy_mm).query_ball_point(middle, _STEPS * pitch)]
    some = np.linspace(0, len(own) - 1, min(_SOME, len(own))).astype(np.int64)
    q1 = multiply_quaternions(np.broadcast_to(turn, (len(some), 4)), a.quaternions[own[some]])
    q2 = b.quaternions[other]

    def badness(step: F64) -> float:
        away, row = tree.query(xy[some] + step)
        angle = np.full(len(some), _CAP)
        there = away <= pitch
        angle[there] = np.minimum(_CAP, misorientation(q1[there], q2[row[there]], a.operators))
        return float(angle.mean())

    steps = [np.asarray(site - middle) for site in sites]
    values = [badness(step) for step in steps]
    if not steps or min(values) >= _BETTER * badness(np.zeros(2)):
        return np.zeros(2)
    best = steps[int(np.argmin(values))]
    return best if np.hypot(*best) > 0.5 * pitch else np.zeros(2)


def in_frame(b: NearfieldMap, found: Alignment) -> NearfieldMap:
    """Second map in the frame of the first."""
    back = np.broadcast_to(conjugate_quaternion(found.turn), (len(b), 4))
    euler = np.full((len(b), 3), np.nan)
    good = b.solved
    euler[good] = euler_of_quaternion(multiply_quaternions(back[good], b.quaternions[good]))
    voxels = b.voxels
    if found.shift_mm.any():
        voxels = replace(voxels, xy_mm=voxels.xy_mm - found.shift_mm)
    return b.changed(voxels=voxels, euler_rad=euler)


def frame_hint(a: NearfieldMap, b: NearfieldMap, pairs: MapComparison) -> list[str]:
    """Say that the second is in another frame, or turned the other way about."""
    typical = float(np.median(pairs.misorientation_rad)) if len(pairs) else 0.0
    if typical < _CAP:
        return []
    some = np.linspace(0, len(pairs) - 1, min(_SOME, len(pairs))).astype(np.int64)
    q1 = a.quaternions[pairs.reference_rows[some]]
    q2 = b.quaternions[pairs.rows[some]]
    best, words = typical / _TIMES, ""
    for name, theirs in (("", q2), ("inverse ", conjugate_quaternion(q2))):
        for r in operators(225):
            turned = multiply_quaternions(np.broadcast_to(r, theirs.shape), theirs)
            left = float(np.median(misorientation(q1, np.ascontiguousarray(turned), a.operators)))
            if left < best:
                axis, angle = _unit(r[1:]), 2.0 * np.arccos(min(1.0, abs(float(r[0])))) / DEG
                best = left
                words = (
                    f"B's {name}orientations turned by {angle:.0f}° about "
                    "({:.2g}, {:.2g}, {:.2g}) of the sample".format(*axis)
                    + f" agree to {left / DEG:.3g}° (median) instead of {typical / DEG:.3g}°"
                )
    return [words] if words else []
