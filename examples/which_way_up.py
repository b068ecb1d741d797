"""Find how an image must be laid down for a geometry that was published for it.

Programs disagree on which row of a file is the top of the picture. Rings alone do not tell a
picture from its mirror image, but a geometry does: its beam centre and tilts fit one way only.
"""

from __future__ import annotations

import numpy as np

from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.forward.powder_image import simulate
from refimpl.io.images import from_array
from refimpl.powder import find_transform

WAVELENGTH_ANGSTROM = 0.25

published = TiltedFlat(
    shape=(400, 420),
    pixel_size_mm=(0.2, 0.2),
    lsd_mm=250.0,
    beam_centre_px=(208.3, 171.6),
    tilts_rad=(0.0, 0.012, -0.015),
    image_transform=(),
)
frame = simulate(
    published,
    rings("CeO2", WAVELENGTH_ANGSTROM, 0.3),
    wavelength_angstrom=WAVELENGTH_ANGSTROM,
    fwhm_rad=2.5e-3,
    peak_counts=2000.0,
    seed=3,
)
stored = from_array(np.flipud(frame.image))  # as another program has written it

found = find_transform(stored, published, rings("CeO2", WAVELENGTH_ANGSTROM, 0.3))

print(found.sentence())
print("ImTransOpt codes    mean |strain|")
for codes, strain in sorted(found.scores.items(), key=lambda item: item[1]):
    print(f"{' '.join(map(str, codes)) or '0':19}{strain * 1e6:10.0f} µε")
