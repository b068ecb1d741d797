"""
Confidence is a staircase
=========================

A near-field voxel's confidence says which part of the pixels that it should light is lit. As a
function of the orientation it has a narrow peak of flat steps on nothing: a search that follows
slopes finds none. Asking for the pixels of all distances at once makes the peak sharper than that
of one distance.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np

from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_stack import simulate_stack
from refimpl.io.nearfield_params import read_nearfield_params
from refimpl.nearfield import config_of_params, setup_of
from refimpl.nearfield.example import SMALL, write_example
from refimpl.nearfield.outputs import read_map
from refimpl.objective.overlap import confidence
from refimpl.rotations import rz

with TemporaryDirectory() as folder:
    files = write_example(Path(folder), n_grains=3, seed=3, **SMALL)
    setup = setup_of(config_of_params(read_nearfield_params(files.parameters)))
    truth = read_map(files.truth, space_group=setup.space_group)
pixels = simulate_stack(setup, truth.voxels, truth.matrices)
lit = LitPixels.from_hits(pixels.pixels(), pixels.shape)

# %%
# One voxel, turned about z through its true orientation.
k = len(truth) // 2
angle = np.linspace(-2.0, 2.0, 401)
turned = np.array([rz(np.radians(a)) @ truth.matrices[k] for a in angle])
found = confidence(truth.voxels.vertices()[k], turned, setup, lit)
print(f"at the truth {found.confidence[200]:.3f}; above one half over "
      f"{np.ptp(angle[found.confidence > 0.5]):.2f} degrees")  # fmt: skip

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
axes.step(angle, found.confidence, where="mid", label="all distances")
axes.step(angle, found.by_distance[:, 0], where="mid", linewidth=0.8, label="the first alone")
axes.set(xlabel="turned by [degrees]", ylabel="confidence")
axes.legend()
plt.show()
