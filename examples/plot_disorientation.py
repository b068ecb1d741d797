"""
How far apart two random cubic crystals are
===========================================

Of random orientations nearly all pairs are more than 10 degrees apart, and none more than 62.8: the
symmetry always offers a smaller turn. The histogram is Mackenzie's distribution (Biometrika 45,
229, 1958); its first part, where the symmetry does not yet cut, is known in closed form.
"""

import matplotlib.pyplot as plt
import numpy as np

from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import operators

rng = np.random.default_rng(0)
q1, q2 = (v / np.linalg.norm(v, axis=1)[:, None] for v in rng.normal(size=(2, 200_000, 4)))

# %%
# One line for each Laue class: the largest angle falls as the symmetry rises. For small angles ω
# the density of m-3m is 24 (1 - cos ω) / π, in radians.
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for group, name in (("P m -3 m", "m-3m"), ("P 6/m m m", "6/mmm"), ("P m m m", "mmm")):
    angle = np.degrees(misorientation(q1, q2, operators(group)))
    print(f"{name:6} mean {angle.mean():.2f}, largest {angle.max():.2f} degrees")
    axes.hist(angle, 120, density=True, histtype="step", label=name)

omega = np.radians(np.linspace(0.0, 45.0, 100))
density = 24.0 * (1.0 - np.cos(omega)) / np.pi * np.radians(1.0)
axes.plot(np.degrees(omega), density, "k--", linewidth=1.0, label="m-3m, closed form to 45°")
axes.set(xlabel="misorientation [degrees]", ylabel="density [1/degree]")
axes.legend()
plt.show()
