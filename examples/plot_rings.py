"""
Rings of a tilted detector
==========================

A powder's cones cut a tilted detector in ellipses. ``calibrate`` is given the image, the wavelength
and the size of a pixel; the rings of the geometry that it finds are drawn over the image.
"""

import matplotlib.pyplot as plt
import numpy as np

import refimpl
from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.forward.powder_image import simulate

true = TiltedFlat((240, 260), (0.3, 0.3), 250.0, (128.3, 111.6), (0.0, 0.06, -0.08))
frame = simulate(
    true, rings("CeO2", 0.25, 0.3), wavelength_angstrom=0.25, fwhm_rad=3e-3, peak_counts=3000.0
)

# %%
# Nothing is told of the geometry.
result = refimpl.powder.calibrate(
    frame.image, calibrant="CeO2", wavelength_angstrom=0.25, pixel_size_mm=0.3
)
for name, value in zip(("ty", "tz"), np.degrees(true.tilts_rad[1:]), strict=True):
    found = result[name]
    print(f"{name}: {found.value:.4f} ± {found.sigma:.4f} degrees, true {value:.4f}")

# %%
# The maps of a geometry are in the pixel order of the image file: contours of 2θ are the rings.
two_theta, _ = result.model.detector().maps()
seen = rings("CeO2", 0.25, 0.2)
levels = [t for t in seen.two_theta_rad if two_theta.min() < t < two_theta.max()]
figure, axes = plt.subplots(figsize=(6, 5.5), layout="constrained")
axes.imshow(np.log1p(frame.image), cmap="gray_r")
axes.contour(two_theta, levels, colors="tab:red", linewidths=0.6)
axes.set(xlabel="fast [px]", ylabel="slow [px]", title="image, and the rings that were found")
plt.show()
