"""Calibration from the places that EPU itself noted for the holes (GridSquare_*.dm).

``target(hole) - stage = beam_shift @ M + c``: the beam shift is what brings the beam from where the
stage is to the hole. The shots of a hole are offset from its middle by a fixed step each, which the
visits have been freed of (:mod:`refimpl.epu.visits`); each grid square has a constant of its own,
because its holes were found in a picture of its own.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from refimpl.clustering.lattices import reduced
from refimpl.epu.calibration import Calibration
from refimpl.epu.hole_pattern import pattern_of
from refimpl.epu.session import Session
from refimpl.epu.visits import Visits, visits_of
from refimpl.errors import ConfigError, ConvergenceError
from refimpl.frames import F64, I64

__all__ = ["metadata"]

_HUBER = 1.345
"""Residuals, in spreads, beyond which a hole counts less (Huber 1981: 95 % efficient)."""
_FAR = 5.0  # medians of the distance beyond which a hole is elsewhere than planned
_LEAST = 4


def metadata(session: Session) -> Calibration:
    """Calibrate from the stage positions of the holes in the .dm files.

    Raises
    ------
    ConfigError
        The session has no such positions.
    ConvergenceError
        They are of fewer than four visited holes, or their beam shifts are on one line.
    """
    if session.holes is None or not len(session.holes):
        raise ConfigError(
            "metadata: no stage positions of holes: no Metadata/GridSquare_*.dm was found in "
            f"{session.folder}", key="method",
        )  # fmt: skip
    visits = visits_of(session)
    target = _targets(session.holes, visits, session.table["square"].to_numpy(dtype=np.int64))
    known = np.asarray(np.isfinite(target).all(axis=1))
    here = visits.some(known)
    holes, all_holes = (len(np.unique(v.hole)) for v in (here, visits))
    if holes < _LEAST:
        raise ConvergenceError(
            f"metadata: {holes} of {all_holes} visited holes have a stage position in the .dm "
            f"files, expected {_LEAST} or more"
        )
    matrix, sigma, away = _fit(here, target[known] - here.stage_um)
    far = np.hypot(*away.T)
    near = far <= _FAR * max(float(np.median(far)), 1e-9)
    rms = float(np.sqrt((away[near] ** 2).sum(axis=1).mean()))
    squares = len(np.unique(here.square))
    note = (
        f"from the stage positions of holes in the .dm files: {len(here)} of {len(visits)} visits, "
        f"{squares} grid {'squares' if squares > 1 else 'square'}"
    )
    if not near.all():
        note += (
            f"; {int((~near).sum())} visits are far from where their hole was planned (the stage "
            "did not move, or the hole was found elsewhere) and not in the rms"
        )
    return Calibration(
        "metadata", matrix, rms, len(here), sigma, _hole_lattice(session.holes), notes=(note,)
    )


def _targets(holes: pd.DataFrame, visits: Visits, square_of_row: I64) -> F64:
    """(h, 2) [um] stage position of the hole of each visit; NaN where none is noted."""
    first = np.full(len(visits), -1, dtype=np.int64)
    first[visits.row[::-1]] = np.arange(len(visits.row))[::-1]
    asked = pd.DataFrame({"square": square_of_row[first], "hole": visits.hole})
    # the last one counts: EPU writes a hole again when it is found again
    unique = holes.drop_duplicates(["square", "hole"], keep="last")
    if (asked["square"] < 0).all():
        unique, on = unique.drop_duplicates("hole", keep="last"), ["hole"]
    else:
        on = ["square", "hole"]
    found = asked.merge(unique[[*on, "stage_x_um", "stage_y_um"]], on=on, how="left")
    return found[["stage_x_um", "stage_y_um"]].to_numpy(dtype=np.float64)


def _fit(visits: Visits, way: F64) -> tuple[F64, F64, F64]:
    """Matrix, its uncertainties, and what is left; far ones count less (Huber, iterated)."""
    squares, row = np.unique(visits.square, return_inverse=True)
    own = (row.reshape(-1)[:, None] == np.arange(len(squares))).astype(np.float64)
    a = np.hstack([visits.beam_shift, own])
    weight = np.ones(len(a))
    free = len(a) - a.shape[1]
    if np.linalg.matrix_rank(a, tol=1e-6 * float(np.abs(a).max())) < a.shape[1] or free < 1:
        raise ConvergenceError(
            "metadata: the beam shifts to the holes with a stage position are on one line, or too "
            "few: they do not give a matrix"
        )
    answer = np.zeros((a.shape[1], 2))
    for _ in range(100):
        root = np.sqrt(weight)[:, None]
        before, answer = answer, np.linalg.lstsq(root * a, root * way, rcond=None)[0]
        away = way - a @ answer
        far = np.hypot(*away.T)
        # median distance of a normal scatter in two directions: 1.1774 of its spread in each
        spread = max(float(np.median(far)) / 1.1774, 1e-9)
        weight = 1.0 / np.maximum(far / (_HUBER * spread), 1.0)
        if np.abs(answer - before).max() < 1e-12 * np.abs(answer).max():
            break
    normal = np.linalg.inv(a.T @ (weight[:, None] * a))
    variance = float((weight[:, None] * away**2).sum()) / (2 * free)
    sigma = np.sqrt(variance * np.diag(normal)[:2, None] * np.ones(2))
    return answer[:2], sigma, away


def _hole_lattice(holes: pd.DataFrame) -> F64 | None:
    """Steps between the holes of the .dm files; None where they are on no lattice (lacey)."""
    place = holes[["stage_x_um", "stage_y_um"]].to_numpy(dtype=np.float64)
    square = np.unique(holes["square"].to_numpy(), return_inverse=True)[1].reshape(-1)
    n = np.arange(len(place))
    try:
        found = pattern_of(Visits(place, place, square, square, n, np.ones_like(n), n))
    except ConvergenceError:
        return None
    return reduced(found.basis)[0]
