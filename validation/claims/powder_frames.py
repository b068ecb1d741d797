"""Claims on three public frames of CeO2: published geometries scored, and ours from no guess."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from panel_modules import against_hexrd
from panel_places import Agreement

from refimpl import data
from refimpl.crystal.calibrants import calibrant
from refimpl.crystal.rings import rings
from refimpl.detector.panel_grid import named_grid
from refimpl.interop.hexrd import detector_from_hexrd, read_hexrd
from refimpl.powder import PowderResult, calibrate, score_maps
from refimpl.powder.automatic import WIDEST_ANGLE, automatic_start
from refimpl.powder.grow import RingsAt, reach
from refimpl.powder.known_geometry import read_known_geometry
from refimpl.powder.panel_patches import held_out_score, panel_points, split_labels
from refimpl.powder.panel_setup import PanelSetup
from refimpl.powder.panels import fit_panels
from refimpl.powder.parameters import parameters
from refimpl.powder.patches import PatchScore
from refimpl.powder.prepare import prepare
from refimpl.units import MICROSTRAIN

A = 5.41153
CERIA = {"calibrant": "CeO2", "lattice_parameter_angstrom": A}
DISTORTION = ("distance", "beam_centre", "tilt", "p0", "p1", "p2", "p3", "p4", "p5")
FRAMES: dict[str, tuple[str, dict[str, Any]]] = {
    "pilatus2m": (
        "pilatus2m-ceria-hexrd/ceria_50x30_740mm_000005_Pilatus2M.hdf5",
        {"wavelength_angstrom": 0.20215155543, "pixel_size_mm": 0.172},
    ),
    "ge": (
        "ge-ceria-hexrd/ge_wppf.h5",
        {"wavelength_angstrom": 0.1535883535871171, "pixel_size_mm": 0.2,
         "reading": {"dataset": "images/ge3/images"}, "refine": DISTORTION},
    ),
    "pilatus1m": (
        "pilatus1m-ceria-cpf/CeO2_Pil207_E30_2Nov2016_001.tif",
        {"wavelength_angstrom": 0.40663, "pixel_size_mm": 0.172},
    ),
}  # fmt: skip


@cache
def _ours(frame: str, *more: tuple[str, Any]) -> PowderResult:
    name, settings = FRAMES[frame]
    choice = CERIA | settings | dict(more)
    if frame == "pilatus1m":
        poni = data.path("pilatus1m-ceria-cpf/CeO2_cal_Dioptas.poni")
        choice["geometry"] = read_known_geometry(poni, (1043, 981), (0.172, 0.172))
    return calibrate(data.path(name), **choice)


def _score(result: PowderResult, two_theta: Any, eta: Any, n_eta: int) -> list[float]:
    """Mean strain [microstrain], rms radial residual [px]."""
    powder = rings(calibrant("CeO2", A), result.config.beam.wavelength_angstrom, WIDEST_ANGLE)
    image = result.prepared.source
    seen = RingsAt(powder)(reach(result.model))
    found: PatchScore = score_maps(image.data, ~image.mask, two_theta, eta, seen, n_eta=n_eta)
    return [found.mean_abs / MICROSTRAIN, found.rms_px]


def score_of_ours(frame: str, n_eta: int = 180) -> list[float]:
    """Score of our single surface, from no guess."""
    result = _ours(frame)
    return _score(result, *result.model.detector().maps(), n_eta)


def score_of_hexrd(panels: int) -> list[float]:
    """Score of HEXRD's single surface or its 24 panels on the Pilatus 2M frame."""
    folder = "pilatus2m-ceria-hexrd"
    if panels == 1:
        detector = detector_from_hexrd(read_hexrd(data.path(f"{folder}/geometry_monolithic.json")))
    else:
        instrument = read_hexrd(data.path(f"{folder}/geometry_24panels.json"))
        places = {p.name: [int(n) for n in p.name.split("_")[-2:]] for p in instrument.panels}
        origins = {name: (494 * column, 212 * row) for name, (row, column) in places.items()}
        detector = detector_from_hexrd(instrument, (1679, 1475), origins)
    return _score(_ours("pilatus2m"), *detector.maps(), 180)


