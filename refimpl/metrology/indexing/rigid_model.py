"""What indexing adjusts: crystal, beam direction and the detector as one rigid body.

All in arrays, so that fifty candidates cost little. Positions are predicted to first order in the
difference of rotation angle: a reciprocal lattice point seen at an angle is turned on until it
meets the Ewald sphere. That is exact where it matters, at the solution. Not here: panels that move
against each other, exact prediction and its listings; the refinement proper does that. Several
scans of one crystal are one model: their detectors and beams move together in the laboratory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from refimpl.crystal.crystal_model import Crystal
from refimpl.detector.hierarchy import Hierarchy
from refimpl.errors import GeometryError
from refimpl.forward.experiment import Beam, Experiment
from refimpl.forward.reciprocal import rotate_about
from refimpl.frames import F64, I64
from refimpl.metrology.indexing.spots import Spots
from refimpl.rotations import expmap

__all__ = ["Residuals", "RigidModel", "crystal_steps", "jacobian", "residuals"]

SPINDLE_CUTOFF = 0.05
"""Spots so near the rotation axis are left out: |(s1 x s0).e| over |s0|^2.

First order does not hold for them; the refinement proper takes them in.
"""


@dataclass(frozen=True)
class RigidModel:
    """One crystal, seen by one scan or several (k).

    Attributes
    ----------
    d
        (p, 3, 3) columns fast, slow, origin of the panels of all scans [mm].
    s0
        (k, 3) beams [1/Å].
    axis, setting, fixed
        Rotation axes (k, 3) and rotations (k, 3, 3) of the goniometers.
    a_matrix
        (3, 3) setting matrix A of the crystal [1/Å].
    rotations
        (m, 3, 3) point group that the crystal's metric satisfies.
    moved
        (3, 4) rotation and translation [mm] of the detectors since the experiments were made into
        arrays: x -> R x + t.
    """

    d: F64
    s0: F64
    axis: F64
    setting: F64
    fixed: F64
    a_matrix: F64
    rotations: I64
    moved: F64

    @classmethod
    def of(cls, experiments: Sequence[Experiment]) -> RigidModel:
        """Model of experiments; without a crystal they have a cubic one of 1 Å.

        Raises
        ------
        GeometryError
            An experiment has no beam or no detector.
        """
        d, s0, axis, setting, fixed = [], [], [], [], []
        for e in experiments:
            if e.beam is None or e.detector is None:
                raise GeometryError("indexing needs an experiment with a beam and a detector")
            gonio = e.goniometer
            d.append(e.detector.d)
            s0.append(e.beam.s0)
            axis.append(np.array([1.0, 0.0, 0.0]) if gonio is None else gonio.rotation_axis)
            setting.append(np.eye(3) if gonio is None else gonio.setting)
            fixed.append(np.eye(3) if gonio is None else gonio.fixed)
        crystal = experiments[0].crystal
        return cls(
            d=np.concatenate(d),
            s0=np.array(s0),
            axis=np.array(axis),
            setting=np.array(setting),
            fixed=np.array(fixed),
            a_matrix=np.eye(3) if crystal is None else crystal.A,
            rotations=np.eye(3, dtype=np.int64)[None],
            moved=np.eye(3, 4, dtype=np.float64),
        )

    @property
    def tilt(self) -> F64:
        """(3,) axis about which the beams may turn: across the first one and its spindle."""
        across = np.cross(self.s0[0], self.setting[0] @ self.axis[0])
        return np.asarray(across / np.linalg.norm(across))

    def with_crystal(self, basis: F64, rotations: I64) -> RigidModel:
        """Same with a crystal of basis rows a, b, c [Å] and point group (m, 3, 3)."""
        a_matrix = np.asarray(np.linalg.inv(basis), dtype=np.float64)
        return replace(self, a_matrix=a_matrix, rotations=rotations)

    def with_detector_moved(self, turn: F64, pivot: F64, shift: F64) -> RigidModel:
        """Detector turned by a rotation vector [rad] about a point [mm] and shifted [mm]."""
        rotation = expmap(turn)
        offset = pivot + shift - rotation @ pivot
        d = rotation @ self.d
        d[:, :, 2] += offset
        moved = np.column_stack([rotation @ self.moved[:, :3], rotation @ self.moved[:, 3]])
        moved[:, 3] += offset
        return replace(self, d=d, moved=moved)

    def experiments(self, start: Sequence[Experiment], hall: str) -> tuple[Experiment, ...]:
        """Experiments with this crystal and their beams and detectors moved.

        ``start`` is what the model was made from; models that were shared stay shared.
        """
        crystal = Crystal(np.asarray(np.linalg.inv(self.a_matrix)), hall)
        beams: dict[int, Beam] = {}
        detectors: dict[int, Hierarchy] = {}
        out = []
        for e, s0 in zip(start, self.s0, strict=True):
            assert e.detector is not None
            assert e.beam is not None
            if id(e.beam) not in beams:
                beams[id(e.beam)] = e.beam.with_s0(s0)
            if id(e.detector) not in detectors:
                frames = np.array([frame for _, _, frame in e.detector.groups(0)])
                frames = self.moved[:, :3] @ frames
                frames[:, :, 2] += self.moved[:, 3]
                detectors[id(e.detector)] = e.detector.with_group_frames(0, frames)
            beam, detector = beams[id(e.beam)], detectors[id(e.detector)]
            out.append(replace(e, beam=beam, detector=detector, crystal=crystal))
        return tuple(out)

    def lab(self, spots: Spots, vectors: F64) -> F64:
        """Vectors (n, 3) of the crystal at angle zero, in the laboratory at each spot's angle."""
        out = np.empty((len(spots), 3))
        for k, rows in spots.by_scan(len(self.s0)):
            some = vectors[rows] @ self.fixed[k].T
            if spots.phi is not None:
                some = rotate_about(self.axis[k], spots.phi[rows], some)
            out[rows] = some @ self.setting[k].T
        return out


