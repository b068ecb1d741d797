"""Settings of our own calibration from a parameter file of the published panel program.

The published tol* are half widths of a search; here they bound a least-squares fit, or leave a
parameter out where they are 0. What the file does not say keeps the default of ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.crystal.calibrants import CALIBRANTS, Calibrant, calibrant
from refimpl.crystal.rings import rings
from refimpl.detector.distortion import AMPLITUDES, PHASES
from refimpl.io.midas_params import MidasParams
from refimpl.powder.automatic import WIDEST_ANGLE
from refimpl.powder.panel_params import number_of, panel_grid_of, refuse
from refimpl.units import DEG, UM

__all__ = ["panel_settings"]

SAME_CELL = 0.01
"""Lattice parameters within this part of a known calibrant's are taken for it."""


def panel_settings(params: MidasParams) -> dict[str, Any]:
    """Flat settings for :func:`refimpl.powder.calibrate`, the start geometry apart.

    Boxes of the panels, Lsd, BC, tilts, p and RhoD come with the start geometry
    (:func:`~refimpl.powder.published_setup.start_geometry`).

    Parameters
    ----------
    params
        Checked by :func:`~refimpl.powder.panel_params.check_params`.

    Raises
    ------
    ConfigError
        A calibrant that is not known here, or a key that only the published engine has.
    """
    if params["FitOrWeightedMean"]:
        refuse(
            params, "FitOrWeightedMean", "FitOrWeightedMean 1: peaks are always fitted here; leave "
            "it out, or use --published"
        )  # fmt: skip
    if number_of(params, "EtaBinSize") < 0.1 or number_of(params, "EtaBinSize") > 45.0:
        refuse(params, "EtaBinSize", f"EtaBinSize {params['EtaBinSize']}: expected 0.1 to 45")
    size = number_of(params, "px") * UM
    powder, settings = _calibrant(params)
    settings["wavelength_angstrom"] = number_of(params, "Wavelength")
    settings["pixel_size_mm"] = (size, size)
    refine, tolerances = _global_parameters(params)
    settings["refine"], settings["tolerances"] = refine, tolerances
    excluded = _excluded(params, powder)
    if excluded:
        settings["exclude_rings"] = excluded
    if number_of(params, "RhoD") or number_of(params, "MaxRingRad"):
        rho_d = number_of(params, "RhoD") or number_of(params, "MaxRingRad")
        settings["rho_d_mm"] = rho_d * UM
    if "EtaBinSize" in params:
        settings["eta_bin_deg"] = number_of(params, "EtaBinSize")
    if "nIterations" in params:
        settings["max_iterations"] = int(number_of(params, "nIterations"))
    if "MultFactor" in params:
        settings["ring_multiplier"] = number_of(params, "MultFactor")
    if "DoubletSeparation" in params:
        settings["doublet_separation_px"] = number_of(params, "DoubletSeparation")
    settings["normalize_ring_weights"] = bool(params["NormalizeRingWeights"])
    settings["weight_by_radius"] = bool(params["WeightByRadius"])
    return settings | _panels(params)


def _calibrant(params: MidasParams) -> tuple[Calibrant, dict[str, Any]]:
    """Known calibrant of this space group and nearly this cell, with the file's lattice."""
    group, given = int(number_of(params, "SpaceGroup")), params["LatticeConstant"]
    cell = np.array(given, dtype=np.float64)
    near: list[tuple[float, str]] = []
    for name, known in CALIBRANTS.items():
        if known.cell is not None and known.space_group_number == group:
            off = float(np.max(np.abs(cell / np.array(known.cell) - 1.0)))
            if off < SAME_CELL:
                near.append((off, name))
    if not near:
        have = ", ".join(name for name, known in CALIBRANTS.items() if known.cell is not None)
        refuse(
            params, "LatticeConstant", f"space group {group} with a = {cell[0]:g} angstrom is none "
            f"of the calibrants {have} (to 1 %); --published takes any crystal"
        )  # fmt: skip
    off, name = min(near)
    a, b, c = cell[:3]
    if a == b == c and np.all(cell[3:] == 90.0):
        return calibrant(name, float(a)), {
            "calibrant": name,
            "lattice_parameter_angstrom": float(a),
        }
    if off > 1e-6:
        refuse(
            params, "LatticeConstant", f"the cell of {name} differs from the certified one by "
            f"{off * 1e6:.0f} ppm, which only a cubic one may here; --published takes any"
        )  # fmt: skip
    return calibrant(name), {"calibrant": name}


