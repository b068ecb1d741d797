"""Settings of a refinement as its files state them: what differs from the published, and all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from refimpl.metrology.refine_settings import RefineSettings
from refimpl.metrology.selection import PRESETS, STILLS_ANGLE_WEIGHT

__all__ = ["modified", "settings_dict"]

_METHODS = ("null", "auto", "mcd", "tukey", "sauter_poon")
_SHOWN = ("outlier", "separate_panels", "separate_blocks", "minimum_job_size")
_OF_OUTLIERS = ("iqr_multiplier", "mcd_alpha", "separate_experiments", "block_width_deg")


def modified(
    settings: RefineSettings, inputs: Sequence[str | Path] = (), folder: str | Path | None = None
) -> dict[str, Any]:
    """Settings that differ from the published program's defaults, by its scopes."""
    refinement = {
        "preset": _preset_of(settings) or "none",
        "parameterisation": _parameterisation(settings),
        "refinery": {"engine": settings.engine, "max_iterations": settings.step_limit}
        | ({} if settings.loss == "none" else {"loss": settings.loss}),
        "target": {"bin_size_fraction": settings.bin_size_fraction},
        "reflections": _reflections(settings),
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


def _parameterisation(settings: RefineSettings) -> dict[str, Any]:
    fix, gauge = settings.fix, settings.gauge
    out: dict[str, Any] = {
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
    if settings.constraints:
        out["detector"]["constraints"] = {"parameter": ",".join(settings.constraints)}
    for k, target in enumerate(settings.cell_targets, 1):
        out["crystal"][f"tie_to_target {k}"] = {
            "values": ",".join(f"{v:g}" for v in target.values),
            "sigmas": ",".join(f"{v:g}" for v in target.sigmas),
            "id": "all" if target.crystals is None else ",".join(map(str, target.crystals)),
        }
    if gauge.kind != "published":
        out["gauge"] = {k: v for k, v in asdict(gauge).items() if v not in (None, False)}
    return out


def _reflections(settings: RefineSettings) -> dict[str, Any]:
    """Scope of the selection: rule and splits of outliers; else what is not today's default."""
    selection, default = settings.selection, PRESETS["current"]
    changed = {
        name: value
        for name, value in asdict(selection).items()
        if value != getattr(default, name) and name not in _SHOWN
    }
    outlier: dict[str, Any] = {
        "algorithm": " ".join(f"*{m}" if m == selection.outlier else m for m in _METHODS),
        "separate_panels": selection.separate_panels,
        "separate_blocks": selection.separate_blocks,
        "minimum_number_of_reflections": selection.minimum_job_size,
    }
    outlier |= {name: changed.pop(name) for name in _OF_OUTLIERS if name in changed}
    out: dict[str, Any] = {**changed, "outlier": outlier}
    if settings.delpsi_constant != STILLS_ANGLE_WEIGHT:
        out["weighting_strategy"] = {"delpsi_constant": settings.delpsi_constant}
    return out


def settings_dict(settings: RefineSettings) -> dict[str, Any]:
    """Every setting, JSON-ready: what a refinement can be repeated from."""
    return {"preset": _preset_of(settings), "step_limit": settings.step_limit, **asdict(settings)}


def _preset_of(settings: RefineSettings) -> str | None:
    return next((key for key, value in PRESETS.items() if value == settings.selection), None)
