r"""How well a frame can determine each panel: Fisher information in arrow form, and its bound.

A pixel depends on the detector's parameters, on those of its own panel and on no other's. So the
information is an arrow: a border for the detector and the nuisance, and one block a panel, and
the work and the memory grow with the number of pixels and of panels, not with its square.

Panels and detector have freedoms in common, so there is a bound only under constraints
:math:`G x = 0` (:mod:`refimpl.forward.panel_gauge`). With U a basis of what they allow,

.. math:: C = U\,(U^T (I + P)\, U)^{-1}\, U^T

is the least covariance (Gorman and Hero, IEEE Trans. Inf. Theory 36 (1990) 1285; in this form
Stoica and Ng, IEEE Signal Process. Lett. 5 (1998) 177). :math:`P = \mathrm{diag}(1/w^2)` is what
normal priors of width w know beforehand: C is then the least mean square error over panels drawn
from the priors (van Trees, 1968).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from refimpl.detector.tilted_flat import JACOBIAN_FIELDS, PANEL_FIELDS
from refimpl.errors import ConfigError
from refimpl.forward.information import (
    GEOMETRY,
    GLOBAL_FIELDS,
    NUISANCE,
    _check_names,
    _design,
    _used,
)
from refimpl.forward.simulated_frame import PowderTruth, SimulatedFrame
from refimpl.frames import F64, I64

__all__ = ["PANEL_PARAMETERS", "PanelInformation", "constrained_covariance", "panel_information"]

PANEL_PARAMETERS = ("d_fast_px", "d_slow_px", "d_theta_rad", "d_lsd_mm")
"""What a refinement of shift, rotation and height refines."""

_BLOCK = 1 << 16
_UNDETERMINED = 1e-12  # relative eigenvalue below which a direction is lost in rounding
_TOUCHED = 1e-6  # share of a lost direction that makes a parameter lost


@dataclass(frozen=True, eq=False)
class PanelInformation:
    """Fisher information of a frame on its detector and its panels.

    Attributes
    ----------
    parameters, nuisance, fields
        (g,), (h,), (q,) names: of the whole detector, nuisance, of each panel.
    border
        (g + h, g + h) information on the detector and the nuisance.
    cross
        (p, g + h, q) between the border and each panel.
    blocks
        (p, q, q) on each panel.
    n_pixels
        (p,) pixels used.
    """

    parameters: tuple[str, ...]
    nuisance: tuple[str, ...]
    fields: tuple[str, ...]
    border: F64
    cross: F64
    blocks: F64
    n_pixels: I64

    @property
    def names(self) -> tuple[str, ...]:
        """(g + p q,) ``lsd_mm`` and the like, then ``0.d_fast_px`` and the like."""
        panels = range(len(self.blocks))
        return (*self.parameters, *(f"{i}.{name}" for i in panels for name in self.fields))

    def reduced(self) -> F64:
        """(g + p q, g + p q) information when the nuisance parameters are unknown."""
        g, p, q = len(self.parameters), len(self.blocks), len(self.fields)
        out = np.zeros((g + p * q, g + p * q))
        out[:g, :g] = self.border[:g, :g]
        for i, (cross, block) in enumerate(zip(self.cross, self.blocks, strict=True)):
            at = slice(g + i * q, g + (i + 1) * q)
            out[:g, at], out[at, :g], out[at, at] = cross[:g], cross[:g].T, block
        if not self.nuisance:
            return out
        rest = self.border[g:, g:]
        to_rest = np.hstack([self.border[g:, :g], *self.cross[:, g:]])
        scale = np.sqrt(np.where(np.diag(rest) > 0.0, np.diag(rest), 1.0))
        # a ring that no pixel sees has no row of its own: the pseudo-inverse leaves it out
        inverse = np.linalg.pinv(rest / np.outer(scale, scale), _UNDETERMINED, hermitian=True)
        scaled = to_rest / scale[:, None]
        return np.asarray(out - scaled.T @ inverse @ scaled)

    def covariance(
        self,
        rows: F64 | None = None,
        *,
        priors: Mapping[str, float] | None = None,
        known: Collection[str] = (),
    ) -> F64:
        """Least covariance of :attr:`names`.

        Parameters
        ----------
        rows
            (m, p q) constraints on the panels, as of
            :func:`refimpl.forward.panel_gauge.gauge_rows`; None for none.
        priors
            Standard deviation of a normal prior about 0, by panel field.
        known
            Names out of :attr:`names` that are not estimated.

        Returns
        -------
        (g + p q, g + p q); inf on the diagonal for what is not determined, 0 for what is known.
        """
        names, g = self.names, len(self.parameters)
        width = np.array([(priors or {}).get(name, np.inf) for name in self.fields])
        prior = np.concatenate([np.zeros(g), np.tile(width**-2.0, len(self.blocks))])
        matrix = self.reduced() + np.diag(prior)
        free = np.flatnonzero([name not in known for name in names])
        wide = np.zeros((0 if rows is None else len(rows), len(names)))
        if rows is not None:
            wide[:, g:] = rows
        out = np.zeros_like(matrix)
        out[np.ix_(free, free)] = constrained_covariance(matrix[np.ix_(free, free)], wide[:, free])
        return out


def constrained_covariance(information: F64, rows: F64) -> F64:
    """Least covariance under linear constraints, equation of the module's docstring.

    Parameters
    ----------
    information
        (k, k).
    rows
        (m, k); they may depend on each other, m may be 0.

    Returns
    -------
    (k, k); inf on the diagonal of every parameter that an undetermined direction touches, with 0
    beside it.
    """
    diagonal = np.diag(information)
    scale = np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    basis = _allowed(rows / scale)
    values, vectors = np.linalg.eigh(basis.T @ (information / np.outer(scale, scale)) @ basis)
    vectors = basis @ vectors
    good = values > _UNDETERMINED * max(float(values[-1]), 1e-300)
    inverse = (vectors[:, good] / values[good]) @ vectors[:, good].T
    out = inverse / np.outer(scale, scale)
    lost = np.sum(vectors[:, ~good] ** 2, axis=1) > _TOUCHED
    out[lost, :] = out[:, lost] = 0.0
    out[lost, lost] = np.inf
    return np.asarray(out)


def _allowed(rows: F64) -> F64:
    """(k, k - m) orthonormal basis of what m independent rows send to 0."""
    length = np.sqrt(np.sum(rows * rows, axis=1))
    rows = rows[length > 0.0] / length[length > 0.0, None]
    if len(rows) == 0:
        return np.eye(rows.shape[1])
    _, size, right = np.linalg.svd(rows, full_matrices=True)
    return np.asarray(right[int(np.sum(size > 1e-9 * size[0])) :].T)


def panel_information(
    frame: SimulatedFrame | PowderTruth,
    parameters: Sequence[str] = GEOMETRY,
    fields: Sequence[str] = PANEL_PARAMETERS,
    *,
    nuisance: Sequence[str] = NUISANCE,
    stride: int = 1,
    threads: int | None = None,
) -> PanelInformation:
    """Fisher information of a frame's pixels on its detector and on each panel.

    Parameters
    ----------
    frame
        A frame, or its truth alone; pixels that are masked or a defect are left out.
    parameters
        Of the detector, from :data:`refimpl.forward.information.GLOBAL_FIELDS`.
    fields
        Of each panel, from :data:`~refimpl.detector.tilted_flat.PANEL_FIELDS`.
    nuisance
        Unknowns to be estimated as well, from :data:`refimpl.forward.information.NUISANCE`.
    stride
        Take every so many-th pixel of a panel, row after row, and count it so many times. With 3
        the bounds of the panels change by about 1 %.
    threads
        See :func:`refimpl.dispatch.resolve_threads`.

    Raises
    ------
    ConfigError
        A name is unknown, the detector has no panels, the stride is not positive, or a pixel
        expects no counts at all.

    Notes
    -----
    As :func:`refimpl.forward.information.fisher_information`: pixels are integrated over near a
    line, derivatives are taken at their centres.
    """
    truth = frame if isinstance(frame, PowderTruth) else frame.truth
    _check_names("parameters", parameters, GLOBAL_FIELDS)
    _check_names("fields", fields, PANEL_FIELDS)
    _check_names("nuisance", nuisance, NUISANCE)
    boxes = truth.model.panel_boxes
    if boxes is None:
        raise ConfigError("panel_information: the detector has no panels")
    if stride < 1:
        raise ConfigError(f"stride = {stride!r}: expected 1 or more", key="stride", got=stride)
    used = _used(frame, None)
    rings = [f"intensity_{k}" for k in range(len(truth.two_theta_rad))]
    extra = tuple(name for item in nuisance for name in (rings if item == "intensity" else [item]))
    g, q, rim = len(parameters), len(fields), len(parameters) + len(extra)
    columns = [JACOBIAN_FIELDS.index(name) for name in (*parameters, *fields)]
    border = np.zeros((rim, rim))
    cross, blocks = np.zeros((len(boxes), rim, q)), np.zeros((len(boxes), q, q))
    n_pixels = np.zeros(len(boxes), dtype=np.int64)
    for i, (f0, s0, f1, s1) in enumerate(boxes):
        at_slow, at_fast = np.nonzero(used[s0:s1, f0:f1])
        n_pixels[i] = len(at_fast)
        fast, slow = at_fast[::stride] + (f0 + 0.5), at_slow[::stride] + (s0 + 0.5)
        for start in range(0, len(fast), _BLOCK):
            some = slice(start, start + _BLOCK)
            m, design = _design(truth, fast[some], slow[some], columns, nuisance, threads)
            if not np.all(m > 0.0):
                raise ConfigError("panel_information: a used pixel expects no counts")
            outer = np.vstack([design[:g], design[g + q :]])
            own = design[g : g + q]
            border += stride * ((outer / m) @ outer.T)
            cross[i] += stride * ((outer / m) @ own.T)
            blocks[i] += stride * ((own / m) @ own.T)
    return PanelInformation(
        tuple(parameters), extra, tuple(fields), border, cross, blocks, n_pixels
    )
