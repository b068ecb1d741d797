r"""A twin of the published tutorial's data: 60 panels whose refinement as one has its RMSDs.

The images are not to be had; what is published are counts and RMSDs by panel after refinement of
the whole detector (level 0) and of every panel (level 1). With :math:`R_0, R_1` of a panel, what
a rigid detector leaves is :math:`R_0^2 - R_1^2` in X and in Y: panel errors are solved for that,
after the part that level 0 takes up itself is projected out. Errors of observation have the size
of :math:`R_1`. So level 0 is the input; that refinement by panel comes down to :math:`R_1` again
is what can be checked. Where the published :math:`R_1` exceeds :math:`R_0` no panel error is left
to choose. RMSDs of phi have no part in it: panels do not move phi.

Source of the figures: :mod:`refimpl.metrology.tutorial_tables`. Assumed, for want of a statement:
beam centre and wavelength are those of the tutorial's second data set, the rotation axis is x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
from refimpl.forward.rotation import rotation_jacobian
from refimpl.forward.rotation_scene import crystal_of_cell, grid_of_panels
from refimpl.frames import F64
from refimpl.metrology.parameters import FixSettings, model_set
from refimpl.metrology.simulate import (
    ORIENTATION,
    Drawn,
    Offsets,
    SimulatedMetrology,
    all_for_refinement,
    simulate,
    thinned,
)
from refimpl.metrology.stated_values import panel_values
from refimpl.metrology.tutorial_tables import ACCEPTED, WEIGHT_QUANTILES, published_panels
from refimpl.units import DEG

__all__ = ["TutorialNoise", "tutorial_twin"]

PIXEL_MM, WIDTH_DEG, D_MIN = 0.172, 0.35, 1.65
CUT = 2.5
"""Errors are normal but end here: inside Tukey's fences, so that only gross outliers are rejected
and the counts by panel come out as published."""
CUT_SIGMA = 0.95460
"""Standard deviation of the unit normal within +-CUT."""
GROSS = ((0.5, 2.4), (0.5, 1.8), (0.8, 5.0))
"""Least and largest error of gross outliers, X, Y [mm], phi [deg]."""
TURN_MRAD, DISTANCE_MM = (0.4, 1.0, 1.0), 0.06
"""Of the recipe: what is left to chance, as far as a panel's RMSD has room for it."""
TURN_PART = 0.5
"""Largest part of a panel's excess mean square that rotations and distance may make."""


@dataclass(frozen=True, eq=False)
class TutorialNoise:
    """Errors by panel, weights by quantiles, outliers by panel.

    Attributes
    ----------
    sigma
        (p, 3) standard deviation [mm, mm, rad].
    outliers
        (p,) gross outliers.
    """

    sigma: F64
    outliers: NDArray[np.int64]

    def __call__(
        self, rng: np.random.Generator, panel: NDArray[np.int32], width_rad: float
    ) -> Drawn:
        """Draw; see :data:`refimpl.metrology.simulated_errors.Noise`."""
        n = len(panel)
        unit = rng.standard_normal((n, 3))
        while (far := np.abs(unit) > CUT).any():
            unit[far] = rng.standard_normal(int(far.sum()))
        outlier = np.zeros(n, dtype=bool)
        for p, count in enumerate(self.outliers):
            here = np.flatnonzero(panel == p)
            outlier[rng.choice(here, int(count), replace=False)] = True
            fit = here[~outlier[here]]
            # what is published is the RMSD of one sample, not its expectation
            unit[fit] /= np.sqrt(np.mean(unit[fit] ** 2, axis=0)) if len(fit) > 1 else CUT_SIGMA
        error = self.sigma[panel] * unit
        low, high = np.array(GROSS).T * [1.0, 1.0, DEG]
        size = (int(outlier.sum()), 3)
        error[outlier] = rng.uniform(low, high, size) * rng.choice([-1.0, 1.0], size)
        weight = np.column_stack([_weights(rng, n, q) for q in WEIGHT_QUANTILES])
        return Drawn(error, np.array([1.0, 1.0, DEG**2]) / weight, outlier)