def _excluded(params: MidasParams, powder: Calibrant) -> tuple[int, ...]:
    """Ring numbers of RingsToExclude, and those beyond RhoD at the starting distance."""
    excluded = params["RingsToExclude"]
    numbers = {int(n) for n in excluded} if isinstance(excluded, tuple) else set()
    limit = number_of(params, "RhoD") or number_of(params, "MaxRingRad")
    if limit > 0.0:
        found = rings(powder, number_of(params, "Wavelength"), WIDEST_ANGLE)
        beyond = number_of(params, "Lsd") * np.tan(found.two_theta_rad) > limit
        numbers |= {int(n) for n in found.number[beyond]}
        if not np.any(~beyond & ~np.isin(found.number, list(numbers))):
            key = "RingsToExclude" if numbers and not np.all(beyond) else "RhoD"
            refuse(params, key, f"no ring is left within RhoD {limit:g} um and RingsToExclude")
    return tuple(sorted(numbers))


def _global_parameters(params: MidasParams) -> tuple[tuple[str, ...], dict[str, float]]:
    """What is refined of the whole detector, and within which bounds."""
    refine: list[str] = []
    tolerances: dict[str, float] = {}
    for key, name, unit in (
        ("tolLsd", "distance", UM),
        ("tolBC", "beam_centre", 1.0),
        ("tolTilts", "tilt", DEG),
    ):
        half = params[key]
        if half is None or number_of(params, key) > 0.0:
            refine.append(name)
        if half is not None and number_of(params, key) > 0.0:
            tolerances[name] = number_of(params, key) * unit
    last = 5 if params["DistortionOrder"] == 6 else 4
    for n in range(15):
        key, name = f"tolP{n}", f"p{n}"
        given = key in params or (n < 3 and "tolP" in params) or n == 3
        half_width = number_of(params, key)
        if given and half_width > 0.0 and (n < last or n > 4):
            refine.append(name)
            tolerances[name] = half_width
    for phase, k in PHASES.items():  # a phase without amplitude turns nothing
        amplitude = next(name for name, harmonic in AMPLITUDES.items() if harmonic == k)
        if phase in refine and amplitude not in refine and not number_of(params, amplitude):
            refine.remove(phase)
            del tolerances[phase]
    return tuple(refine), tolerances


def _panels(params: MidasParams) -> dict[str, Any]:
    """What is refined of each panel, and within which bounds."""
    if panel_grid_of(params) is None:
        return {}
    if number_of(params, "tolShifts") == 0.0:
        refuse(
            params, "tolShifts", "tolShifts 0 holds every panel: give a range above 0, leave the "
            "panel keys out, or use --published"
        )  # fmt: skip
    refine: list[str] = []
    tolerances: dict[str, float] = {}
    for name, key, unit, switch in (
        ("shift", "tolShifts", 1.0, None),
        ("rotation", "tolRotation", DEG, None),
        ("height", "tolLsdPanel", UM, "PerPanelLsd"),
        ("p2", "tolP2Panel", 1.0, "PerPanelDistortion"),
    ):
        on = number_of(params, key) > 0.0 if switch is None else bool(params[switch])
        if on:
            refine.append(name)
            if key in params:  # a published default is no bound: our priors do its work
                tolerances[name] = number_of(params, key) * unit
    settings: dict[str, Any] = {
        "panels_grid": "start",
        "panel_refine": tuple(refine),
        "panel_tolerances": tolerances,
        "fix_panel": int(number_of(params, "FixPanelID")),
    }
    if "MinIndicesForFit" in params:
        settings["min_indices"] = max(1, int(number_of(params, "MinIndicesForFit")))
    return settings
