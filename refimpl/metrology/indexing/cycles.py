"""Macro-cycles: assign Miller indices, refine, and go on to higher resolution.

A model is a tuple of experiments, the scans with the first crystal, the scans with the second, and
so on; row ids of reflections count through it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from refimpl.crystal.crystal_model import Crystal
from refimpl.crystal.reduction import cell_of_basis, hall_group, point_rotations
from refimpl.errors import ConvergenceError, GeometryError
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64, I64
from refimpl.io.reflection_table import INDEXED, USED_IN_REFINEMENT, ReflectionTable
from refimpl.metrology.indexing.assign import assign_global, assign_local
from refimpl.metrology.indexing.rank import LARGEST_CHANGE, cell_change
from refimpl.metrology.indexing.result import CycleRow
from refimpl.metrology.indexing.rigid_fit import RigidFit, fit_rigid
from refimpl.metrology.indexing.rigid_model import RigidModel, residuals
from refimpl.metrology.indexing.search import entering_of, resolution
from refimpl.metrology.indexing.settings import IndexSettings
from refimpl.metrology.indexing.spots import Spots, mapped, spots_of_table

__all__ = ["Cycles", "Model", "Progress", "RefineModel", "Refined", "refine_rigid", "refine_whole"]

Progress = Callable[[str, float], None]


class Refined(Protocol):
    """What a refinement gives back."""

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """Refined experiments."""

    @property
    def table(self) -> ReflectionTable:
        """The reflections, those used flagged."""


Model = tuple[Experiment, ...]
RefineModel = Callable[[Model, ReflectionTable], Refined]


def refine_whole(
    experiments: Model, table: ReflectionTable, *, threads: int | None = None
) -> Refined:
    """Refine crystals, beam and the detector as a whole, to the minimum, outliers by Tukey.

    The default of :func:`~refimpl.metrology.indexing.index`; raises what
    :func:`refimpl.metrology.refine.refine` does.
    """
    from refimpl.metrology.refine import RefineSettings, refine
    from refimpl.metrology.selection import PRESETS

    selection = replace(PRESETS["current"], outlier="tukey")
    return refine(experiments, table, RefineSettings(selection=selection), threads=threads)


def refine_rigid(experiments: Model, table: ReflectionTable) -> Refined:
    """Same by the quick fit that ranks candidates; see :func:`~.rigid_fit.fit_rigid`.

    Of several crystals the one with most spots takes beam and detector along; then the others are
    fitted to those.

    Raises
    ------
    ConvergenceError
        Fewer than 20 spots of a crystal can be used.
    """
    numbers = _crystal_numbers(experiments)
    n_scans = len(experiments) // (max(numbers) + 1)
    ids = np.asarray(table["id"]).astype(np.int64)
    counts = np.bincount(ids // n_scans, minlength=max(numbers) + 1)
    flags = table["flags"] & ~np.uint64(USED_IN_REFINEMENT)
    out = list(experiments)
    for place, crystal in enumerate(np.argsort(-counts, kind="stable")):
        at = slice(crystal * n_scans, (crystal + 1) * n_scans)
        rows = np.flatnonzero(ids // n_scans == crystal)
        fit = _fitted(tuple(out[at]), table.select(rows), ids[rows] % n_scans, place > 0)
        flags[rows[fit.used]] |= np.uint64(USED_IN_REFINEMENT)
        hall = _crystal(out[at.start]).hall
        scans = fit.model.experiments(out[at], hall)
        for k, e in enumerate(out):  # all scans stand before every crystal
            scan = scans[k % n_scans]
            own = scan.crystal if at.start <= k < at.stop else e.crystal
            out[k] = replace(scan, crystal=own, identifier=e.identifier)
    return QuickRefined(tuple(out), table.with_columns(flags=flags))


def _fitted(scans: Model, table: ReflectionTable, scan: I64, crystal_only: bool) -> RigidFit:
    crystal = _crystal(scans[0])
    spots, _ = spots_of_table(scans, table, scan)
    rotations = point_rotations(hall_group(crystal.hall))
    model = RigidModel.of(scans).with_crystal(np.asarray(crystal.real_space), rotations)
    hkl = np.asarray(table["miller_index"], dtype=np.int64)
    fit = fit_rigid(model, spots, hkl, crystal_only=crystal_only)
    if fit is None:
        raise ConvergenceError(
            f"the refinement of {len(table)} indexed spots failed: fewer than 20 can be used"
        )
    return fit


def _crystal(experiment: Experiment) -> Crystal:
    assert experiment.crystal is not None
    return experiment.crystal


def _crystal_numbers(model: Model) -> list[int]:
    """Number of each experiment's crystal, by first appearance."""
    known: dict[int, int] = {}
    return [known.setdefault(id(e.crystal), len(known)) for e in model]


@dataclass(frozen=True)
class QuickRefined:
    """What :func:`refine_rigid` gives back."""

    experiments: tuple[Experiment, ...]
    table: ReflectionTable


