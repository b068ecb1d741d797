"""From spots to lattices: vectors, cells, symmetry, Miller indices."""

from __future__ import annotations

from refimpl.metrology.indexing.cycles import Refined, RefineModel, refine_rigid, refine_whole
from refimpl.metrology.indexing.result import (
    CandidateRow,
    CycleRow,
    IndexResult,
    LatticeRow,
    SearchRows,
)
from refimpl.metrology.indexing.run import index
from refimpl.metrology.indexing.settings import ASSIGNMENTS, METHODS, IndexSettings

__all__ = [
    "ASSIGNMENTS",
    "METHODS",
    "CandidateRow",
    "CycleRow",
    "IndexResult",
    "IndexSettings",
    "LatticeRow",
    "RefineModel",
    "Refined",
    "SearchRows",
    "index",
    "refine_rigid",
    "refine_whole",
]
