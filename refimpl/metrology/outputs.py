"""Files of a refinement: refined models and reflections, the numbers, the published listing.

``refined.expt`` and ``refined.refl`` are those of the published program, ``refine.log`` is its
listing, ``result.json`` holds every number; it is written last, so that its presence says that all
the others are whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl import hooks
from refimpl.frames import F64
from refimpl.io.atomic import make_folder, write_json, write_text
from refimpl.io.dials_files import write_expt, write_refl
from refimpl.metrology import listing
from refimpl.metrology.answers import told
from refimpl.metrology.crystal_parameters import cell_and_gradient
from refimpl.metrology.gauge import HELD
from refimpl.metrology.parameters import FixSettings
from refimpl.metrology.stated_settings import modified, settings_dict

if TYPE_CHECKING:
    from refimpl.metrology.refine import RefinementResult

__all__ = [
    "LOG",
    "RESULT",
    "fix_of",
    "gauge_dict",
    "has_converged",
    "listing_of",
    "modified",
    "result_dict",
    "save",
    "settings_dict",
    "symbol_of",
]

LOG, RESULT = "refine.log", "result.json"
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


def cell_sigma(result: RefinementResult, crystal: int) -> F64 | None:
    """(6,) standard uncertainties [Å, degrees] of a crystal's cell; None where it was held."""
    models = result.models
    at = models.cell_at(crystal)
    mine = [k for k in range(at.start, at.stop) if models.free[k]]
    if not mine:
        return None
    full = models.initial.copy()
    full[models.free] = result.trajectory.x
    cell, slopes = cell_and_gradient(models.cells[crystal], full[at])
    slopes = slopes[:, [k - at.start for k in mine]]
    rows = (np.cumsum(models.free) - 1)[mine]
    covariance = slopes @ result.trajectory.covariance[np.ix_(rows, rows)] @ slopes.T
    sigma = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    return np.where(sigma > _ROUNDING * cell, sigma, 0.0)


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
    saved = () if folder is None else (
        f"Saving refined experiments to {Path(folder) / 'refined.expt'}",
        f"Saving reflections with updated predictions to {Path(folder) / 'refined.refl'}",
    )  # fmt: skip
    steps = result.trajectory.steps
    text = listing.refinement_listing(
        parameters=modified(result.settings, inputs, folder),
        before=result.accepted,
        rejected=result.outliers,
        after=result.before,
        counts=[result.n_used] * len(steps),
        rmsds=np.array([step.rmsd for step in steps]),
        reason=result.trajectory.reason,
        experiments=result.by_experiment,
        panels=result.by_detector,
        held=result.reduced,
        names=_free_names(result),
        models=crystals(result, digits=6 if shape == "current" else 4),
        saved=saved,
        layout=shape,
    )
    return text + "\n"


def has_converged(result: RefinementResult) -> bool:
    """Whether the search ended by itself, and not by its limit of steps or rounds."""
    return result.trajectory.converged


def _free_names(result: RefinementResult) -> list[str]:
    return [n for n, free in zip(result.models.names, result.models.free, strict=True) if free]


def result_dict(result: RefinementResult, inputs: Sequence[str | Path] = ()) -> dict[str, Any]:
    """Every number of a refinement, JSON-ready."""
    x, covariance = result.trajectory.x, result.trajectory.covariance
    sigma = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    names = _free_names(result)
    start = result.models.initial[result.models.free]
    return {
        **result.summary(),
        "settings": settings_dict(result.settings),
        "inputs": [str(name) for name in inputs],
        "parameters": [
            {"name": name, "start": a, "value": b, "sigma": c}
            for name, a, b, c in zip(names, start.tolist(), x.tolist(), sigma.tolist(), strict=True)
        ],
        "held": [
            {"name": name, "value": value}
            for name, value, free in zip(
                result.models.names, result.models.initial.tolist(), result.models.free,
                strict=True,
            ) if not free
        ],
        "gauge": gauge_dict(result),
        **told(result),
        "trajectory": [
            {"objective": step.objective, "rmsd": step.rmsd.tolist()}
            for step in result.trajectory.steps
        ],
        "by_experiment": _rows(result.by_experiment),
        "by_panel": _rows(result.by_panel),
        "by_detector": [_rows(table) for table in result.by_detector],
        "cells": [
            None if e.crystal is None else {
                "cell": _snapped(e.crystal.cell).tolist(), "space_group": symbol_of(e.crystal.hall)
            } for e in result.experiments
        ],
    }  # fmt: skip


def gauge_dict(result: RefinementResult) -> dict[str, Any]:
    """In which terms the detector is told, and its values in them."""
    answer = result.gauge
    if answer is None:
        return {"kind": "published", "sentences": [HELD] if _as_published(result) else []}
    rigid, own = answer.uncertainty
    names = answer.siblings.detector.names
    return {
        **asdict(answer.gauge),
        "sentences": list(answer.sentences),
        "whole": _valued(answer.siblings.names, answer.rigid, rigid),
        "own": _valued(names, answer.own.ravel(), own.ravel()),
    }


def _as_published(result: RefinementResult) -> bool:
    """Whether the two directions that rotation data leave open are held as published."""
    return not any(name.endswith(("Mu1", "nu")) for name in _free_names(result))


def _valued(names: Sequence[str], values: F64, sigmas: F64) -> list[dict[str, Any]]:
    rows = zip(names, values.tolist(), sigmas.tolist(), strict=True)
    return [{"name": name, "value": value, "sigma": sigma} for name, value, sigma in rows]


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
    (target / RESULT).unlink(missing_ok=True)  # that of another run must not vouch for these files
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
