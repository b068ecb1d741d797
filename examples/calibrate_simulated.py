"""Calibrate a detector from one image of a calibrant, and compare with the truth.

The image is simulated, so the truth is known: CeO2 on a detector of 400 x 420 pixels that is
tilted by a degree. ``calibrate`` gets the image, the wavelength, the pixel size and the name of
the calibrant, nothing else.
"""

from __future__ import annotations

import sys

import numpy as np

import refimpl
from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.forward.powder_image import simulate

WAVELENGTH_ANGSTROM, PIXEL_MM = 0.25, 0.2

true = TiltedFlat(
    shape=(400, 420),  # slow, fast
    pixel_size_mm=(PIXEL_MM, PIXEL_MM),
    lsd_mm=250.0,
    beam_centre_px=(208.3, 191.6),  # fast, slow; (0.5, 0.5) is the centre of the first pixel
    tilts_rad=(0.0, 0.012, -0.015),
    image_transform=(2,),  # the first row of the file is the top of the picture
)
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
    calibrant="CeO2",
    wavelength_angstrom=WAVELENGTH_ANGSTROM,
    pixel_size_mm=PIXEL_MM,
)

truth = (true.lsd_mm, *true.beam_centre_px, *np.degrees(true.tilts_rad[1:]))
print("            found +- uncertainty      true")
for name, value in zip(("Lsd", "BC_fast", "BC_slow", "ty", "tz"), truth, strict=True):
    p = result[name]
    print(f"{name:8}{p.value:10.4f} +- {p.sigma:7.4f} {p.unit:4}{value:10.4f}")
print(f"strain: {result.summary}")
for warning in result.warnings:
    print(f"note: {warning}")
if len(sys.argv) > 1:  # a folder for the report and the other files
    print(f"wrote {result.save(sys.argv[1]) / 'report.html'}")
