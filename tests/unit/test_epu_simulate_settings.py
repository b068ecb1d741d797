"""Settings of simulated sessions: what cannot be is refused, by name and with what can be."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from refimpl.epu.simulate import large, simulate
from refimpl.epu.simulate_settings import SimulationSettings, settings_from
from refimpl.errors import ConfigError


def test_every_number_has_a_span() -> None:
    settings = SimulationSettings()
    for f in fields(SimulationSettings):
        if isinstance(f.default, bool) or not isinstance(f.default, int | float):
            continue
        for value in (type(f.default)(-1e9), type(f.default)(1e9)):
            with pytest.raises(ConfigError, match=f"{f.name} = .* is outside of"):
                replace(settings, **{f.name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pitch": 3.0}, "no setting 'pitch', did you mean pitch_um"),
        ({"instrument.volts": 1.0}, "no setting 'instrument.volts'; known: pixel_size"),
        ({"qqq": 1.0}, "no setting 'qqq'; known: pitch_um"),
        ({"pitch_um": "wide"}, "pitch_um = 'wide': expected a number"),
        ({"pitch_um": float("nan")}, "pitch_um = nan is outside of 0.5 to 20.0"),
        ({"shots": 2.5}, "shots = 2.5: expected a whole number"),
        ({"shots": True}, "shots = True: expected a whole number"),
        ({"mirror": 1}, "mirror = 1: expected true or false"),
        ({"layout": 3}, "layout = 3: expected text"),
        ({"layout": "random"}, "layout = 'random': expected super-lattice or greedy"),
        ({"near_um": [0.3]}, "expected a list of 2 numbers"),
        ({"near_um": [0.1, 0.6]}, "expected 0.2 < low < high <= half of the pitch"),
        ({"hole_um": 2.6}, "hole_um = 2.6: expected less than the pitch, 2.5"),
        ({"ring_um": 0.7}, "the shots are outside of a hole of 1.2 um"),
        ({"start_utc": "yesterday"}, "start_utc is no ISO time"),
        ({"pattern": "5*5"}, "pattern '5.5': expected a size such as 5x5"),
        ({"instrument.defocus_um": []}, "defocus_um is empty"),
        ({"instrument.camera_px": 0}, "camera_px is not positive"),
        ({"instrument.defocus_um": 1.0}, "defocus_um = 1.0: expected a list of numbers"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings_from(SimulationSettings(), changes)


def test_an_instrument_must_be_one() -> None:
    with pytest.raises(ConfigError, match="expected an Instrument"):
        SimulationSettings(instrument="Titan")  # type: ignore[arg-type]


def test_settings_are_changed_by_name() -> None:
    found = settings_from(SimulationSettings(), {"pitch_um": 4, "instrument.voltage_kv": 200.0,
                                                 "near_um": [0.3, 0.5]})  # fmt: skip
    assert (found.pitch_um, found.instrument.voltage_kv, found.near_um) == (4, 200.0, (0.3, 0.5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"overlaps": 300}, "overlaps = 300: the 42 stage positions of this layout have room for"),
        ({"missed": 300}, "missed = 300: the 42 stage positions"),
        ({"revisits": 300}, "revisits = 300: there are"),
        ({"square_radius_um": 1.0, "lacey": True, "pitch_um": 19.0}, "no group of holes is in"),
        ({"square_radius_um": 1.0, "pattern": "7x7", "hole_fraction": 1.0}, "no group of holes"),
    ],
)  # fmt: skip
def test_a_layout_without_room_is_refused(changes: dict[str, object], message: str) -> None:
    settings = settings_from(SimulationSettings(), changes)
    with pytest.raises(ConfigError, match=message):
        simulate(settings)


def test_a_large_session_has_an_exposure() -> None:
    with pytest.raises(ConfigError, match="n = 0: expected one exposure or more"):
        large(0)
    assert len(large(1).session) == 1
