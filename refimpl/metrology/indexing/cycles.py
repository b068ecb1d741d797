"""Macro-cycles: assign Miller indices, refine, and go on to higher resolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.reduction import cell_of_basis, hall_group, point_rotations
from refimpl.errors import ConvergenceError, GeometryError
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64, I64
from refimpl.io.reflection_table import INDEXED, USED_IN_REFINEMENT, ReflectionTable
from refimpl.metrology.indexing.assign import assign_global, assign_local
from refimpl.metrology.indexing.rank import LARGEST_CHANGE, cell_change
from refimpl.metrology.indexing.result import CycleRow
from refimpl.metrology.indexing.rigid_fit import fit_rigid
from refimpl.metrology.indexing.rigid_model import RigidModel, residuals
from refimpl.metrology.indexing.search import entering_of, resolution
from refimpl.metrology.indexing.settings import IndexSettings
from refimpl.metrology.indexing.spots import Spots, mapped, spots_of_table

__all__ = ["Cycles", "Progress", "RefineModel", "Refined", "refine_rigid", "refine_whole"]

Progress = Callable[[str, float], None]


class Refined(Protocol):
    """What a refinement gives back."""

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """Refined experiments."""

    @property
    def table(self) -> ReflectionTable:
        """The reflections, those used flagged."""


RefineModel = Callable[[tuple[Experiment, ...], ReflectionTable], Refined]


def refine_whole(experiments: tuple[Experiment, ...], table: ReflectionTable) -> Refined:
    """Refine crystal, beam and the detector as a whole, to the minimum, outliers by Tukey.

    The default of :func:`~refimpl.metrology.indexing.index`; raises what
    :func:`refimpl.metrology.refine.refine` does.
    """
    from refimpl.metrology.refine import RefineSettings, refine
    from refimpl.metrology.selection import PRESETS

    selection = replace(PRESETS["current"], outlier="tukey")
    return refine(experiments, table, RefineSettings(selection=selection))


def refine_rigid(experiments: tuple[Experiment, ...], table: ReflectionTable) -> Refined:
    """Same by the quick fit that ranks candidates; see :func:`~.rigid_fit.fit_rigid`.

    Raises
    ------
    ConvergenceError
        Fewer than 20 spots can be used.
    """
    experiment = experiments[0]
    assert experiment.crystal is not None
    rotations = point_rotations(hall_group(experiment.crystal.hall))
    spots, _ = spots_of_table(experiment, table)
    basis = np.asarray(experiment.crystal.real_space)
    model = RigidModel.of(experiment).with_crystal(basis, rotations)
    fit = fit_rigid(model, spots, np.asarray(table["miller_index"], dtype=np.int64))
    if fit is None:
        raise ConvergenceError(
            f"the refinement of {len(table)} indexed spots failed: fewer than 20 can be used"
        )
    flags = table["flags"] & ~np.uint64(USED_IN_REFINEMENT)
    flags = np.where(fit.used, flags | np.uint64(USED_IN_REFINEMENT), flags)
    refined = fit.model.experiment(experiment, experiment.crystal.hall)
    return QuickRefined((refined,), table.with_columns(flags=flags))


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
    settings
        ``assignment``, ``hkl_tolerance``, ``macro_cycles``.
    refine_model
        Refines a model on indexed spots.
    """

    table: ReflectionTable
    spots: Spots
    settings: IndexSettings
    refine_model: RefineModel

    def run(
        self, experiment: Experiment, d_min: float, tell: Progress
    ) -> tuple[Experiment, list[CycleRow]]:
        """Refine in steps of equal size from ``d_min`` [Å] to the resolution of all spots."""
        rows: list[CycleRow] = []
        count = self.settings.macro_cycles
        last = float(resolution(mapped(experiment, self.spots)[0]).min())
        for k in range(count):
            tell(f"macro-cycle {k + 1} of {count}", 0.5 + 0.45 * k / count)
            part = 1.0 if count == 1 else k / (count - 1)
            limit = d_min + (last - d_min) * part
            experiment, row = self.once(experiment, limit if part < 1.0 else 0.0)
            rows.append(replace(row, d_min_angstrom=limit))
        return experiment, rows

    def once(self, experiment: Experiment, d_min: float = 0.0) -> tuple[Experiment, CycleRow]:
        """Assign and refine with the spots within a resolution [Å]."""
        points, s1 = mapped(experiment, self.spots)
        within = np.flatnonzero(resolution(points) >= d_min)
        hkl = self._indices(experiment, points, within)
        good = (hkl != 0).any(axis=1)
        chosen = within[good]
        indexed = _with_indices(
            experiment, self.table.select(chosen), points[chosen], s1[chosen], hkl[good]
        )
        before = experiment
        try:
            refined = self.refine_model((experiment,), indexed)
        except (GeometryError, np.linalg.LinAlgError) as exc:  # cell, beam or panel became nonsense
            raise self._lost(before, len(chosen), len(within)) from exc
        experiment = refined.experiments[0]
        assert experiment.crystal is not None
        assert before.crystal is not None
        if cell_change(before.crystal.A, experiment.crystal.A) > LARGEST_CHANGE:
            raise self._lost(before, len(chosen), len(within))
        used = refined.table.has_flags(USED_IN_REFINEMENT)
        row = CycleRow(
            d_min_angstrom=d_min,
            n_spots=len(within),
            n_indexed=len(chosen),
            n_used=int(used.sum()),
            rmsd=_rmsd(experiment, refined.table, used),
            cell=cell_of_basis(np.asarray(experiment.crystal.real_space)),
        )
        return experiment, row

    def _lost(self, experiment: Experiment, n_indexed: int, n_spots: int) -> ConvergenceError:
        assert experiment.crystal is not None
        cell = " ".join(f"{v:.2f}" for v in experiment.crystal.cell)
        return ConvergenceError(
            f"the refinement lost the lattice: cell {cell} indexed {n_indexed} of {n_spots} spots "
            "but does not hold; give unit_cell, another max_cell_angstrom or another method"
        )

    def indexed(self, experiment: Experiment) -> ReflectionTable:
        """All spots with their indices under a model; ``id`` is -1 where there is none."""
        points, s1 = mapped(experiment, self.spots)
        hkl = self._indices(experiment, points, np.arange(len(points)))
        return _with_indices(experiment, self.table, points, s1, hkl)

    def _indices(self, experiment: Experiment, points: F64, rows: I64) -> I64:
        assert experiment.crystal is not None
        some, phi = points[rows], self.spots.select(rows).phi
        if self.settings.assignment == "local":
            return assign_local(some, phi, experiment.crystal.A)[0]
        return assign_global(some, phi, [experiment.crystal.A], self.settings.hkl_tolerance)[0]


