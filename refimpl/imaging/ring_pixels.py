"""Pixels of the calibrant's rings, sorted into bins of (ring group, azimuth, panel).

Bins are true arcs: every pixel carries the scattering angle and the azimuth of its own centre at
the geometry given. No pixel is split, no two panels share a bin, and a partly masked bin keeps
the pixels that it has. What comes out is what the peak fits read, unbinned.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refimpl.bounds import check_within
from refimpl.detector.tilted_flat import ring_coordinates
from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.rotations import midas_tilt

__all__ = ["RingPixels", "ring_pixels"]


class RingPixels(NamedTuple):
    """Pixels by bin; bin b holds entries ``offsets[b]:offsets[b + 1]`` of the pixel arrays.

    Attributes
    ----------
    bin_id
        (b,) ``(group * n_eta + eta bin) * n_panels + panel`` of each bin that has pixels, rising.
    offsets
        (b + 1,).
    pixel
        (m,) flat index into the image, rising within a bin.
    two_theta_rad
        (m,) scattering angle of the pixel, averaged over its area to second order.
    eta_rad
        (m,) azimuth of its centre.
    response
        (m,) solid angle relative to that at the point of normal incidence, times polarisation.
    """

    bin_id: I64
    offsets: I64
    pixel: I64
    two_theta_rad: F64
    eta_rad: F64
    response: F64


MOST_MM = 1e6
"""Lengths of a geometry and radii of windows are below it."""


MOST_TURN = 0.2
"""Turns and tilts of a panel [rad] are below it: the search for its pixels goes so far."""


def _check_windows(
    panel_map: NDArray[np.int16],
    geometry: F64,
    corrections: F64,
    windows_mm: F64,
    n_eta: int,
    n_panels: int,
    polarisation: float,
) -> None:
    check_within("n_eta", n_eta, 1, 2**20)
    check_within("n_panels", n_panels, 1, 2**15)
    panels = min(n_panels, len(corrections)) if len(corrections) else n_panels
    check_within("panel_map", panel_map, -(2**15), panels - 1)
    for name, values in (("geometry", geometry), ("corrections", corrections)):
        if not (np.abs(values) < MOST_MM).all():
            raise ConfigError(f"{name}: expected finite numbers below {MOST_MM:g}")
    for name, value in (("Lsd", geometry[0]), ("pixel", geometry[6:8].min()), ("rho", geometry[8])):
        if not value >= 1.0 / MOST_MM:
            raise ConfigError(f"{name} = {value} mm: expected {1.0 / MOST_MM:g} or more", got=value)
    if not (np.abs(corrections[:, [4, 7, 8]]) < MOST_TURN).all():
        raise ConfigError(f"corrections: a panel turns or leans by {MOST_TURN} rad or more")
    if not -1.0 <= polarisation <= 2.0:
        raise ConfigError(
            f"polarisation = {polarisation}: expected -1 to 1, or 2", got=polarisation
        )
    edges = windows_mm.reshape(-1)
    if len(edges) and not (edges[0] >= 0.0 and edges[-1] < MOST_MM and (np.diff(edges) >= 0).all()):
        raise ConfigError("windows_mm do not rise from 0 or more")


@twin(
    "libm",
    check=_check_windows,
    usable="u1 s,f",
    panel_map="i2 s,f",
    geometry="f8 25",
    corrections="f8 p,9",
    windows_mm="f8 g,2",
)
def ring_pixels(
    usable: NDArray[np.uint8],
    panel_map: NDArray[np.int16],
    geometry: F64,
    corrections: F64,
    windows_mm: F64,
    n_eta: int,
    n_panels: int,
    polarisation: float,
) -> tuple[I64, I64, I64, F64, F64, F64]:
    r"""Sort the usable pixels of the ring windows into bins.

    A pixel counts what falls on its whole area. To second order in its size :math:`a` that is the
    line taken at a radius :math:`R + a^2/(24R) - a^2 R/(3(L^2+R^2))`: the curvature of the ring
    adds the first term; that of :math:`\arctan(R/L)` (2 parts of 24) and the gradient of the
    solid angle across the pixel (6 of 24) the second. Without them the centres of small rings come
    out too small, by 17 microstrain at a radius of 50 px. Derived in docs/theory/powder.

    Parameters
    ----------
    usable
        (s, f) 1 for a pixel that counts, model frame.
    panel_map
        (s, f) panel of each pixel; -1 in gaps, which are left out.
    geometry, corrections
        See :func:`refimpl.detector.tilted_flat.ring_coordinates`; with p = 0 the panels separate
        the bins but are not corrected.
    windows_mm
        (g, 2) ring radius from and to of each group on the nominal plane, rising, not overlapping.
    n_eta
        Number of azimuthal bins in the full circle; the first starts at -180 degrees.
    n_panels
        Panels in `panel_map`.
    polarisation
        Degree of linear polarisation in the horizontal plane, -1..1; 2 to leave it out.

    Returns
    -------
    bin_id, offsets, pixel, two_theta_rad, eta_rad, response
        The fields of :class:`RingPixels`, in order.
    """
    n_fast = usable.shape[1]
    index = np.flatnonzero((usable != 0) & (panel_map >= 0))
    fast, slow = index % n_fast + 0.5, index // n_fast + 0.5
    panel = panel_map.reshape(-1)[index].astype(np.int32)
    where = panel if len(corrections) else np.full_like(panel, -1)
    radius, eta, _ = ring_coordinates(
        fast,
        slow,
        where,
        geometry,
        corrections,
        backend="python",  # type: ignore[call-arg]
    )
    cos_eta, sin_eta = np.cos(eta), np.sin(eta)
    around = (geometry[6] * cos_eta) ** 2 + (geometry[7] * sin_eta) ** 2
    along = (geometry[6] * sin_eta) ** 2 + (geometry[7] * cos_eta) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        pull = along * radius / (3.0 * (geometry[0] * geometry[0] + radius * radius))
        radius = radius + (around / (24.0 * radius) - pull)
        group = np.searchsorted(windows_mm[:, 0], radius, side="right") - 1
        group[np.isnan(radius)] = -1
        inside = group >= 0
        inside[inside] = radius[inside] < windows_mm[group[inside], 1]
    bin_eta = np.floor((eta + np.pi) * (n_eta / (2.0 * np.pi))).astype(np.int64) % n_eta
    bins = ((group * n_eta + bin_eta) * n_panels + panel)[inside]
    order = np.argsort(bins, kind="stable")
    bin_id, first = np.unique(bins[order], return_index=True)
    offsets = np.append(first, len(order)).astype(np.int64)
    pick = np.flatnonzero(inside)[order]
    two_theta = np.arctan(radius[pick] / geometry[0])
    response = _response(fast[pick], slow[pick], two_theta, eta[pick], geometry, polarisation)
    return bin_id, offsets, index[pick], two_theta, eta[pick], response


def _response(
    fast: F64, slow: F64, two_theta: F64, eta: F64, geometry: F64, polarisation: float
) -> F64:
    """Solid angle (L/d)^3 of a pixel at distance d, times the polarisation factor."""
    t = midas_tilt(*geometry[3:6])
    y = -(fast - geometry[1]) * geometry[6]
    z = (slow - geometry[2]) * geometry[7]
    v = t[:, 1:2] * y + t[:, 2:3] * z
    d2 = (geometry[0] + v[0]) ** 2 + v[1] ** 2 + v[2] ** 2
    scale = geometry[0] / np.sqrt(d2)
    solid = scale * scale * scale
    if polarisation > 1.0:
        return np.asarray(solid)
    cos2 = np.cos(two_theta) ** 2
    # cos(2 eta) with eta from the vertical: a horizontally polarised beam dims the horizontal
    factor = 0.5 * (1.0 + cos2 + polarisation * np.cos(2.0 * eta) * (1.0 - cos2))
    return np.asarray(solid * factor)
