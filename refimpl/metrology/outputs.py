"""Files of a refinement: refined models and reflections, the numbers, the published listing.

``refined.expt`` and ``refined.refl`` are those of the published program, ``refine.log`` is its
listing, ``result.json`` holds every number; it is written last, so that its presence says that all
the others are whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl import hooks
from refimpl.crystal.crystal_model import Crystal
from refimpl.frames import F64
from refimpl.io.atomic import make_folder, write_json, write_text
from refimpl.io.dials_files import write_expt, write_refl
from refimpl.metrology import listing
from refimpl.metrology.parameters import FixSettings
from refimpl.metrology.selection import PRESETS

if TYPE_CHECKING:
    from refimpl.metrology.refine import RefinementResult, RefineSettings

__all__ = [
    "LOG",
    "RESULT",
    "fix_of",
    "has_converged",
    "listing_of",
    "modified",
    "result_dict",
    "save",
    "symbol_of",
]

LOG, RESULT = "refine.log", "result.json"
_METHODS = ("null", "auto", "mcd", "tukey", "sauter_poon")
_STEP = 1e-6
_ROUNDING = 1e-9
"""Part of a cell parameter below which a derived uncertainty is rounding: fixed by symmetry."""


def symbol_of(hall: str) -> str:
    """Hermann-Mauguin symbol of a Hall symbol, ``P 4``; the Hall symbol where there is none."""
    import gemmi

    try:
        group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(hall.strip()))
    except (RuntimeError, ValueError):
        group = None
    return hall.strip() if group is None else str(group.hm)


def modified(
    settings: RefineSettings, inputs: Sequence[str | Path] = (), folder: str | Path | None = None
) -> dict[str, Any]:
    """Settings that differ from the published program's defaults, by its scopes."""
    fix, selection, default = settings.fix, settings.selection, PRESETS["current"]
    named = [key for key, value in PRESETS.items() if value == selection]
    method = " ".join(f"*{m}" if m == selection.outlier else m for m in _METHODS)
    outlier = {
        "algorithm": method,
        "separate_panels": selection.separate_panels,
        "separate_blocks": selection.separate_blocks,
        "minimum_number_of_reflections": selection.minimum_job_size,
    }
    parameterisation: dict[str, Any] = {
        "auto_reduction": {
            "action": settings.auto_reduction,
            "min_nref_per_parameter": settings.min_reflections_per_parameter,
        },
        "beam": {"fix": " ".join(fix.beam) or "none"},
        "crystal": {"fix": " ".join(fix.crystal) or "none"},
        "detector": {"fix": " ".join(fix.detector) or "none"}
        | ({"hierarchy_level": fix.hierarchy_level} if fix.hierarchy_level else {})
        | ({"fix_list": ",".join(fix.fix_list)} if fix.fix_list else {}),
    }
    reflections: dict[str, Any] = {"outlier": outlier}
    if selection.close_to_spindle_cutoff != default.close_to_spindle_cutoff:
        reflections = {"close_to_spindle_cutoff": selection.close_to_spindle_cutoff, **reflections}
    refinement = {
        "preset": named[0] if named else "none",
        "parameterisation": parameterisation,
        "refinery": {"engine": settings.engine, "max_iterations": settings.max_steps},
        "target": {"bin_size_fraction": settings.bin_size_fraction},
        "reflections": reflections,
    }
    out: dict[str, Any] = {}
    if folder is not None:
        out["output"] = {
            "experiments": str(Path(folder) / "refined.expt"),
            "reflections": str(Path(folder) / "refined.refl"),
        }
    out["refinement"] = refinement
    if inputs:
        out["input"] = dict(zip(("experiments", "reflections"), map(str, inputs), strict=False))
    return out


def cell_sigma(result: RefinementResult, crystal: int) -> F64 | None:
    """(6,) standard uncertainties [Å, degrees] of a crystal's cell; None where it was held.

    By numerical derivatives of the cell by the elements of the reciprocal metric.
    """
    models = result.models
    at = models.cell_at(crystal)
    position = np.cumsum(models.free) - 1
    mine = [k for k in range(at.start, at.stop) if models.free[k]]
    if not mine:
        return None
    full = models.initial.copy()
    full[models.free] = result.trajectory.x
    values, own = full[at], models.cells[crystal]

    def cell(v: F64) -> F64:
        return Crystal(np.asarray(np.linalg.inv(own.b(v)), dtype=np.float64)).cell

    slopes = np.zeros((6, len(mine)))
    for column, k in enumerate(mine):
        change = np.zeros(len(values))
        change[k - at.start] = _STEP * max(abs(values[k - at.start]), 1.0)
        difference = cell(values + change) - cell(values - change)
        slopes[:, column] = difference / (2.0 * change[k - at.start])
    rows = position[mine]
    covariance = slopes @ result.trajectory.covariance[np.ix_(rows, rows)] @ slopes.T
    sigma = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    return np.where(sigma > _ROUNDING * cell(values), sigma, 0.0)


def crystals(result: RefinementResult, *, digits: int = 4) -> str:
    """Final crystal models with their uncertainties, U, B and A."""
    models, parts = result.models, []
    used = models.of_crystal[np.asarray(result.table["id"][result.used], dtype=np.int64)]
    for k in range(len(models.cells)):
        e = int(np.flatnonzero(models.of_crystal == k)[0])
        crystal = result.experiments[e].crystal
        assert crystal is not None  # refine() demands one
        cell, sigma = _snapped(crystal.cell), cell_sigma(result, k)
        text = listing.crystal_model(
            cell.tolist(), symbol_of(crystal.hall), crystal.U, crystal.B,
            cell_sigma=None if sigma is None else sigma.tolist(), digits=digits,
        )  # fmt: skip
        parts.append((int(np.count_nonzero(used == k)), text))
    return listing.final_crystal_models(parts)


