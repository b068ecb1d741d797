"""HEXOMAP's gold crystal: published geometry, blind search, extent, and our calibration.

    python validation/gold.py [--update docs/validation/gold.md]

Needs the set ``nf-gold-hexomap``. Tables in Markdown.
"""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Any

import numpy as np
from pages import run, table
from scipy.stats import chi2

from refimpl import data
from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import operators
from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.nearfield.blind import BlindSettings, Pyramid, blind_search
from refimpl.nearfield.calibrate import Calibration, calibrate
from refimpl.nearfield.calibrate_blobs import Blobs, find_blobs
from refimpl.nearfield.calibrate_check import lit_fraction_map, spots_lit
from refimpl.nearfield.calibrate_fit import GROUPS
from refimpl.nearfield.calibrate_hexomap import hexomap_geometry, hexomap_setup
from refimpl.nearfield.calibrate_model import Crystal, Geometry, spots_of
from refimpl.nearfield.calibrate_parameters import CalibrateSettings
from refimpl.nearfield.calibrate_simulate import chi_square, disc_pixels, displaced
from refimpl.nearfield.search import SearchSettings
from refimpl.rotations import (
    expmap,
    matrix_of_euler,
    matrix_of_quaternion,
    quaternion_of_euler,
    quaternion_of_matrix,
)

SET = "nf-gold-hexomap"
FIRST, SECOND = (40.84, 38.30, 349.30), (41.06, 38.37, 349.20)
LEAST_PIXELS = 40
"""Blobs of fewer pixels are scatter: those of the crystal have 250 and more."""

AWAY_MM, AWAY_PX, STARTS = 0.1, 5.0, 10
CENTRE = Crystal(matrix_of_euler(np.radians(SECOND)), np.zeros(2))


@cache
def record() -> dict[str, Any]:
    """Published geometry."""
    return dict(json.loads(data.path(f"{SET}/geometry.json").read_text()))


@cache
def stack() -> tuple[np.ndarray, np.ndarray, LitPixels, LitPixels]:
    """Pixels (n, 4), their intensities, and lit pixels without and with a frame to either side."""
    rows, intensity = [], []
    n = int(record()["n_omega"])
    for d in range(2):
        with np.load(data.path(f"{SET}/au_1deg_det{d}.npz")) as file:
            frame = n - 1 - np.repeat(np.arange(n), np.diff(file["ptr"]))  # reverseRot
            x, y = file["x"].astype(np.int64), file["y"].astype(np.int64)
            rows.append(np.stack([np.full(len(x), d), frame, x, record()["npix"] - 1 - y], axis=1))
            intensity.append(file["intensity"].astype(float))
    pixels, side = np.concatenate(rows), record()["npix"]
    lit = LitPixels.from_hits(pixels, (2, n, side, side))
    return pixels, np.concatenate(intensity), lit, lit.dilated(0, 1)


@cache
def blobs(by_intensity: bool) -> Blobs:
    """Blobs, their centroids weighted by intensity or not."""
    pixels, intensity, lit, _ = stack()
    weight = intensity if by_intensity else None
    return find_blobs(pixels, lit.shape, weight=weight, least_pixels=LEAST_PIXELS)


def _unit(q: np.ndarray) -> np.ndarray:
    return q / np.linalg.norm(q, axis=-1, keepdims=True)


def hits(geometry: Geometry, setup: Setup, crystal: Crystal, lit: LitPixels) -> tuple[int, int]:
    """Lit spots and all, up to the published limit of eta."""
    spots = spots_of(geometry, setup, [crystal])
    spots = spots[spots.sine_eta <= np.sin(np.radians(record()["etalimit_deg"]))]
    return int(spots_lit(spots, lit).sum()), len(spots)


def reflections() -> str:
    """Share of the reflections that are lit on both detectors."""
    *_, sharp, wide = stack()
    rows = []
    for q in (7.0, 9.0, 11.0):
        setup, published = hexomap_setup(record(), q), hexomap_geometry(record())
        mean = Geometry.of(setup)
        fitted = calibrated(9.0)
        for name, geometry, crystal in (
            (f"published, Euler {FIRST}", published,
             Crystal(matrix_of_euler(np.radians(FIRST)), np.zeros(2))),
            (f"published, Euler {SECOND}", published, CENTRE),
            (f"mean of the two tilts, Euler {SECOND}", mean, CENTRE),
            ("calibrated up to 9", fitted.geometry, fitted.crystals[0]),
        ):  # fmt: skip
            rows.append([
                q, name,
                *("{} of {}".format(*hits(geometry, setup, crystal, lit)) for lit in (sharp, wide)),
            ])  # fmt: skip
        rng, n = np.random.default_rng(int(q)), np.zeros((2, 2), dtype=int)
        for u in matrix_of_quaternion(_unit(rng.normal(size=(1000, 4)))):
            crystal = Crystal(u, np.zeros(2))
            n += [hits(published, setup, crystal, lit) for lit in (sharp, wide)]
        rows.append([q, "published, 1000 random orientations", *(f"{a / b:.2%}" for a, b in n)])
    return table(["Q up to [1/Å]", "geometry and orientation", "frame exact", "± 1 frame"], rows)