@dataclass(frozen=True)
class Residuals:
    """Calculated minus observed positions, and what the derivatives need.

    Attributes
    ----------
    values
        (n, 3) [mm, mm, rad] along fast, slow and rotation; of a still the angle to the Ewald
        sphere.
    usable
        (n,) false near the rotation axis, and where a spot cannot be predicted.
    reciprocal
        (n, 3) S R F A h at the observed angle [1/Å].
    sweep
        (n, 3) change of it by angle, e x r [1/Å].
    speed
        (n,) sweep . s0.
    s1
        (n, 3) calculated beams [1/Å].
    on_panel
        (n, 3) D s1: u, v, w.
    """

    values: F64
    usable: np.ndarray[tuple[int], np.dtype[np.bool_]]
    reciprocal: F64
    sweep: F64
    speed: F64
    s1: F64
    on_panel: F64


def residuals(model: RigidModel, spots: Spots, hkl: I64) -> Residuals:
    """Positions of spots as the model has them, less those observed."""
    r = model.lab(spots, hkl @ model.a_matrix.T)
    s0 = model.s0[spots.scan]
    excess = 0.5 * (r * r).sum(axis=1) + (r * s0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        axis = np.einsum("kij,kj->ki", model.setting, model.axis)[spots.scan]
        if spots.phi is None:  # a still: each turns about its own axis, the shortest way
            axis = np.cross(r, s0)
            axis = axis / np.linalg.norm(axis, axis=1)[:, None]
        sweep = np.cross(axis, r)
        speed = (sweep * s0).sum(axis=1)
        turn = -excess / speed
        s1 = s0 + r + sweep * turn[:, None]
        seen = (np.linalg.inv(model.d)[spots.panel] @ s1[:, :, None])[:, :, 0]
        xy = seen[:, :2] / seen[:, 2:]
    values = np.column_stack([xy - spots.xy_mm, turn])
    usable = np.isfinite(values).all(axis=1) & (seen[:, 2] > 0.0)
    if spots.phi is not None:
        usable &= np.abs(speed) > SPINDLE_CUTOFF * (s0 * s0).sum(axis=1)
    return Residuals(values, usable, r, sweep, speed, s1, seen)


def jacobian(
    model: RigidModel, spots: Spots, hkl: I64, found: Residuals, pivot: F64, steps: F64
) -> F64:
    r"""Derivatives of :func:`residuals` by all parameters.

    Parameters are, in order: rotation of the crystal about the three lab axes [rad]; amounts of
    the other ``steps``; rotation of the beam out of the plane across the spindle [rad]; rotation
    of the detector about the lab axes through ``pivot`` [rad]; its translation [mm].

    .. math:: d\varphi = -(dr \cdot s_1 + ds_0 \cdot r) / q, \quad
        d(u, v, w) = D(dr + e \times r\, d\varphi + ds_0) - D\, dd\, (u, v, w)

    Parameters
    ----------
    model, spots, hkl
        As for :func:`residuals`.
    found
        What that gave.
    pivot
        (3,) [mm].
    steps
        (c, 3, 3) from :func:`crystal_steps`.

    Returns
    -------
    (n, 3, c + 7).
    """
    n, c = len(hkl), len(steps)
    out = np.zeros((n, 3, c + 7))
    inverse = np.linalg.inv(model.d)[spots.panel]
    u, v, w = found.on_panel.T

    def put(column: int, dpv: F64, dphi: F64 | None = None) -> None:
        out[:, 0, column] = (dpv[:, 0] - dpv[:, 2] * u / w) / w
        out[:, 1, column] = (dpv[:, 1] - dpv[:, 2] * v / w) / w
        if dphi is not None:
            out[:, 2, column] = dphi

    for k, step in enumerate(steps):
        dr = model.lab(spots, hkl @ step.T)
        dphi = -(dr * found.s1).sum(axis=1) / found.speed
        put(k, np.einsum("nij,nj->ni", inverse, dr + found.sweep * dphi[:, None]), dphi)
    ds0 = np.cross(model.tilt, model.s0)[spots.scan]
    dphi = -(found.reciprocal * ds0).sum(axis=1) / found.speed
    put(c, np.einsum("nij,nj->ni", inverse, found.sweep * dphi[:, None] + ds0), dphi)
    lever = (model.d[spots.panel] @ found.on_panel[:, :, None])[:, :, 0] - w[:, None] * pivot
    for k, axis in enumerate(np.eye(3)):
        put(c + 1 + k, -np.einsum("nij,nj->ni", inverse, np.cross(axis, lever)))
        put(c + 4 + k, -(inverse @ axis) * w[:, None])
    return out


def crystal_steps(model: RigidModel) -> F64:
    """Directions (c, 3, 3) in which A may go: three rotations, and metrics that keep the symmetry.

    With G* = A^T A, a change K of G* is dA = A^-T K / 2.
    """
    turns = [np.cross(axis, model.a_matrix.T).T for axis in np.eye(3)]
    average = np.zeros((6, 6))
    pairs = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
    for column, (i, j) in enumerate(pairs):
        unit = np.zeros((3, 3))
        unit[i, j] = unit[j, i] = 1.0
        mean = np.mean([w @ unit @ w.T for w in model.rotations], axis=0)  # dual to W^T G W
        average[:, column] = [mean[p, q] for p, q in pairs]
    basis, sizes, _ = np.linalg.svd(average)
    metrics = []
    scale = float(np.trace(model.a_matrix.T @ model.a_matrix))
    for column in basis.T[sizes > 1e-9]:
        change = np.zeros((3, 3))
        for value, (i, j) in zip(column, pairs, strict=True):
            change[i, j] = change[j, i] = value * scale
        metrics.append(0.5 * np.linalg.solve(model.a_matrix.T, change))
    return np.array(turns + metrics)
