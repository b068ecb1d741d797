r"""A calibrant's frame on any tilted, distorted, panelled detector, with its exact truth.

The expected counts of a pixel are

.. math::

   m = \Omega\, P \sum_k I_k \int_{\mathrm{pixel}} V(2\theta - 2\theta_k)\, df\, ds + b(2\theta)

with V a pseudo-Voigt of unit height that is symmetric in 2-theta. Not modelled: the sample's size
and absorption, axial divergence, parallax smearing within the sensor, charge sharing, dead time.
Solid angle, polarisation and background are taken at the pixel's centre.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import ring_coordinates
from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.forward.frame_defects import add_defects, grain_factor
from refimpl.forward.simulated_frame import (
    BAD_VALUE,
    GAP_VALUE,
    PowderTruth,
    SimulatedFrame,
    file_order,
    model_order,
)
from refimpl.frames import F64
from refimpl.rotations import midas_tilt

__all__ = ["NODES_BY_WIDTH", "expected_counts", "pixel_nodes", "polarisation_factor"]
__all__ += ["expectation", "nodes_for", "relative_solid_angle", "simulate"]

_LN2 = float(np.log(2.0))

GAUSS_REACH = 60.0
"""Where ``(2 x / FWHM)^2`` exceeds this the Gaussian, 1e-18 of its crest, is left out."""

CORE_FWHM, CORE_PX = 5.0, 6.0
"""Pixels closer to a line than both are integrated; the others take their centre's value.

There the profile is a Lorentz tail a / x^2 and the midpoint rule errs by (1 px / x)^2 / 4 of it:
less than 0.7 % of the tail, 2e-5 of the crest at 1 px FWHM, and the same on both sides of the line.
"""

NODES_BY_WIDTH = ((2.0, 3), (1.4, 4), (1.0, 5), (0.7, 7), (0.4, 10), (0.0, 16))
"""(least FWHM [px], Gauss-Legendre nodes a side): each keeps a line's centre to 1e-5 px."""

MOST_COUNTS = 1e9
"""Highest crest: Poisson counts stay within int32."""

_COUNTS = f"0 to {MOST_COUNTS:.0e} counts a pixel"

_BLOCK = 1 << 17
"""Pixels worked on at once: bounds the memory to some 20 MB."""


class _RingList(Protocol):
    @property
    def two_theta_rad(self) -> F64: ...
    @property
    def intensity(self) -> F64: ...


def _check_lines(mixing: F64) -> None:
    if not ((mixing >= 0.0) & (mixing <= 1.0)).all():
        raise ConfigError("mixing: expected fractions from 0 to 1")


@twin(
    "libm",
    check=_check_lines,
    two_theta_rad="f8 m,n",
    weight="f8 m",
    centre_rad="f8 h",
    fwhm_rad="f8 h",
    mixing="f8 h",
    crest="f8 h",
)
def expected_counts(
    two_theta_rad: F64, weight: F64, centre_rad: F64, fwhm_rad: F64, mixing: F64, crest: F64
) -> F64:
    r"""Sum of pseudo-Voigt lines, averaged over the quadrature nodes of each pixel.

    .. math::

       u_k &= (2 (t - c_k) / w_k)^2 \\
       m &= \sum_j W_j \sum_k I_k [\eta_k / (1 + u_k) + (1 - \eta_k) 2^{-u_k}]

    Parameters
    ----------
    two_theta_rad
        (m, n) [rad] at node j of pixel i.
    weight
        (m,) of the nodes, sum 1.
    centre_rad, fwhm_rad
        (h,) [rad] of the lines.
    mixing
        (h,) Lorentz fraction.
    crest
        (h,) height of each line [counts a pixel].

    Returns
    -------
    (n,) expected counts; NaN where a node's angle is NaN.

    Notes
    -----
    Every line counts everywhere: Lorentz tails are never cut. The Gaussian part is left out
    beyond :data:`GAUSS_REACH`, 1e-18 of its crest.
    Twin: ``refimpl/_ext/powder_image.pyx``.
    """
    total = np.zeros(two_theta_rad.shape[1])
    for w, t in zip(weight, two_theta_rad, strict=True):
        line = np.zeros_like(t)
        for c, fwhm, eta, height in zip(centre_rad, fwhm_rad, mixing, crest, strict=True):
            x = (t - c) * (2.0 / fwhm)
            u = x * x
            gauss = np.where(u > GAUSS_REACH, 0.0, np.exp(-(_LN2 * np.minimum(u, GAUSS_REACH))))
            line = line + height * (eta / (1.0 + u) + (1.0 - eta) * gauss)
        total = total + w * line
    return total


