r"""Azimuthal integration and caking: intensity against scattering angle, with counts and errors.

The intensity of a bin is :math:`I = \sum v_i / \sum \Omega_i P_i` over its pixels: counts v,
relative solid angle :math:`\Omega` and polarisation factor P. Its error is
:math:`\sqrt{\sum \mathrm{var}(v_i)} / \sum \Omega_i P_i`, where counts have their own size as
variance. By default a pixel belongs to the one bin that its centre falls into, so that bins are
statistically independent and no count is used twice. Not modelled: absorption in air and sample,
the efficiency of the sensor, fluctuations within a bin beyond counting (coarse powder).

Everything that depends on the geometry alone is in an :class:`Integrator`, made once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refimpl.errors import ConfigError
from refimpl.io import images
from refimpl.io.image import Image
from refimpl.powder.integrator import ERROR_MODELS, SPLITS, UNITS, Integrator, integrator
from refimpl.powder.pattern import Pattern
from refimpl.powder.pixel_maps import pixel_maps

__all__ = ["ERROR_MODELS", "SPLITS", "UNITS", "Integrator", "Pattern", "integrate", "integrator"]


def integrate(
    image: str | Path | Image | ArrayLike,
    geometry: Any,
    *,
    mask: str | Path | NDArray[np.bool_] | None = None,
    variance: ArrayLike | None = None,
    reading: Mapping[str, Any] | None = None,
    threads: int | None = None,
    **options: Any,
) -> Pattern:
    """Integrate an image azimuthally, or cake it.

    Parameters
    ----------
    image
        Path, an image as read, or an array (n_slow, n_fast), in the file's pixel order. Values
        that mark gaps and bad pixels are recognised, see :func:`refimpl.io.images.read`.
    geometry
        See :func:`integrator`.
    mask
        True (1) = bad, file order; a path or an array.
    variance
        (n_slow, n_fast) of the image; None takes the error model.
    reading
        Further options of :func:`refimpl.io.images.read`, for a path.
    threads
        See :func:`refimpl.dispatch.resolve_threads`; the result does not depend on it.
    **options
        Of :func:`integrator`: n_radial, n_azimuth, unit, radial_range, azimuth_range_deg,
        wavelength_angstrom, polarisation, solid_angle, error_model, gain, split, subpixels.

    Returns
    -------
    Pattern

    Raises
    ------
    ConfigError
        An option is not possible; see :func:`integrator`.
    FormatError
        The image or the geometry cannot be used.

    Notes
    -----
    For many frames make an :func:`integrator` once and call it. After a dark was subtracted the
    Poisson variance lacks that of the dark: give a ``variance`` where this matters.

    Examples
    --------
    >>> import numpy as np
    >>> from refimpl.detector.model import TiltedFlat
    >>> flat = TiltedFlat((64, 64), (0.1, 0.1), 100.0, (32.0, 32.0))
    >>> frame = np.random.default_rng(0).poisson(100.0, (64, 64))
    >>> integrate(frame, flat, n_radial=20)
    <Pattern 20 bins, two_theta_deg 0.0405142 to 2.55071, 4096 pixels, 409037 counts>
    """
    maps = pixel_maps(geometry)
    source = _source(image, mask, reading or {})
    if source.shape != maps.shape:
        raise ConfigError(
            f"image has shape {source.shape}: the geometry is for {maps.shape} (slow, fast) in the "
            "file's own order",
            path=source.path,
        )
    plan = integrator(maps, mask=source.mask, threads=threads, **options)
    pattern = plan(source.data, variance=variance, n_frames=source.n_frames, threads=threads)
    return pattern.with_meta(
        image=None if source.path is None else str(source.path),
        n_frames=source.n_frames,
        variance="given" if variance is not None else plan.error_model,
    )


def _source(
    image: str | Path | Image | ArrayLike,
    mask: str | Path | NDArray[np.bool_] | None,
    reading: Mapping[str, Any],
) -> Image:
    """Image with its mask, from whatever holds one."""
    if isinstance(image, str | Path):
        return images.read(image, mask=mask, **reading)
    if reading:
        raise ConfigError(f"{', '.join(reading)}: only for an image that is read from a file")
    if isinstance(image, Image):
        if mask is not None:
            raise ConfigError("mask: only for a file or an array; an image as read has its own")
        return image
    if isinstance(mask, str | Path):
        with images.open_source(Path(mask)) as source:
            mask = source.frame(0)
    return images.from_array(np.asarray(image), mask=mask)