def blind() -> str:
    """The whole cubic zone at points of the crystal, knowing nothing of its orientation."""
    *_, lit, _ = stack()
    fitted, rows = calibrated(9.0), []
    at = np.array([[0, 0], [-10, 10], [-20, 10], [-10, 20], [0, 10], [-15, 0]]) * 1e-3
    voxels = Voxels(at, np.full(len(at), 1.5e-3), np.ones(len(at), dtype=bool)).vertices()
    setup = hexomap_setup(record(), 9.0)
    for name, used, truth in (
        ("published, mean tilts", setup, CENTRE.u_matrix),
        ("calibrated", fitted.geometry.into(setup), fitted.crystals[0].u_matrix),
    ):
        pyramid = Pyramid(used, lit, BlindSettings())
        n, _ = len(pyramid.seeds), pyramid.levels  # both are made before the clock starts
        start = time.process_time()
        found = blind_search(voxels, pyramid, SearchSettings())
        spent = (time.process_time() - start) / len(at)
        q = quaternion_of_euler(np.asarray(found.euler_rad).reshape(len(at), -1, 3)[:, 0])
        known = np.repeat(quaternion_of_matrix(truth)[None], len(at), axis=0)
        apart = np.degrees(misorientation(q, known, operators(225)))
        c = np.asarray(found.confidence).reshape(len(at), -1)[:, 0]
        rows.append([
            name, n, f"{(apart < 1.0).sum()} of {len(at)}", f"{np.median(apart):.2f}",
            f"{apart.max():.2f}", f"{c.min():.3f} to {c.max():.3f}", f"{spent:.1f}",
        ])  # fmt: skip
    head = ["geometry", "orientations of the zone", "points found (< 1°)", "median off [°]"]
    return table([*head, "worst [°]", "confidence", "CPU a point [s]"], rows)


def extent() -> str:
    """Share of the reflections that are lit, seen from points of the sample."""
    *_, lit = stack()
    setup, side, rows = hexomap_setup(record(), 9.0), np.arange(-60.0, 61.0, 2.0), []
    xy = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    fitted = calibrated(9.0)
    for name, geometry, crystal in (
        ("published", hexomap_geometry(record()), CENTRE),
        ("calibrated", fitted.geometry, fitted.crystals[0]),
    ):
        share = lit_fraction_map(geometry, setup, crystal, lit, xy * 1e-3)
        for least in (0.5, 0.7, 0.9):
            inside = xy[share >= least]
            area = 4.0 * len(inside)
            rows.append([
                name, least, f"{area:.0f}", f"{np.sqrt(4 * area / np.pi):.0f}",
                "{:.0f} x {:.0f}".format(*(np.ptp(inside, axis=0) + 2.0)),
                "{:.0f}, {:.0f}".format(*inside.mean(axis=0)),
            ])  # fmt: skip
    head = ["geometry", "lit share at least", "area [µm²]", "as a disc, diameter [µm]"]
    return table([*head, "extent x, y [µm]", "centre x, y [µm]"], rows)


@cache
def calibrated(q: float = 9.0, by_intensity: bool = True, **how: Any) -> Calibration:
    """From the published geometry, with the mean of its tilts; no wedge."""
    setup = hexomap_setup(record(), q)
    return calibrate(setup, blobs(by_intensity), [CENTRE], CalibrateSettings(**how))


