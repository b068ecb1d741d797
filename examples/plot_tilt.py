"""
What a tilt does to 2θ
======================

The same pixels before a detector with and without a tilt of half a degree: the map of the
difference is what a calibration that leaves the tilt out must get wrong. A turn about the beam,
``tx``, changes no 2θ at all, which is why no ring can determine it.
"""

import matplotlib.pyplot as plt
import numpy as np

from refimpl.detector.model import TiltedFlat

flat = TiltedFlat((300, 400), (0.2, 0.2), 200.0, (200.0, 150.0))
half_degree = np.radians(0.5)
tilts = {
    "tx: about the beam": (half_degree, 0.0, 0.0),
    "ty: about the horizontal": (0.0, half_degree, 0.0),
    "tz: about the vertical": (0.0, 0.0, half_degree),
}

# %%
# ``maps`` gives 2θ and η of every pixel's centre, in the order of the image file.
straight, _ = flat.detector().maps()
figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained", sharey=True)
for panel, (name, tilt) in zip(axes, tilts.items(), strict=True):
    tilted, _ = flat.replace(tilts_rad=tilt).detector().maps()
    difference = 1e6 * (tilted - straight)
    print(f"{name}: {np.abs(difference).max():.0f} µrad at most")
    shown = panel.imshow(difference, cmap="RdBu_r", vmin=-300.0, vmax=300.0)
    panel.set(title=name, xlabel="fast [px]")
axes[0].set_ylabel("slow [px]")
figure.colorbar(shown, ax=axes, label="change of 2θ [µrad]")
plt.show()
