r"""Sizes and factors of the minimum covariance determinant.

The covariance of the h of n rows with the smallest determinant is too small an estimate of the
scatter of normal data. It is scaled twice: by the consistency factor

.. math:: c = \frac{h/n}{F_{\chi^2_{p+2}}(F^{-1}_{\chi^2_p}(h/n))}

and by a factor for finite n that was fitted to simulations.

Sources: C. Croux and G. Haesbroeck, J. Multivar. Anal. 71 (1999) 161; G. Pison, S. Van Aelst and
G. Willems, Metrika 55 (2002) 111, whose coefficients for the raw estimate are quoted here.
"""

from __future__ import annotations

import math
from typing import Final

from scipy.special import gammainc, gammaincinv

__all__ = ["chi_square_quantile", "consistency_factor", "finite_sample_factor", "subset_size"]

# Pison et al. (2002). f = 1 - exp(b0) / n**b1 for p = 1, 2: (b0, b1) at alpha = 0.5 and 0.875.
_SMALL_P: Final = {
    1: ((0.262024211897096, 0.604756680630497), (-0.351584646688712, 1.01646567502486)),
    2: ((0.673292623522027, 0.691365864961895), (0.446537815635445, 1.06690782995919)),
}
# For p > 2: f = 1 + a / p**b holds at n = q p**2, q = 2 and 3: (a, b) at q = 2, then q = 3.
_LARGE_P: Final = (
    ((-1.42764571687802, 1.26263336932151), (-1.06141115981725, 1.28907991440387)),
    ((-0.455179464070565, 1.11192541278794), (-0.294241208320834, 1.09649329149811)),
)


def chi_square_quantile(probability: float, p: int) -> float:
    """Value below which a chi-square variable of p degrees of freedom lies with a probability."""
    return float(2.0 * gammaincinv(0.5 * p, probability))


def subset_size(n: int, p: int, alpha: float = 0.5) -> int:
    """Rows that the estimate rests on: h = floor(2 m - n + 2 (n - m) alpha), m = (n+p+1)//2."""
    middle = (n + p + 1) // 2
    return math.floor(2 * middle - n + 2 * (n - middle) * alpha)


def consistency_factor(p: int, fraction: float) -> float:
    """Factor that makes the covariance of the central ``fraction`` of p normal variables unbiased.

    1 where the fraction is 1.
    """
    if fraction >= 1.0:
        return 1.0
    inside = gammainc(0.5 * p + 1.0, 0.5 * chi_square_quantile(fraction, p))
    return float(fraction / inside)


def finite_sample_factor(p: int, n: int, alpha: float = 0.5) -> float:
    """Pison's correction of the raw estimate for n observations of p variables.

    Linear in alpha between the fitted 0.5 and 0.875, and from there to no correction at 1.
    """
    if p in _SMALL_P:
        half, most = (1.0 - math.exp(b0) / n**b1 for b0, b1 in _SMALL_P[p])
    else:
        half, most = (_large_p(p, n, pair) for pair in _LARGE_P)
    inverse = most + (1.0 - most) * (alpha - 0.875) / 0.125
    if alpha <= 0.875:
        inverse = half + (most - half) * (alpha - 0.5) / 0.375
    return float(1.0 / inverse)


def _large_p(p: int, n: int, pair: tuple[tuple[float, float], tuple[float, float]]) -> float:
    """1 - exp(b0) / n**b1 through the two points n = 2 p**2 and 3 p**2."""
    y2, y3 = (math.log(-a / p**b) for a, b in pair)
    n2, n3 = math.log(2 * p**2), math.log(3 * p**2)
    b1 = (y2 - y3) / (n3 - n2)
    return 1.0 - math.exp(y2 + b1 * (n2 - math.log(n)))
