"""
Spots of a rotating crystal, and a panel out of place
=====================================================

Every reflection that a crystal throws on a detector of twelve panels while it turns by 60 degrees.
One panel is then moved by 40 µm: the mean distance of its spots from where they are predicted says
which one, by how much and which way.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
from refimpl.forward.rotation_scene import all_reflections, crystal_of_cell, grid_of_panels
from refimpl.rotations import rx, ry

detector = grid_of_panels((3, 4), distance_mm=250.0, beam_px=(739.0, 412.0))
experiment = Experiment(
    beam=Beam(np.array([0.0, 0.0, 1.0]), 0.98),
    detector=detector,
    goniometer=Goniometer(np.array([1.0, 0.0, 0.0])),
    scan=Scan((1, 600), (0.0, 0.1)),
    crystal=crystal_of_cell((38.0, 58.0, 79.0), rx(0.3) @ ry(0.7)),
)
spots = all_reflections(experiment, 2.2)
print(f"{len(spots)} reflections to 2.2 Å on {len(detector)} panels")

# %%
# Panel 7 goes 40 µm along fast and 20 µm against slow; then everything is predicted again.
d = detector.d.copy()
d[7, :, 2] += 0.04 * d[7, :, 0] - 0.02 * d[7, :, 1]
moved = all_reflections(replace(experiment, detector=detector.with_d(d)), 2.2)

# %%
# A reflection is known by its indices, its panel, and whether it enters or leaves the sphere.
keys = [
    {(*h, p, e): xy for h, p, e, xy in zip(s.hkl.tolist(), s.panel, s.entering, s.xyz, strict=True)}
    for s in (spots, moved)
]
shift = {k: keys[1][k][:2] - xy[:2] for k, xy in keys[0].items() if k in keys[1]}
mean = np.array(
    [np.mean([v for k, v in shift.items() if k[3] == n], axis=0) for n in range(len(detector))]
)
for n in np.flatnonzero(np.hypot(*mean.T) > 1e-6):
    print(f"panel {n}: its spots are {1e3 * mean[n][0]:.1f}, {1e3 * mean[n][1]:.1f} µm away")

figure, axes = plt.subplots(figsize=(6, 5.5), layout="constrained")
lab = np.einsum("nij,nj->ni", detector.d[spots.panel], np.insert(spots.xyz[:, :2], 2, 1.0, axis=1))
axes.plot(*lab[:, :2].T, ",", color="tab:blue")
centre = detector.centres()[:, :2]
along = np.einsum("nij,nj->ni", detector.d[:, :2, :2], mean)
axes.quiver(*centre.T, *(1e3 * along.T), color="tab:red", scale=400.0, width=0.008)
axes.set(xlabel="x [mm]", ylabel="y [mm]", title="spots; mean shift of a panel's, enlarged")
axes.set_aspect("equal")
plt.show()
