"""Simulated panels for the tests of the published panel engine."""

from __future__ import annotations

import dataclasses

import numpy as np

from refimpl.crystal.calibrants import calibrant
from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel_grid import PanelGrid
from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.forward.powder_image import simulate
from refimpl.powder.published_options import PublishedOptions
from refimpl.powder.published_panel_options import PanelOptions
from refimpl.powder.published_panel_run import calibrate_published_panels
from refimpl.powder.published_panels import (
    published_panel_index,
)
from refimpl.powder.published_points import (
    extract_points,
    published_rings,
)

WAVELENGTH = 0.25
GRID = PanelGrid(2, 2, 196, 181, (8,), (18,))
SHIFTS = np.array([[0.0, 0.0], [0.3, -0.2], [-0.25, 0.15], [0.2, 0.35]])
MOVES = np.zeros((4, len(PANEL_FIELDS)))
MOVES[:, :2] = SHIFTS
PLAIN = TiltedFlat(
    (380, 400), (0.2, 0.2), 300.0, (188.0, 210.0), (0.0, 0.01, -0.015), rho_d_mm=60.0,
    panel_boxes=GRID.boxes(), panel_corrections=np.zeros_like(MOVES), image_transform=(0,),
)  # fmt: skip
TRUTH = PLAIN.replace(panel_corrections=MOVES)
OPTIONS = PublishedOptions(
    width_mm=0.8, eta_bin_deg=5.0, tol_lsd_mm=1.0, tol_bc_px=1.0, tol_tilt_deg=0.5, tol_p0=0.0,
    tol_p1=0.0, tol_p2=0.0, tol_p3_deg=0.0,
)  # fmt: skip
PANELS = PanelOptions()


def run(frame, powder_rings, panels=PANELS, start=PLAIN, progress=None, **changes):
    options = dataclasses.replace(OPTIONS, **changes)
    return calibrate_published_panels(
        frame[0], start, powder_rings, options, panels, frame[1], progress
    )


def simulated_frame():
    """Image and mask."""
    found = simulate(
        TRUTH, rings("CeO2", WAVELENGTH, 0.3), wavelength_angstrom=WAVELENGTH, fwhm_rad=3e-3,
        peak_counts=4000.0, background=20.0, seed=4,
    )  # fmt: skip
    return np.asarray(found.image, dtype=float), np.asarray(found.mask)


def ceria_rings():
    return published_rings(calibrant("CeO2"), WAVELENGTH, PLAIN.lsd_mm, 45.0)


def points_on_panels(frame, powder_rings):
    """Points on panels, and the panel of each."""
    found = extract_points(frame[0], frame[1], PLAIN, powder_rings, OPTIONS)
    panel = published_panel_index(PLAIN, found.fast_px, found.slow_px)
    return found.select(panel >= 0), panel[panel >= 0]


def three_iterations(frame, powder_rings):
    """Three iterations, what was told about them, and the same as published."""
    told = []
    found = run(frame, powder_rings, n_iterations=3, mult_factor=2.5,
                progress=lambda number, step: told.append((number, step)))  # fmt: skip
    mixed = run(frame, powder_rings, PanelOptions(published_restore=True), n_iterations=3,
                mult_factor=2.5)  # fmt: skip
    return found, told, mixed
