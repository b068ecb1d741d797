"""Which reflections take part in a refinement, and with what weight.

A reflection is accepted when it is indexed, observed within the scan and neither overloaded nor
marked unsuitable, and when its point crosses the Ewald sphere fast enough: close to the spindle
the rotation angle says little. Outliers are rejected after that, see
:mod:`refimpl.metrology.outlier_jobs`; a random subset may follow.

Source: DIALS' reflection manager. The weights are the reciprocal of the stored variances, and so
carry the variance floor of the program that found the spots: (1/2 px)^2 at the time of the
published tutorial, 1/12 px^2 now.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64
from refimpl.io.reflection_table import (
    NOT_SUITABLE_FOR_REFINEMENT,
    OVERLOADED,
    ReflectionTable,
)
from refimpl.metrology.selection_settings import PRESETS, SelectionSettings, preset
from refimpl.units import DEG

__all__ = [
    "PRESETS",
    "STILLS_ANGLE_WEIGHT",
    "Acceptance",
    "SelectionSettings",
    "accept",
    "observation_weights",
    "preset",
    "random_subset",
    "spindle_measure",
    "table_order",
]

Bool = NDArray[np.bool_]
STILLS_ANGLE_WEIGHT: Final = 1e6
"""Weight of the angular residual of stills [rad^-2]: constant, (1 mrad)^-2."""

_AUTO_PER_DEGREE: Final = 100.0
_COLUMNS: Final = ("miller_index", "id", "flags", "xyzobs.mm.value")


@dataclass(frozen=True)
class Acceptance:
    """Which rows were accepted, and why the others were not.

    Attributes
    ----------
    accepted
        (n,) mask.
    reasons
        Rejected rows by the first reason that applies, in the order of the tests.
    """

    accepted: Bool
    reasons: Mapping[str, int]

    @property
    def n_accepted(self) -> int:
        """Number of accepted rows."""
        return int(self.accepted.sum())


def spindle_measure(s1: F64, s0: F64, axis: F64) -> F64:
    """abs((s1 x s0) . axis) of observed rays (n, 3) [1/Å^2]: speed through the Ewald sphere."""
    return np.asarray(np.abs(s1 @ np.cross(s0, axis)))


def accept(
    table: ReflectionTable, experiments: Sequence[Experiment], settings: SelectionSettings
) -> Acceptance:
    """Test every reflection; see the module's text for the rules.

    Parameters
    ----------
    table
        With ``miller_index``, ``id``, ``flags``, ``xyzobs.mm.value`` [mm, mm, rad] and, unless
        all experiments are stills, ``s1`` [1/Å].
    experiments
        In the order of the table's ``id``.
    settings
        The cut-off and the margin are used here.

    Raises
    ------
    FormatError
        A column is missing, or an ``id`` has no experiment.
    """
    table.require(*_COLUMNS, *(() if all(e.is_still for e in experiments) else ("s1",)))
    ids = table["id"]
    if len(ids) and ids.max() >= len(experiments):
        row = int(np.argmax(ids >= len(experiments)))
        raise FormatError(
            f"row {row} has id {ids[row]}: there are {len(experiments)} experiments",
            path=table.source,
            key="id",
        )
    unindexed = ~table["miller_index"].any(axis=1) | (ids < 0)
    tests = {
        "not indexed": unindexed,
        "overloaded": table.has_flags(OVERLOADED),
        "not suitable": table.has_flags(NOT_SUITABLE_FOR_REFINEMENT),
        "position not finite": ~np.isfinite(table["xyzobs.mm.value"]).all(axis=1),
    }
    tests |= _scan_tests(table, experiments, settings)
    accepted = np.ones(len(table), dtype=bool)
    reasons = {}
    for reason, failed in tests.items():
        reasons[reason] = int((accepted & failed).sum())
        accepted &= ~failed
    return Acceptance(accepted, reasons)


def _scan_tests(
    table: ReflectionTable, experiments: Sequence[Experiment], settings: SelectionSettings
) -> dict[str, Bool]:
    """Masks of rows too close to the spindle, outside the scan, within its margins."""
    spindle, outside, margin = (np.zeros(len(table), dtype=bool) for _ in range(3))
    for number, experiment in enumerate(experiments):
        beam, goniometer, scan = experiment.beam, experiment.goniometer, experiment.scan
        rows = np.flatnonzero(table["id"] == number)
        if experiment.is_still or beam is None or goniometer is None or scan is None:
            continue
        axis = goniometer.setting @ goniometer.rotation_axis
        measure = spindle_measure(table["s1"][rows], beam.s0, axis)
        spindle[rows] = ~(measure > settings.close_to_spindle_cutoff)
        phi = table["xyzobs.mm.value"][rows, 2]
        first, width = scan.oscillation_deg
        # Rotation may run backwards: then the last image has the smallest angle.
        ends = np.sort([first * DEG, (first + width * scan.n_images) * DEG])
        outside[rows] = (phi < ends[0]) | (phi > ends[1])
        if settings.scan_margin_deg > 0.0:
            inset = (0.5 * abs(width) + settings.scan_margin_deg) * DEG
            margin[rows] = (phi < ends[0] + inset) | (phi > ends[1] - inset)
    return {"close to spindle": spindle, "outside scan": outside, "in scan margin": margin}


def observation_weights(
    table: ReflectionTable,
    rows: NDArray[np.intp] | None = None,
    *,
    still: bool = False,
    angle_weight: float = STILLS_ANGLE_WEIGHT,
) -> F64:
    """Weights of x, y and angle: 1 / ``xyzobs.mm.variance`` (n, 3) [1/mm^2, 1/mm^2, 1/rad^2].

    Parameters
    ----------
    table
        Reflections.
    rows
        (n,) those that are accepted; None: all.
    still, angle_weight
        For stills the third weight is constant [1/rad^2]; their stored variance is not used.

    Raises
    ------
    FormatError
        A variance in use is not a positive number.
    """
    table.require("xyzobs.mm.variance")
    rows = np.arange(len(table)) if rows is None else rows
    variances = np.array(table["xyzobs.mm.variance"][rows], dtype=np.float64)
    if still:
        variances[:, 2] = 1.0 / angle_weight
    bad = ~((variances > 0.0) & np.isfinite(variances)).all(axis=1)
    if bad.any():
        k = int(np.flatnonzero(bad)[np.argmin(rows[bad])])
        raise FormatError(
            f"{int(bad.sum())} of {len(rows)} rows of xyzobs.mm.variance are not positive, "
            f"the first is row {rows[k]}: {variances[k].tolist()}",
            path=table.source,
            key="xyzobs.mm.variance",
        )
    return np.asarray(1.0 / variances)


def table_order(table: ReflectionTable) -> NDArray[np.intp]:
    """Order of rows for refinement: as they are if sorted by ``id``, else by id, then panel."""
    ids = table["id"]
    if np.all(ids[1:] >= ids[:-1]):
        return np.arange(len(table))
    return np.lexsort((table["panel"], ids))


def random_subset(
    ids: NDArray[np.integer[Any]], experiments: Sequence[Experiment], settings: SelectionSettings
) -> Bool:
    """Mask (n,) of a random subset of each experiment, see ``reflections_per_degree``."""
    kept = np.ones(len(ids), dtype=bool)
    rng = np.random.default_rng(settings.seed)
    for number, experiment in enumerate(experiments):
        rows = np.flatnonzero(ids == number)
        size = max(_sample_size(len(rows), experiment, settings), settings.minimum_sample_size)
        if size < len(rows):
            kept[rows] = False
            kept[rng.choice(rows, size, replace=False)] = True
    return kept


def _sample_size(n: int, experiment: Experiment, settings: SelectionSettings) -> int:
    scan, wanted = experiment.scan, settings.reflections_per_degree
    if scan is None or wanted is None:
        return n
    width_deg = abs(scan.oscillation_deg[1]) * scan.n_images
    if wanted != "auto":
        return int(wanted * width_deg)
    turns = width_deg / 360.0
    return n if turns <= 1.0 else int(max(math.ceil(n / turns), _AUTO_PER_DEGREE * width_deg))
