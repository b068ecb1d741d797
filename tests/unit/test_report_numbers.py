"""Numbers as text, checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.report import numbers
from refimpl.report.view import Quantity


@pytest.mark.parametrize(
    ("value", "sigma", "text"),
    [
        (739.78012, 0.0023, "739.7801(23)"),
        (-0.12032, 0.00039, "-0.12032(39)"),
        (736.2104, 0.0996, "736.21(10)"),  # rounding lifts sigma to the next place
        (15.04, 0.96, "15.04(96)"),
        (15.04, 0.996, "15.0(1.0)"),
        (12.34, 1.5, "12.3(1.5)"),
        (-31.4, 38.2, "-31(38)"),
        (1234.5, 120.0, "1230(120)"),
        (1.2345e-4, 6.7e-6, "1.234(67)×10⁻⁴"),
        (6.0e-9, 3.0e-7, "0.1(3.0)×10⁻⁷"),
        (2.5e7, 1.2e5, "2.500(12)×10⁷"),
        (0.0, 0.01, "0.000(10)"),
        (0.2021515, None, "0.2021515"),
        (0.2021515, float("nan"), "0.2021515"),
        (12.0, 0.0, "12"),
        (1.5e-9, None, "1.5×10⁻⁹"),
        (0.0, None, "0"),
        (float("nan"), 0.1, "–"),
        (float("inf"), 0.1, "–"),
    ],
)
def test_values_are_written_with_the_uncertainty_of_their_last_digits(value, sigma, text):
    assert numbers.with_uncertainty(value, sigma) == text


@given(
    st.floats(-1e12, 1e12).filter(lambda v: v == 0.0 or abs(v) > 1e-12),
    st.floats(1e-12, 1e12),
)
def test_the_text_gives_value_and_sigma_back(value, sigma):
    text = numbers.with_uncertainty(value, sigma)
    digits, _, power = text.partition("×10")
    scale = 10.0 ** int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)
    head, bracket = digits.rstrip(")").split("(")
    places = len(head.partition(".")[2])
    unit = 1.0 if "." in bracket or not places else 10.0**-places
    # Two digits of sigma: at worst 10.5 is written as 10 or 11, and value is off by half a digit.
    assert float(bracket) * unit * scale == pytest.approx(sigma, rel=0.05)
    assert abs(float(head) * scale - value) <= 0.051 * sigma + 1e-12 * abs(value)


def test_strains_counts_and_times():
    assert numbers.microstrain(121.34e-6) == "121.3 µε"
    assert numbers.microstrain(1.2345, 0) == "1,234,500 µε"
    assert numbers.microstrain(None) == numbers.microstrain(float("nan")) == "–"
    assert numbers.count(12345.0) == "12,345"
    assert [numbers.seconds(t) for t in (0.0123, 1.234, 5000.4)] == ["12.3 ms", "1.23 s", "5000 s"]
    assert numbers.seconds(float("nan")) == "–"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Quantity(739.78012, 0.0023, "mm"), "739.7801(23) mm"),
        (Quantity(float("nan"), None, "mm"), "–"),
        (Quantity(3.0), "3"),
        (None, "–"),
        (True, "yes"),
        (np.bool_(False), "no"),
        (12345, "12,345"),
        (np.float64(0.25), "0.25"),
        (("a", 2), "a, 2"),
        ("CeO2", "CeO2"),
    ],
)
def test_free_values(value, text):
    assert numbers.quantity(value) == text


def test_parameter_names_lose_their_unit():
    assert numbers.parameter("lsd_mm") == numbers.parameter("Lsd") == ("distance Lsd", "lsd")
    assert numbers.parameter("beam_fast_px") == ("beam centre, fast", "beam_fast")
    assert numbers.parameter("p3") == ("p3", "p3")
