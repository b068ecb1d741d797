"""Rules for the radius of the search: text to length, and the beam that a session has."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.epu.radius import DEFAULT_RADIUS, Radius, common_diameter_um, diameters_um
from refimpl.epu.session import table_of
from refimpl.errors import ConfigError


def beams(*diameters_um: float):
    n = len(diameters_um)
    return table_of(
        beam_shift_x=np.zeros(n), beam_shift_y=0.0, stage_x_um=0.0, stage_y_um=0.0,
        beam_diameter_um=np.array(diameters_um),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "rule", "value", "um"),
    [
        ("fixed:0.2", "fixed", 0.2, 0.2),
        ("0.35", "fixed", 0.35, 0.35),
        (" 1e-1 ", "fixed", 0.1, 0.1),
        ("beam:0.9", "beam", 0.9, 0.855),
        ("beam-radius:0.9", "beam-radius", 0.9, 0.4275),
    ],
)
def test_rules(text: str, rule: str, value: float, um: float) -> None:
    """The beam's two figures are the published ones for 0.95 um (README, and code of old)."""
    radius = Radius.parse(text)
    assert (radius.rule, radius.value) == (rule, value)
    assert radius.of(beams(0.95, 0.95)) == pytest.approx(um, rel=1e-15)
    assert Radius.parse(str(radius)) == radius


@pytest.mark.parametrize(
    "text", ["", "0", "-0.2", "nan", "inf", "beam", "beam:", ":0.2", "disc:0.9", "fixed:0.2:1",
             "beam:0", "0.2um", "fixed:a"],
)  # fmt: skip
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected fixed:UM, beam:FACTOR, beam-radius:FACTOR or"):
        Radius.parse(text)


def test_values_are_checked() -> None:
    with pytest.raises(ConfigError, match="radius 'disc': expected one of fixed, beam, beam-radi"):
        Radius("disc", 1.0)
    with pytest.raises(ConfigError, match="radius fixed:0: expected a positive number"):
        Radius("fixed", 0.0)


def test_an_unknown_beam_refuses_the_rules_of_the_beam_alone() -> None:
    table = beams(np.nan, np.nan)
    assert np.isnan(common_diameter_um(table))
    assert Radius.parse("0.2").of(table) == 0.2
    for text in ("beam:0.9", "beam-radius:0.9"):
        with pytest.raises(ConfigError, match=f"{text}: no exposure states its BeamDiameter; use"):
            Radius.parse(text).of(table)


def test_fault_07_the_most_frequent_diameter_counts() -> None:
    """get_beamDia returns the least frequent one."""
    table = beams(0.95, 0.95, 0.95, 1.4, np.nan)
    assert common_diameter_um(table) == 0.95
    values, counts = diameters_um(table)
    assert (values.tolist(), counts.tolist()) == ([0.95, 1.4], [3, 1])
    assert Radius.parse("beam:0.9").sentence(table) == (
        "Radius of the search: 0.855 um (0.9 of the beam's diameter). 2 diameters: 0.95 um (3), "
        "1.4 um (1); the most frequent one counts."
    )


def test_rounding_makes_no_second_diameter_and_a_tie_takes_the_smaller() -> None:
    table = beams(0.95, 0.95 + 1e-7, 0.95 - 1e-7, 1.4)
    assert diameters_um(table)[1].tolist() == [3, 1]
    assert common_diameter_um(beams(1.4, 0.95)) == 0.95


def test_fault_12_one_rule_and_it_is_printed() -> None:
    """Banner, help text, README and code of find_dupl name three different defaults."""
    table = beams(0.95)
    assert str(DEFAULT_RADIUS) == "fixed:0.2"
    assert DEFAULT_RADIUS.sentence(table) == "Radius of the search: 0.2 um (fixed)."
    assert Radius.parse("beam-radius:0.9").sentence(table) == (
        "Radius of the search: 0.4275 um (0.9 of the beam's radius; diameter 0.95 um)."
    )
