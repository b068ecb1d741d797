"""The configuration: from settings, from TOML and back, and every refusal in one line."""

from __future__ import annotations

import pytest

from refimpl.errors import ConfigError
from refimpl.powder.config import (
    PowderConfig,
    config_from,
    config_toml,
    read_config,
    setting_names,
)

LEAST = {"wavelength_angstrom": 0.2, "pixel_size_mm": 0.172}


def test_the_least_that_is_needed() -> None:
    c = config_from(LEAST)
    assert c.beam.wavelength_angstrom == 0.2
    assert c.detector.pixel_size_mm == (0.172, 0.172)
    assert c.calibrant.calibrant == "CeO2"
    assert c.calibrate.refine == ("distance", "beam_centre", "tilt")


def test_settings_lie_over_a_base() -> None:
    base = config_from(LEAST | {"eta_bin_deg": 5.0, "calibrant": "LaB6"})
    c = config_from({"eta_bin_deg": 1.0}, base=base)
    assert (c.calibrate.eta_bin_deg, c.calibrant.calibrant) == (1.0, "LaB6")
    assert base.calibrate.eta_bin_deg == 5.0


def test_every_name_belongs_to_one_table() -> None:
    names = setting_names()
    tables = [n for n in PowderConfig.model_fields if n != "schema_version"]
    assert set(names.values()) == set(tables)
    total = sum(len(PowderConfig.model_fields[t].annotation.model_fields) for t in tables)
    assert len(names) == total  # else one setting would hide another
    for table in tables:
        for name, field in PowderConfig.model_fields[table].annotation.model_fields.items():
            assert field.description, name


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"calibrant": 'odd "name" \\ here', "exclude_rings": (1, 4), "polarisation": 0.99},
        {"tolerances": {"distance": 2.0, "p3": 30.0}, "refine": ("distance", "p1", "p3")},
        {"lsd_mm": 739.78, "beam_centre_px": (1.5, -2.25), "tilt_deg": (1e-17, 0.1)},
        {"p": tuple(0.1 * i for i in range(15)), "image_transform": (), "stopping_strain": 1e-5},
        {"panels": "none", "solver": "simplex", "objective": "published", "seed": 7},
    ],
)
def test_toml_says_it_all(settings, tmp_path) -> None:
    c = config_from(LEAST | settings)
    path = tmp_path / "config.toml"
    path.write_text(config_toml(c), encoding="utf-8")
    assert read_config(path) == c
    assert config_toml(read_config(path)) == config_toml(c)


def test_toml_states_every_setting_with_its_help() -> None:
    text = config_toml(config_from(LEAST))
    for name in setting_names():
        assert f"\n{name} = " in text or f"\n# {name} is not set" in text


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"wavelenght_angstrom": 1.0}, "^unknown setting 'wavelenght_angstrom'; did you mean 'wav"),
        ({"quux": 1.0}, "^unknown setting 'quux'$"),
        ({"wavelength_angstrom": 0.0}, r"^beam\.wavelength_angstrom: Input should be greater tha"),
        ({"wavelength_angstrom": 50.0}, r"^beam\.wavelength_angstrom: .* less than 20 \(got 50\.0"),
        ({"wavelength_angstrom": float("nan")}, r"^beam\.wavelength_angstrom: .*\(got nan\)$"),
        ({"polarisation": 1.5}, r"^beam\.polarisation: .* \(got 1\.5\)$"),
        ({"eta_bin_deg": 90.0}, r"^calibrate\.eta_bin_deg: .*less than or equal to 45 \(got 90\.0"),
        ({"solver": "magic"}, r"^calibrate\.solver: Input should be 'lm' or 'simplex' \(got 'mag"),
        ({"max_iterations": 0}, r"^calibrate\.max_iterations: .* \(got 0\)$"),
        ({"p": (0.0,) * 14}, r"^start\.p: Tuple should have at least 15 items"),
        ({"tolerances": {"tilt": -1.0}}, r"^calibrate\.tolerances: .*tilt: expected numbers > 0"),
        ({"pixel_size_mm": "big"}, r"^detector\.pixel_size_mm: .* \(got 'big'\)$"),
    ],
)
def test_bad_settings(settings, text) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        config_from(LEAST | settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"pixel_size_mm": 0.1}, "wavelength_angstrom"),
        ({"wavelength_angstrom": 0.2}, "pixel_size_mm"),
        ({"wavelength_angstrom": 0.2, "panels": "none"}, r"detector\.pixel_size_mm"),
    ],
)
def test_what_is_missing_is_named(settings, name) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: missing: give it$"):
        config_from(settings)


GOOD = "[beam]\nwavelength_angstrom = 0.2\n[detector]\npixel_size_mm = [0.1, 0.1]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("beam = [", "not a TOML file: .*"),
        ("schema = 2\n" + GOOD, r"schema 2 is newer than this refimpl \(1\); upgrade"),
        (GOOD + "[calibrat]\n", r"config\.toml:5: unknown key 'calibrat'; did you mean 'calibr"),
        (GOOD + "[start]\nlsd_m = 1\n", r"config\.toml:6: unknown key 'lsd_m'; did you mean 'lsd_"),
        (GOOD + "[start]\nxyz = 1\n", r"config\.toml:6: unknown key 'xyz'$"),
        ("wavelength_angstrom = 0.2\n", r"config\.toml:1: unknown key 'wavelength_angstrom'"),
        (GOOD + "[start]\nlsd_mm = -1\n", r"start\.lsd_mm: .* \(got -1\)"),
        ("[beam]\nwavelength_angstrom = 0.2\n", "pixel_size_mm: missing: give it"),
        (
            'calibrant = "LaB6"\n' + GOOD,
            r"config\.toml:1: calibrant: expected a table, \[cal.* \(got 'LaB6'\)",
        ),
        ("beam = 0.2\n", r"config\.toml:1: beam: expected a table, \[beam\] and .* \(got 0\.2\)"),
    ],
)
def test_bad_files(text, message, tmp_path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_no_such_file_and_no_text(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot read the parameter file: .*No such"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.toml: cannot read the parameter file: .*utf-8"):
        read_config(tmp_path / "binary.toml")
