"""Names of EPU's files read in one way only."""

from __future__ import annotations

import math

import pytest

from refimpl.io.epu_names import exposure_name, foil_hole_name, seconds_of, square_of, stamp

NOON = 1616846400.0  # 2021-03-27 12:00:00, seconds since 1970 of that clock


@pytest.mark.parametrize(
    ("stem", "ids"),
    [
        ("FoilHole_5330585_Data_5338216_5338218_20210327_120000", (5330585, 5338216, 5338218)),
        (
            "FoilHole_25330585_Data_25338216_25338218_20210327_120000",
            (25330585, 25338216, 25338218),
        ),
        ("FoilHole_10054590_Data_10050490_9_20210327_120000", (10054590, 10050490, 9)),
        ("FoilHole_5330585_Data_20210327_120000", (5330585, -1, -1)),
        ("FoilHole_25330585_Data_25338216_20210327_120000", (25330585, 25338216, -1)),
        ("foilhole_1_DATA_2_3_20210327_120000", (1, 2, 3)),
        # 8 digits that look like a date are an id where a date follows
        (
            "FoilHole_20210326_Data_20210325_20210324_20210327_120000",
            (20210326, 20210325, 20210324),
        ),
    ],
)
def test_exposures(stem: str, ids: tuple[int, int, int]) -> None:
    name = exposure_name(stem)
    assert name is not None
    assert (name.hole, name.area, name.area2) == ids
    assert name.stamp_s == NOON


@pytest.mark.parametrize(
    "stem",
    [
        "FoilHole_5330585_Data_5338216_5338218_20210327_120000_Fractions",
        "FoilHole_5330585_Data_5338216_5338218_20210327_120000_fractions",
        "FoilHole_5330585_Data_5338216_5338218_20210327_120000_EER",
        "FoilHole_5330585_20210327_120000",
        "GridSquare_20210327_120000",
        "._FoilHole_5330585_Data_5338216_5338218_20210327_120000",
        "FoilHole_5330585_Data_5338216_5338218_20210327",
        "FoilHole_5330585_Data_5338216_5338218_20210327_12000",
        "FoilHole_5330585_Data_1_2_3_20210327_120000",
        "FoilHole_５_Data_20210327_120000",
    ],
)
def test_other_files_are_not_exposures(stem: str) -> None:
    assert exposure_name(stem) is None


def test_a_date_that_is_none_leaves_the_ids() -> None:
    name = exposure_name("FoilHole_5330585_Data_5338216_5338218_20211327_250000")
    assert name is not None
    assert name.hole == 5330585
    assert math.isnan(name.stamp_s)
    assert math.isnan(stamp("20210229", "120000"))


def test_an_id_of_many_digits_is_unknown_not_an_overflow() -> None:
    name = exposure_name(f"FoilHole_{'9' * 30}_Data_20210327_120000")
    assert name is not None
    assert name.hole == -1


def test_pictures_of_foil_holes() -> None:
    name = foil_hole_name("FoilHole_5330585_20210327_120000")
    assert name == (5330585, NOON)
    assert foil_hole_name("FoilHole_5330585_Data_20210327_120000") is None


def test_squares() -> None:
    path = "/a/GridSquare_1/Images-Disc1/GridSquare_25324661/Data/x.xml"
    assert square_of(path) == 25324661
    assert square_of("GridSquare_7.dm") == 7
    assert square_of("/a/b") == -1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2021-03-27T13:00:00.0000000+01:00", NOON),
        ("2021-03-27T12:00:00Z", NOON),
        (" 2021-03-27T12:00:00 ", NOON),  # no zone: UTC, on every machine
        ("2021-03-27T12:00:00.1234567+00:00", NOON + 0.123456),
        ("2021-03-28T01:59:59+01:00", NOON + 46799),  # one second before the clocks change
        ("2021-03-28T03:00:00+02:00", NOON + 46800),
    ],
)
def test_seconds(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds, abs=1e-6)  # s: a double's digit at 1.6e9 s


@pytest.mark.parametrize("text", ["", "yesterday", "0001-01-01T00:00:00", "2021-02-29T00:00:00"])
def test_no_time(text: str) -> None:
    assert math.isnan(seconds_of(text))
