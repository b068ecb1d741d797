"""Values of parameters for panels moved about their own centres, and of models moved already.

The parameters of a panel turn it about the foot of the normal from the sample, and each pass of a
refinement has parameters of its own. Comparing with a truth needs both said in one set.
"""

from __future__ import annotations

import numpy as np

from refimpl.detector.hierarchy import axes_of
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64
from refimpl.metrology.crystal_parameters import cell_parameters
from refimpl.metrology.detector_parameters import MRAD, DetectorParameters
from refimpl.metrology.parameters import ModelSet

__all__ = ["panel_values", "values_of"]


def panel_values(detector: DetectorParameters, offsets: F64) -> F64:
    """(p, 6) values of groups that are single panels, moved about their own centres.

    The parameters' own rotations pivot about the foot of the normal from the sample; here distance
    and shifts make up for that.

    Parameters
    ----------
    detector
        Parameters with one group a panel.
    offsets
        (p, 6) shift along d1, d2, dn [mm] and Tau1, Tau2, Tau3 [mrad].
    """
    out = np.empty((len(detector.members), 6))
    for g, (initial, own) in enumerate(zip(detector.initial, offsets, strict=True)):
        axes = detector.axes[g]
        d1, d2, dn = axes.T
        r1, r2, r3 = detector.turns(g, own[3:])
        full = r3 @ r2 @ r1
        centre = axes @ np.array([initial[1], initial[2], initial[0]]) + axes @ own[:3]
        columns = np.column_stack([dn, full @ d1, full @ d2])
        out[g] = [*np.linalg.solve(columns, centre), *own[3:]]
    return out


def values_of(models: ModelSet, experiment: Experiment) -> F64:
    """(k,) a moved experiment in the parameters of its start, by panel, of one experiment.

    Refinement in several passes has new parameters in each; this states its end in those of the
    start, as the truth is stated.

    Parameters
    ----------
    models
        ``model_set(start, FixSettings(hierarchy_level=1))``.
    experiment
        With the same panels and space group.
    """
    assert experiment.detector is not None
    assert experiment.crystal is not None
    assert experiment.beam is not None
    values, d = models.initial.copy(), experiment.detector.d
    own, beam = models.detectors[0], models.beams[0]
    rows = np.empty((len(own.members), 6))
    for g, ((panel,), axes) in enumerate(zip(own.members, own.axes, strict=True)):
        full = axes_of(d[panel]) @ axes_of(axes @ own.offsets[panel]).T
        point = d[panel, :, 2] - full @ axes @ own.offsets[panel, :, 2]
        rows[g] = own.values_of_pose(g, full, point)
    values[models.detector_at(0)] = rows.ravel()
    nu = 1.0 / experiment.beam.wavelength_angstrom
    e1, e2, n = experiment.beam.s0 / nu @ np.column_stack([*beam.axes, beam.unit])
    # (e1, e2, n) is right-handed: s0 = cos mu1 (n cos mu2 + e1 sin mu2) - e2 sin mu1
    values[models.beam_at(0)] = [-np.arcsin(e2) / MRAD, np.arctan2(e1, n) / MRAD, nu]
    cell, u = cell_parameters(experiment.crystal.A, experiment.crystal.hall)
    m = u @ models.orientations[0].start.T  # Rz Ry Rx
    angles = np.array([np.arctan2(m[2, 1], m[2, 2]), -np.arcsin(m[2, 0]),
                       np.arctan2(m[1, 0], m[0, 0])])  # fmt: skip
    values[models.orientation_at(0)] = angles / MRAD
    values[models.cell_at(0)] = cell.initial
    return values
