"""Quantities of the kit about the detector: where a pixel is, and what ring it lies on.

Conventions: :mod:`refimpl.frames`. A pixel coordinate counts from the outer corner of the first
pixel, whose centre is (0.5, 0.5). The detector is that of :mod:`refimpl.detector.tilted_flat`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from refimpl.detector.distortion import pairs_from_published
from refimpl.detector.tilted_flat import pixel_position, ring_coordinates
from refimpl.frames import F64, lab_from_midas
from refimpl.rotations import midas_tilt
from refimpl.testing.conform_records import Array, Inputs, Output, Quantity, quantity, rng_of
from refimpl.units import DEG

__all__: list[str] = []

PLANE = (
    Array("lsd_mm", "mm", "", "distance from the sample to the plane along the beam"),
    Array("beam_fast_px", "px", "", "direct beam, corner origin"),
    Array("beam_slow_px", "px", "", "direct beam, corner origin"),
    Array("tx_rad", "rad", "", "tilt about the beam; T = Rx(tx) Ry(ty) Rz(tz), MIDAS frame"),
    Array("ty_rad", "rad", "", "tilt about the horizontal axis"),
    Array("tz_rad", "rad", "", "tilt about the vertical axis"),
    Array("pixel_fast_mm", "mm", "", "pixel size"),
    Array("pixel_slow_mm", "mm", "", "pixel size"),
)
PIXELS = (
    Array("fast_px", "px", "n", "positions on the image, corner origin"),
    Array("slow_px", "px", "n", "positions on the image, corner origin"),
)
DOUBLE = "double precision, with room for another order of the same operations"
LAB = tuple(
    Output(f"{c}_mm", "mm", "n", words, atol=1e-9, why=DOUBLE)
    for c, words in (
        ("x", "lab frame: +X to the left seen along the beam"),
        ("y", "lab frame: +Y up"),
        ("z", "lab frame: +Z along the beam"),
    )
)
ANGLES = (
    Output("two_theta_rad", "rad", "n", "scattering angle", atol=1e-11, why=DOUBLE),
    Output(
        "eta_rad", "rad", "n", "azimuth: 0 at +Y, growing clockwise seen along the beam",
        atol=1e-9, why="an azimuth near the beam centre magnifies rounding", compare="angle",
    ),
)  # fmt: skip
P = Array("p", "1, deg", "15", "published distortion p0..p14; p3 p6 p8 p10 p12 p14 in degrees")
RHO = Array("rho_d_mm", "mm", "", "radius that the distortion is normalised by")

_TILTS = {
    "tx": (0.03, 0.0, 0.0), "ty": (0.0, 0.03, 0.0), "tz": (0.0, 0.0, 0.03),
    "steep": (0.2, -0.6, 0.5), "no-tilt": (0.0, 0.0, 0.0),
}  # fmt: skip


def plane(rng: np.random.Generator) -> Inputs:
    """Geometry with every number non-zero and unequal."""
    tilts = rng.uniform(-3.0, 3.0, 3) * DEG
    values = [
        rng.uniform(300.0, 1000.0), *rng.uniform(600.0, 900.0, 2), *tilts,
        *rng.uniform(0.15, 0.2, 2),
    ]  # fmt: skip
    return {a.name: np.float64(v) for a, v in zip(PLANE, values, strict=True)}


def pixels(rng: np.random.Generator, n: int = 24) -> Inputs:
    """Positions on an image of 1500 by 1700 pixels."""
    return {"fast_px": rng.uniform(0.0, 1500.0, n), "slow_px": rng.uniform(0.0, 1700.0, n)}


def _plain(name: str) -> Callable[[], Iterator[tuple[str, Inputs]]]:
    """Cases of a quantity that knows the plane only."""

    def cases() -> Iterator[tuple[str, Inputs]]:
        rng = rng_of(name, 1000)
        ordinary = {"tx_rad": np.float64(0.4 * DEG), "ty_rad": np.float64(-1.1 * DEG)}
        ordinary["tz_rad"] = np.float64(0.7 * DEG)
        yield "ordinary-0", plane(rng) | ordinary | pixels(rng)
        for label, tilts in _TILTS.items():
            turned = {a.name: np.float64(t) for a, t in zip(PLANE[3:6], tilts, strict=True)}
            yield f"edge-{label}", plane(rng) | turned | pixels(rng)
        flat = plane(rng) | {k: np.float64(0.0) for k in ("tx_rad", "ty_rad", "tz_rad")}
        f, s = float(flat["beam_fast_px"]), float(flat["beam_slow_px"])
        yield (
            "edge-on-axes",
            flat | {"fast_px": np.array([f, f, f - 300.0, f + 300.0]),
                    "slow_px": np.array([s + 400.0, s - 400.0, s, s])},
        )  # fmt: skip
        tiny = np.array([1e-3, -1e-6, 1e-3])
        yield "edge-near-beam", plane(rng) | {"fast_px": f + tiny, "slow_px": s + tiny[::-1]}
        yield "edge-one-point", plane(rng) | pixels(rng, 1)
        for k in range(8):
            rng = rng_of(name, k)
            yield f"random-{k:03d}", plane(rng) | pixels(rng)

    return cases


def _geometry(given: Inputs) -> F64:
    """(25,) vector of the named numbers."""
    head = [given[a.name] for a in PLANE]
    tail = pairs_from_published(tuple(float(v) for v in given.get("p", np.zeros(15))))
    return np.array([*head, given.get("rho_d_mm", 1.0), given.get("parallax_mm", 0.0), *tail])


def _pixel_to_lab(**given: Any) -> Inputs:
    t = midas_tilt(given["tx_rad"], given["ty_rad"], given["tz_rad"])
    y = -(given["fast_px"] - given["beam_fast_px"]) * given["pixel_fast_mm"]
    z = (given["slow_px"] - given["beam_slow_px"]) * given["pixel_slow_mm"]
    at = np.stack([np.zeros_like(y), y, z], axis=-1) @ t.T
    lab = lab_from_midas(at) + np.array([0.0, 0.0, given["lsd_mm"]])
    return dict(zip(("x_mm", "y_mm", "z_mm"), lab.T, strict=True))


def _two_theta_eta(**given: Any) -> Inputs:
    n = len(given["fast_px"])
    panel = given.get("panel", np.full(n, -1))
    corrections = given.get("corrections", np.zeros((0, 9)))
    radius, eta, _ = ring_coordinates(
        given["fast_px"], given["slow_px"], panel, _geometry(given), corrections
    )
    return {"two_theta_rad": np.arctan(radius / given["lsd_mm"]), "eta_rad": eta}


quantity(Quantity(
    "pixel_to_lab", "place of a pixel in the lab", "refimpl.detector.model.TiltedFlat",
    (*PIXELS, *PLANE), LAB, _pixel_to_lab, _plain("pixel_to_lab"),
    "In the MIDAS frame (X beam, Y left, Z up) a pixel is at L + T (0, -(fast - beam) size, "
    "(slow - beam) size); lab X, Y, Z are its Y, Z, X.",
))  # fmt: skip
quantity(Quantity(
    "two_theta_eta", "scattering angle and azimuth of a pixel, without distortion",
    "refimpl.detector.tilted_flat.ring_coordinates", (*PIXELS, *PLANE), ANGLES, _two_theta_eta,
    _plain("two_theta_eta"),
))  # fmt: skip


# --- distortion and parallax ----------------------------------------------------------------------

_AMPLITUDES = {
    "iso-r2": (2, None), "iso-r4": (5, None), "iso-r6": (4, None), "fold-1": (7, 8),
    "fold-2": (0, 6), "fold-3": (9, 10), "fold-4": (1, 3), "fold-5": (11, 12), "fold-6": (13, 14),
}  # fmt: skip
"""Distortion terms by amplitude and phase among p0..p14."""


def distortion_of(rng: np.random.Generator) -> F64:
    """(15,) published numbers, every amplitude and phase on."""
    p = np.empty(15)
    p[[2, 5, 4, 7, 0, 9, 1, 11, 13]] = rng.uniform(1e-4, 1e-3, 9) * rng.choice([-1.0, 1.0], 9)
    p[[8, 6, 10, 3, 12, 14]] = rng.uniform(-180.0, 180.0, 6)
    return p


def _distorted() -> Iterator[tuple[str, Inputs]]:
    name = "two_theta_eta_distorted"
    rng = rng_of(name, 1000)
    for label, (amplitude, phase) in _AMPLITUDES.items():
        p = np.zeros(15)
        p[amplitude] = 1e-3
        if phase is not None:
            p[phase] = 25.0
        rho = {"p": p, "rho_d_mm": np.float64(rng.uniform(150.0, 250.0))}
        yield f"ordinary-{label}", plane(rng) | rho | pixels(rng, 12)
    none = {"p": np.zeros(15), "rho_d_mm": np.float64(200.0)}
    yield "edge-none", plane(rng) | none | pixels(rng, 12)
    for k in range(8):
        rng = rng_of(name, k)
        rho = {"p": distortion_of(rng), "rho_d_mm": np.float64(rng.uniform(150.0, 250.0))}
        yield f"random-{k:03d}", plane(rng) | rho | pixels(rng)


def _parallax() -> Iterator[tuple[str, Inputs]]:
    name = "two_theta_eta_parallax"
    for label, depth in (("ordinary-0", 0.3), ("edge-none", 0.0), ("edge-deep", 3.0)):
        rng = rng_of(name, 1000)
        yield label, plane(rng) | {"parallax_mm": np.float64(depth)} | pixels(rng)
    for k in range(4):
        rng = rng_of(name, k)
        depth_mm = np.float64(rng.uniform(0.05, 0.5))
        yield f"random-{k:03d}", plane(rng) | {"parallax_mm": depth_mm} | pixels(rng)


quantity(Quantity(
    "two_theta_eta_distorted", "scattering angle and azimuth with harmonic distortion",
    "refimpl.detector.tilted_flat.ring_coordinates", (*PIXELS, *PLANE, P, RHO), ANGLES,
    _two_theta_eta, _distorted,
    "R' = R (1 + p2 r^2 + p5 r^4 + p4 r^6 + sum_k a_k r^n_k cos(k e + phi_k)), r = R / rho_d, "
    "e = 90 deg - eta, with (k, n_k, a_k, phi_k) = (1, 4, p7, p8), (2, 2, p0, p6), (3, 3, p9, "
    "p10), (4, 4, p1, p3), (5, 5, p11, p12), (6, 6, p13, p14); eta stays.",
))  # fmt: skip
quantity(Quantity(
    "two_theta_eta_parallax", "scattering angle and azimuth with parallax",
    "refimpl.detector.tilted_flat.ring_coordinates",
    (*PIXELS, *PLANE, Array("parallax_mm", "mm", "", "R grows by this times sin(2 theta)")),
    ANGLES, _two_theta_eta, _parallax,
))  # fmt: skip


# --- the way back ---------------------------------------------------------------------------------


def _position(**given: Any) -> Inputs:
    n = len(given["two_theta_rad"])
    radius = given["lsd_mm"] * np.tan(given["two_theta_rad"])
    found = pixel_position(
        radius, given["eta_rad"], np.full(n, -1), _geometry(given), np.zeros((0, 9))
    )
    return dict(zip(("fast_px", "slow_px"), found, strict=True))


def _rings() -> Iterator[tuple[str, Inputs]]:
    name = "ring_to_pixel"

    def one(rng: np.random.Generator) -> Inputs:
        rho = {"p": distortion_of(rng), "rho_d_mm": np.float64(rng.uniform(150.0, 250.0))}
        points = {
            "two_theta_rad": rng.uniform(0.01, 0.25, 16), "eta_rad": rng.uniform(-3.1, 3.1, 16),
        }  # fmt: skip
        return plane(rng) | rho | points

    yield "ordinary-0", one(rng_of(name, 1000))
    yield "edge-no-distortion", one(rng_of(name, 1001)) | {"p": np.zeros(15)}
    for k in range(4):
        yield f"random-{k:03d}", one(rng_of(name, k))


quantity(Quantity(
    "ring_to_pixel", "pixel at a scattering angle and azimuth, with distortion",
    "refimpl.detector.tilted_flat.pixel_position",
    (Array("two_theta_rad", "rad", "n", "scattering angle"),
     Array("eta_rad", "rad", "n", "azimuth"), *PLANE, P, RHO),
    tuple(
        Output(a.name, "px", "n", a.meaning, atol=1e-8, why="an iteration stops at 1e-11 of R")
        for a in PIXELS
    ),
    _position, _rings, "The inverse of two_theta_eta_distorted.",
))  # fmt: skip


# --- panels ---------------------------------------------------------------------------------------

_MOVES = Array(
    "corrections", "px, rad, mm, 1", "q,9",
    "rows: panel centre fast, slow [px]; shift fast, slow [px]; turn [rad]; distance [mm]; p2 [1]; "
    "tilt about the fast, then the slow axis through the centre [rad]",
)  # fmt: skip


def _corrections(rng: np.random.Generator, keep: slice | None = None, size: float = 1.0) -> F64:
    c = np.zeros((3, 9))
    c[:, :2] = rng.uniform(100.0, 1500.0, (3, 2))
    c[:, 2:4] = rng.uniform(-1.0, 1.0, (3, 2))
    c[:, 4] = rng.uniform(-0.5, 0.5, 3) * DEG
    c[:, 5] = rng.uniform(-0.5, 0.5, 3)
    c[:, 6] = rng.uniform(-1e-3, 1e-3, 3)
    c[:, 7:] = rng.uniform(-5e-3, 5e-3, (3, 2))
    if keep is not None:
        c[:, 2:] = np.where(np.isin(np.arange(2, 9), np.arange(9)[keep]), c[:, 2:], 0.0)
    c[:, 2:] *= size
    return c


def _panel_cases() -> Iterator[tuple[str, Inputs]]:
    name = "two_theta_eta_panels"

    def one(rng: np.random.Generator, keep: slice | None = None, size: float = 1.0) -> Inputs:
        given = plane(rng) | pixels(rng, 18) | {"corrections": _corrections(rng, keep, size)}
        rho = {"p": np.zeros(15), "rho_d_mm": np.float64(rng.uniform(150.0, 250.0))}
        return given | rho | {"panel": np.arange(18, dtype=np.int64) % 4 - 1}

    parts = {"shift-fast": (2, 3), "shift-slow": (3, 4), "turn": (4, 5), "distance": (5, 6)}
    parts |= {"p2": (6, 7), "tilt-fast": (7, 8), "tilt-slow": (8, 9)}
    for j, (label, (a, b)) in enumerate(parts.items()):
        yield f"ordinary-{label}", one(rng_of(name, 1000 + j), slice(a, b))
    yield "edge-none", one(rng_of(name, 1100), slice(0, 0))
    yield "edge-large", one(rng_of(name, 1101), None, 8.0)
    for k in range(6):
        yield f"random-{k:03d}", one(rng_of(name, k))


quantity(Quantity(
    "two_theta_eta_panels", "scattering angle and azimuth on corrected panels",
    "refimpl.detector.tilted_flat.ring_coordinates",
    (*PIXELS, Array("panel", "1", "n", "row of corrections; -1 for none", "i8"), _MOVES, *PLANE,
     P, RHO),
    ANGLES, _two_theta_eta, _panel_cases,
    "A position is turned about the panel's centre, shifted, then goes through the tilted plane "
    "at the panel's distance; R is given on the plane at lsd. All of p0..p14 are 0 but the "
    "panel's own p2.",
))  # fmt: skip
