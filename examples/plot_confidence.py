"""
Confidence is a staircase
=========================

A near-field voxel's confidence says which part of the pixels that it should light is lit. As a
function of the orientation it has a narrow peak of flat steps on nothing: a search that follows
slopes finds none. How wide the peak is depends on the axis of the turn: about the axis of the
scan's rotation a spot only moves to another frame.
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
from refimpl.rotations import rx, ry, rz

with TemporaryDirectory() as folder:
    files = write_example(Path(folder), n_grains=3, seed=3, **SMALL)
    setup = setup_of(config_of_params(read_nearfield_params(files.parameters)))
    truth = read_map(files.truth, space_group=setup.space_group)
pixels = simulate_stack(setup, truth.voxels, truth.matrices)
lit = LitPixels.from_hits(pixels.pixels(), pixels.shape)

# %%
# One voxel, turned through its true orientation about each axis of the sample.
k = len(truth) // 2
angle = np.linspace(-2.0, 2.0, 401)
figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
curves = {}
for name, turn in {"x, along the beam": rx, "y": ry, "z, the rotation axis": rz}.items():
    turned = np.array([turn(np.radians(a)) @ truth.matrices[k] for a in angle])
    curves[name] = confidence(truth.voxels.vertices()[k], turned, setup, lit).confidence
    width = np.ptp(angle[curves[name] > 0.5])
    print(f"about {name}: {curves[name][200]:.3f} at the truth, over one half for {width:.2f}°")
    axes.step(angle, curves[name], where="mid", linewidth=1.0, label=f"about {name}")
axes.set(xlabel="turned by [degrees]", ylabel="confidence")
axes.legend()
plt.show()
