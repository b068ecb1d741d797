r"""Root-mean-square residuals by experiment and by panel, and their pooling.

.. math:: \mathrm{RMSD}_d = \sqrt{\textstyle\sum r_d^2 / n}

unweighted, in each of x, y and angle. Published tables give x and y in pixels and the angle in
images. Tables pool: the RMSD of the whole is :math:`\sqrt{\sum_g n_g R_g^2 / \sum_g n_g}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.objective.outliers import five_numbers
from refimpl.units import DEG

__all__ = [
    "ResidualSummary",
    "RmsdTable",
    "pool",
    "rmsd",
    "rmsd_by_experiment",
    "rmsd_by_panel",
    "summarise",
]

Int = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class RmsdTable:
    """RMSDs of groups that have reflections.

    Attributes
    ----------
    labels
        (g,) experiment or panel numbers, ascending.
    counts
        (g,) reflections.
    values
        (g, 3) RMSD of x, y [px] and angle [images].
    """

    labels: NDArray[np.int64]
    counts: NDArray[np.int64]
    values: F64

    def pooled(self) -> F64:
        """(3,) RMSD of all groups together."""
        return pool(self.counts, self.values)


@dataclass(frozen=True)
class ResidualSummary:
    """Minimum, quartiles and maximum of residuals and weights, as published listings have them.

    Attributes
    ----------
    n
        Reflections.
    residuals
        (5, 3) of calculated minus observed x, y [mm] and angle [deg].
    weights
        (5, 3) [mm^-2, mm^-2, deg^-2].
    """

    n: int
    residuals: F64
    weights: F64


def rmsd(residuals: F64) -> F64:
    """RMSD of each column of (n, k), in its unit; NaN where n = 0."""
    residuals = np.asarray(residuals, dtype=np.float64)
    if len(residuals) == 0:
        return np.full(residuals.shape[1:], np.nan)
    return np.asarray(np.sqrt(np.mean(residuals**2, axis=0)))


def pool(counts: Int, rmsds: F64) -> F64:
    """RMSD of several groups together.

    Parameters
    ----------
    counts
        (g,) reflections of each group.
    rmsds
        (g, k); rows of empty groups are not looked at.

    Returns
    -------
    ndarray
        (k,), in the unit of the RMSDs; NaN without reflections.

    Raises
    ------
    ConfigError
        The lengths differ, or a count is negative.
    """
    counts, rmsds = np.asarray(counts), np.asarray(rmsds, dtype=np.float64)
    if len(counts) != len(rmsds) or np.any(counts < 0):
        raise ConfigError(
            f"pool: {len(counts)} counts (least {np.min(counts, initial=0)}) for {len(rmsds)} "
            "RMSDs: expected as many, and none negative"
        )
    used = counts > 0
    if not used.any():
        return np.full(rmsds.shape[1:], np.nan)
    return np.asarray(np.sqrt(np.average(rmsds[used] ** 2, axis=0, weights=counts[used])))


def _grouped(residuals: F64, labels: Int, units: F64) -> RmsdTable:
    """RMSDs by label, in units (l, 3) of each label."""
    labels = np.asarray(labels).astype(np.int64)
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(units):
        raise ConfigError(
            f"RMSD by group: group {int(labels.max() if labels.min() >= 0 else labels.min())} "
            f"where there are {len(units)}"
        )
    counts = np.bincount(labels, minlength=len(units))
    sums = np.stack(
        [np.bincount(labels, weights=r**2, minlength=len(units)) for r in residuals.T], axis=1
    )
    used = np.flatnonzero(counts)
    values = np.sqrt(sums[used] / counts[used, None]) / units[used]
    return RmsdTable(used.astype(np.int64), counts[used].astype(np.int64), values)


def rmsd_by_experiment(
    residuals: F64, ids: Int, pixel_size_mm: F64, image_width_rad: F64
) -> RmsdTable:
    """RMSDs of each experiment in pixels and images.

    Parameters
    ----------
    residuals
        (n, 3) calculated minus observed x, y [mm] and angle [rad].
    ids
        (n,) experiment numbers.
    pixel_size_mm
        (e, 2) fast and slow, of the first panel of each experiment.
    image_width_rad
        (e,) rotation during one image.

    Raises
    ------
    ConfigError
        An experiment number is out of range.
    """
    units = np.column_stack([pixel_size_mm, np.abs(image_width_rad)])
    return _grouped(residuals, ids, units)


def rmsd_by_panel(
    residuals: F64, panels: Int, pixel_size_mm: F64, image_width_rad: float
) -> RmsdTable:
    """RMSDs of each panel of one detector in pixels and images.

    Parameters
    ----------
    residuals
        (n, 3) calculated minus observed x, y [mm] and angle [rad].
    panels
        (n,) panel numbers.
    pixel_size_mm
        (p, 2) fast and slow. Published tables exist only where all panels are alike.
    image_width_rad
        Rotation during one image.

    Raises
    ------
    ConfigError
        A panel number is out of range.
    """
    widths = np.full(len(pixel_size_mm), abs(image_width_rad))
    return _grouped(residuals, panels, np.column_stack([pixel_size_mm, widths]))


def summarise(residuals: F64, weights: F64) -> ResidualSummary:
    """Five-number summaries for a listing.

    Parameters
    ----------
    residuals
        (n, 3) calculated minus observed x, y [mm] and angle [rad].
    weights
        (n, 3) [mm^-2, mm^-2, rad^-2].
    """
    to_deg = np.array([1.0, 1.0, 1.0 / DEG])
    return ResidualSummary(
        len(residuals), five_numbers(residuals * to_deg), five_numbers(weights / to_deg**2)
    )