@dataclass(frozen=True)
class Cycles:
    """Spots and what is done to them in every cycle.

    Attributes
    ----------
    table, spots
        All spots.
    n_scans
        Scans that see the crystals.
    settings
        ``assignment``, ``hkl_tolerance``, ``macro_cycles``.
    refine_model
        Refines a model on indexed spots.
    """

    table: ReflectionTable
    spots: Spots
    n_scans: int
    settings: IndexSettings
    refine_model: RefineModel

    def run(self, model: Model, d_min: float, tell: Progress) -> tuple[Model, list[CycleRow]]:
        """Refine in steps of equal size from ``d_min`` [Å] to the resolution of all spots."""
        rows: list[CycleRow] = []
        count = self.settings.macro_cycles
        last = float(resolution(mapped(model[: self.n_scans], self.spots)[0]).min())
        for k in range(count):
            tell(f"macro-cycle {k + 1} of {count}", k / count)
            part = 1.0 if count == 1 else k / (count - 1)
            limit = d_min + (last - d_min) * part
            model, row = self.once(model, limit if part < 1.0 else 0.0)
            rows.append(replace(row, d_min_angstrom=limit))
        return model, rows

    def once(self, model: Model, d_min: float = 0.0) -> tuple[Model, CycleRow]:
        """Assign and refine with the spots within a resolution [Å].

        Raises
        ------
        ConvergenceError
            A crystal is lost.
        """
        points, s1 = mapped(model[: self.n_scans], self.spots)
        within = np.flatnonzero(resolution(points) >= d_min)
        hkl, number = self._indices(model, points, within)
        good = number >= 0
        chosen = within[good]
        indexed = self._with_indices(model, chosen, points, s1, hkl[good], number[good])
        try:
            refined = self.refine_model(model, indexed)
        except (GeometryError, np.linalg.LinAlgError) as exc:  # cell, beam or panel became nonsense
            raise self._lost(model[-1], len(chosen), len(within)) from exc
        for before, after in zip(model, refined.experiments, strict=True):
            if cell_change(_crystal(before).A, _crystal(after).A) > LARGEST_CHANGE:
                raise self._lost(before, len(chosen), len(within))
        used = refined.table.has_flags(USED_IN_REFINEMENT)
        row = CycleRow(
            d_min_angstrom=d_min,
            n_spots=len(within),
            n_indexed=len(chosen),
            n_used=int(used.sum()),
            rmsd=self._rmsd(refined.experiments, refined.table.select(used)),
            cells=tuple(
                cell_of_basis(np.asarray(_crystal(e).real_space))
                for e in refined.experiments[:: self.n_scans]
            ),
        )
        return refined.experiments, row

    def _lost(self, experiment: Experiment, n_indexed: int, n_spots: int) -> ConvergenceError:
        cell = " ".join(f"{v:.2f}" for v in _crystal(experiment).cell)
        return ConvergenceError(
            f"the refinement lost the lattice: cell {cell} indexed {n_indexed} of {n_spots} spots "
            "but does not hold; give unit_cell, another max_cell_angstrom or another method"
        )

    def indexed(self, model: Model) -> ReflectionTable:
        """All spots with their indices under a model; ``id`` is -1 where there is none."""
        points, s1 = mapped(model[: self.n_scans], self.spots)
        rows = np.arange(len(points))
        hkl, number = self._indices(model, points, rows)
        return self._with_indices(model, rows, points, s1, hkl, number)

    def _indices(self, model: Model, points: F64, rows: I64) -> tuple[I64, I64]:
        """Miller indices and crystal of some of the spots; -1 where there is none."""
        some, spots = points[rows], self.spots.select(rows)
        a_matrices = [_crystal(e).A for e in model[:: self.n_scans]]
        if self.settings.assignment == "local":
            return assign_local(some, spots.phi, a_matrices[0], spots.scan)
        tolerance = self.settings.hkl_tolerance
        return assign_global(some, spots.phi, a_matrices, tolerance, spots.scan)

    def _with_indices(
        self, model: Model, rows: I64, points: F64, s1: F64, hkl: I64, number: I64
    ) -> ReflectionTable:
        """Some of the spots with the columns that indexing makes."""
        table, scan, good = self.table.select(rows), self.spots.scan[rows], number >= 0
        if "flags" in table:
            flags = np.asarray(table["flags"]).astype(np.uint64)
        else:
            flags = np.zeros(len(table), dtype=np.uint64)
        bit = np.uint64(INDEXED)
        return table.with_columns(
            {
                "miller_index": hkl.astype(np.int32),
                "id": np.where(good, number * self.n_scans + scan, -1).astype(np.int32),
                "imageset_id": scan.astype(np.int32),
                "flags": np.where(good, flags | bit, flags & ~bit),
                "rlp": points[rows],
                "s1": s1[rows],
                "entering": entering_of(model[: self.n_scans], scan, s1[rows]),
            }
        )

    def _rmsd(self, model: Model, some: ReflectionTable) -> tuple[float, float, float]:
        parts = []
        ids = np.asarray(some["id"]).astype(np.int64)
        for k in range(len(model) // self.n_scans):
            scans = model[k * self.n_scans : (k + 1) * self.n_scans]
            own = some.select(np.flatnonzero(ids // self.n_scans == k))
            scan = np.asarray(own["id"]).astype(np.int64) % self.n_scans
            hkl = np.asarray(own["miller_index"], dtype=np.int64)
            found = residuals(RigidModel.of(scans), spots_of_table(scans, own, scan)[0], hkl)
            parts.append(found.values[found.usable])
        values = np.concatenate(parts)
        if len(values) == 0:
            return np.nan, np.nan, np.nan
        x, y, phi = np.sqrt((values**2).mean(axis=0))
        return float(x), float(y), float(phi)
