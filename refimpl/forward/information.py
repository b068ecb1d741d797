r"""How well a simulated frame can determine its detector: Fisher information, Cramér-Rao bound.

Counts are Poisson, so for parameters :math:`\theta` the information of a set of pixels is

.. math:: I_{ij} = \sum_\mathrm{px} \frac1m \frac{\partial m}{\partial\theta_i}
          \frac{\partial m}{\partial\theta_j}

and no unbiased estimator has a smaller covariance than :math:`I^{-1}`. The geometry enters through
2-theta alone: that solid angle and polarisation also depend on it is left out, since no calibration
uses it. Intensities, width, shape and background can be taken as unknown too (Schur complement).
Not modelled: graininess and defects (leave such pixels out).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.tilted_flat import JACOBIAN_FIELDS, ring_coordinates, ring_jacobian
from refimpl.errors import ConfigError
from refimpl.forward.powder_image import (
    CORE_FWHM,
    CORE_PX,
    pixel_nodes,
    polarisation_factor,
    relative_solid_angle,
)
from refimpl.forward.simulated_frame import PowderTruth, SimulatedFrame, model_order
from refimpl.frames import F64

__all__ = ["GEOMETRY", "NUISANCE", "Information", "fisher_information"]

GEOMETRY = ("lsd_mm", "beam_fast_px", "beam_slow_px", "ty_rad", "tz_rad")
"""What a calibration refines by default."""

GLOBAL_FIELDS = JACOBIAN_FIELDS[:22]
"""Parameters of the whole detector; those of single panels are not offered."""

NUISANCE = ("intensity", "width", "mixing", "background")
"""What else may be unknown: each ring's intensity, the common width and Lorentz fraction, and the
level of the background; all but the fraction as logarithms."""

_BLOCK = 1 << 16
_UNDETERMINED = 1e-12  # relative eigenvalue below which a direction is lost in rounding
_NOTHING = 1e-12  # an information whose standard deviation is 1e6 mm, px or rad is rounding
_LN2 = float(np.log(2.0))


@dataclass(frozen=True, eq=False)
class Information:
    """Fisher information of a frame.

    Attributes
    ----------
    names
        Geometry parameters, then nuisance parameters.
    matrix
        (k, k) in the units of the names.
    n_geometry
        How many of the names are geometry.
    n_pixels
        How many pixels were used.
    """

    names: tuple[str, ...]
    matrix: F64
    n_geometry: int
    n_pixels: int

    def reduced(self) -> F64:
        """(g, g) information on the geometry when the nuisance parameters are unknown."""
        g = self.n_geometry
        inner = self.matrix[:g, :g]
        if g == len(self.names):
            return inner
        cross, rest = self.matrix[:g, g:], self.matrix[g:, g:]
        scale = np.sqrt(np.where(np.diag(rest) > 0.0, np.diag(rest), 1.0))
        # a ring that no pixel sees has no row of its own: the pseudo-inverse leaves it out
        inverse = np.linalg.pinv(rest / np.outer(scale, scale), _UNDETERMINED, hermitian=True)
        scaled = cross / scale
        return np.asarray(inner - scaled @ inverse @ scaled.T)

    def covariance(self) -> F64:
        """(g, g) Cramér-Rao bound on the geometry; inf where the frame determines nothing."""
        matrix = self.reduced()
        known = np.diag(matrix) > _NOTHING
        matrix = np.where(np.outer(known, known), matrix, 0.0)
        safe = np.where(known, np.sqrt(np.maximum(np.diag(matrix), _NOTHING)), 1.0)
        values, vectors = np.linalg.eigh(matrix / np.outer(safe, safe))
        good = values > _UNDETERMINED * max(float(values[-1]), 1e-300)
        inverse = (vectors[:, good] / values[good]) @ vectors[:, good].T
        out = inverse / np.outer(safe, safe)
        lost = np.sum(vectors[:, ~good] ** 2, axis=1) > 1e-6  # what a lost direction touches
        out[lost, :] = out[:, lost] = 0.0
        out[lost, lost] = np.inf
        return np.asarray(out)

    def bound(self) -> dict[str, float]:
        """Least standard deviation of each geometry parameter."""
        sigma = np.sqrt(np.diag(self.covariance()))
        return dict(zip(self.names[: self.n_geometry], sigma.tolist(), strict=True))


def fisher_information(
    frame: SimulatedFrame | PowderTruth,
    parameters: Sequence[str] = GEOMETRY,
    *,
    nuisance: Sequence[str] = NUISANCE,
    pixels: NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> Information:
    """Fisher information of a frame's pixels on its geometry.

    Parameters
    ----------
    frame
        A frame, or its truth alone.
    parameters
        Of the detector, from :data:`GLOBAL_FIELDS`.
    nuisance
        Unknowns to be estimated as well, from :data:`NUISANCE`.
    pixels
        (n_slow, n_fast) in the file's order, True where a pixel is used; None for every pixel
        that is neither masked nor a defect (for a truth alone: every pixel outside the gaps).
    threads
        See :func:`refimpl.dispatch.resolve_threads`.

    Returns
    -------
    Information

    Raises
    ------
    ConfigError
        A name is unknown, the pixels have another shape, or a pixel expects no counts at all.

    Notes
    -----
    The line profile is averaged over each pixel near a line with the nodes of the simulation; the
    derivative of 2-theta by the geometry is taken at the pixel's centre.
    """
    truth = frame if isinstance(frame, PowderTruth) else frame.truth
    _check_names("parameters", parameters, GLOBAL_FIELDS)
    _check_names("nuisance", nuisance, NUISANCE)
    used = _used(frame, pixels)
    columns = [JACOBIAN_FIELDS.index(name) for name in parameters]
    rings = [f"intensity_{k}" for k in range(len(truth.two_theta_rad))]
    extra = [name for item in nuisance for name in (rings if item == "intensity" else [item])]
    size = len(columns) + len(extra)
    total = np.zeros((size, size))
    slow, fast = (at.astype(np.float64) + 0.5 for at in np.nonzero(used))
    for start in range(0, len(fast), _BLOCK):  # in order, so the sum does not depend on threads
        some = slice(start, start + _BLOCK)
        m, design = _design(truth, fast[some], slow[some], columns, nuisance, threads)
        if not np.all(m > 0.0):
            raise ConfigError("fisher_information: a used pixel expects no counts")
        total += (design / m) @ design.T
    return Information((*parameters, *extra), total, len(columns), len(fast))


def _check_names(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"{what}: unknown {name!r}: expected some of {', '.join(known)}")


def _used(
    frame: SimulatedFrame | PowderTruth, pixels: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """Pixels to sum over, in the model frame."""
    truth = frame if isinstance(frame, PowderTruth) else frame.truth
    model = truth.model
    if pixels is not None:
        if np.shape(pixels) != model.file_shape:
            raise ConfigError(
                f"pixels has shape {np.shape(pixels)}: expected {model.file_shape}, "
                "the image as stored"
            )
        return model_order(np.asarray(pixels, dtype=bool), model.image_transform)
    if isinstance(frame, SimulatedFrame):
        return model_order(~(frame.mask | frame.defects), model.image_transform)
    used = np.full(model.shape, model.panel_boxes is None)
    for f0, s0, f1, s1 in () if model.panel_boxes is None else model.panel_boxes:
        used[s0:s1, f0:f1] = True
    return used


def _design(
    truth: PowderTruth,
    fast: F64,
    slow: F64,
    columns: list[int],
    nuisance: Sequence[str],
    threads: int | None,
) -> tuple[F64, F64]:
    """Expectation (n,) and its derivatives (k, n) by every parameter."""
    model = truth.model
    panel = model.panel_index(fast, slow)
    radius, eta, jacobian = ring_jacobian(
        fast,
        slow,
        panel,
        model.geometry,
        model.corrections,
        threads=threads,  # type: ignore[call-arg]
    )
    lsd = model.lsd_mm
    numerator = jacobian[:, columns].T * lsd
    numerator[[c == 0 for c in columns]] -= radius  # 2 theta = atan(R / lsd), and c = 0 is lsd
    two_theta_by = numerator / (lsd * lsd + radius * radius)
    two_theta = np.arctan(radius / lsd)
    factor = np.ones_like(two_theta)
    if truth.solid_angle:
        factor = factor * relative_solid_angle(model, fast, slow)
    if truth.polarisation is not None:
        factor = factor * polarisation_factor(two_theta, eta, *truth.polarisation)
    line = np.empty((len(truth.two_theta_rad), len(fast)))
    slope, by_width, by_mixing = np.zeros((3, len(fast)))
    crest = truth.line_counts
    for k, parts in enumerate(_lines(truth, fast, slow, panel, two_theta, threads)):
        line[k] = crest[k] * parts[0]
        slope += crest[k] * parts[1]
        by_width += crest[k] * parts[2] * truth.fwhm_rad[k]
        by_mixing += crest[k] * parts[3]
    background = truth.background_at(two_theta)
    rows = {
        "intensity": line * factor,
        "width": (by_width * factor)[None],
        "mixing": (by_mixing * factor)[None],
        "background": background[None],
    }
    design = np.vstack([two_theta_by * (slope * factor), *(rows[name] for name in nuisance)])
    return line.sum(axis=0) * factor + background, design


def _lines(
    truth: PowderTruth,
    fast: F64,
    slow: F64,
    panel: NDArray[np.int32],
    two_theta: F64,
    threads: int | None,
) -> Iterator[F64]:
    """For each ring (4, n): profile and its derivatives, averaged over pixels near the ring."""
    model = truth.model
    d_fast, d_slow, weight = pixel_nodes(truth.nodes)
    px_rad = max(model.pixel_size_mm) / model.lsd_mm
    for c, fwhm, eta in zip(truth.two_theta_rad, truth.fwhm_rad, truth.mixing, strict=True):
        parts = _profile(two_theta - c, fwhm, eta)
        core = np.flatnonzero(np.abs(two_theta - c) < max(CORE_FWHM * fwhm, CORE_PX * px_rad))
        mean = np.zeros((4, len(core)))
        for df, ds, w in zip(d_fast, d_slow, weight, strict=True):
            radius, _, _ = ring_coordinates(
                fast[core] + df,
                slow[core] + ds,
                panel[core],
                model.geometry,
                model.corrections,
                threads=threads,  # type: ignore[call-arg]
            )
            mean += w * _profile(np.arctan(radius / model.lsd_mm) - c, fwhm, eta)
        parts[:, core] = mean
        yield parts


def _profile(x: F64, fwhm: float, eta: float) -> F64:
    """(4, n): pseudo-Voigt of unit height, its derivative by x, FWHM and mixing."""
    z = x * (2.0 / fwhm)
    u = z * z
    lorentz = 1.0 / (1.0 + u)
    gauss = np.exp(-_LN2 * np.minimum(u, 1000.0))
    by_u = -eta * lorentz * lorentz - (1.0 - eta) * _LN2 * gauss
    return np.stack(
        [
            eta * lorentz + (1.0 - eta) * gauss,
            by_u * (4.0 * z / fwhm),
            by_u * (-2.0 * u / fwhm),
            lorentz - gauss,
        ]
    )
