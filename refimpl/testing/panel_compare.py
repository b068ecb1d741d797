r"""Errors of found panels against the truth: one gauge for both, and what is judged.

Two fits may share out differently what panels have in common with the detector. Both are brought
to one gauge: a found set x becomes :math:`T x` and its covariance :math:`T C T^T` with

.. math:: T = 1 - M\,(G M)^{+}\, G

where the columns of M change detector and panels together so that no ring moves, and G are the
rows of :mod:`refimpl.forward.panel_gauge` (the S-transformation of geodesy; Baarda, 1973).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.forward.panel_gauge import gauge_rows
from refimpl.forward.panel_information import PanelInformation
from refimpl.frames import F64, I64

__all__ = ["QUANTITIES", "common_modes", "mahalanobis", "quantities", "to_gauge"]

QUANTITIES = (*PANEL_FIELDS, "radial_px", "sideways_px")
"""What is judged of each panel: its fields, and its shift away from the beam and across."""

_FLAT = 1e-9  # relative eigenvalue of a correlation matrix that the gauge has made 0

_UNDONE_BY = {
    "sum of d_fast_px": "beam_fast_px",
    "sum of d_slow_px": "beam_slow_px",
    "rotation": "rotation",
    "sum of d_lsd_mm": "lsd_mm",
    "tilt along fast": "tz_rad",
    "tilt along slow": "ty_rad",
}
"""Row of the gauge to the mode that changes it."""


def to_gauge(information: PanelInformation, model: TiltedFlat, seen: NDArray[np.bool_]) -> F64:
    """T of the module's docstring, the identity on what is in the gauge already.

    The tilts of the detector are exchanged with those of the panels only where these are refined:
    without them heights alone cannot undo a tilt. Nor can anything undo the radial expansion,
    unless the heights are not refined; then the distance nearly does.

    Parameters
    ----------
    information
        Of the scene, with the fields that were refined.
    model
        The true detector.
    seen
        (p,) panels that the gauge is over.

    Returns
    -------
    (k, k) by the names of `information`.
    """
    fields, boxes = information.fields, model.panel_boxes
    assert boxes is not None
    names, rows = gauge_rows(boxes, fields, seen)
    modes = common_modes(information, model)
    pairs = dict(_UNDONE_BY)
    if not {"tilt_fast_rad", "tilt_slow_rad"} <= set(fields):
        del pairs["tilt along fast"], pairs["tilt along slow"]
    if "d_lsd_mm" not in fields:
        pairs["expansion"] = "lsd_mm"
    pairs = {row: mode for row, mode in pairs.items() if row in names and mode in modes}
    g, k = len(information.parameters), len(information.names)
    if not pairs:
        return np.eye(k)
    wide = np.zeros((len(pairs), k))
    wide[:, g:] = rows[[names.index(row) for row in pairs]]
    wide /= np.sqrt(np.sum(wide * wide, axis=1))[:, None]
    m = np.array([modes[mode] for mode in pairs.values()]).T
    length = np.sqrt(np.sum((wide @ m) ** 2, axis=0))
    return np.asarray(np.eye(k) - (m / length) @ np.linalg.pinv(wide @ m / length, 1e-9) @ wide)


def common_modes(information: PanelInformation, model: TiltedFlat) -> dict[str, F64]:
    """Changes of detector and panels together that move no ring, or next to none.

    Parameters
    ----------
    information
        Of the scene; says what each panel can do instead of each parameter of the detector.
    model
        The true detector.

    Returns
    -------
    name -> (g + p q,): the detector's parameter by 1 and what undoes it on each panel, for every
    parameter; and ``rotation`` of all panels about the beam, where the tilt turns with them.
    """
    g, q, p = len(information.parameters), len(information.fields), len(information.blocks)
    out = {}
    for k, name in enumerate(information.parameters):
        mode = np.zeros(g + p * q)
        mode[k] = 1.0
        for i, (block, cross) in enumerate(zip(information.blocks, information.cross, strict=True)):
            size = np.sqrt(np.where(np.diag(block) > 0.0, np.diag(block), 1.0))
            inverse = np.linalg.pinv(block / np.outer(size, size), 1e-10, hermitian=True)
            mode[g + i * q : g + (i + 1) * q] = -(inverse @ (cross[k] / size)) / size
        out[name] = mode
    turn = np.zeros((p, q))
    arm = model.corrections[:, :2] + model.corrections[:, 2:4] - np.array(model.beam_centre_px)
    parts = {"d_fast_px": -arm[:, 1], "d_slow_px": arm[:, 0], "d_theta_rad": np.ones(p)}
    if set(parts) <= set(information.fields):
        for name, values in parts.items():
            turn[:, information.fields.index(name)] = values
        # on a tilted detector the direction of the tilt turns with it
        slope = np.einsum("pgq,pq->g", information.cross[:, :g], turn)
        border = information.border[:g, :g]
        size = np.sqrt(np.where(np.diag(border) > 0.0, np.diag(border), 1.0))
        inverse = np.linalg.pinv(border / np.outer(size, size), 1e-12, hermitian=True)
        out["rotation"] = np.concatenate([-(inverse @ (slope / size)) / size, turn.ravel()])
    return out


def mahalanobis(error: F64, covariance: F64) -> tuple[float, int]:
    """Squared length of an error in the metric of its covariance, and the covariance's rank."""
    sigma = np.sqrt(np.diag(covariance))
    if len(sigma) == 0:
        return 0.0, 0
    values, vectors = np.linalg.eigh(covariance / np.outer(sigma, sigma))
    good = values > _FLAT * values[-1]
    along = vectors[:, good].T @ (error / sigma)
    return float(np.sum(along * along / values[good])), int(np.sum(good))


def quantities(
    model: TiltedFlat, fields: tuple[str, ...], compared: NDArray[np.bool_]
) -> tuple[F64, tuple[I64, I64]]:
    """Rows that make each judged number of the panel parameters, and its (panel, quantity)."""
    p, q = compared.shape
    arm = model.corrections[:, :2] - np.array(model.beam_centre_px)
    arm /= np.hypot(*arm.T)[:, None]
    rows, panels, numbers = [], [], []
    for i in range(p):
        parts: dict[str, dict[str, float]] = {f: {f: 1.0} for f in fields}
        if {"d_fast_px", "d_slow_px"} <= set(fields):
            c, s = (float(v) for v in arm[i])
            parts["radial_px"] = {"d_fast_px": c, "d_slow_px": s}
            parts["sideways_px"] = {"d_fast_px": -s, "d_slow_px": c}
        for name, terms in parts.items():
            if not all(compared[i, fields.index(f)] for f in terms):
                continue
            row = np.zeros(p * q)
            for f, factor in terms.items():
                row[i * q + fields.index(f)] = factor
            rows.append(row)
            panels.append(i)
            numbers.append(QUANTITIES.index(name))
    table = np.array(rows).reshape(-1, p * q)
    return table, (np.array(panels, dtype=np.int64), np.array(numbers, dtype=np.int64))
