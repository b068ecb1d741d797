"""Find the exposures of a simulated EPU session that were taken twice, and compare with the truth.

Once with the 2 x 2 matrix that the session itself shows, once with one number k, as published: on
a microscope that mirrors, the number finds what the stage did twice, but not where groups of holes
overlap, and calls exposures duplicates that are none.
"""

from __future__ import annotations

import sys

import numpy as np

from refimpl import hooks
from refimpl.epu.affine import affine
from refimpl.epu.calibrate import calibrate
from refimpl.epu.duplicates import find_duplicates
from refimpl.epu.simulate import SimulationSettings, simulate

made = simulate(SimulationSettings(squares=2, overlaps=6, revisits=1), seed=2)
session, truth = made.session, made.truth
print(f"{len(session)} exposures, {int(truth.bad.sum())} of them are duplicates")

calibration = calibrate(session)  # nothing is told: neither the pitch of the holes nor k
print("\n".join(calibration.sentences()))
off = np.abs(calibration.matrix_um - truth.matrix_um).max() / truth.k_um
print(f"matrix off by {100.0 * off:.2f} % of k")

for name, one in (("matrix", calibration), ("one number", affine(truth.k_um))):
    bad = find_duplicates(session, one, "fixed:0.2").bad
    right = int((bad & truth.bad).sum())
    print(
        f"{name:10}: {int(bad.sum()):3} found, {int((bad & ~truth.bad).sum()):3} of them wrong, "
        f"{int(truth.bad.sum()) - right:3} missed"
    )
if len(sys.argv) > 1:  # a folder for the report
    path = hooks.call("epu.report", find_duplicates(session, calibration), sys.argv[1])
    print(f"wrote {path}")
