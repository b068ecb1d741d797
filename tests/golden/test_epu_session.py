"""The real session of 189 exposures against its golden table."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl import data
from refimpl.epu import Session, read_session
from refimpl.io.epu_templates import EpuReader
from refimpl.io.epu_xml import read_strict

SET = "epu-afis"


@pytest.fixture(scope="module")
def golden(real_data) -> dict[str, dict[str, str]]:
    with open(real_data(f"{SET}/golden_exposures_189.csv"), newline="") as file:
        return {Path(row["file"]).stem: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def session(real_data) -> Session:
    return read_session(real_data(f"{SET}/README.md").parent)


@pytest.fixture(scope="module")
def contents(session: Session) -> list[bytes]:
    return [Path(path).read_bytes() for path in session.table["path"]]


def column(golden: dict[str, Any], session: Session, name: str) -> Any:
    return np.array([float(golden[stem][name]) for stem in session.table["name"]])


def test_all_189_and_no_fractions(session: Session, golden: dict[str, dict[str, str]]) -> None:
    assert len(session) == len(golden) == 189
    assert set(session.table["name"]) == set(golden)
    assert session.errors.empty
    folder = Path(session.table["path"].iloc[0]).parent
    assert len(list(folder.glob("*_Fractions.xml"))) == 189


def test_values(session: Session, golden: dict[str, dict[str, str]]) -> None:
    shift = np.stack([column(golden, session, name) for name in ("bsx", "bsy")], axis=1)
    assert np.abs(session.beam_shift - shift).max() <= 1e-12
    stage = np.stack([column(golden, session, f"stage_{axis}_um") for axis in "xy"], axis=1)
    assert np.abs(session.stage_um - stage).max() <= 0.5e-6 + 1e-12  # um: 6 decimals there
    diameter = column(golden, session, "beam_dia_um")
    np.testing.assert_allclose(session.table["beam_diameter_um"], diameter, rtol=0, atol=0.5e-3)
    np.testing.assert_array_equal(session.table["hole"], column(golden, session, "foil"))
    np.testing.assert_array_equal(session.table["area"], column(golden, session, "data"))


def test_times(session: Session, golden: dict[str, dict[str, str]]) -> None:
    """The golden time is that of the name: whole seconds, up to one earlier, without a zone."""
    for name, time in zip(session.table["name"], session.table["time"], strict=True):
        stated = datetime.fromisoformat(time).replace(tzinfo=None)
        assert 0.0 <= (stated - datetime.fromisoformat(golden[name]["time"])).total_seconds() < 2.0
    assert np.all(np.diff(session.table["time_s"]) > 0.0)
    assert session.table["time"].iloc[0] == "2020-02-06T17:06:06.9595601+01:00"
    assert session.table["time"].iloc[-1].startswith("2020-02-07T04:0")


def test_what_the_microscope_was(session: Session) -> None:
    table = session.table
    for name, value in {
        "square": 5324661, "alpha_rad": 0.00017451154519999997, "beta_rad": 0.0176328,
        "beam_tilt_x": 0.00563613697886467, "beam_tilt_y": 0.026289083063602448,
        "image_shift_x": 0.0, "image_shift_y": 0.0, "voltage_kv": 300.0, "magnification": 96000.0,
        "camera": "BM-Falcon", "epu_version": "2.6.0.59", "instrument": "TITAN52334290",
        "phase_plate": 0,
    }.items():  # fmt: skip
        assert set(table[name]) == {value}, name
    np.testing.assert_allclose(table["pixel_size_angstrom"], 0.87077, rtol=0, atol=0.5e-5)
    np.testing.assert_allclose(table["exposure_s"], 33.395, rtol=0, atol=0.5e-3)
    assert table["stage_z_um"].nunique() == 1
    assert table["uid"].nunique() == 189
    assert table["hole"].nunique() == 63
    assert table["area"].nunique() == 3
    assert (table["area2"] - table["area"] == 2).all()
    m = table[[f"image_to_stage_{ij}" for ij in ("11", "12", "21", "22")]].to_numpy()
    assert np.all(m[:, 0] * m[:, 3] - m[:, 1] * m[:, 2] < 0.0)
    assert table["dose_per_angstrom2"].between(29.0, 32.0).all()
    assert table["applied_defocus_um"].between(-3.0, 0.0).all()


def test_fast_and_strict_agree(contents: list[bytes]) -> None:
    reader = EpuReader()
    strict = [read_strict(content) for content in contents]
    assert [reader.read(content) for content in contents] == strict
    assert reader.strict <= 6
    assert [reader.read_fast(content) for content in contents] == strict
    backwards = EpuReader()
    assert [backwards.read(content) for content in contents[::-1]] == strict[::-1]


def test_fast_and_strict_agree_on_cuts(contents: list[bytes]) -> None:
    """Wherever a file is cut, or loses a piece, nothing is read fast that is not strictly so."""
    reader = EpuReader()
    for content in contents:
        reader.read(content)
    content = contents[7]
    for end in range(0, len(content), 37):
        assert reader.read_fast(content[:end]) is None
        assert reader.read_fast(content[:end] + content[end + 5 :]) in (
            None, _strict_or_none(content[:end] + content[end + 5 :]),
        )  # fmt: skip


def _strict_or_none(content: bytes) -> Any:
    try:
        return read_strict(content)
    except ValueError:
        return None


def test_the_set_is_registered(real_data) -> None:
    name = f"{SET}/golden_exposures_189.csv"
    assert data.path(name, verify=True) == real_data(name)
