"""Indexing from spots to refined crystals with every spot's Miller indices.

Spots go to reciprocal space, a search finds vectors of the lattice, triples of them make cells, a
short refinement of each chooses the crystal, and macro-cycles of assignment and refinement take in
ever higher resolution. Further crystals are looked for among the spots that are left. Not here:
twins whose lattices coincide, and crystals that move.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, ConvergenceError, FormatError
from refimpl.forward.experiment import Experiment
from refimpl.frames import I64
from refimpl.io.reflection_table import INDEXED, ReflectionTable
from refimpl.metrology.indexing.another import one_more
from refimpl.metrology.indexing.cycles import Cycles, Model, Progress, RefineModel, refine_whole
from refimpl.metrology.indexing.result import IndexResult, SearchRows
from refimpl.metrology.indexing.settings import IndexSettings
from refimpl.metrology.indexing.spots import scan_of_rows, spots_of_table

__all__ = ["index"]


def index(
    experiments: Sequence[Experiment],
    strong: ReflectionTable,
    settings: IndexSettings | None = None,
    progress: Progress | None = None,
    *,
    refine_model: RefineModel | None = None,
    threads: int | None = None,
) -> IndexResult:
    """Index the strong spots of scans or stills.

    Parameters
    ----------
    experiments
        Each with beam, detector and, for a scan, goniometer and scan; a crystal that it has
        already is not looked at. Several scans see the same crystals, unless ``joint`` says
        otherwise; models that they share stay shared.
    strong
        Spots with ``panel`` and ``xyzobs.px`` or ``xyzobs.mm`` values and variances; of several
        experiments also ``imageset_id`` or ``id``.
    settings
        See :class:`IndexSettings`.
    progress
        Called with what is being done and the part of the work that is behind.
    refine_model
        Refines the model of each macro-cycle: :func:`~.cycles.refine_whole` by default,
        :func:`~.cycles.refine_rigid`, or a closure about :func:`refimpl.metrology.refine.refine`.
    threads
        See :func:`refimpl.dispatch.resolve_threads`; the result does not depend on it.

    Raises
    ------
    ConfigError
        No experiment, stills among scans, or settings that contradict each other.
    FormatError
        Too few spots, or a column is missing or broken.
    GeometryError
        The spots are of another detector.
    ConvergenceError
        No lattice, none like the known cell, or none that indexes enough spots.
    """
    chosen = settings or IndexSettings()
    tell = progress or (lambda _what, _part: None)
    if not experiments:
        raise ConfigError("no experiment: indexing needs at least one")
    refine = refine_model or partial(refine_whole, threads=threads)
    scans = tuple(replace(e, crystal=None) for e in experiments)
    joint = not scans[0].is_still if chosen.joint is None else chosen.joint
    if joint or len(scans) == 1:
        return _together(scans, strong, chosen, tell, refine, threads)
    return _each(scans, strong, chosen, tell, refine, threads)


def _together(
    scans: Model, strong: ReflectionTable, settings: IndexSettings, tell: Progress,
    refine: RefineModel, threads: int | None,
) -> IndexResult:  # fmt: skip
    """Index scans that see the same crystals."""
    if len(strong) < settings.min_spots:
        raise FormatError(
            f"{len(strong)} spots: indexing needs at least {settings.min_spots}",
            path=strong.source,
        )
    tell("mapping spots to reciprocal space", 0.0)
    spots, table = spots_of_table(scans, strong)
    cycles = Cycles(table, spots, len(scans), settings, refine)
    model: Model = ()
    searches: list[SearchRows] = []
    notes: list[str] = []
    most = settings.max_lattices
    for number in range(most):

        def here(what: str, part: float, n: int = number) -> None:
            tell(what if most == 1 else f"crystal {n + 1}: {what}", (n + part) / most)

        try:
            model, rows = one_more(cycles, scans, model, searches, here, threads)
        except (ConvergenceError, FormatError) as exc:
            if not searches:
                raise
            notes.append(f"no crystal {number + 1}: {exc}")
            break
        searches.append(rows)
    tell("assigning Miller indices", 0.95)
    model = _named(model, len(scans))
    identifiers = {k: e.identifier for k, e in enumerate(model)}
    indexed = replace(cycles.indexed(model), identifiers=identifiers)
    return IndexResult(model, indexed, tuple(searches), tuple(notes))


def _each(
    scans: Model, strong: ReflectionTable, settings: IndexSettings, tell: Progress,
    refine: RefineModel, threads: int | None,
) -> IndexResult:  # fmt: skip
    """Index each scan on its own; those in which no crystal is found are told and left out.

    Raises
    ------
    ConvergenceError
        No crystal is found in any.
    """
    scan = scan_of_rows(strong, len(scans))
    _, strong = spots_of_table(scans, strong, scan)
    columns = _blank(strong, scan)
    model: list[Experiment] = []
    searches: list[SearchRows] = []
    notes: list[str] = []
    for k, e in enumerate(scans):
        rows = np.flatnonzero(scan == k)

        def here(what: str, part: float, k: int = k) -> None:
            tell(f"experiment {k}: {what}", (k + part) / len(scans))

        try:
            own = _together((e,), strong.select(rows), settings, here, refine, threads)
        except (ConvergenceError, FormatError) as exc:
            notes.append(f"experiment {k}: {exc}")
            continue
        for name in set(columns) - {"id", "imageset_id"}:
            columns[name][rows] = own.table[name]
        ids = np.asarray(own.table["id"])
        columns["id"][rows] = np.where(ids >= 0, ids + len(model), -1)
        model += own.experiments
        searches += [replace(search, scans=(k,)) for search in own.searches]
        notes += [f"experiment {k}: {note}" for note in own.notes]
    if not model:
        raise ConvergenceError(f"no lattice found in any of {len(scans)} experiments; {notes[0]}")
    identifiers = {k: e.identifier for k, e in enumerate(model)}
    table = replace(strong.with_columns(columns), identifiers=identifiers)
    return IndexResult(tuple(model), table, tuple(searches), tuple(notes))


def _blank(table: ReflectionTable, scan: I64) -> dict[str, NDArray[Any]]:
    """Columns that indexing makes, of spots that have not been indexed."""
    n = len(table)
    flags = np.asarray(table["flags"]) if "flags" in table else np.zeros(n)
    return {
        "miller_index": np.zeros((n, 3), dtype=np.int32),
        "id": np.full(n, -1, dtype=np.int32),
        "imageset_id": scan.astype(np.int32),
        "flags": flags.astype(np.uint64) & ~np.uint64(INDEXED),
        "rlp": np.zeros((n, 3)),
        "s1": np.zeros((n, 3)),
        "entering": np.zeros(n, dtype=bool),
    }


def _named(model: Model, n_scans: int) -> Model:
    """Experiments with identifiers; one that is missing or taken is made from the crystal."""
    out: list[Experiment] = []
    for k, e in enumerate(model):
        assert e.crystal is not None
        name = e.identifier if k < n_scans else ""
        if not name:
            text = np.asarray(e.crystal.real_space).tobytes().hex()
            text += f" {k % n_scans}" if n_scans > 1 else ""
            name = str(uuid.uuid5(uuid.NAMESPACE_OID, text))
        out.append(replace(e, identifier=name))
    return tuple(out)
