"""Laplacian of Gaussian for near-field images: where a blob of counts curves downwards.

The published kernel is of whole numbers, so responses are exact whatever the order of summation.
A pixel is kept where it has counts and the response there is negative, or changes its sign beside
it: ((L < 0) u zero crossings) n (I > 0), which is I > 0 within one pixel of L < 0. Not modelled:
blobs nearer to the edge than the kernel's radius, where the response counts as zero.

Source: spec 1.8, step 3b.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.frames import I64

__all__ = ["edges", "log_kernel", "log_spots", "published_fill", "response"]

U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]
Mask = NDArray[np.bool_]

_SCALE = 79720.0  # of the published kernel
_MAX_RADIUS = 100


def log_kernel(sigma: float, radius: int) -> I64:
    r"""Quarter of the published kernel: row i, column j hold K(±j, ±i).

    .. math:: K = \mathrm{trunc}\left(-\frac{79720}{\pi \sigma^4}
              \left(1 - \frac{r^2}{2 \sigma^2}\right) e^{-r^2 / 2 \sigma^2}\right)

    Parameters
    ----------
    sigma
        Of the Gaussian [px] (``GaussFiltRadius``).
    radius
        Largest \|x\| and \|y\| [px] (``LoGMaskRadius``).

    Returns
    -------
    (radius + 1, radius + 1)

    Raises
    ------
    ConfigError
        `sigma` is not positive, or so large that every element is zero; `radius` not 1 to 100.
    """
    if not 1 <= radius <= _MAX_RADIUS:
        raise ConfigError(
            f"LoGMaskRadius = {radius} px: expected 1 to {_MAX_RADIUS}",
            key="LoGMaskRadius", got=radius,
        )  # fmt: skip
    if not 0.0 < sigma < math.inf:
        raise ConfigError(
            f"GaussFiltRadius = {sigma} px: expected a positive number",
            key="GaussFiltRadius", got=sigma,
        )  # fmt: skip
    along = np.arange(radius + 1, dtype=np.float64)
    ratio = (along[:, None] ** 2 + along**2) / (2.0 * sigma * sigma)
    real = _SCALE * (-1.0 / (math.pi * sigma**4)) * (1.0 - ratio) * np.exp(-ratio)
    kernel = np.trunc(real).astype(np.int64)
    if not kernel.any():
        raise ConfigError(
            f"GaussFiltRadius = {sigma} px: the published kernel is zero from 12.7 px on",
            key="GaussFiltRadius", got=sigma,
        )  # fmt: skip
    return kernel


def response(image: U16, quarter: I64) -> I64:
    """Exact sum of counts times kernel around every pixel; zero nearer to the edge than the radius.

    Parameters
    ----------
    image
        (n, m) counts.
    quarter
        (r + 1, r + 1), see :func:`log_kernel`.

    Returns
    -------
    (n, m)
    """
    radius = len(quarter) - 1
    n, m = image.shape
    found = np.zeros((n, m), dtype=np.int64)
    if n <= 2 * radius or m <= 2 * radius:
        return found
    counts = image.astype(np.int64)
    inner = found[radius : n - radius, radius : m - radius]
    for i in range(-radius, radius + 1):
        for j in range(-radius, radius + 1):
            part = counts[radius + i : n - radius + i, radius + j : m - radius + j]
            inner += quarter[abs(i), abs(j)] * part
    return found


@twin("arithmetic", image="u2 n,m", quarter="i8 k,k")
def log_spots(image: U16, quarter: I64) -> U8:
    """Mark counts where the response is negative, or changes its sign between neighbours.

    Parameters
    ----------
    image
        (n, m) counts above the background.
    quarter
        (r + 1, r + 1) kernel, see :func:`log_kernel`.

    Returns
    -------
    (n, m) 1 for a pixel of a spot.
    """
    if image.size == 0 or len(quarter) == 0:
        return np.zeros(image.shape, dtype=np.uint8)
    negative = response(image, quarter) < 0
    crossing = _differs(negative)
    return np.asarray((negative | crossing) & (image > 0)).astype(np.uint8)


def edges(image: U16, quarter: I64) -> Mask:
    """(n, m) counts beside which the response has the other sign (>= 0 or < 0): spec 1.8."""
    return np.asarray(_differs(response(image, quarter) < 0) & (image > 0))


def _differs(flags: Mask) -> Mask:
    """Whether any of the eight neighbours inside the image differs."""
    found = np.zeros_like(flags)
    n, m = flags.shape
    for i, j in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = (slice(0, n - i), slice(max(-j, 0), m - max(j, 0)))
        there = (slice(i, n), slice(max(j, 0), m - max(-j, 0)))
        change = flags[here] != flags[there]
        found[here] |= change
        found[there] |= change
    return found


def published_fill(image: U16, quarter: I64) -> Mask:
    """Fill edges along the rows as the spec describes the published program.

    Edges are labelled (8-connected); each row of each outline is filled from one edge pixel to the
    next of the same label, where all counts between are at least 1.

    Parameters
    ----------
    image, quarter
        As for :func:`log_spots`.

    Returns
    -------
    (n, m)

    Notes
    -----
    The words of spec 1.8, not the steps of the program, which loses outlines that enclose nothing
    below their first pixel. Fills hollows between the arms of a bent spot that :func:`log_spots`
    leaves open, and leaves out what no edge pixel follows in the row.
    """
    from scipy.ndimage import label

    outline = edges(image, quarter)
    labels, _ = label(outline, structure=np.ones((3, 3), dtype=int))
    found = outline.copy()
    row, column = np.nonzero(outline)
    name = labels[row, column]
    order = np.lexsort((column, row, name))
    row, column, name = row[order], column[order], name[order]
    follows = (row[1:] == row[:-1]) & (name[1:] == name[:-1]) & (np.diff(column) > 1)
    for k in np.flatnonzero(follows):
        inside = (row[k], slice(column[k] + 1, column[k + 1]))
        if image[inside].all():
            found[inside] = True
    return found
