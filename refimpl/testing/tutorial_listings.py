"""Listings of the early metrology tutorial, written anew from its numbers by our writers."""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.frames import F64
from refimpl.metrology import listing
from refimpl.metrology.rmsd import ResidualSummary, RmsdTable
from refimpl.units import DEG

__all__ = ["indexing_text", "level0_text"]

Tables = list[dict[str, Any]]


def _of(tables: Tables, title: str) -> list[Any]:
    return [table["rows"] for table in tables if table["title"].startswith(title)]


def _summary(rows: Any) -> ResidualSummary:
    values = np.array([row[1:] for row in rows])
    return ResidualSummary(0, values[:3].T, values[3:].T)


def _table(rows: Any) -> RmsdTable:
    values = np.array(rows)
    return RmsdTable(values[:, 0].astype(int), values[:, 1].astype(int), values[:, 2:])


def _steps(rows: Any) -> tuple[list[int], F64]:
    values = np.array(rows)
    return values[:, 1].astype(int).tolist(), values[:, 2:] * [1.0, 1.0, DEG]


def level0_text(tables: Tables) -> str:
    """134 lines, "The following ..." to "Saving ...".

    Parameters
    ----------
    tables
        Of the page: each with `title` and `rows`.
    """
    _, before, after = _of(tables, "Summary statistics")
    counts, rmsds = _steps(_of(tables, "Refinement steps")[1])
    return listing.refinement_listing(
        parameters={
            "refinement": {
                "reflections": {"use_all_reflections": True, "do_outlier_rejection": True}
            },
            "input": {"experiments": "experiments.json", "reflections": "indexed.pickle"},
        },
        before=_summary(before),
        rejected=5849,
        after=_summary(after),
        counts=counts,
        rmsds=rmsds,
        reason="RMSD no longer decreasing",
        experiments=_table(_of(tables, "RMSDs by experiment")[1]),
        panels=[_table(_of(tables, "RMSDs by panel")[1])],
        saved=["Saving refined experiments to refined_experiments.json"],
    )


def indexing_text(tables: Tables) -> str:
    """117 lines of macro-cycle 5; U and the cell are as printed on the page.

    Parameters
    ----------
    tables
        Of the page: each with `title` and `rows`.
    """
    steps = listing.refinement_steps(*_steps(_of(tables, "Refinement steps")[0]))
    u = [[0.4122, -0.9018, 0.1299], [0.2361, -0.0320, -0.9712], [0.8800, 0.4310, 0.1997]]
    cell = (57.834, 57.834, 150.022, 90.0, 90.0, 90.0)
    crystal = listing.crystal_model(cell, "P 4", np.array(u), np.diag(1.0 / np.array(cell[:3])))
    return "\n".join([
        listing.residual_summary(_summary(_of(tables, "Summary statistics")[0])),
        f"\n\n{steps}\nRMSD no longer decreasing",
        f"\n{listing.rmsds_by_experiment(_table(_of(tables, 'RMSDs by experiment')[0]))}",
        f"\n{listing.rmsds_by_panel(_table(_of(tables, 'RMSDs by panel')[0]))}",
        listing.final_crystal_models([(192715, crystal)]),
    ])  # fmt: skip
