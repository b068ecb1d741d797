"""
Reflections that a crystal gives, seen from three sides
=======================================================

The simulated sample of :doc:`/centring` turns on the spindle; the expected number of reflections
falls off with the beam's profile at the rim of the crystal. Where it is highest in each view is a
point to aim at, and points of several views are one place in space.
"""

import matplotlib.pyplot as plt
import numpy as np

from refimpl.centring.fusion import fuse
from refimpl.centring.simulate_scene import scene

one = scene(5)
s, t = np.meshgrid(np.arange(-60.0, 160.0, 2.0), np.arange(-80.0, 80.0, 2.0))
omegas = np.radians([0.0, 45.0, 90.0])

# %%
# The map of expected counts in each view, and its highest point.
figure, axes = plt.subplots(3, 1, figsize=(7, 8), layout="constrained", sharex=True)
best = []
for panel, omega in zip(axes, omegas, strict=True):
    count = one.rc_um(np.stack([s, t], axis=-1), omega)
    top = np.unravel_index(np.argmax(count), count.shape)
    best.append([s[top], t[top]])
    shown = panel.pcolormesh(s, t, count, cmap="magma")
    panel.plot(*best[-1], "c+", markersize=12)
    panel.set(title=f"ω = {np.degrees(omega):.0f}°", ylabel="t [µm]", aspect="equal")
    figure.colorbar(shown, ax=panel, label="reflections")
axes[-1].set_xlabel("s, along the spindle [µm]")

# %%
# Least squares make one place of the three points.
centre = fuse(best, omegas)
print(f"s, y, z = {np.round(centre.centre_um, 1)} ± {np.round(centre.deviation_um, 1)} µm")
plt.show()
