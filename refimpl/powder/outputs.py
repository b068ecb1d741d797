"""Every file that a powder calibration leaves behind, each written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refimpl import hooks
from refimpl.detector.model import TiltedFlat
from refimpl.errors import GeometryError
from refimpl.frames import F64, PIXEL_CENTRE
from refimpl.interop.midas import midas_from_tilted_flat
from refimpl.io.atomic import make_folder, write_json, write_text
from refimpl.io.geometry_json import write_geometry
from refimpl.io.midas_outputs import MeanValues, mean_values_text
from refimpl.io.midas_params import write_refined
from refimpl.objective.pseudo_strain import StrainSummary
from refimpl.powder.config import config_toml
from refimpl.powder.panel_outputs import panel_dict, published_model, save_panels
from refimpl.units import DEG, UM

if TYPE_CHECKING:
    from refimpl.powder.result import PowderResult

__all__ = ["midas_parameters", "result_dict", "save", "view"]


def save(result: PowderResult, folder: Path, *, report: bool = True) -> Path:
    """Write all output files of a result; see :meth:`PowderResult.save`."""
    make_folder(folder)
    (folder / "result.json").unlink(missing_ok=True)  # of an older run: what follows replaces it
    write_text(folder / "config.toml", config_toml(result.config))
    write_geometry(
        folder / "geometry.json",
        result.model,
        result.config.beam.wavelength_angstrom,
        calibrant=result.config.calibrant.calibrant,
        provenance=result.provenance(),
        converged=result.converged,
    )
    write_text(
        folder / "points.csv", result.point_table().to_csv(index=False, float_format="%.10g")
    )
    write_refined(folder / "refined_MIDAS_params.txt", midas_parameters(result))
    save_panels(result, folder)
    write_text(folder / "calibrant_screen_out.csv", _screen(result))
    write_text(folder / "autocal.log", _log(result))
    if report:
        result.report(folder)
    write_json(folder / "result.json", result_dict(result))  # last: its presence means complete
    return folder


def _summary(s: StrainSummary | None) -> dict[str, Any] | None:
    if s is None:
        return None
    return {
        "n": s.n,
        "mean_all": s.mean_all,
        "median": s.median,
        "clip_mean": s.clip_mean,
        "clip_n": s.clip_n,
        "clip_rule": s.rule,
    }


def result_dict(result: PowderResult) -> dict[str, Any]:
    """JSON-ready content of ``result.json``."""
    fit = result.fit.fit
    return {
        "schema": 1,
        "kind": "refimpl.powder.result",
        "converged": result.converged,
        "reason": result.reason,
        "parameters": [vars(p) for p in result.parameters],
        "fit": {
            "names": list(fit.names),
            "values": fit.x,
            "sigma": fit.sigma,
            "correlation": fit.correlation,
            "condition": fit.condition,
            "undetermined": list(fit.undetermined),
            "at_bound": list(fit.at_bound),
            "evaluations": fit.evaluations,
            "reason": fit.reason,
            "reduced_chi2": fit.reduced_chi2,
            "unexplained_strain": result.fit.tau,
            "eta_bins": result.n_eta,
            "relative_noise": result.prepared.frame.relative_noise,
        },
        "strain": _summary(result.summary),
        "strain_cross_validated": _summary(result.cross_validated),
        "rms_px": result.rms_px,
        "panels": None if result.panels is None else panel_dict(result.panels),
        "strain_one_surface_cross_validated": _summary(result.cross_validated_single),
        "rings": result.ring_table().to_dict(orient="records"),
        "excluded_rings": list(result.excluded_rings),
        "iterations": [
            {
                "number": i.number,
                "parameters": i.parameters,
                "strain": _summary(i.summary),
                "unexplained_strain": i.tau,
                "ring_mean_abs_strain": i.ring_strain,
            }
            for i in result.iterations
        ],
        "warnings": list(result.warnings),
        "timing_s": dict(result.timing),
        "cpu_timing_s": dict(result.cpu_timing),
        "provenance": result.provenance(),
    }


def midas_parameters(result: PowderResult) -> dict[str, Any]:
    """Parameters under the published keys and units (um, px from pixel centres, degrees)."""
    m = published_model(result)
    values: dict[str, Any] = {
        "Lsd": m.lsd_mm / UM,
        "BC": (m.beam_centre_px[0] - PIXEL_CENTRE, m.beam_centre_px[1] - PIXEL_CENTRE),
        "tx": m.tilts_rad[0] / DEG,
        "ty": m.tilts_rad[1] / DEG,
        "tz": m.tilts_rad[2] / DEG,
        "RhoD": m.rho_d_mm / UM,
        "Wavelength": result.config.beam.wavelength_angstrom,
        "px": m.pixel_size_mm[0] / UM,
        "NrPixelsY": m.shape[1],
        "NrPixelsZ": m.shape[0],
        "EtaBinSize": 360.0 / result.n_eta,
        "ImTransOpt": tuple(m.image_transform) or (0,),
    }
    last = 15 if any(m.p[5:]) else 5 if m.p[4] else 4
    values |= {f"p{i}": m.p[i] for i in range(last)}
    if result.panels is not None:
        values |= _grid(m)
    return values


def _grid(model: TiltedFlat) -> dict[str, Any]:
    """Keys of the panels; none where they are no grid that the published program could have."""
    try:
        keys = midas_from_tilted_flat(model)
    except GeometryError:
        return {}
    panels = {key: value for key, value in keys.items() if "Panel" in key}
    return panels | {"PanelShiftsFile": "panelshifts.txt"}


def _screen(result: PowderResult) -> str:
    """Text in the layout of the published console output, so that parsers of it go on working."""
    m = result.model
    mean = MeanValues(
        lsd_um=m.lsd_mm / UM,
        bc_px=(m.beam_centre_px[0] - PIXEL_CENTRE, m.beam_centre_px[1] - PIXEL_CENTRE),
        ty_deg=m.tilts_rad[1] / DEG,
        tz_deg=m.tilts_rad[2] / DEG,
        p={f"p{i}": m.p[i] for i in range(5 if m.p[4] else 4)},
        mean_strain=result.summary.clip_mean,
        std_strain=float(np.std(np.abs(result.strain[result.points.used]))),
    )
    head = [
        f"refimpl {result.provenance()['version']}: strains below are absolute, not microstrain"
    ]
    for i in result.iterations:
        head.append(f"Iteration {i.number}: {i.summary}")
    return "\n".join([*head, mean_values_text(mean)])


def _log(result: PowderResult) -> str:
    """Log in the published layout: time - name - level - message."""
    stamp = result.made.replace("T", " ")[:19] + ",000"
    lines = [f"inputs: {result.provenance()['inputs']}", f"command: {result.command}"]
    for i in result.iterations:
        values = ", ".join(f"{k} {v:.9g}" for k, v in i.parameters.items())
        lines.append(f"pass {i.number}: {values}; {i.summary}")
    lines += result.summary_lines()
    return "".join(f"{stamp} - refimpl.powder - INFO - {line}\n" for line in lines)


def view(result: PowderResult) -> Any:
    """Return the report's view of a result, through the registered hook."""
    frame = result.prepared.frame
    image = np.where(frame.usable != 0, frame.counts / result.prepared.scale, np.nan)
    quantity = hooks.resolve("powder.quantity")
    numbers: dict[str, Any] = {
        "n": result.summary.n,
        "mean_all": result.summary.mean_all,
        "median": result.summary.median,
        "clip_mean": result.summary.clip_mean,
        "clip_rule": result.summary.rule,
        "converged": result.converged,
    }
    if result.cross_validated is not None:
        numbers["cross_validated"] = result.cross_validated.clip_mean
    if result.cross_validated_single is not None:
        numbers["cross_validated_single"] = result.cross_validated_single.clip_mean
    numbers["passes"] = len(result.iterations)
    numbers["rms"] = quantity(result.rms_px, None, "px")
    cake, radial = _pattern(result)
    free = [i for i, s in enumerate(result.fit.fit.sigma) if s > 0.0]
    correlation = result.fit.fit.correlation[np.ix_(free, free)]
    inputs = result.prepared.source.path
    panels = None
    if result.panels is not None:
        panels = hooks.call("powder.panel_view", **vars(result.panels))
    return hooks.call(
        "powder.view",
        title="array" if inputs is None else inputs.name,
        image=image,
        model=result.model,
        ring_number=result.rings.number,
        ring_two_theta=result.rings.two_theta_rad,
        ring_hkl=result.rings.hkl,
        points=result.point_table(),
        parameters=result.parameter_table(),
        correlations=(correlation, [result.fit.fit.names[i] for i in free]),
        iterations=[_iteration(result, i) for i in range(len(result.iterations))],
        summary=numbers,
        cake=cake,
        radial=radial,
        timing=result.timing,
        warnings=result.warnings,
        provenance=result.provenance(),
        truth=result.truth,
        panels=panels,
    )


