"""Which candidate is the crystal: a short refinement of each, and a score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from refimpl.crystal.lattice_symmetry import bravais_settings
from refimpl.crystal.reduction import (
    cell_of_basis,
    point_rotations,
    space_group,
    symmetrised_basis,
)
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64, I64
from refimpl.metrology.indexing.assign import assign_global
from refimpl.metrology.indexing.candidates import Candidate
from refimpl.metrology.indexing.result import CandidateRow, LatticeRow
from refimpl.metrology.indexing.rigid_fit import RigidFit, fit_rigid
from refimpl.metrology.indexing.rigid_model import RigidModel
from refimpl.metrology.indexing.settings import IndexSettings
from refimpl.metrology.indexing.spots import Spots

__all__ = ["LARGEST_CHANGE", "cell_change", "ranked", "tried_lattices"]

STEPS = 4
IQR_MULTIPLIER = 2.0
SEED = 42
FITS_AS_WELL = 1.5
LARGEST_CHANGE = 0.1
"""Relative change of an edge in a refinement beyond which it has lost the lattice."""


@dataclass(frozen=True)
class Tried:
    """A candidate after its short refinement."""

    candidate: Candidate
    fit: RigidFit
    n_indexed: int


def ranked(
    candidates: Iterable[Candidate],
    experiments: Sequence[Experiment],
    spots: Spots,
    points: F64,
    settings: IndexSettings,
) -> list[tuple[Candidate, RigidFit, CandidateRow]]:
    """Candidates by rising score; those that cannot be refined are left out.

    Parameters
    ----------
    candidates
        Crystals to try.
    experiments
        Scans from which the refinement begins.
    spots, points
        (n) spots and their reciprocal lattice points (n, 3) [1/Å].
    settings
        ``hkl_tolerance``, ``reflections_per_degree``.
    """
    model = RigidModel.of(experiments)
    tried = [t for c in candidates if (t := _try(c, model, spots, points, settings))]
    if not tried:
        return []
    volume = np.array([abs(np.linalg.det(np.linalg.inv(t.fit.model.a_matrix))) for t in tried])
    fraction = np.array([t.n_indexed for t in tried]) / len(spots)
    rmsd = np.array([_rmsd_xy(t.fit) for t in tried])
    score = (
        np.log2(volume / volume.min())
        - np.log2(fraction / fraction.max())
        + np.log2(rmsd / rmsd.min())
    )
    rows = []
    for k in np.argsort(score, kind="stable"):
        t = tried[k]
        cell = cell_of_basis(np.linalg.inv(t.fit.model.a_matrix))
        row = CandidateRow(
            cell, float(volume[k]), t.n_indexed, float(fraction[k]), float(rmsd[k]), float(score[k])
        )
        rows.append((t.candidate, t.fit, row))
    return rows


def _try(
    candidate: Candidate, model: RigidModel, spots: Spots, points: F64, settings: IndexSettings
) -> Tried | None:
    model = model.with_crystal(candidate.basis, candidate.rotations)
    hkl, _ = assign_global(points, spots.phi, [model.a_matrix], settings.hkl_tolerance, spots.scan)
    rows = np.flatnonzero((hkl != 0).any(axis=1))
    some = _subset(rows, spots, settings)
    fit = fit_rigid(
        model, spots.select(some), hkl[some],
        max_steps=STEPS, rounds=1, iqr_multiplier=IQR_MULTIPLIER,
    )  # fmt: skip
    if fit is None or cell_change(model.a_matrix, fit.model.a_matrix) > LARGEST_CHANGE:
        return None
    return Tried(candidate, fit, len(rows))


def cell_change(before: F64, after: F64) -> float:
    """Largest relative change of an edge between two setting matrices; infinite for nonsense."""
    if not np.isfinite(after).all() or abs(np.linalg.det(after)) < 1e-30:
        return np.inf
    edges = [np.linalg.norm(np.linalg.inv(a), axis=1) for a in (before, after)]
    return float(np.abs(edges[1] / edges[0] - 1.0).max())


def _subset(rows: I64, spots: Spots, settings: IndexSettings) -> I64:
    """Some of the spots, by the degrees that they span, drawn with a fixed seed."""
    if spots.phi is None or len(rows) == 0:
        return rows
    scans = np.unique(spots.scan)
    turned = sum(float(np.rad2deg(np.ptp(spots.phi[spots.scan == k]))) for k in scans)
    most = max(200, int(settings.reflections_per_degree * turned))
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(SEED).choice(rows, most, replace=False))


def _rmsd_xy(fit: RigidFit) -> float:
    return float(np.hypot(fit.rmsd[0], fit.rmsd[1]))


def tried_lattices(
    experiments: Sequence[Experiment], spots: Spots, hkl: I64, settings: IndexSettings
) -> list[tuple[LatticeRow, Candidate]]:
    """Every Bravais lattice of a triclinic crystal's metric, refined with its symmetry.

    Returns
    -------
    For each, the most symmetric first: the row and the refined candidate.
    """
    crystal = experiments[0].crystal
    assert crystal is not None
    basis = np.asarray(crystal.real_space)
    some = _subset(np.arange(len(spots)), spots, settings)
    spots, hkl = spots.select(some), hkl[some]
    found = []
    start = RigidModel.of(experiments)
    for setting in bravais_settings(basis, settings.max_delta_deg):
        group = space_group(setting.least_group)
        rotations = point_rotations(group)
        exact = symmetrised_basis(setting.change @ basis, rotations)
        model = start.with_crystal(exact, rotations)
        fit = fit_rigid(model, spots, hkl @ setting.change.T, max_steps=STEPS)
        if fit is not None:
            refined = np.asarray(np.linalg.inv(fit.model.a_matrix), dtype=np.float64)
            found.append(
                (setting, Candidate(refined, rotations, f" {group.hall}", setting.delta_deg), fit)
            )
    least = min((_rmsd_xy(fit) for setting, _, fit in found if setting.symbol == "aP"), default=0.0)
    return [
        (
            LatticeRow(
                setting.symbol, candidate.cell, setting.delta_deg, _rmsd_xy(fit),
                _rmsd_xy(fit) <= FITS_AS_WELL * least,
            ),
            candidate,
        )
        for setting, candidate, fit in found
    ]  # fmt: skip
