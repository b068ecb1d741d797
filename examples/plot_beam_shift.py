"""
One number or a matrix for the beam shift
=========================================

Where was each exposure taken? With one number k, as published, the beam's shift is taken to lie
along the axes of the stage. On a microscope whose shift is turned and mirrored only a 2 × 2 matrix
puts the exposures of different stage positions on one lattice of holes.
"""

import matplotlib.pyplot as plt
import numpy as np

from refimpl.epu.affine import affine
from refimpl.epu.calibrate import calibrate
from refimpl.epu.simulate import SimulationSettings, simulate

made = simulate(SimulationSettings(squares=1), seed=2)
session, truth = made.session, made.truth
calibration = calibrate(session)  # from the session alone
print("\n".join(calibration.sentences()))

# %%
# The same exposures by both, in micrometres on the specimen.
ways = {"one number k": affine(truth.k_um), "the matrix that was found": calibration}
figure, axes = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained", sharex=True, sharey=True)
middle = np.median(session.stage_um, axis=0)
for panel, (name, way) in zip(axes, ways.items(), strict=True):
    at = way.positions_um(session.stage_um, session.beam_shift) - middle
    off = np.linalg.norm(at + middle - truth.true_um, axis=1)
    print(f"{name}: {np.median(off):.3f} µm from the truth (median)")
    panel.plot(*at.T, ".", markersize=4)
    panel.set(title=name, xlabel="x [µm]", xlim=(-9, 9), ylim=(-9, 9), aspect="equal")
axes[0].set_ylabel("y [µm]")
plt.show()