def score_of_ge() -> list[float]:
    """Score of HEXRD's geometry of the GE frame, its distortion left out; the strain alone."""
    instrument = read_hexrd(data.path("ge-ceria-hexrd/geometry.json"))
    detector = detector_from_hexrd(instrument, ignore_distortion=True)
    return _score(_ours("ge"), *detector.maps(), 180)[:1]


def score_of_poni(flipped: bool, n_eta: int) -> list[float]:
    """Score of the published .poni on the Pilatus 1M frame, as stored or upside down."""
    poni = data.path("pilatus1m-ceria-cpf/CeO2_cal_Dioptas.poni")
    two_theta, eta = read_known_geometry(poni, (1043, 981), (0.172, 0.172)).maps()
    turn = slice(None, None, -1) if flipped else slice(None)
    return _score(_ours("pilatus1m"), two_theta[turn], eta[turn], n_eta)


def distance(frame: str) -> float:
    """Our distance of one flat surface [mm]."""
    return _ours(frame).model.lsd_mm


def centre_of_hexrd() -> list[float]:
    """Our beam centre as HEXRD's numbers give it: column and row from below [px]."""
    fast, slow = _ours("pilatus2m").model.beam_centre_px
    return [fast - 0.5, slow - 0.5]


def bins(first_deg: float, second_deg: float) -> float:
    """Distances with two sizes of bins, relative difference [ppm]."""
    one, two = (
        _ours("pilatus2m", ("eta_bin_deg", b)).model.lsd_mm for b in (first_deg, second_deg)
    )
    return abs(one / two - 1.0) * 1e6


def start() -> list[float]:
    """Automatic start against the result: beam centre [px], distance [%]."""
    result = _ours("pilatus2m")
    powder = rings(calibrant("CeO2", A), result.config.beam.wavelength_angstrom, WIDEST_ANGLE)
    prepared = prepare(result.prepared.source, result.config)
    grown, _ = automatic_start(prepared.frame, powder, result.config)
    away = np.subtract(grown.model.beam_centre_px, result.model.beam_centre_px)
    return [
        float(np.hypot(*away)), 100.0 * abs(grown.model.lsd_mm / result.model.lsd_mm - 1.0),
    ]  # fmt: skip


@cache
def _halves() -> PowderResult:
    return _ours(
        "pilatus2m", ("panels_grid", "pilatus2m-half"), ("panel_refine", ("shift",)),
        ("eta_bin_deg", 1.0),
    )  # fmt: skip


def halves_strain() -> list[float]:
    """48 half-modules, shifts alone: clipped mean in sample and cross-validated [microstrain]."""
    r = _halves()
    assert r.cross_validated is not None
    return [r.summary.clip_mean / MICROSTRAIN, r.cross_validated.clip_mean / MICROSTRAIN]


def halves_distance() -> float:
    """Its distance [mm]."""
    return _halves().model.lsd_mm


@cache
def _modules() -> PowderResult:
    return _ours("pilatus2m", ("panels_grid", "pilatus2m"), ("eta_bin_deg", 1.0))


def modules_against_hexrd(what: str) -> float:
    """24 modules and HEXRD's: ``correlation`` of the radial displacements, or ``rms`` [px]."""
    _, ours, sigma, theirs = against_hexrd(_modules())
    return float(getattr(Agreement.of(ours, theirs, sigma), what))


@cache
def _points() -> tuple[Any, Any, Any]:
    flat = _ours("pilatus2m")
    frame, boxes = flat.prepared.frame, named_grid("pilatus2m").boxes()
    points = panel_points(frame.counts, frame.usable != 0, flat.model, boxes, flat.rings)
    return points, flat, parameters(flat.model.replace(panel_boxes=boxes), DISTORTION[:3])


def held_out(split: str, refine: list[str] | None = None, priors: bool = True) -> float:
    """Mean strain of points that 24 modules were not fitted to [microstrain]."""
    points, flat, free = _points()
    bare: dict[str, Any] = {}
    if not priors:
        bare = {"priors": dict.fromkeys(PanelSetup().refine, np.inf), "learn": False}
    setup = PanelSetup(**bare) if refine is None else PanelSetup(refine=tuple(refine), **bare)

    def fit(some: Any) -> Any:
        found = fit_panels(some, flat.rings, free, setup)
        return found.parameters.at(found.fit.x)

    return held_out_score(points, flat.rings, fit, split_labels(points, split)).mean_abs / (
        MICROSTRAIN
    )