def _iteration(result: PowderResult, index: int) -> dict[str, Any]:
    i = result.iterations[index]
    return {
        "iteration": i.number,
        "n": i.summary.n,
        "mean_all": i.summary.mean_all,
        "median": i.summary.median,
        "clip_mean": i.summary.clip_mean,
        "two_theta": i.ring_two_theta_rad,
        "strain": i.ring_mean,
    }


def _pattern(result: PowderResult) -> tuple[Any, Any]:
    """Cake (1 degree x 1000 bins) and radial profile, for looking at."""
    frame = result.prepared.frame
    use = frame.usable != 0
    two_theta, eta = _angles(result, use)
    low, high = float(np.min(two_theta)), float(np.max(two_theta))
    m, k = 1000, 360
    column = np.minimum(((two_theta - low) / (high - low) * m).astype(np.int64), m - 1)
    row = np.floor((eta + np.pi) / (2.0 * np.pi) * k).astype(np.int64) % k
    counts = frame.counts[use] / result.prepared.scale
    total = np.bincount(row * m + column, weights=counts, minlength=k * m).reshape(k, m)
    pixels = np.bincount(row * m + column, minlength=k * m).reshape(k, m)
    axis = low + (np.arange(m) + 0.5) * (high - low) / m
    azimuth = -np.pi + (np.arange(k) + 0.5) * 2.0 * np.pi / k
    with np.errstate(invalid="ignore", divide="ignore"):
        cake = np.where(pixels > 0, total / pixels, np.nan)
        radial = np.where(pixels.sum(0) > 0, total.sum(0) / pixels.sum(0), np.nan)
    return (axis, azimuth, cake), (axis, radial)


def _angles(result: PowderResult, use: NDArray[np.bool_]) -> tuple[F64, F64]:
    """2-theta and eta [rad] of the pixels in use, each on its own panel where they are refined."""
    if result.model.panel_corrections is None:
        two_theta, eta = result.model.replace(panel_boxes=None).maps()
        return two_theta[use], eta[use]
    slow, fast = (index.astype(np.float64) + PIXEL_CENTRE for index in np.nonzero(use))
    panel = result.prepared.frame.panel_map[use].astype(np.int32)
    return result.model.two_theta_eta(fast, slow, panel)
