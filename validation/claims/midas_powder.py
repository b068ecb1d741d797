"""Claims of MIDAS's powder calibration, its manual and its runs: our figures."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import numpy as np

from refimpl import data
from refimpl.crystal.calibrants import Calibrant, calibrant, calibrant_from_cell
from refimpl.crystal.hkls_csv import HklTable, parse_hkls, published_hkls
from refimpl.detector.distortion import pairs_from_published
from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import ring_coordinates
from refimpl.errors import RefimplError
from refimpl.imaging.arcs import rho_d_of_corners_mm
from refimpl.imaging.chord_bins import chord_bias
from refimpl.io.images import read
from refimpl.io.midas_keys import find_key
from refimpl.io.midas_outputs import read_corr, read_mean_values
from refimpl.objective.pseudo_strain import published_strain, strain_summary
from refimpl.powder.published import (
    PublishedRun,
    calibrate_published,
    fit_published_points,
    published_vector,
    strain_of,
)
from refimpl.powder.published_loop import auto_calibrate, published_start
from refimpl.powder.published_options import PublishedOptions
from refimpl.powder.published_points import PublishedPoints, published_rings
from refimpl.testing.golden import golden
from refimpl.units import DEG, MICROSTRAIN, UM

FRAME = "pilatus2m-ceria-hexrd/ceria_50x30_740mm_000005_Pilatus2M.hdf5"
WAVELENGTH = 0.20215155543
PUBLISHED = {"published_chords": True, "published_frame": True, "published_rho_d": True}
START = TiltedFlat(  # parameter file of the runs: Lsd 740000, BC 775 871, RhoD 200500
    shape=(1679, 1475), pixel_size_mm=(0.172, 0.172), lsd_mm=740.0,
    beam_centre_px=(775.5, 871.5), rho_d_mm=200.5, image_transform=(2,),
)  # fmt: skip


def unknown_keys(keys: str) -> str:
    """Keys of the manual that we do not know."""

    def is_known(key: str) -> bool:
        try:
            find_key(key)
        except RefimplError:
            return False
        return True

    return ", ".join(key for key in keys.split() if not is_known(key))


def default(key: str) -> Any:
    """Default of a key; the name of the key that it follows, if it has none of its own."""
    found = find_key(key)
    return found.default if found.default is not None else found.default_key


def grid_size(panels: list[int], size_px: list[int], gaps: list[list[int]]) -> list[int]:
    """Size of a detector of panels and gaps [px]."""
    return [n * s + sum(g) for n, s, g in zip(panels, size_px, gaps, strict=True)]


def _tables(name: str, limits: bool) -> tuple[HklTable, HklTable]:
    case = golden(f"rings/hkls_{name}")
    keys = dict(line.split(maxsplit=1) for line in case.text("p.txt").splitlines())
    powder = calibrant(name.split("_")[0], [float(w) for w in keys["LatticeConstant"].split()])
    ours = published_hkls(
        powder, float(keys["Wavelength"]), float(keys["Lsd"]) * UM,
        float(keys["MaxRingRad"]) * UM, published_limits=limits,
    )  # fmt: skip
    return ours, parse_hkls(case.text())


def ring_count(name: str, limits: bool = False) -> int:
    """Rings on the detector, with the published limit of Miller indices or without."""
    return int(_tables(name, limits)[0].ring.max())


def ring_angles(name: str) -> list[float]:
    """Reflections that one of two tables lacks; largest difference of 2 theta [deg]."""
    ours, theirs = _tables(name, True)
    mine = dict(zip(map(tuple, ours.hkl.tolist()), ours.theta_rad, strict=True))
    other = dict(zip(map(tuple, theirs.hkl.tolist()), theirs.theta_rad, strict=True))
    both = mine.keys() & other.keys()
    away = max(abs(mine[k] - other[k]) for k in both)
    return [len(mine.keys() ^ other.keys()), 2.0 * away / DEG]


def forward(first: int, last: int) -> list[float]:
    """Largest difference of R [px] and eta [deg] of rows of the compiled program."""
    table = golden("forward_model/dg_head").table()
    worst = np.zeros(2)
    for k in range(first, min(last, len(table["R_px"]))):
        v = {name: float(column[k]) for name, column in table.items()}
        p = pairs_from_published(tuple(v[f"p{n}"] for n in range(15)))
        size = v["px"] * UM
        geometry = np.array([
            v["Lsd"] * UM, v["Ycen"] + 0.5, v["Zcen"] + 0.5, v["tx"] * DEG, v["ty"] * DEG,
            v["tz"] * DEG, size, size, v["RhoD"] * UM, v["parallax"] * UM, *p,
        ])  # fmt: skip
        own = [
            v.get("cY", 0.0) + 0.5, v.get("cZ", 0.0) + 0.5, v.get("dY", 0.0), v.get("dZ", 0.0),
            v.get("dTheta", 0.0) * DEG, v["dLsd"] * UM, v["dP2"], 0.0, 0.0,
        ]  # fmt: skip
        here = np.array([v["Y"] + 0.5]), np.array([v["Z"] + 0.5]), np.zeros(1, dtype=np.int32)
        r, eta, _ = ring_coordinates(*here, geometry, np.array([own]))
        away = [r[0] / size - v["R_px"], eta[0] / DEG - v["Eta_deg"]]
        worst = np.maximum(worst, np.abs(away))
    return [float(w) for w in worst]


def chord_ppm(eta_bin_deg: float) -> float:
    """Bias of straight chords [ppm]."""
    return (chord_bias(eta_bin_deg) - 1.0) * 1e6


@cache
def _frame() -> tuple[Any, Any]:
    image = read(data.path(FRAME), transforms=(2,))
    return np.asarray(image.data, dtype=float), np.asarray(image.mask)


@cache
def _powder() -> Calibrant:
    return calibrant_from_cell("CeO2", 225, (5.41153, 5.41153, 5.41153, 90.0, 90.0, 90.0))


@cache
def _run(eta_bin_deg: float, chords: bool, width_mm: float, distortion: bool) -> PublishedRun:
    rings = published_rings(_powder(), WAVELENGTH, START.lsd_mm, START.rho_d_mm)
    options: dict[str, Any] = {"width_mm": width_mm, "eta_bin_deg": eta_bin_deg}
    options |= PUBLISHED if chords else {}
    # tolP 0 leaves tolP3 at its 45 degrees: a phase without amplitude takes part
    options |= {} if distortion else {"tol_p0": 0.0, "tol_p1": 0.0, "tol_p2": 0.0}
    return calibrate_published(_frame()[0], START, rings, PublishedOptions(**options), _frame()[1])


def run_b() -> list[float]:
    """Run B from the frame: points, mean, deviation and clipped mean [microstrain]."""
    r = _run(1.0, True, 0.8, True)
    means = (r.mean_strain, r.std_strain, r.summary.clip_mean)
    return [float(len(r.points)), *(v / MICROSTRAIN for v in means)]


def run_b_geometry() -> list[float]:
    """Its distance [um], beam centre [px] and tilts [deg]."""
    return [float(v) for v in published_vector(_run(1.0, True, 0.8, True).detector)[:5]]


@cache
def _published_fit() -> tuple[Any, int, str, float]:
    table = read_corr(data.path("powder-golden/single-eta1/CeO2_740mm_000005.raw.corr.csv"))
    eta, radius = np.radians(table.eta_calc_deg), table.rad_calc_um * 1e-3
    points = PublishedPoints(
        ring=table.ring, two_theta_rad=np.radians(table.ideal_two_theta_deg), eta_rad=eta,
        radius_mm=radius, fast_px=START.beam_centre_px[0] + radius * np.sin(eta) / 0.172,
        slow_px=START.beam_centre_px[1] + radius * np.cos(eta) / 0.172, n_bins=6120, evaluations=0,
    )  # fmt: skip
    options = PublishedOptions(eta_bin_deg=1.0, published_rho_d=True)
    detector, evaluations, reason = fit_published_points(points, START, options)
    return detector, evaluations, reason, float(np.abs(strain_of(points, detector)).mean())


def published_points(what: str) -> Any:
    """Of our fit to the points that run B wrote: evaluations, geometry, or strain."""
    detector, evaluations, _, mean = _published_fit()
    if what == "evaluations":
        return evaluations
    if what == "strain":
        return mean / MICROSTRAIN
    return [float(v) for v in published_vector(detector)[: 9 if what == "all" else 5]]


def chord_run(eta_bin_deg: float) -> list[float]:
    """Points, mean strain [microstrain] and distance [um] of a run with straight chords."""
    r = _run(eta_bin_deg, True, 0.8, False)
    return [float(len(r.points)), r.mean_strain / MICROSTRAIN, r.detector.lsd_mm * 1e3]


def arcs_lsd() -> float:
    """Distance of the same objective on true arcs [mm]."""
    rings = published_rings(_powder(), WAVELENGTH, START.lsd_mm, START.rho_d_mm)
    still = {"tol_p0": 0.0, "tol_p1": 0.0, "tol_p2": 0.0, "tol_p3_deg": 0.0}
    options = PublishedOptions(width_mm=0.8, eta_bin_deg=1.0, **still)
    return calibrate_published(_frame()[0], START, rings, options, _frame()[1]).detector.lsd_mm


@cache
def _seed() -> Any:
    image = np.where(_frame()[1], 1.0, np.maximum(_frame()[0], 1.0))  # the published clamp
    return published_start(image, _powder(), WAVELENGTH, 0.172, published_rho_d=True)


def seed(what: str) -> Any:
    """Of the published seed finder: threshold and components, centre [px], radii [px], Lsd [um]."""
    found = _seed()
    if what == "labels":
        return [float(found.threshold), float(found.arcs.n_labels)]
    if what == "centre":
        return [v - 0.5 for v in found.detector.beam_centre_px]
    return [float(v) for v in found.radii_px] if what == "radii" else found.detector.lsd_mm * 1e3


@cache
def _loop(masked: bool) -> Any:
    stored = json.loads(data.path("powder-golden/autocal/seed_41fd.json").read_text())
    centre = (stored["bc"][1] + 0.5, stored["bc"][0] + 0.5)
    rho_d = rho_d_of_corners_mm(START.shape, centre, 0.172, published=True)
    start = START.replace(lsd_mm=stored["lsd"] * 1e-3, beam_centre_px=centre, rho_d_mm=rho_d)
    image = np.where(_frame()[1], 1.0, np.maximum(_frame()[0], 1.0))
    return auto_calibrate(
        image, start, _powder(), WAVELENGTH, PublishedOptions(**PUBLISHED),
        mask=_frame()[1] if masked else None,
    )  # fmt: skip


def loop_strain(masked: bool, steps: int) -> list[float]:
    """Mean strain of the first steps of the loop [microstrain]."""
    return [s.run.mean_strain / MICROSTRAIN for s in _loop(masked).steps[:steps]]


def loop_rings(masked: bool) -> list[int]:
    """Rings that it rejected."""
    return sorted(int(n) for n in _loop(masked).excluded)


def loop_status() -> str:
    """How it ended."""
    return str(_loop(False).status)


@cache
def _written(name: str) -> Any:
    return read_corr(data.path(f"powder-golden/{name}/CeO2_740mm_000005.raw.corr.csv")).strain


def written_strain(name: str) -> list[float]:
    """Mean of all, median, clipped mean of the points that a run wrote [microstrain]; how many."""
    s = strain_summary(_written(name))
    return [v / MICROSTRAIN for v in (s.mean_all, s.median, s.clip_mean)] + [float(s.clip_n)]


def printed_strain(name: str) -> list[float]:
    """Standard deviation and outliers by the published rule, against the printed ones."""
    found = published_strain(_written(name), 2.5, 3)
    printed = read_mean_values(data.path(f"powder-golden/{name}/out.txt")).std_strain
    text = data.path(f"powder-golden/{name}/out.txt").read_text(errors="replace")
    lines = re.findall(r"Excluded (\d+) / (\d+)", text)
    return [float(found.std_strain / printed - 1.0), float(found.outlier.sum()) - int(lines[-1][0])]
