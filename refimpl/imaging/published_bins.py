r"""Published bins over (ring, azimuth): windows, pixels, and which bins are left out.

Source: MIDAS `CalibrantPanelShiftsOMP` as of the AutoCalibrate manual version 10; its quirks
are kept and named. Not here: what is made of the pixels,
see :mod:`refimpl.imaging.chord_bins`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.tilted_flat import GEOMETRY_FIELDS, ring_coordinates
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.units import DEG

__all__ = ["BinPixels", "RingWindows", "collect_pixels", "eta_bin_count", "ring_windows"]

EDGE_MARGIN_PX = 3  # a bin's outer corners keep this far from the edge of the image
ROWS_AT_ONCE = 128
_P4 = GEOMETRY_FIELDS.index("iso_r6")


def eta_bin_count(eta_bin_deg: float) -> int:
    """Number of azimuth bins, ceil(359.99 / EtaBinSize).

    Raises
    ------
    ConfigError
        The bin is not wider than 0 and narrower than 90 degrees.
    """
    if not 0.0 < eta_bin_deg < 90.0:
        raise ConfigError(
            f"EtaBinSize = {eta_bin_deg:g} degrees: expected more than 0 and less than 90",
            key="EtaBinSize",
            got=eta_bin_deg,
        )
    return math.ceil(359.99 / eta_bin_deg)


@dataclass(frozen=True, eq=False)
class RingWindows:
    """Where each ring is looked for.

    Attributes
    ----------
    ring
        (k,) ring numbers by rising radius.
    ideal_mm, low_mm, high_mm
        (k,) radius of the ring and the limits of its window, on the plane at the distance.
    steps
        (k,) steps of radius that the window is parted into.
    """

    ring: I64
    ideal_mm: F64
    low_mm: F64
    high_mm: F64
    steps: I64


def ring_windows(
    ring: I64,
    two_theta_rad: F64,
    lsd_mm: float,
    rho_d_mm: float,
    width_mm: float,
    pixel_mm: float,
    r_bin_divisions: int = 4,
) -> RingWindows:
    """Published windows: 2-theta -+ the angle that 2 Width spans at RhoD.

    Parameters
    ----------
    ring, two_theta_rad
        (k,) rings by rising 2-theta.
    lsd_mm, rho_d_mm
        Distance and published RhoD.
    width_mm
        Published Width; the whole window is about four times as wide.
    pixel_mm
        Pixel size.
    r_bin_divisions
        Published RBinDivisions.
    """
    far = math.atan((rho_d_mm + width_mm) / lsd_mm)
    tolerance = far - math.atan((rho_d_mm - width_mm) / lsd_mm)
    low = lsd_mm * np.tan(two_theta_rad - tolerance)
    high = lsd_mm * np.tan(two_theta_rad + tolerance)
    pixels = (high - low) / pixel_mm
    steps = np.floor(pixels).astype(np.int64) * 4
    if len(steps):
        steps = np.maximum(steps, math.floor(pixels[0]) * r_bin_divisions)
    return RingWindows(np.asarray(ring), lsd_mm * np.tan(two_theta_rad), low, high, steps)


@dataclass(frozen=True, eq=False)
class BinPixels:
    """Pixels of every bin that the published rules keep; bins by ring, then azimuth.

    Attributes
    ----------
    window, eta_bin
        (b,) index into the windows and of the azimuth bin.
    offset
        (b + 1,) where each bin's pixels begin.
    pixel
        (n,) flat index into the image, rising within a bin.
    n_eta
        Azimuth bins on the circle.
    """

    window: I64
    eta_bin: I64
    offset: I64
    pixel: I64
    n_eta: int

    @property
    def eta_rad(self) -> F64:
        """(b,) centre of each bin."""
        return (-180.0 + (self.eta_bin + 0.5) * 360.0 / self.n_eta) * DEG


def collect_pixels(
    shape: tuple[int, int],
    geometry: F64,
    windows: RingWindows,
    eta_bin_deg: float,
    mask: NDArray[np.bool_] | None = None,
    frame_shape: tuple[int, int] | None = None,
) -> BinPixels:
    """Assign pixels to bins, and drop the bins that the published rules drop.

    A pixel goes to the first ring whose window holds its corrected radius (by tilt and p0..p3,
    to one pixel), and to the first bin that holds its azimuth in the plane of the detector. The
    published one-pixel margin in azimuth is px/R *radians* compared with degrees; that is kept.
    A bin is dropped if it has no pixel, if one of them is masked, or if an outer corner is
    within 3 px of the edge of the frame.

    Parameters
    ----------
    shape
        (n_slow, n_fast) of the image.
    geometry
        (25,) of :mod:`refimpl.detector.tilted_flat`.
    windows
        Of :func:`ring_windows`.
    eta_bin_deg
        Published EtaBinSize.
    mask
        (n_slow, n_fast) True where a pixel is bad.
    frame_shape
        Shape that the rule of the edge looks at; ``shape`` if None.
    """
    n_eta = eta_bin_count(eta_bin_deg)
    blocks = [(row, min(row + ROWS_AT_ONCE, shape[0])) for row in range(0, shape[0], ROWS_AT_ONCE)]
    eta = (eta_bin_deg, n_eta)
    assigned = np.concatenate(
        [_assign_rows(row, end, shape[1], geometry, windows, eta) for row, end in blocks]
    )
    kept = _inside(geometry, windows, n_eta, shape if frame_shape is None else frame_shape)
    if mask is not None:
        masked = assigned[np.asarray(mask).ravel() & (assigned >= 0)]
        kept.ravel()[masked] = False
    pixel = np.flatnonzero(assigned >= 0)
    pixel = pixel[kept.ravel()[assigned[pixel]]]
    number = assigned[pixel]
    order = np.argsort(number, kind="stable")
    bins, first = np.unique(number[order], return_index=True)
    return BinPixels(
        window=(bins // n_eta).astype(np.int64),
        eta_bin=(bins % n_eta).astype(np.int64),
        offset=np.append(first, len(pixel)).astype(np.int64),
        pixel=pixel[order].astype(np.int64),
        n_eta=n_eta,
    )


def _assign_rows(
    row: int, end: int, n_fast: int, geometry: F64, windows: RingWindows, eta: tuple[float, int]
) -> I64:
    """Number of the bin, window * n_eta + eta bin, of each pixel of some rows; -1 for none."""
    g = geometry.copy()
    g[_P4] = 0.0  # p4 is not in the published assignment
    slow, fast = (a.ravel() + 0.5 for a in np.mgrid[row:end, :n_fast].astype(np.float64))
    none = np.full(fast.shape, -1, dtype=np.int32)
    radius, _, untilted = ring_coordinates(fast, slow, none, g, np.zeros((0, 9)))
    px = float(g[6])
    ring = np.searchsorted(windows.high_mm + px, radius)
    low = np.append(windows.low_mm, np.inf)  # the last stands for beyond every ring
    ring_ok = radius >= low[ring] - px
    size, n_eta = eta
    with np.errstate(divide="ignore"):
        margin_deg = px / radius  # rad, taken for degrees
    eta_deg = untilted / DEG
    upper = (np.arange(n_eta) + 1) * size - 179.995
    which = np.searchsorted(upper, eta_deg - margin_deg)
    inside = (which < n_eta) & (eta_deg + margin_deg >= -179.995)
    return np.where(ring_ok & inside, ring * n_eta + which, -1)


def _inside(
    geometry: F64, windows: RingWindows, n_eta: int, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """(k, n_eta) True where both outer corners of the bin are well inside the frame."""
    edges = (-180.0 + np.arange(n_eta + 1) * (360.0 / n_eta)) * DEG
    # published coordinates count from pixel centres, and the corners' are cut to integers
    y = np.floor(geometry[1] - 0.5 + windows.high_mm[:, None] * np.sin(edges) / geometry[6])
    z = np.floor(geometry[2] - 0.5 + windows.high_mm[:, None] * np.cos(edges) / geometry[7])
    margin = EDGE_MARGIN_PX
    ok = (y >= margin) & (y <= shape[1] - margin) & (z >= margin) & (z <= shape[0] - margin)
    return ok[:, :-1] & ok[:, 1:]
