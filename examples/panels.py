"""Calibrate a detector panel by panel from one image, and compare with the truth.

The image is simulated: CeO2 on twelve panels that are shifted by some tenths of a pixel. Rings
tell well how far a panel moves them outwards, and less well what runs along them. What all panels
have in common (a shift, a turn, an expansion) is the detector's: truth and result have none of it.
"""

from __future__ import annotations

import sys

import numpy as np

import refimpl
from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel_grid import PanelGrid
from refimpl.forward.panel_gauge import draw_panel_errors
from refimpl.forward.powder_image import simulate

WAVELENGTH_ANGSTROM, PIXEL_MM = 0.25, 0.2

grid = PanelGrid(3, 4, 150, 110, gaps_fast_px=(6, 6), gaps_slow_px=(8, 8, 8))
# (12, 7): dY, dZ [px], dTheta, dLsd, dP2, two tilts
widths = {"d_fast_px": 0.3, "d_slow_px": 0.3}
errors = draw_panel_errors(grid.boxes(), widths, np.random.default_rng(4))
true = TiltedFlat(
    grid.shape, (PIXEL_MM, PIXEL_MM), 250.0, (238.3, 221.6), (0.0, 0.012, -0.015),
    panel_boxes=grid.boxes(), panel_corrections=errors,
)  # fmt: skip
frame = simulate(
    true,
    rings("CeO2", WAVELENGTH_ANGSTROM, 0.3),
    wavelength_angstrom=WAVELENGTH_ANGSTROM,
    fwhm_rad=2.5e-3,
    peak_counts=2000.0,
    seed=1,
)
result = refimpl.powder.calibrate(
    frame.image,
    mask=frame.mask,
    wavelength_angstrom=WAVELENGTH_ANGSTROM,
    pixel_size_mm=PIXEL_MM,
    panels_grid="auto",  # from the gaps
    panel_refine=("shift",),
)
table = result.panels
out = 0.5 * (table.boxes[:, :2] + table.boxes[:, 2:]) - true.beam_centre_px
out /= np.hypot(*out.T)[:, None]
print("panel points   outwards [px]: found   true    dY [px]: found +- uncertainty   true")
for i, (a, b) in enumerate(zip(table.corrections, errors, strict=True)):
    print(f"{i:5} {table.points[i]:6} {a[:2] @ out[i]:22.3f} {b[:2] @ out[i]:6.3f} "
          f"{a[0]:17.3f} +- {table.sigma[i, 0]:.3f} {b[0]:14.3f}")  # fmt: skip
print(f"strain of points that were not fitted: {result.cross_validated}")
print(f"the same, one surface: {result.cross_validated_single}")
if len(sys.argv) > 1:  # a folder for the report and the other files
    print(f"wrote {result.save(sys.argv[1]) / 'report.html'}")
