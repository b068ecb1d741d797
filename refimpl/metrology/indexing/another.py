"""One crystal more: search among the spots that are left, macro-cycles, and whether it is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from refimpl.crystal.crystal_model import Crystal
from refimpl.errors import ConvergenceError
from refimpl.metrology.indexing.candidates import KnownSymmetry
from refimpl.metrology.indexing.cycles import Cycles, Model, Progress
from refimpl.metrology.indexing.orientations import misorientation
from refimpl.metrology.indexing.rank import tried_lattices
from refimpl.metrology.indexing.result import CycleRow, LatticeRow, SearchRows
from refimpl.metrology.indexing.search import Search
from refimpl.metrology.indexing.settings import IndexSettings
from refimpl.units import DEG

__all__ = ["one_more"]


def one_more(
    cycles: Cycles, scans: Model, model: Model, before: Sequence[SearchRows], tell: Progress,
    threads: int | None,
) -> tuple[Model, SearchRows]:  # fmt: skip
    """Look for another crystal among the spots that are left, and refine all.

    Parameters
    ----------
    cycles
        Spots and settings.
    scans
        Without crystals, as they were given.
    model
        The crystals so far, or nothing.
    before
        How those were found.
    tell
        Called with what is being done and the part of it that is behind.
    threads
        See :func:`refimpl.dispatch.resolve_threads`.

    Returns
    -------
    The refined model with one crystal more, and how that was found.

    Raises
    ------
    ConvergenceError, FormatError
        There is none.
    """
    settings, spots = cycles.settings, cycles.spots
    start, rest = scans, np.arange(len(spots))
    if model:
        start = tuple(replace(e, crystal=None) for e in model[: len(scans)])
        rest = np.flatnonzero(np.asarray(cycles.indexed(model)["id"]) < 0)
        if len(rest) < max(settings.min_rest_fraction * len(spots), settings.min_spots):
            raise ConvergenceError(
                f"{len(rest)} of {len(spots)} spots are left, fewer than "
                f"{100.0 * settings.min_rest_fraction:g} % or {settings.min_spots}"
            )
        # spots that few crystals share do not tell the longest edge any better
        settings = replace(settings, max_cell_angstrom=before[0].max_cell_angstrom)
    known = KnownSymmetry(settings)
    search = Search(start, spots.select(rest), settings, known, threads)
    tell(f"looking for lattice vectors by {settings.method}", 0.05)
    vectors = search.vectors()
    tell("trying cells", 0.3)
    found, candidates = search.best(vectors)
    assert found[0].crystal is not None
    _check_another(model, found[0].crystal, len(scans), settings)
    model = (
        tuple(  # beam and detector as the search has them
            replace(scan, crystal=e.crystal, identifier=e.identifier)
            for k, e in enumerate(model)
            for scan in (found[k % len(scans)],)
        )
        + found
    )
    model, rows = cycles.run(model, search.d_min, lambda what, part: tell(what, 0.5 + 0.45 * part))
    lattices: list[LatticeRow] = []
    if settings.space_group is None and settings.unit_cell is None:
        model, lattices = _lattices(model, cycles, rows)
    if before:
        _check_indexed(model, cycles, len(rest))
    return model, SearchRows(
        scans=tuple(range(len(scans))), n_spots=len(rest),
        max_cell_angstrom=search.max_cell, d_min_angstrom=search.d_min,
        vectors=vectors, candidates=tuple(candidates), cycles=tuple(rows),
        lattices=tuple(lattices),
    )  # fmt: skip


def _check_another(model: Model, crystal: Crystal, n_scans: int, settings: IndexSettings) -> None:
    """Refuse a crystal that is one of those already found."""
    for k, e in enumerate(model[::n_scans]):
        assert e.crystal is not None
        angle = misorientation(e.crystal.real_space, crystal.real_space)
        if angle < settings.min_separation_deg * DEG:
            raise ConvergenceError(
                f"the best cell among the spots left is crystal {k + 1} turned by "
                f"{angle / DEG:.2f} degrees, less than min_separation_deg = "
                f"{settings.min_separation_deg:g}"
            )


def _check_indexed(model: Model, cycles: Cycles, n_rest: int) -> None:
    """Refuse a crystal that has too little of what was left after the macro-cycles."""
    ids = np.asarray(cycles.indexed(model)["id"])
    own = int((ids >= len(model) - cycles.n_scans).sum())
    need = max(cycles.settings.min_indexed_fraction * n_rest, cycles.settings.min_spots)
    if own < need:
        raise ConvergenceError(
            f"after refinement it has {own} of the {n_rest} spots that were left, expected at "
            f"least {need:.0f}"
        )


def _lattices(model: Model, cycles: Cycles, rows: list[CycleRow]) -> tuple[Model, list[LatticeRow]]:
    """Lattices that the newest crystal may have; the best is taken where that was chosen."""
    n_scans = cycles.n_scans
    last = model[-n_scans:]
    table = cycles.indexed(model)
    good = np.asarray(table["id"]) >= len(model) - n_scans
    hkl = np.asarray(table["miller_index"], dtype=np.int64)[good]
    tried = tried_lattices(last, cycles.spots.select(good), hkl, cycles.settings)
    found = [row for row, _ in tried]
    best = next((candidate for row, candidate in tried if row.fits), None)
    if cycles.settings.choose_lattice and best is not None:
        crystal = Crystal(best.basis, best.hall)
        model = model[:-n_scans] + tuple(replace(e, crystal=crystal) for e in last)
        model, row = cycles.once(model)
        rows.append(row)
    return model, found