def _weights(rng: np.random.Generator, n: int, quantiles: tuple[float, ...]) -> F64:
    """(n,) weights of given minimum, quartiles, maximum; few are near the minimum."""
    rank = rng.uniform(0.0, 1.0, n)
    lowest = np.minimum(4.0 * rank, 1.0) ** 0.2
    upper = np.interp(rank, [0.25, 0.5, 0.75, 1.0], quantiles[1:])
    return np.where(rank < 0.25, quantiles[0] + (quantiles[1] - quantiles[0]) * lowest, upper)


def _counts(rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Reflections accepted, and gross outliers among them (60,); panel 55 has one, no outlier."""
    used, _ = published_panels(1)
    share = used / used.sum()
    outliers = rng.multinomial(ACCEPTED - 1 - used.sum(), share)
    counts = used + outliers
    counts[55] = 1
    return counts, outliers


def _start() -> Experiment:
    return Experiment(
        "tutorial-twin", Beam(np.array([0.0, 0.0, 1.0]), 0.97625),
        grid_of_panels((5, 12), distance_mm=400.0, beam_px=(1225.0, 1196.0), pixel_mm=PIXEL_MM),
        Goniometer(np.array([1.0, 0.0, 0.0])), Scan((1, 1028), (0.0, WIDTH_DEG)),
        crystal_of_cell((57.834, 57.834, 150.022), ORIENTATION),
    )  # fmt: skip


def tutorial_twin(seed: int = 0) -> SimulatedMetrology:
    """192,578 reflections on 60 panels, 186,145 of them fit for use, with the truth.

    Parameters
    ----------
    seed
        Of everything that is drawn.
    """
    rng = np.random.default_rng(seed)
    start, (counts, outliers) = _start(), _counts(rng)
    used, rmsd_1 = published_panels(1)
    unit = np.array([PIXEL_MM, PIXEL_MM, WIDTH_DEG * DEG])
    # six parameters a panel take up three degrees of freedom of X and three of Y
    spent = np.sqrt(used / np.maximum(used - 3.0, 1.0))[:, None]
    sigma = np.nan_to_num(rmsd_1, nan=0.3) * unit * np.where(np.arange(3) < 2, spent, 1.0)
    noise = TutorialNoise(sigma, outliers)
    offsets = Offsets(panels=_solved(start, counts, rng), crystal_mrad=(0.0, 0.0, 0.0),
                      beam_mrad=(0.0, 0.0))  # fmt: skip
    return simulate(
        start, d_min_angstrom=D_MIN, counts=counts, offsets=offsets, noise=noise, seed=rng
    )


@dataclass(frozen=True, eq=False)
class _Linear:
    """What offsets of panels do to residuals, to first order, after level 0 has had its part.

    Attributes
    ----------
    square, mean
        (p, 2, k, k), (p, 2, k) means of products of the columns [6 own | common], and of the
        columns, in X and Y by panel.
    force
        (p, c, 6) gradient of the common parameters by a panel's own, in the square root of their
        normal matrix: the squared length of a sum is the weighted square that level 0 takes up.
    whiten
        (c, c) from forces to changes of the common parameters.
    """

    square: F64
    mean: F64
    force: F64
    whiten: F64

    def moments(self, offsets: F64) -> tuple[F64, F64]:
        """Means and variances (p, 2) of the systematic X and Y [mm] under offsets (p, 6)."""
        common = -self.whiten @ np.einsum("pck,pk->c", self.force, offsets)
        z = np.hstack([offsets, np.broadcast_to(common, (len(offsets), len(common)))])
        mean = np.einsum("pik,pk->pi", self.mean, z)
        return mean, np.einsum("pj,pijk,pk->pi", z, self.square, z) - mean**2


def _by_offsets(start: Experiment) -> F64:
    """(p, 6, 6) derivatives of the panels' parameters by offsets about their centres."""
    detector = model_set((start,), FixSettings(hierarchy_level=1)).detectors[0]
    out = np.empty((len(detector.members), 6, 6))
    for k in range(6):
        unit = np.zeros((len(out), 6))
        unit[:, k] = 1e-3
        out[:, :, k] = (panel_values(detector, unit) - panel_values(detector, -unit)) / 2e-3
    return out


def _linear(start: Experiment, counts: NDArray[np.int64], rng: np.random.Generator) -> _Linear:
    """Sums over the reflections of the start; weights are the largest published ones."""
    found = thinned(all_for_refinement(start, D_MIN), counts, rng)
    weight = np.array([q[3] for q in WEIGHT_QUANTILES]) * [1.0, 1.0, DEG**-2]
    hkl = found.hkl.astype(np.float64)
    jacobians, free = [], []
    for level in (1, 0):
        models = model_set((start,), FixSettings(hierarchy_level=level))
        (pose,) = models.poses(models.initial)
        jacobians.append(
            rotation_jacobian(
                np.ascontiguousarray(hkl @ pose.setting.T), found.panel, found.entering,
                np.ascontiguousarray(found.xyz[:, 2]), pose.s0, pose.axis, pose.inverse_d, hkl,
                pose.crystal, pose.beam, pose.detector,
            )[1]
        )  # fmt: skip
        free = [1, *range(3, jacobians[-1].shape[2])]  # all but Mu1 and the wavelength
    turned = _by_offsets(start)
    own = np.matmul(jacobians[0][:, :, -6:], turned[found.panel])
    common = jacobians[1][:, :, free]
    both = np.concatenate([own, common], axis=2)
    p, k = len(counts), both.shape[2]
    square, mean = np.zeros((p, 2, k, k)), np.zeros((p, 2, k))
    normal, cross = np.zeros((k - 6, k - 6)), np.zeros((p, k - 6, 6))
    for panel in range(p):
        j = both[found.panel == panel]
        products = np.array([j[:, i].T @ j[:, i] for i in range(3)])
        square[panel], mean[panel] = products[:2] / len(j), j[:, :2].mean(axis=0)
        sums = np.einsum("i,ijk->jk", weight, products)
        normal += sums[6:, 6:]
        cross[panel] = sums[6:, :6]
    scale = np.sqrt(np.diag(normal))
    root = np.linalg.inv(np.linalg.cholesky(normal / np.outer(scale, scale))) / scale
    return _Linear(square, mean, root @ cross, root.T)


def _signs(pull: F64, constant: F64, rng: np.random.Generator) -> F64:
    """(m,) signs for which the sum of pulls (m, c) and a constant (c,) is short: greedy flips."""
    best, least = np.ones(len(pull)), np.inf
    for _ in range(40):
        sign = rng.choice([-1.0, 1.0], len(pull))
        total = constant + sign @ pull
        while True:
            after = total - 2.0 * sign[:, None] * pull
            norms = (after**2).sum(axis=1)
            k = int(np.argmin(norms))
            if norms[k] >= (1.0 - 1e-9) * float((total**2).sum()):
                break
            total, sign[k] = after[k], -sign[k]
        if (length := float((total**2).sum())) < least:
            best, least = sign, length
    return best


def _solved(start: Experiment, counts: NDArray[np.int64], rng: np.random.Generator) -> F64:
    """(p, 6) offsets of panels for which level 0 leaves the published excess in X and Y.

    Rotations and distances are drawn, shifts make up the excess that these leave. Their signs are
    chosen such that the whole detector, crystal and beam have next to nothing to take up.
    """
    linear = _linear(start, counts, rng)
    (_, rmsd_0), (_, rmsd_1) = published_panels(0), published_panels(1)
    excess = np.maximum(np.nan_to_num(rmsd_0**2 - rmsd_1**2)[:, :2], 0.0) * PIXEL_MM**2
    p = len(counts)
    offsets = np.zeros((p, 6))
    offsets[:, 2] = DISTANCE_MM * rng.standard_normal(p)
    offsets[:, 3:] = TURN_MRAD * rng.standard_normal((p, 3))
    own = linear.mean[:, :, :6]

    def spread() -> F64:
        squares = np.einsum("pj,pijk,pk->pi", offsets, linear.square[:, :, :6, :6], offsets)
        return np.asarray(squares - np.einsum("pij,pj->pi", own, offsets) ** 2)

    room = np.min(TURN_PART * excess / np.maximum(spread(), 1e-12), axis=1)
    offsets *= np.sqrt(np.minimum(1.0, room))[:, None]
    size = np.sqrt(np.maximum(excess - spread(), 0.0))
    offsets[:, :2] = np.einsum("pij,pj->pi", own, offsets)  # a shift of 1 mm moves X or Y by -1
    pull = -(linear.force[:, :, :2] * size[:, None, :]).transpose(0, 2, 1).reshape(2 * p, -1)
    signs = _signs(pull, np.einsum("pck,pk->c", linear.force, offsets), rng)
    offsets[:, :2] -= signs.reshape(p, 2) * size
    return offsets
