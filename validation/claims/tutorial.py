"""Claims of the metrology tutorial: our figures.

Three bases: the printed numbers against each other; the twin, a simulated data set to which the
tables of level 0 are an input and those of level 1 a check; and real centroids of the second data
set.
"""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Any

import numpy as np
import tutorial as page

from refimpl import data
from refimpl.io.expt_files import read_expt
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology import RefinementResult, RefineSettings, refine
from refimpl.metrology.rmsd import pool
from refimpl.metrology.tutorial_twin import tutorial_twin


@cache
def _content(version: str) -> dict[str, Any]:
    return dict(json.loads(data.path(f"metrology/tutorial/{version}.json").read_text()))


def _rows(version: str, title: str, number: int) -> np.ndarray:
    found = [t["rows"] for t in _content(version)["tables"] if t["title"].startswith(title)]
    return np.array(found[number], dtype=float)


def pooled(version: str, table: int) -> list[float]:
    """Sum of the counts of a table by panel, and its RMSDs pooled."""
    rows = _rows(version, "RMSDs by panel", table)
    counts = rows[:, 1].astype(int)
    return [float(counts.sum()), *map(float, pool(counts, rows[:, 2:]))]


def last_step(version: str, table: int, image_deg: float) -> list[float]:
    """Last step of a table in mm, mm and degrees, as pixels and images."""
    return list(_rows(version, "Refinement steps", table)[-1, 2:] / [0.172, 0.172, image_deg])


def largest_weight(size: float, floor: float) -> float:
    """Weight of a centroid whose variance is ``floor`` of the squared pixel or image."""
    return 1.0 / (floor * size**2)


def accepted(version: str, table: int, rejected: int) -> int:
    """Reflections used and rejected, together."""
    return int(_rows(version, "RMSDs by experiment", table)[0, 1]) + rejected


def a_matrix() -> list[list[float]]:
    """U B of the printed U and B."""
    u = np.array([[0.4122, -0.9018, 0.1299], [0.2361, -0.0320, -0.9712], [0.8800, 0.4310, 0.1997]])
    out: list[list[float]] = (u @ np.diag([0.0173, 0.0173, 0.0067])).tolist()
    return out


def b_matrix() -> list[float]:
    """Diagonal of B of the printed cell."""
    return [1.0 / edge for edge in (57.834, 57.834, 150.022)]


def parameters_by_kind() -> int:
    """Six for each of 60 panels, beam Mu2, three of the orientation, two of the cell."""
    return 60 * 6 + 1 + 3 + 2


@cache
def _twin() -> tuple[RefinementResult, RefinementResult, float]:
    s = tutorial_twin()
    whole = refine(s.start, s.table, RefineSettings(engine="levmar"))
    start = time.process_time()
    settings = RefineSettings(fix=page.LEVEL_1, engine="levmar")
    return whole, refine(whole.experiments, s.table, settings), time.process_time() - start


def twin(level: int) -> list[float]:
    """Totals of the twin: X, Y [px], phi [images]."""
    return list(_twin()[level].by_experiment.values[0])


def twin_panel(panel: int) -> list[float]:
    """The same of one panel at level 1."""
    table = _twin()[1].by_panel
    return list(table.values[int(np.flatnonzero(table.labels == panel)[0])])


def twin_used(level: int) -> int:
    """Reflections that the twin's refinement used."""
    return int(_twin()[level].n_used)


def twin_parameters() -> int:
    """Free parameters at level 1."""
    return int(_twin()[1].n_parameters)


def twin_steps() -> int:
    """Number of the last step at level 1."""
    return len(_twin()[1].trajectory.steps) - 1


def twin_reason() -> str:
    """Why the refinement at level 1 ended."""
    return _twin()[1].trajectory.reason


def twin_minutes() -> float:
    """CPU time at level 1 [min]."""
    return _twin()[2] / 60.0


@cache
def _th82() -> RefinementResult:
    (experiment,) = read_expt(data.path(page.TH82_START))
    with np.load(data.path(page.TH82)) as file:
        spots = ReflectionTable({key: file[key] for key in file.files})
    return refine([experiment], spots, RefineSettings(fix=page.LEVEL_1))


def th82_panel(panel: int) -> list[float]:
    """X, Y [px], phi [images] of a panel, refined with the public spots alone."""
    table = _th82().by_panel
    return list(table.values[int(np.flatnonzero(table.labels == panel)[0])])


def th82_total() -> list[float]:
    """The same of all panels."""
    return list(_th82().by_experiment.values[0])


def listing_differences(name: str) -> int:
    """Lines of a printed listing that ours, of the same numbers, differs in."""
    from refimpl.testing.golden import golden
    from refimpl.testing.tutorial_listings import indexing_text, level0_text

    text = {"level0": level0_text, "indexing": indexing_text}[name](_content("old")["tables"])
    lines = golden(f"published_listings/{name}").json()["lines"]
    ours = text.split("\n")
    both = zip(ours, lines, strict=False)
    return sum(a != b for a, b in both) + abs(len(ours) - len(lines))
