"""Numbers as a reader wants them: value(uncertainty), grouped digits, microstrain."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refimpl.report.panel_view import FIELDS
from refimpl.report.view import Quantity
from refimpl.units import MICROSTRAIN

__all__ = ["LABELS", "count", "microstrain", "parameter", "quantity", "seconds", "with_uncertainty"]

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NOTHING = "–"

LABELS = {
    "lsd": "distance Lsd",
    "distance": "distance Lsd",
    "beam_fast": "beam centre, fast",
    "beam_slow": "beam centre, slow",
    "tx": "tilt tx",
    "ty": "tilt ty",
    "tz": "tilt tz",
    "rho_d": "RhoD",
}
"""Names of parameters for readers, by the field name without its unit; others stay as they are."""
_SUFFIXES = ("_mm", "_px", "_rad", "_deg", "_um", "_angstrom")


def parameter(name: object) -> tuple[str, str]:
    """Name for readers and name without its unit: ``lsd_mm`` -> (``distance Lsd``, ``lsd``).

    A parameter of one panel is called as published: ``3.d_fast_px`` -> ``panel 3 dY``.
    """
    text = str(name)
    panel, _, kind = text.partition(".")
    if panel.isdigit() and kind in FIELDS:
        return f"panel {panel} {FIELDS[kind].name}", text
    stem = next((text.removesuffix(end) for end in _SUFFIXES if text.endswith(end)), text)
    stem = {"Lsd": "lsd"}.get(stem, stem)
    return LABELS.get(stem, stem), stem


def with_uncertainty(value: float, sigma: float | None, digits: int = 2) -> str:
    """Write a value with its standard uncertainty in the concise form, ``739.7801(23)``.

    The figure in brackets is the standard uncertainty in the last digits shown (GUM 7.2.2;
    JCGM 100:2008). Numbers below 1e-3 or above 1e6 are written with a power of ten.

    Parameters
    ----------
    value, sigma
        In the same unit. Where sigma is None, NaN, infinite, 0 or negative, the value is written
        alone, to 7 significant digits.
    digits
        Significant digits of the uncertainty.

    Examples
    --------
    >>> with_uncertainty(739.78012, 0.0023)
    '739.7801(23)'
    >>> with_uncertainty(-1.2345e-4, 6.7e-6)
    '-1.234(67)×10⁻⁴'
    """
    if not math.isfinite(value):
        return NOTHING
    if sigma is None or not math.isfinite(sigma) or sigma <= 0.0:
        return _plain(value)
    largest = max(abs(value), sigma)
    power = math.floor(math.log10(largest))
    if not -3 <= power < 6:
        scale = 10.0**power
        return f"{_brackets(value / scale, sigma / scale, digits)}{_ten(power)}"
    return _brackets(value, sigma, digits)


def _brackets(value: float, sigma: float, digits: int) -> str:
    """Round both to the last significant digit of sigma."""
    # %e has rounded already: 0.0996 to two digits is 1.0e-01, one place fewer.
    place = int(f"{sigma:.{digits - 1}e}".split("e")[1]) - (digits - 1)
    if place >= 0:
        unit = 10**place
        return f"{round(value / unit) * unit:d}({round(sigma / unit) * unit:d})"
    bracket = round(sigma * 10.0**-place)
    # An uncertainty that reaches the units is written with its decimal point: 12.3(1.5).
    inner = f"{bracket}" if bracket < 10**-place else f"{sigma:.{-place}f}"
    return f"{value:.{-place}f}({inner})"


def _plain(value: float) -> str:
    if value == 0.0:
        return "0"
    power = math.floor(math.log10(abs(value)))
    if -4 <= power < 7:
        return f"{value:.7g}"
    return f"{value / 10.0**power:.6g}{_ten(power)}"


def _ten(power: int) -> str:
    return f"×10{str(power).translate(_SUPERSCRIPT)}"


def microstrain(strain: float | None, digits: int = 1) -> str:
    """Write a strain as µε, ``121.3 µε``; a dash where it is missing."""
    if strain is None or not math.isfinite(strain):
        return NOTHING
    return f"{strain / MICROSTRAIN:,.{digits}f} µε"


def count(number: float) -> str:
    """Whole number with grouped thousands: ``12,345``."""
    return f"{int(number):,}"


def seconds(value: float) -> str:
    """Duration with three digits: ``12.3 ms``, ``1.23 s``."""
    if not math.isfinite(value):
        return NOTHING
    if value < 1.0:
        return f"{value * 1e3:.3g} ms"
    return f"{value:.3g} s" if value < 1000.0 else f"{value:.0f} s"


def quantity(value: Any) -> str:
    """Text of a free value: a :class:`~refimpl.report.view.Quantity`, number, flag or text."""
    if isinstance(value, Quantity):
        text = with_uncertainty(value.value, value.sigma)
        return text if text == NOTHING or not value.unit else f"{text} {value.unit}"
    if value is None:
        return NOTHING
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return count(int(value))
    if isinstance(value, (float, np.floating)):
        return with_uncertainty(float(value), None)
    if isinstance(value, (list, tuple)):
        return ", ".join(quantity(item) for item in value)
    return str(value)