def _snapped(cell: F64) -> F64:
    """Cell without the rounding in angles that are 90 or 120 degrees by symmetry."""
    near = np.round(cell, 6)
    return np.where(np.abs(cell - near) < 1e-8, near, cell)


def listing_of(
    result: RefinementResult,
    *,
    inputs: Sequence[str | Path] = (),
    folder: str | Path | None = None,
    layout: listing.Layout | None = None,
) -> str:
    """Write the published listing of a refinement.

    Parameters
    ----------
    result
        Of :func:`refimpl.metrology.refine`.
    inputs
        Names of the experiments and the reflections, to be listed.
    folder
        Where the results go, to be listed.
    layout
        ``tutorial`` or ``current``; default: that of the preset, else ``current``.
    """
    shape: listing.Layout = layout or (
        "tutorial" if not result.settings.selection.separate_blocks else "current"
    )
    counts = [result.n_used] * len(result.trajectory.steps)
    rmsds = np.array([step.rmsd for step in result.trajectory.steps])
    rejected = int(result.outliers.rejected.sum())
    current = shape == "current"
    parts = [
        listing.modified_parameters(modified(result.settings, inputs, folder)),
        "Configuring refiner",
        listing.residual_summary(result.accepted, shape),
        listing.outlier_jobs(result.outliers)
        if current
        else listing.outliers_rejected(rejected, shape),
        listing.residual_summary(result.before, shape),
        *(["\n".join(result.reduced)] if result.reduced else []),
        *([listing.parameter_names(_free_names(result))] if current else []),
        "Performing refinement...",
        f"{listing.refinement_steps(counts, rmsds, shape)}\n{result.trajectory.reason}",
        listing.rmsds_by_experiment(result.by_experiment, shape),
        listing.rmsds_by_panel(result.by_panel, shape),
        crystals(result, digits=6 if current else 4),
    ]
    if folder is not None:
        parts.append(
            f"Saving refined experiments to {Path(folder) / 'refined.expt'}\n"
            f"Saving reflections with updated predictions to {Path(folder) / 'refined.refl'}"
        )
    return "\n\n".join(parts) + "\n"


def has_converged(result: RefinementResult) -> bool:
    """Whether the search ended by itself, and not by its limit of steps."""
    return not result.trajectory.reason.startswith(("stopped after", "maximum number"))


def _free_names(result: RefinementResult) -> list[str]:
    return [n for n, free in zip(result.models.names, result.models.free, strict=True) if free]


def result_dict(result: RefinementResult, inputs: Sequence[str | Path] = ()) -> dict[str, Any]:
    """Every number of a refinement, JSON-ready."""
    x, covariance = result.trajectory.x, result.trajectory.covariance
    sigma = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    names = _free_names(result)
    start = result.models.initial[result.models.free]
    return {
        "converged": has_converged(result),
        **result.summary(),
        "settings": modified(result.settings)["refinement"],
        "inputs": [str(name) for name in inputs],
        "parameters": [
            {"name": name, "start": a, "value": b, "sigma": c}
            for name, a, b, c in zip(names, start.tolist(), x.tolist(), sigma.tolist(), strict=True)
        ],
        "trajectory": [
            {"objective": step.objective, "rmsd": step.rmsd.tolist()}
            for step in result.trajectory.steps
        ],
        "by_experiment": _rows(result.by_experiment),
        "by_panel": _rows(result.by_panel),
        "cells": [
            None if e.crystal is None else {
                "cell": _snapped(e.crystal.cell).tolist(), "space_group": symbol_of(e.crystal.hall)
            } for e in result.experiments
        ],
    }  # fmt: skip


def _rows(table: Any) -> list[Mapping[str, Any]]:
    return [
        {"label": int(label), "n": int(n), "rmsd_px_px_images": row.tolist()}
        for label, n, row in zip(table.labels, table.counts, table.values, strict=True)
    ]


def save(
    result: RefinementResult,
    folder: str | Path,
    *,
    report: bool = True,
    inputs: Sequence[str | Path] = (),
) -> Path:
    """Write all files of a refinement into a folder.

    Parameters
    ----------
    result
        Of :func:`refimpl.metrology.refine`.
    folder
        Made if missing; files of the same names are replaced.
    report
        Also figures and ``report.html``.
    inputs
        Names of the experiments and the reflections, for the record.

    Returns
    -------
    Path of ``result.json``.

    Raises
    ------
    ConfigError
        The folder cannot be made or written to.
    """
    target = make_folder(folder)
    write_expt(target / "refined.expt", result.experiments)
    write_refl(target / "refined.refl", result.table)
    write_text(target / LOG, listing_of(result, inputs=inputs, folder=folder))
    if report:
        hooks.call("metrology.report", result, target)
    return write_json(target / RESULT, result_dict(result, inputs))


def fix_of(texts: Sequence[str], level: int) -> FixSettings:
    """Build fix settings from words: ``detector.orientation``, ``beam.all``, ``Group17Tau1``.

    A model that is named at all (``beam.none``) loses its default list.
    """
    models: dict[str, list[str]] = {}
    others = []
    for text in texts:
        model, dot, what = text.partition(".")
        if dot and model in ("detector", "beam", "crystal"):
            models.setdefault(model, []).append(what)
        else:
            others.append(text)
    named = {model: tuple(what) for model, what in models.items()}
    return FixSettings(fix_list=tuple(others), hierarchy_level=level, **named)
