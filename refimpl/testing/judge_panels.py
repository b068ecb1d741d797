r"""Two files of panel shifts: panel by panel, and in one gauge.

Two calibrations may share out differently what panels have in common with the detector: a shift of
all is the beam centre, a turn of all about the beam moves no ring, an expansion is nearly the
distance. So the differences are told as they stand, and after what the rows of
:mod:`refimpl.forward.panel_gauge` forbid is taken out of them. The rows need the places of the
panels, which a parameter file states; without it only the shift, the height and the turn that all
panels share are taken out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError
from refimpl.forward.panel_gauge import gauge_rows, in_gauge
from refimpl.frames import F64, I64
from refimpl.io.midas_outputs import PanelShifts
from refimpl.testing.judge import Judgement, Measure, Picture, judged, rms
from refimpl.units import DEG, UM

__all__ = ["DEFAULTS", "FIELDS", "panel_judgement"]

FIELDS: Final = ("d_fast_px", "d_slow_px", "d_theta_rad", "d_lsd_mm")
"""What a gauge can be of; an extra p2 of a panel has none."""

DEFAULTS: Final = {"in_plane_max_px": 0.1}
"""Tolerance unless others are given."""

_MDEG: Final = 1e-3 * DEG


def panel_judgement(
    a: PanelShifts,
    b: PanelShifts,
    boxes: I64 | None = None,
    *,
    names: tuple[str, str] = ("A", "B"),
    tolerances: Mapping[str, float | None] | None = None,
    sigmas: tuple[F64 | None, ...] = (None, None),
) -> Judgement:
    """Compare two tables of panel shifts.

    Parameters
    ----------
    a, b
        Tables of the same panels, in any order.
    boxes
        (p, 4) fast0, slow0, fast1, slow1 of each panel by its number [px], or None.
    names
        For the report.
    tolerances
        By name of the measure, over :data:`DEFAULTS`.
    sigmas
        Standard uncertainties (p, 5) of each in the units of the file, or None.

    Raises
    ------
    FormatError
        Other panels in the two, or than in `boxes`.
    """
    order = np.argsort(a.panel_id), np.argsort(b.panel_id)
    ids = a.panel_id[order[0]]
    if not np.array_equal(ids, b.panel_id[order[1]]):
        odd = sorted({*map(int, a.panel_id)} ^ {*map(int, b.panel_id)})
        raise FormatError(f"the two are of other panels; only in one: {odd[:8]}", path=names[1])
    if boxes is not None and ids[-1] >= len(boxes):
        raise FormatError(f"panel {ids[-1]}: the parameters have {len(boxes)}, from 0",
                          path=names[1])  # fmt: skip
    table = _columns(b)[order[1]] - _columns(a)[order[0]]
    plain = table * (1.0, 1.0, DEG, UM, 1.0)
    places = None if boxes is None else boxes[ids]
    left, note = _gauged(plain[:, :4], places)
    measures = [
        Measure("in_plane_rms_px", rms(np.hypot(*left[:, :2].T)), "shifts in one gauge"),
        Measure("in_plane_max_px", _top(np.hypot(*left[:, :2].T)), "the largest"),
        Measure("d_theta_max_mdeg", _top(left[:, 2]) / _MDEG, "turns in one gauge, the largest"),
        Measure("d_lsd_max_um", _top(left[:, 3]) / UM, "heights in one gauge, the largest"),
        Measure("d_p2_max", _top(plain[:, 4]), "extra p2, the largest"),
        Measure("plain_in_plane_max_px", _top(np.hypot(*plain[:, :2].T)), "shifts as they stand"),
        Measure("plain_d_theta_max_mdeg", _top(plain[:, 2]) / _MDEG, "turns as they stand"),
        Measure("plain_d_lsd_max_um", _top(plain[:, 3]) / UM, "heights as they stand"),
    ]
    notes = [note]
    found, words = _in_sigmas(left, plain[:, 4], sigmas, order)
    measures += found
    notes += words
    details: dict[str, Any] = {
        "panels": len(ids), "panel_id": ids.tolist(),
        "difference": {n: v for n, v in zip(("d_fast_px", "d_slow_px", "d_theta_deg", "d_lsd_um",
                                             "d_p2"), table.T.tolist(), strict=True)},
        "in_gauge": {n: v for n, v in zip(FIELDS, left.T.tolist(), strict=True)},
    }  # fmt: skip
    return Judgement(
        "panels", *names, judged(measures, DEFAULTS, tolerances or {}), tuple(notes), details,
        _pictures(ids, places, plain, left),
    )  # fmt: skip


def _columns(table: PanelShifts) -> F64:
    return np.stack(
        [table.d_y_px, table.d_z_px, table.d_theta_deg, table.d_lsd_um, table.d_p2], axis=1
    )


def _top(values: F64) -> float:
    return float(np.abs(values).max())


def _gauged(difference: F64, boxes: I64 | None) -> tuple[F64, str]:
    """(p, 4) differences in one gauge, and what was done; a field equal in both takes no part."""
    left = difference.copy()
    if boxes is None:
        left -= left.mean(axis=0)
        return left, (
            "no --parameters: places of panels are not known, so only the mean of each field is "
            "taken out, not a turn or an expansion of the whole"
        )
    differs = [bool(np.any(difference[:, k] != 0.0)) for k in range(4)]
    fields = [k for k, one in enumerate(differs) if one or (k < 2 and differs[2])]
    if not fields:
        return left, "no difference"
    names, rows = gauge_rows(boxes, [FIELDS[k] for k in fields])
    # panels that hold their turns cannot turn together
    keep = [k for k, name in enumerate(names) if name != "rotation" or differs[2]]
    # with these weights what is taken out of shifts and turns is a turn of the whole, as it stands
    weight = np.ones((len(boxes), 4))
    weight[:, 2] = 12.0 / np.sum((boxes[:, 2:] - boxes[:, :2]).astype(float) ** 2, axis=1)
    moved = in_gauge(difference[:, fields].ravel(), rows[keep], weight[:, fields].ravel())
    left[:, fields] = moved.reshape(-1, len(fields))
    return left, f"taken out of the differences: {', '.join(names[k] for k in keep)}"


def _in_sigmas(
    left: F64, p2: F64, sigmas: tuple[F64 | None, ...], order: tuple[NDArray[np.intp], ...]
) -> tuple[list[Measure], list[str]]:
    known = [s[o] for s, o in zip(sigmas, order, strict=True) if s is not None]
    if not known:
        return [], ["no uncertainties: panels.csv is beside neither"]
    total = np.sqrt(sum(s * s for s in known)) * (1.0, 1.0, DEG, UM, 1.0)
    values = np.column_stack([left, p2])
    good = np.isfinite(total) & (total > 0.0)
    if not good.any():
        return [], ["no panel was refined with an uncertainty"]
    z = values[good] / total[good]
    word = "both" if len(known) == 2 else "one of them alone"
    return (
        [
            Measure("panels_rms_sigma", rms(z), f"differences by the σ of {word}, rms"),
            Measure("panels_max_sigma", float(np.abs(z).max()), "the largest"),
        ],
        ["σ are those of each file's own gauge, combined as if independent"],
    )


def _pictures(ids: I64, boxes: I64 | None, plain: F64, left: F64) -> tuple[Picture, ...]:
    size, height = np.hypot(left[:, 0], left[:, 1]), left[:, 3] / UM
    label, told = "shift (px)", "px, B minus A"
    if boxes is None:
        number = ids.astype(float)
        shown = [Picture("Shift of each panel, mean taken out", label, size,
                         np.stack([number, size], axis=1), ("panel", label))]  # fmt: skip
        places, axes = np.stack([number, height], axis=1), ("panel", "dLsd (µm)")
    else:
        places, axes = 0.5 * (boxes[:, :2] + boxes[:, 2:]).astype(float), ("Y (px)", "Z (px)")
        before = np.hypot(plain[:, 0], plain[:, 1])
        shown = [
            Picture("Shifts as they stand", label, before, places, axes, plain[:, :2], told),
            Picture("Shifts in one gauge", label, size, places, axes, left[:, :2], told),
        ]
    if np.any(height != 0.0):
        shown.append(Picture("Heights in one gauge", "dLsd (µm)", height, places, axes))
    return tuple(shown)
