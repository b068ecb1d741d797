r"""What panels have in common is the detector's: the gauge that panel errors are stated in.

Moving every panel alike is moving the beam; turning all of them about the beam moves no ring at
all; pushing them outwards in proportion to their distance from the beam, or changing all their
heights, is nearly another distance; heights that rise evenly across the detector are its tilt.
Panel errors are therefore stated with

.. math:: \sum d = 0,\quad \sum c\times d + \langle u^2\rangle\,\delta\theta = 0,\quad
          \sum c\cdot d = 0,\quad \sum h = \sum h\,c_f = \sum h\,c_s = 0

where c is a panel's centre, d its shift, h its height (dLsd) and :math:`\langle u^2\rangle` the
mean squared distance of its pixels from its centre. Of which point c is counted from does not
matter, since the shifts and the heights sum to 0; here it is the mean of the centres.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["ROWS", "draw_panel_errors", "gauge_rows", "in_gauge"]

ROWS = (
    "sum of d_fast_px", "sum of d_slow_px", "rotation", "expansion",
    "sum of d_lsd_mm", "tilt along fast", "tilt along slow",
)  # fmt: skip
"""Names of the constraints."""

_LEVEL_PX = 1e-6  # centres closer than this in a direction are in one line: no tilt to take out


def gauge_rows(
    boxes: I64, fields: Sequence[str], panels: NDArray[np.bool_] | None = None
) -> tuple[tuple[str, ...], F64]:
    """Constraints on the panel parameters, as rows that are 0 on every allowed set.

    Parameters
    ----------
    boxes
        (p, 4) fast0, slow0, fast1, slow1 of each panel, half open [px].
    fields
        (q,) names of :data:`~refimpl.detector.tilted_flat.PANEL_FIELDS`. What is not among them
        is held at 0 and takes no part; a row that only such fields enter is left out.
    panels
        (p,) True for the panels that take part; None for all.

    Returns
    -------
    names
        (m,) out of :data:`ROWS`.
    rows
        (m, p q), panel after panel, in the order of `fields`.

    Raises
    ------
    ConfigError
        A field is unknown.
    """
    for name in fields:
        if name not in PANEL_FIELDS:
            raise ConfigError(
                f"fields: unknown {name!r}: expected some of {', '.join(PANEL_FIELDS)}"
            )
    box = np.asarray(boxes, dtype=np.float64)
    on = np.ones(len(box)) if panels is None else np.asarray(panels, dtype=np.float64)
    centre = 0.5 * (box[:, :2] + box[:, 2:])
    arm = (centre - on @ centre / max(float(on.sum()), 1.0)) * on[:, None]
    spread = np.sum((box[:, 2:] - box[:, :2]) ** 2, axis=1) / 12.0 * on
    tilted = [np.ptp(arm[:, k]) > _LEVEL_PX for k in (0, 1)]
    terms: dict[str, dict[str, F64]] = {
        "sum of d_fast_px": {"d_fast_px": on},
        "sum of d_slow_px": {"d_slow_px": on},
        "rotation": {"d_fast_px": -arm[:, 1], "d_slow_px": arm[:, 0], "d_theta_rad": spread},
        "expansion": {"d_fast_px": arm[:, 0], "d_slow_px": arm[:, 1]},
        "sum of d_lsd_mm": {"d_lsd_mm": on},
        # panels in one line have no heights that rise across it: there their own tilts do it
        "tilt along fast": {"d_lsd_mm": arm[:, 0]} if tilted[0] else {"tilt_slow_rad": on},
        "tilt along slow": {"d_lsd_mm": arm[:, 1]} if tilted[1] else {"tilt_fast_rad": on},
    }
    found: dict[str, F64] = {}
    for row, parts in terms.items():
        table = np.zeros((len(box), len(fields)))
        for name, values in parts.items():
            if name in fields:
                table[:, fields.index(name)] = values
        if np.any(table != 0.0):
            found[row] = table.ravel()
    empty = np.zeros((0, len(box) * len(fields)))
    return tuple(found), np.array(list(found.values())) if found else empty


def in_gauge(values: F64, rows: F64, variance: F64 | None = None) -> F64:
    r"""Take out of panel parameters what the rows forbid: :math:`x - V G^T (G V G^T)^+ G x`.

    Parameters
    ----------
    values
        (k,) parameters.
    rows
        (m, k), as of :func:`gauge_rows`.
    variance
        (k,) of the parameters: a sample of a normal distribution becomes one of the same
        distribution under the condition of the rows. None: equal ones. A parameter of variance 0
        is left as it is.
    """
    if len(rows) == 0:
        return np.array(values, dtype=np.float64)
    v = np.ones(len(values)) if variance is None else np.asarray(variance, dtype=np.float64)
    size = np.sqrt(np.maximum((rows * rows) @ v, np.finfo(float).tiny))
    scaled = rows / size[:, None]  # px and mm side by side
    inverse = np.linalg.pinv((scaled * v) @ scaled.T, 1e-12, hermitian=True)
    return np.asarray(values - v * (scaled.T @ (inverse @ (scaled @ values))))


def draw_panel_errors(
    boxes: I64,
    widths: Mapping[str, float],
    rng: np.random.Generator,
    panels: NDArray[np.bool_] | None = None,
) -> F64:
    """Draw normal panel errors, those of some panels in the gauge.

    Parameters
    ----------
    boxes
        (p, 4), as in :func:`gauge_rows`.
    widths
        Standard deviation by field, in the field's unit; fields that are left out are 0.
    rng
        Where the numbers come from; it draws for every panel and every field.
    panels
        (p,) True for panels whose errors together are in the gauge; the others keep what they
        drew. None: all.

    Returns
    -------
    (p, 7) by :data:`~refimpl.detector.tilted_flat.PANEL_FIELDS`. Under the constraints the
    standard deviation of a panel is a little below its width: 0.3 px becomes 0.28 px for 10
    panels.
    """
    n = len(boxes)
    width = np.tile([widths.get(name, 0.0) for name in PANEL_FIELDS], n)
    drawn = rng.normal(0.0, 1.0, n * len(PANEL_FIELDS)) * width
    _, rows = gauge_rows(boxes, PANEL_FIELDS, panels)
    return in_gauge(drawn, rows, width * width).reshape(n, len(PANEL_FIELDS))