def models() -> str:
    """What is free, and what is left over."""
    rows = []
    for name, how in (
        ("one set of tilts", {}),
        ("one set of tilts, wedge", {"wedge": True}),
        ("tilts of each distance", {"tilts": "each"}),
        ("tilts of each distance, step held at 2 mm", {"tilts": "each", "fix": ("dLsd",)}),
        ("one set of tilts, step held at 2 mm", {"fix": ("dLsd",)}),
        ("one set of tilts, plain centroids", {"by_intensity": False}),
        ("one set of tilts, Q up to 11", {"q": 11.0}),
    ):
        c = calibrated(**how)
        g, tilts = c.geometry, np.degrees(c.geometry.tilts_rad)
        step, sigma = g.lsd_mm[1] - g.lsd_mm[0], 1e3 * c.position.fit.sigma
        rows.append([
            name, f"{len(c.matches)} of {c.matches.n_predicted}",
            f"{1e3 * g.lsd_mm[0]:.1f} ± {sigma[0]:.1f}", f"{1e3 * step:.1f} ± {sigma[1]:.1f}",
            "; ".join(", ".join(f"{v:.2f}" for v in t) for t in np.unique(tilts, axis=0)),
            f"{np.degrees(g.wedge_rad):.3f}",
            ", ".join(f"{v:.2f}" for v in c.position.sigma),
        ])  # fmt: skip
    head = ["free", "spots", "first distance [µm]", "step [µm]", "tx, ty, tz [°]", "wedge [°]"]
    return table([*head, f"σ: {', '.join(GROUPS)} [px; quanta]"], rows)


def energies() -> str:
    """Calibrations at other energies: omega knows the energy, the images only ratios of lengths."""
    rows = []
    for factor in (0.98, 0.99, 1.0, 1.01, 1.02):
        other = record() | {"energy_keV": factor * record()["energy_keV"]}
        c = calibrate(hexomap_setup(other, 9.0), blobs(True), [CENTRE])
        step = 1e3 * float(np.diff(c.geometry.lsd_mm)[0])
        rows.append([f"{other['energy_keV']:.3f}", f"{step:.1f}", f"{c.position.sigma[4]:.3f}"])
    return table(["energy [keV]", "step [µm]", "σ of omega [quanta]"], rows)


def returns() -> str:
    """Starts 100 um and 5 px away: where the calibration ends."""
    setup, home, rng = hexomap_setup(record(), 9.0), calibrated(9.0), np.random.default_rng(7)
    worst = np.zeros(3)
    for _ in range(STARTS):
        start = home.geometry.changed(
            lsd_mm=home.geometry.lsd_mm + rng.choice([-AWAY_MM, AWAY_MM], 2),
            beam_centre_px=home.geometry.beam_centre_px + rng.choice([-AWAY_PX, AWAY_PX], (2, 2)),
        )
        turn = expmap(rng.normal(size=3) * np.radians(0.3))
        off = Crystal(turn @ CENTRE.u_matrix, np.zeros(2))
        end = calibrate(setup, blobs(True), [off], start=start).geometry
        worst = np.maximum(worst, [
            1e3 * np.abs(end.lsd_mm - home.geometry.lsd_mm).max(),
            np.abs(end.beam_centre_px - home.geometry.beam_centre_px).max(),
            np.degrees(np.abs(end.tilts_rad - home.geometry.tilts_rad).max()),
        ])  # fmt: skip
    row = [STARTS, *(f"{v:.1e}" for v in worst)]
    return table(["starts", "distance, worst [µm]", "beam centre [px]", "tilt [°]"], [row])


def truth() -> str:
    """Simulated crystals: errors over their stated uncertainties."""
    rows = []
    setup, n = hexomap_setup(record(), 9.0), 20
    for name, wedge in (("one set of tilts", False), ("wedge too", True)):
        total, freedom, rng = 0.0, 0, np.random.default_rng(20261121)
        for _ in range(n):
            lean = float(rng.uniform(-0.003, 0.003)) if wedge else 0.0
            # another orientation each time: the same one would be rounded to frames alike
            about = Crystal(matrix_of_quaternion(_unit(rng.normal(size=4))), np.zeros(2))
            geometry, crystal = displaced(Geometry.of(setup), about, rng, wedge_rad=lean)
            found = calibrate(
                setup, find_blobs(*disc_pixels(geometry, setup, [crystal], rng)), [about],
                CalibrateSettings(wedge=wedge),
            )  # fmt: skip
            value, free = chi_square(found, geometry, [crystal])
            total, freedom = total + value, freedom + free
        low, high = chi2.ppf([0.025, 0.975], freedom)
        rows.append([name, n, freedom, f"{total:.0f}", f"{low:.0f} to {high:.0f}"])
    return table(["free", "simulations", "errors", "chi-square", "95 % interval"], rows)


def parts() -> list[str]:
    """Everything on the page."""
    return [
        "### Reflections lit on both detectors", reflections(), "### Blind search", blind(),
        "### Extent of the crystal", extent(), "### Calibration", models(),
        "### Other energies", energies(),
        "### Starts 100 µm, 5 px and 0.5° away", returns(), "### Simulated truth", truth(),
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(run("gold", __doc__.splitlines()[0], f"{SET}/geometry.json", parts))
