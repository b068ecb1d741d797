"""Indexing from spots to a refined crystal with every spot's Miller indices.

Spots go to reciprocal space, a search finds vectors of the lattice, triples of them make cells, a
short refinement of each chooses the crystal, and macro-cycles of assignment and refinement take in
ever higher resolution. One crystal in one scan or still; not here: several lattices at once.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from refimpl.crystal.crystal_model import Crystal
from refimpl.errors import ConfigError, FormatError
from refimpl.forward.experiment import Experiment
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology.indexing.candidates import KnownSymmetry
from refimpl.metrology.indexing.cycles import Cycles, Progress, RefineModel, refine_whole
from refimpl.metrology.indexing.rank import tried_lattices
from refimpl.metrology.indexing.result import CycleRow, IndexResult, LatticeRow
from refimpl.metrology.indexing.search import Search
from refimpl.metrology.indexing.settings import IndexSettings
from refimpl.metrology.indexing.spots import spots_of_table

__all__ = ["index"]


def index(
    experiments: Sequence[Experiment],
    strong: ReflectionTable,
    settings: IndexSettings | None = None,
    progress: Progress | None = None,
    *,
    refine_model: RefineModel = refine_whole,
) -> IndexResult:
    """Index the strong spots of one scan or still.

    Parameters
    ----------
    experiments
        One experiment with beam, detector and, for a scan, goniometer and scan; a crystal that it
        has already is not looked at.
    strong
        Spots with ``panel`` and ``xyzobs.px`` or ``xyzobs.mm`` values and variances.
    settings
        See :class:`IndexSettings`.
    progress
        Called with what is being done and the part of the work that is behind.
    refine_model
        Refines the model of each macro-cycle: :func:`~.cycles.refine_whole` by default,
        :func:`~.cycles.refine_rigid`, or a closure about :func:`refimpl.metrology.refine.refine`.

    Raises
    ------
    ConfigError
        More than one experiment, or settings that contradict each other.
    FormatError
        Too few spots, or a column is missing or broken.
    GeometryError
        The spots are of another detector.
    ConvergenceError
        No lattice, none like the known cell, or none that indexes enough spots.
    """
    chosen = settings or IndexSettings()
    tell = progress or (lambda _what, _part: None)
    if len(experiments) != 1:
        raise ConfigError(
            f"{len(experiments)} experiments: indexing takes one; index each on its own"
        )
    experiment = replace(experiments[0], crystal=None)
    if len(strong) < chosen.min_spots:
        raise FormatError(
            f"{len(strong)} spots: indexing needs at least {chosen.min_spots}", path=strong.source
        )
    tell("mapping spots to reciprocal space", 0.0)
    spots, table = spots_of_table(experiment, strong)
    search = Search(experiment, spots, chosen, KnownSymmetry(chosen))
    tell(f"looking for lattice vectors by {chosen.method}", 0.05)
    vectors = search.vectors()
    tell("trying cells", 0.3)
    model, candidates = search.best(vectors)
    cycles = Cycles(table, spots, chosen, refine_model)
    model, rows = cycles.run(model, search.d_min, tell)
    tell("assigning Miller indices", 0.95)
    lattices: list[LatticeRow] = []
    if chosen.space_group is None and chosen.unit_cell is None:
        model, more, lattices = _lattices(model, cycles)
        rows += more
    model = _named(model)
    return IndexResult(
        experiments=(model,),
        table=replace(cycles.indexed(model), identifiers={0: model.identifier}),
        max_cell_angstrom=search.max_cell,
        d_min_angstrom=search.d_min,
        vectors=vectors,
        candidates=tuple(candidates),
        cycles=tuple(rows),
        lattices=tuple(lattices),
    )


def _lattices(
    model: Experiment, cycles: Cycles
) -> tuple[Experiment, list[CycleRow], list[LatticeRow]]:
    """Lattices that a triclinic crystal may have; the best is taken where that was chosen."""
    table = cycles.indexed(model)
    good = np.asarray(table["id"]) >= 0
    hkl = np.asarray(table["miller_index"], dtype=np.int64)[good]
    tried = tried_lattices(model, cycles.spots.select(good), hkl, cycles.settings)
    rows = [row for row, _ in tried]
    best = next((candidate for row, candidate in tried if row.fits), None)
    if not cycles.settings.choose_lattice or best is None:
        return model, [], rows
    model, row = cycles.once(replace(model, crystal=Crystal(best.basis, best.hall)))
    return model, [row], rows


def _named(experiment: Experiment) -> Experiment:
    """Experiment with an identifier; one that it lacks is made from its crystal."""
    assert experiment.crystal is not None
    if experiment.identifier:
        return experiment
    name = np.asarray(experiment.crystal.real_space).tobytes().hex()
    return replace(experiment, identifier=str(uuid.uuid5(uuid.NAMESPACE_OID, name)))
