"""The published tables of the metrology tutorial, beside a twin of its data and real data of it.

    python validation/tutorial.py [--update docs/validation/tutorial.md]

The five published tables by panel and their pooled totals; the twin (simulated) at levels 0 and 1
with the published engine, panel by panel; and centroids of the tutorial's second data set (``th82``
of the set ``metrology``) against its published table. Tables in Markdown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from pages import run, table

from refimpl import data
from refimpl.io.expt_files import read_expt
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology import FixSettings, RefinementResult, RefineSettings, refine
from refimpl.metrology.rmsd import RmsdTable, pool
from refimpl.metrology.tutorial_tables import OVERALL, published_panels
from refimpl.metrology.tutorial_twin import tutorial_twin

NEW, OLD = (f"metrology/tutorial/{name}.json" for name in ("new", "old"))
TH82, TH82_START = (
    "metrology/data/th82_60panel_indexed.npz",
    "metrology/refine/th82_60panel_lev0_tukey_refined.expt",
)
NAMES = {
    OLD: ("indexing, macro-cycle 5", "level 0, early version"),
    NEW: ("", "level 0", "level 1", "th_8_2 corrected"),  # the first is that of the early version
}
LEVEL_1 = FixSettings(hierarchy_level=1)


def published() -> Iterator[tuple[str, np.ndarray, RmsdTable]]:
    """Name, line of the whole, and table by panel of the five published ones."""
    for file, names in NAMES.items():
        tables = json.loads(data.path(file).read_text())["tables"]
        wholes = [t["rows"][0] for t in tables if t["title"] == "RMSDs by experiment:"]
        panels = [np.array(t["rows"]) for t in tables if t["title"] == "RMSDs by panel:"]
        following = [i for i, t in enumerate(tables) if t["title"] == "RMSDs by panel:"]
        before = [
            sum(t["title"] == "RMSDs by experiment:" for t in tables[:i]) - 1 for i in following
        ]
        for name, k, rows in zip(names, before, panels, strict=True):
            if name:
                own = RmsdTable(rows[:, 0].astype(int), rows[:, 1].astype(int), rows[:, 2:])
                yield name, np.array(wholes[k]), own


def pooled() -> str:
    """Five tables pooled, against the totals that are printed with them."""
    rows = []
    for name, whole, panels in published():
        total = pool(panels.counts, panels.values)
        rows.append([
            name, len(panels.counts), int(panels.counts.sum()), int(whole[1]),
            _three(total), _three(whole[2:]),
        ])  # fmt: skip
    head = ["table", "panels", "sum of n", "stated n", "pooled X, Y [px], φ [images]", "stated"]
    return table(head, rows)


def _three(values: Any) -> str:
    return ", ".join(f"{v:.5f}" for v in values)


def twin() -> tuple[RefinementResult, RefinementResult]:
    """The twin refined as the tutorial does, at levels 0 and 1."""
    s = tutorial_twin()
    whole = refine(s.start, s.table, RefineSettings(engine="levmar"))
    settings = RefineSettings(fix=LEVEL_1, engine="levmar")
    return whole, refine(whole.experiments, s.table, settings)


def overall(results: tuple[RefinementResult, ...]) -> str:
    """Totals of the twin."""
    rows = []
    for level, found in enumerate(results):
        n, *stated = OVERALL[level]
        own = found.by_experiment.values[0]
        apart = ", ".join(f"{100 * (a / b - 1):+.2f}" for a, b in zip(own, stated, strict=True))
        steps = len(found.trajectory.steps) - 1
        rows.append([
            level, found.n_parameters, n, found.n_used, _three(stated), _three(own), apart, steps,
        ])  # fmt: skip
    head = ["level", "parameters", "n stated", "n", "stated X, Y [px], φ [images]", "twin"]
    return table([*head, "apart [%]", "steps"], rows)


def side_by_side(results: tuple[RefinementResult, ...]) -> str:
    """Panels of the twin beside the published ones, and how far apart they may be."""
    (n_0, stated_0), (n_1, stated_1) = published_panels(0), published_panels(1)
    own_0, own_1 = (
        {int(k): v for k, v in zip(r.by_panel.labels, r.by_panel.values, strict=True)}
        for r in results
    )
    rows, worst = [], 0.0
    for k in range(60):
        if k not in own_1:
            rows.append([k, *["none"] * 7])
            continue
        allowed = 3.0 / np.sqrt(2.0 * n_1[k])
        off = float(np.max(np.abs(own_1[k] / stated_1[k] - 1.0)))
        worst = max(worst, off / allowed)
        rows.append([
            k, n_0[k], _panel(stated_0[k]), _panel(own_0[k]), n_1[k], _panel(stated_1[k]),
            _panel(own_1[k]), f"{100 * off:.2f} of {100 * allowed:.1f}",
        ])  # fmt: skip
    head = ["panel", "n, level 0", "stated", "twin", "n, level 1", "stated", "twin"]
    said = f"Largest part of the allowed distance 3/√(2 n) at level 1: {worst:.2f}."
    return table([*head, "apart at level 1 [%]"], rows) + "\n\n" + said


def _panel(values: Any) -> str:
    return ", ".join(f"{v:.3f}" for v in values)


def th82() -> str:
    """Centroids of the second data set, panel by panel, beside its published table."""
    (experiment,) = read_expt(data.path(TH82_START))
    with np.load(data.path(TH82)) as file:
        spots = ReflectionTable({key: file[key] for key in file.files})
    start = refine([experiment], spots, RefineSettings())
    found = refine([experiment], spots, RefineSettings(fix=LEVEL_1))
    stated = next(panels for name, _, panels in published() if name == "th_8_2 corrected")
    theirs = {
        int(k): (n, v) for k, n, v in zip(stated.labels, stated.counts, stated.values, strict=True)
    }
    rigid = {int(k): v for k, v in zip(start.by_panel.labels, start.by_panel.values, strict=True)}
    rows = [
        [k, n, _panel(rigid[k]), _panel(v), theirs[k][0], _panel(theirs[k][1])]
        for k, n, v in zip(
            found.by_panel.labels.tolist(), found.by_panel.counts.tolist(), found.by_panel.values,
            strict=True,
        )
    ]  # fmt: skip
    rows.append([
        "all", found.n_used, _panel(start.by_experiment.values[0]),
        _panel(found.by_experiment.values[0]), int(stated.counts.sum()),
        _panel(pool(stated.counts, stated.values)),
    ])  # fmt: skip
    head = ["panel", "n", "ours, level 0", "ours, level 1", "n, published"]
    return table([*head, "published, corrected"], rows)


def parts() -> list[str]:
    """Everything on the page."""
    results = twin()
    return [
        "### Five tables pooled", pooled(), "### The twin, overall", overall(results),
        "### The twin, panel by panel (X, Y [px], φ [images])", side_by_side(results),
        "### Real centroids of th_8_2, panel by panel (X, Y [px], φ [images])", th82(),
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(run("tutorial", __doc__.splitlines()[0], NEW, parts))