def pixel_nodes(nodes: int) -> tuple[F64, F64, F64]:
    """Gauss-Legendre rule on the unit square about a pixel's centre.

    Returns
    -------
    d_fast_px, d_slow_px, weight
        (nodes^2,) each; the weights sum to 1.
    """
    x, w = np.polynomial.legendre.leggauss(nodes)
    fast, slow = np.meshgrid(0.5 * x, 0.5 * x)
    return fast.ravel(), slow.ravel(), np.outer(0.5 * w, 0.5 * w).ravel()


def nodes_for(model: TiltedFlat, two_theta_rad: F64, fwhm_rad: F64) -> int:
    """Nodes a side that the narrowest line needs, by :data:`NODES_BY_WIDTH`."""
    px_rad = max(model.pixel_size_mm) / model.lsd_mm * np.cos(two_theta_rad) ** 2
    width_px = float(np.min(fwhm_rad / px_rad))
    return next(n for least, n in NODES_BY_WIDTH if width_px >= least)


def relative_solid_angle(model: TiltedFlat, fast_px: F64, slow_px: F64) -> F64:
    r"""Solid angle of (n,) pixels over that of one on the beam, facing it: :math:`(L/d)^3 n_x`.

    Panel corrections and distortion are left out: they change it by less than 1e-4.
    """
    t = midas_tilt(*model.tilts_rad)
    y = -(fast_px - model.beam_centre_px[0]) * model.pixel_size_mm[0]
    z = (slow_px - model.beam_centre_px[1]) * model.pixel_size_mm[1]
    v = np.outer(y, t[:, 1]) + np.outer(z, t[:, 2])
    v[:, 0] += model.lsd_mm
    d2 = np.einsum("ij,ij->i", v, v) / model.lsd_mm**2
    return np.asarray(float(t[0, 0]) / (d2 * np.sqrt(d2)))


def polarisation_factor(two_theta_rad: F64, eta_rad: F64, fraction: float, plane_rad: float) -> F64:
    r"""Thomson factor :math:`[1 + \cos^2 2\theta - f \cos 2(\eta - \eta_P) \sin^2 2\theta]/2`.

    Parameters
    ----------
    two_theta_rad, eta_rad
        (n,) [rad].
    fraction
        1 for a beam polarised along ``plane_rad``, 0 for an unpolarised one.
    plane_rad
        Azimuth of the electric field; horizontal is pi/2.

    Notes
    -----
    Source: Kahn et al., J. Appl. Cryst. 15 (1982) 330.
    """
    c2 = np.cos(two_theta_rad) ** 2
    return 0.5 * (1.0 + c2 - fraction * np.cos(2.0 * (eta_rad - plane_rad)) * (1.0 - c2))


def _near_a_line(model: TiltedFlat, truth: PowderTruth, two_theta: F64) -> NDArray[np.bool_]:
    """Pixels to integrate, by the rule of :data:`CORE_FWHM`."""
    px_rad = max(model.pixel_size_mm) / model.lsd_mm
    order = np.argsort(truth.two_theta_rad)
    centres = truth.two_theta_rad[order]
    reach = np.maximum(CORE_FWHM * truth.fwhm_rad[order], CORE_PX * px_rad)
    at = np.searchsorted(centres, two_theta)
    below, above = np.maximum(at - 1, 0), np.minimum(at, len(centres) - 1)
    return np.asarray(
        (np.abs(two_theta - centres[below]) < reach[below])
        | (np.abs(two_theta - centres[above]) < reach[above])
    )