def _with_indices(
    experiment: Experiment, table: ReflectionTable, points: F64, s1: F64, hkl: I64
) -> ReflectionTable:
    """Table with the columns that indexing makes."""
    good = (hkl != 0).any(axis=1)
    if "flags" in table:
        flags = np.asarray(table["flags"]).astype(np.uint64)
    else:
        flags = np.zeros(len(table), dtype=np.uint64)
    bit = np.uint64(INDEXED)
    return table.with_columns(
        {
            "miller_index": hkl.astype(np.int32),
            "id": np.where(good, 0, -1).astype(np.int32),
            "imageset_id": np.zeros(len(table), dtype=np.int32),
            "flags": np.where(good, flags | bit, flags & ~bit),
            "rlp": points,
            "s1": s1,
            "entering": entering_of(experiment, s1),
        }
    )


def _rmsd(
    experiment: Experiment, table: ReflectionTable, used: NDArray[np.bool_]
) -> tuple[float, float, float]:
    some = table.select(used)
    hkl = np.asarray(some["miller_index"], dtype=np.int64)
    found = residuals(RigidModel.of(experiment), spots_of_table(experiment, some)[0], hkl)
    if not found.usable.any():
        return np.nan, np.nan, np.nan
    x, y, phi = np.sqrt((found.values[found.usable] ** 2).mean(axis=0))
    return float(x), float(y), float(phi)
