"""Ring points as weighted means instead of fitted peaks: the published FitOrWeightedMean 1.

Source: MIDAS `CalibrantPanelShiftsOMP` as of the AutoCalibrate manual version 10, where the key is
read but not documented. The mean takes in the background, so its points lean towards the middle of
their window; it stands here for comparison. The published program averages the *corrected* radius
and then corrects the point once more; here the radius in the image is averaged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.model import TiltedFlat
from refimpl.errors import NoRingsError
from refimpl.frames import F64
from refimpl.imaging.published_bins import collect_pixels, ring_windows
from refimpl.powder.published_options import PublishedOptions
from refimpl.powder.published_points import PublishedPoints, PublishedRings

__all__ = ["weighted_points"]


def weighted_points(
    image: F64,
    mask: NDArray[np.bool_] | None,
    detector: TiltedFlat,
    rings: PublishedRings,
    options: PublishedOptions,
) -> PublishedPoints:
    """Intensity-weighted mean of radius and azimuth of every bin of every ring.

    Parameters
    ----------
    image, mask, detector, rings, options
        As in :func:`~refimpl.powder.published_points.extract_points`; pairs of rings are not
        parted, and frames are not padded.

    Raises
    ------
    NoRingsError
        No bin holds intensity.
    """
    px = detector.pixel_size_mm
    windows = ring_windows(
        *(rings.number, rings.two_theta_rad, detector.lsd_mm, detector.rho_d_mm),
        *(options.width_mm, px[0], options.r_bin_divisions),
    )
    bins = collect_pixels(image.shape, detector.geometry, windows, options.eta_bin_deg, mask)
    slow, fast = np.divmod(bins.pixel, image.shape[1])
    across = (fast + 0.5 - detector.beam_centre_px[0]) * px[0]
    up = (slow + 0.5 - detector.beam_centre_px[1]) * px[1]
    weight = image.ravel()[bins.pixel]
    of_bin = np.repeat(np.arange(len(bins.window)), np.diff(bins.offset))
    middle = bins.eta_rad
    # from the bin's middle, so that a bin at +-180 degrees does not average to 0
    from_middle = np.remainder(np.arctan2(across, up) - middle[of_bin] + np.pi, 2.0 * np.pi) - np.pi
    total = np.bincount(of_bin, weight, len(middle))
    good = total > 0.0
    if not good.any():
        raise NoRingsError(f"no ring point found: none of {len(total)} bins holds intensity")
    with np.errstate(invalid="ignore", divide="ignore"):
        radius = np.bincount(of_bin, weight * np.hypot(across, up), len(middle)) / total
        eta = middle + np.bincount(of_bin, weight * from_middle, len(middle)) / total
    window, radius, eta = bins.window[good], radius[good], eta[good]
    return PublishedPoints(
        ring=windows.ring[window],
        two_theta_rad=rings.two_theta_rad[window],
        eta_rad=eta,
        radius_mm=radius,
        fast_px=detector.beam_centre_px[0] + radius * np.sin(eta) / px[0],
        slow_px=detector.beam_centre_px[1] + radius * np.cos(eta) / px[1],
        n_bins=len(windows.ring) * bins.n_eta,
        evaluations=0,
    )