def _block(truth: PowderTruth, fast: F64, slow: F64, threads: int | None) -> tuple[F64, F64, F64]:
    """Line counts of (n,) pixels before any factor, with 2-theta and eta of their centres."""
    model = truth.model
    geometry, corrections = model.geometry, model.corrections
    panel = model.panel_index(fast, slow)
    lines = (truth.two_theta_rad, truth.fwhm_rad, truth.mixing, truth.line_counts)

    def angles(f: F64, s: F64, p: NDArray[np.int32]) -> tuple[F64, F64]:
        radius, eta, _ = ring_coordinates(f, s, p, geometry, corrections, threads=threads)  # type: ignore[call-arg]
        return np.arctan(radius / model.lsd_mm), eta

    two_theta, eta = angles(fast, slow, panel)
    counts = expected_counts(two_theta[None], np.ones(1), *lines, threads=threads)  # type: ignore[call-arg]
    core = np.flatnonzero(_near_a_line(model, truth, two_theta))
    d_fast, d_slow, weight = pixel_nodes(truth.nodes)
    step = max(1, _BLOCK // len(weight))
    for start in range(0, len(core), step):
        some = core[start : start + step]
        f = (fast[some] + d_fast[:, None]).ravel()
        s = (slow[some] + d_slow[:, None]).ravel()
        t, _ = angles(f, s, np.tile(panel[some], len(weight)))
        t = t.reshape(len(weight), len(some))
        counts[some] = expected_counts(t, weight, *lines, threads=threads)  # type: ignore[call-arg]
    return counts, two_theta, eta


def expectation(
    truth: PowderTruth, *, graininess: float = 0.0, threads: int | None = None
) -> tuple[F64, F64, F64]:
    """Expected counts of every pixel.

    Parameters
    ----------
    truth
        Detector, lines and factors.
    graininess
        Relative spread of the intensity along each ring, see
        :func:`refimpl.forward.frame_defects.grain_factor`.
    threads
        See :func:`refimpl.dispatch.resolve_threads`; the result does not depend on it.

    Returns
    -------
    counts, two_theta_rad, eta_rad
        (n_slow, n_fast) each, in the model frame; NaN behind the sample. Gaps between panels are
        computed as if there were pixels.
    """
    model = truth.model
    n_slow, n_fast = model.shape
    out = np.empty((3, n_slow, n_fast))
    rows = max(1, _BLOCK // n_fast)
    grains = grain_factor(truth.two_theta_rad, graininess, truth.seed)
    for row in range(0, n_slow, rows):
        stop = min(row + rows, n_slow)
        f, s = (a.ravel() for a in np.meshgrid(np.arange(n_fast) + 0.5, np.arange(row, stop) + 0.5))
        counts, two_theta, eta = _block(truth, f, s, threads)
        if truth.solid_angle:
            counts = counts * relative_solid_angle(model, f, s)
        if truth.polarisation is not None:
            counts = counts * polarisation_factor(two_theta, eta, *truth.polarisation)
        counts = counts * grains(two_theta, eta) + truth.background_at(two_theta)
        for layer, values in zip(out, (counts, two_theta, eta), strict=True):
            layer[row:stop] = values.reshape(stop - row, n_fast)
    return out[0], out[1], out[2]


def _lines(rings: _RingList | tuple[Any, Any]) -> tuple[F64, F64]:
    """Line centres and relative intensities, from a ring list or a pair of arrays."""
    two_theta, intensity = (
        rings if isinstance(rings, tuple) else (rings.two_theta_rad, rings.intensity)
    )
    t = np.array(two_theta, dtype=np.float64).ravel()
    i = np.array(intensity, dtype=np.float64).ravel()
    if len(t) == 0 or t.shape != i.shape or not (np.all(t > 0.0) and np.all(t < 0.5 * np.pi)):
        raise ConfigError(
            f"rings: got {len(t)} angles and {len(i)} intensities: expected at least one ring, "
            "an intensity for each, and angles between 0 and pi/2 rad"
        )
    if not (np.all(i >= 0.0) and np.max(i) > 0.0):
        raise ConfigError("rings: intensities must not be negative, and one must be positive")
    return t, i


def _checked(name: str, value: float, low: float, high: float, accepted: str) -> float:
    if not (np.isfinite(value) and low <= value <= high):
        raise ConfigError(f"{name} = {value!r}: expected {accepted}", key=name, got=value)
    return float(value)


def _truth(model: TiltedFlat, rings: Any, given: dict[str, Any]) -> PowderTruth:
    """Check the arguments of :func:`simulate` and fill in what follows from them."""
    two_theta, intensity = _lines(rings)
    fwhm = np.broadcast_to(np.asarray(given["fwhm_rad"], dtype=np.float64), two_theta.shape)
    mixing = np.broadcast_to(np.asarray(given["mixing"], dtype=np.float64), two_theta.shape)
    _checked("fwhm_rad", float(np.min(fwhm)), 1e-12, np.inf, "a positive angle")
    for value in (float(np.min(mixing)), float(np.max(mixing))):
        _checked("mixing", value, 0.0, 1.0, "a fraction from 0 to 1")
    nodes = given["oversample"] or nodes_for(model, two_theta, fwhm)
    background = given["background"]
    if not callable(background):
        _checked("background", background, 0.0, MOST_COUNTS, _COUNTS)
    return PowderTruth(
        model=model,
        two_theta_rad=two_theta,
        intensity=intensity,
        fwhm_rad=fwhm.copy(),
        mixing=mixing.copy(),
        wavelength_angstrom=_checked(
            "wavelength_angstrom", given["wavelength_angstrom"], 1e-3, 1e3, "0.001 to 1000 Å"
        ),
        peak_counts=_checked("peak_counts", given["peak_counts"], 0.0, MOST_COUNTS, _COUNTS),
        background=background,
        polarisation=given["polarisation"],
        solid_angle=bool(given["solid_angle"]),
        nodes=int(_checked("oversample", nodes, 1, 64, "None or 1 to 64 nodes a side")),
        seed=int(given["seed"]),
        extra=given["extra"],
    )


def simulate(
    model: TiltedFlat,
    rings: _RingList | tuple[Any, Any],
    *,
    wavelength_angstrom: float,
    fwhm_rad: float | F64 = 1.0e-3,
    mixing: float | F64 = 0.4,
    peak_counts: float = 1000.0,
    background: float | Callable[[F64], F64] = 10.0,
    polarisation: tuple[float, float] | None = None,
    solid_angle: bool = True,
    mask: NDArray[np.bool_] | None = None,
    hot_pixels: int = 0,
    dead_pixels: int = 0,
    beam_stop_px: float = 0.0,
    graininess: float = 0.0,
    noise: str | None = "poisson",
    seed: int = 0,
    oversample: int | None = None,
    threads: int | None = None,
) -> SimulatedFrame:
    """Simulate the frame of a powder calibrant.

    Parameters
    ----------
    model
        The true detector; ``panel_boxes`` leave gaps, ``panel_corrections`` move panels.
    rings
        Anything with ``two_theta_rad`` (h,) and ``intensity`` (h,), or the pair of arrays.
    wavelength_angstrom
        Recorded in the truth; the rings must belong to it.
    fwhm_rad, mixing
        Width in 2-theta and Lorentz fraction of the pseudo-Voigt; one number or one a ring.
    peak_counts
        Counts a pixel on the crest of the strongest ring, above background.
    background
        Counts a pixel, or a function of 2-theta [rad].
    polarisation
        (fraction, azimuth of the plane of polarisation [rad]); None for no such factor.
    solid_angle
        Whether counts fall with the pixel's solid angle (1 on the beam).
    mask
        (n_slow, n_fast) in the *file's* order, True where the detector declares a bad pixel.
    hot_pixels, dead_pixels
        How many pixels lie without being declared: far too many counts, or none.
    beam_stop_px
        Radius of the shadow round the direct beam; 0 for none. Not declared either.
    graininess
        Relative spread of intensity along a ring, 0 for a perfect powder.
    noise
        ``"poisson"``, or None for the expectation itself.
    seed
        Of noise, defects and grains; PCG64, so a seed gives the same frame everywhere.
    oversample
        Gauss-Legendre nodes a side for pixels near a line; None takes :func:`nodes_for`.
    threads
        See :func:`refimpl.dispatch.resolve_threads`; the frame does not depend on it.

    Returns
    -------
    SimulatedFrame
        Image and masks in the file's order, with the truth.

    Raises
    ------
    ConfigError
        A number is out of range, the mask has another shape, the noise is unknown.

    Examples
    --------
    >>> from refimpl.detector.model import TiltedFlat
    >>> model = TiltedFlat((64, 80), (0.1, 0.1), 200.0, (40.0, 32.0))
    >>> frame = simulate(model, ([0.01], [1.0]), wavelength_angstrom=0.2, seed=1)
    >>> frame.image.shape, frame.image.dtype.name
    ((64, 80), 'int32')
    """
    if noise not in ("poisson", None):
        raise ConfigError(f"noise = {noise!r}: expected 'poisson' or None", key="noise", got=noise)
    given = {
        "fwhm_rad": fwhm_rad,
        "mixing": mixing,
        "peak_counts": peak_counts,
        "background": background,
        "polarisation": polarisation,
        "solid_angle": solid_angle,
        "wavelength_angstrom": wavelength_angstrom,
        "oversample": oversample,
        "seed": seed,
        "extra": {
            "hot_pixels": hot_pixels,
            "dead_pixels": dead_pixels,
            "beam_stop_px": beam_stop_px,
            "graininess": graininess,
            "noise": noise,
        },
    }
    truth = _truth(model, rings, given)
    gap, bad = _no_pixel(model, mask)
    counts, _, _ = expectation(truth, graininess=graininess, threads=threads)
    return _exposed(truth, counts, gap, bad)


def _no_pixel(
    model: TiltedFlat, mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Gaps between panels and declared bad pixels, model frame."""
    bad = np.zeros(model.shape, dtype=bool)
    if mask is not None:
        if np.shape(mask) != model.file_shape:
            raise ConfigError(
                f"mask has shape {np.shape(mask)}: expected {model.file_shape}, the image as stored"
            )
        bad = model_order(np.asarray(mask, dtype=bool), model.image_transform)
    gap = np.zeros(model.shape, dtype=bool)
    if model.panel_boxes is not None:
        gap[:] = True
        for f0, s0, f1, s1 in model.panel_boxes:
            gap[s0:s1, f0:f1] = False
    return gap, bad


def _exposed(
    truth: PowderTruth, counts: F64, gap: NDArray[np.bool_], bad: NDArray[np.bool_]
) -> SimulatedFrame:
    """Draw the counts, spoil pixels, cut gaps and put everything into the file's order."""
    model, extra = truth.model, truth.extra
    rng = np.random.Generator(np.random.PCG64(truth.seed))
    noise = extra["noise"] is not None
    if np.any(counts < 0.0):
        raise ConfigError("the expectation is negative in places: the background must be >= 0")
    # sample before the gaps are cut, so that a frame with gaps has the same noise as one without
    image: NDArray[Any] = (
        rng.poisson(np.nan_to_num(counts)).astype(np.int32) if noise else counts.copy()
    )
    image, defects = add_defects(
        image,
        ~(gap | bad),
        rng,
        beam_centre_px=model.beam_centre_px,
        peak_counts=truth.peak_counts,
        hot_pixels=extra["hot_pixels"],
        dead_pixels=extra["dead_pixels"],
        beam_stop_px=extra["beam_stop_px"],
    )
    counts = np.where(gap, np.nan, counts)
    image[bad] = BAD_VALUE if noise else np.nan
    image[gap] = GAP_VALUE if noise else np.nan
    codes = model.image_transform
    return SimulatedFrame(
        image=file_order(image, codes),
        expectation=file_order(counts, codes),
        mask=file_order(gap | bad, codes),
        defects=file_order(defects, codes),
        truth=truth,
    )
