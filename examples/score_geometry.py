"""Score any geometry on an image of a calibrant, whatever code it comes from.

All that a score needs are two maps: 2-theta and eta of every pixel centre. Here they come from a
simulated detector's true geometry, from a calibration, and from two geometries that are a little
wrong; maps from any other program, saved as .npy, would do as well. A ring patch of 2 degrees
gives one strain: how far the ring lies from where the map says, relative to its d-spacing.
"""

from __future__ import annotations

import numpy as np

import refimpl
from refimpl.crystal.rings import Rings, rings
from refimpl.detector.model import TiltedFlat
from refimpl.forward.powder_image import simulate
from refimpl.powder import score_maps

WAVELENGTH_ANGSTROM, PIXEL_MM = 0.25, 0.2


def ceria() -> Rings:
    """Rings of CeO2 that lie on the image and can be seen."""
    found = rings("CeO2", WAVELENGTH_ANGSTROM, 0.23)
    return found.select(found.intensity > 1e-3)


true = TiltedFlat((400, 420), (PIXEL_MM, PIXEL_MM), 250.0, (208.3, 191.6), (0.0, 0.012, -0.015))
frame = simulate(
    true,
    rings("CeO2", WAVELENGTH_ANGSTROM, 0.3),
    wavelength_angstrom=WAVELENGTH_ANGSTROM,
    fwhm_rad=2.5e-3,
    peak_counts=2000.0,
    seed=2,
)
result = refimpl.powder.calibrate(
    frame.image,
    wavelength_angstrom=WAVELENGTH_ANGSTROM,
    pixel_size_mm=PIXEL_MM,
)
fast, slow = true.beam_centre_px
for name, model in {
    "true": true,
    "calibrated": result.model,
    "0.1 px off": true.replace(beam_centre_px=(fast + 0.1, slow)),
    "0.1 % too far": true.replace(lsd_mm=1.001 * true.lsd_mm),
}.items():
    two_theta, eta = model.detector().maps()  # in the pixel order of the image file
    usable = ~frame.mask & np.isfinite(two_theta)
    print(f"{name:14}{score_maps(frame.image, usable, two_theta, eta, ceria())}")
