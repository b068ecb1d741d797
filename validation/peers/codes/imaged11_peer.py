"""What ImageD11 does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Task = tuple[Callable[[], Any], Callable[[Any], dict[str, Any]]]


def index(given: dict[str, Any]) -> Task:
    """Pairs of rings of few members; each orientation refined on what it explains."""
    from ImageD11 import indexing, unitcell

    indexing.loglevel = 4
    vectors, n = given["vectors"], int(given["n"])
    least = len(vectors) // (4 * n)

    def run() -> Any:
        cell = unitcell.unitcell(given["cell"].tolist(), "P")
        found = indexing.indexer(
            unitcell=cell, gv=vectors, wavelength=0.97, minpks=least, hkl_tol=0.1, ds_tol=0.002,
            cosine_tol=np.cos(np.radians(89.5)), max_grains=10 * n, uniqueness=0.5,
        )  # fmt: skip
        found.assigntorings()
        found.score_all_pairs(rmulmax=4)
        return [indexing.refine(ubi, vectors, 0.1) for ubi in found.ubis]

    return run, lambda ubis: {"bases": np.array(ubis).reshape(-1, 3, 3)}
