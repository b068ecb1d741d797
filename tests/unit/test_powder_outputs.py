"""Every file of a calibration: complete, readable by its reader, whole or not there at all."""

from __future__ import annotations

import csv
import json
import os

import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.io.geometry_json import read_geometry
from refimpl.io.midas_params import read_params
from refimpl.powder import outputs
from refimpl.powder.config import read_config
from refimpl.powder.outputs import midas_parameters
from refimpl.units import DEG

FILES = {
    "config.toml", "result.json", "geometry.json", "points.csv", "refined_MIDAS_params.txt",
    "calibrant_screen_out.csv", "autocal.log",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(small_result, tmp_path_factory):
    return small_result.save(tmp_path_factory.mktemp("out") / "new" / "folder", report=False)


def test_all_files_are_there_and_nothing_else(folder) -> None:
    assert {p.name for p in folder.iterdir()} == FILES
    assert all(p.stat().st_size > 100 for p in folder.iterdir())


def test_the_configuration_is_the_one_that_was_used(folder, small_result) -> None:
    assert read_config(folder / "config.toml") == small_result.config


def test_the_result_is_json(folder, small_result) -> None:
    content = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    values = {p["name"]: p["value"] for p in content["parameters"]}
    assert values["Lsd"] == small_result.model.lsd_mm
    assert content["rms_px"] == small_result.rms_px


def test_the_geometry_gives_the_maps_of_the_result(folder, small_result) -> None:
    back = read_geometry(folder / "geometry.json")
    for a, b in zip(back.detector.maps(), small_result.model.detector().maps(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.isnan(back.detector.maps()[0]).any()  # gaps
    assert back.wavelength_angstrom == 0.25
    assert back.extra["converged"] is True
    assert back.extra["calibrant"] == "CeO2"


def test_points_are_a_table(folder, small_result) -> None:
    with open(folder / "points.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(small_result.points)
    assert float(rows[5]["fast_px"]) == pytest.approx(small_result.points.fast_px[5], rel=1e-9)
    assert [r["used"] == "True" for r in rows] == small_result.points.used.tolist()


def test_published_parameters_in_published_units(small_result) -> None:
    m, v = small_result.model, midas_parameters(small_result)
    assert v["Lsd"] == pytest.approx(m.lsd_mm * 1000.0, rel=1e-15)
    # published BC counts from pixel centres
    assert v["BC"] == (m.beam_centre_px[0] - 0.5, m.beam_centre_px[1] - 0.5)
    assert v["ty"] == pytest.approx(m.tilts_rad[1] / DEG, rel=1e-15)
    assert (v["px"], v["NrPixelsY"], v["NrPixelsZ"]) == (pytest.approx(200.0), 400, 380)
    assert v["ImTransOpt"] == (2,)
    assert v["RhoD"] == pytest.approx(m.rho_d_mm * 1000.0)
    assert {f"p{i}" for i in range(4)} <= set(v)
    assert "p4" not in v


def test_the_reader_of_published_files_reads_them(folder, small_result) -> None:
    back = read_params(folder / "refined_MIDAS_params.txt")
    for key, value in midas_parameters(small_result).items():
        got = back[key]
        if key == "ImTransOpt":
            assert tuple(np.ravel(got)) == value
        else:
            np.testing.assert_allclose(got, value, rtol=1e-9, atol=1e-12, err_msg=key)


def test_the_log_and_the_screen_have_the_published_layout(folder, small_result) -> None:
    log = (folder / "autocal.log").read_text(encoding="utf-8").splitlines()
    assert all(" - refimpl.powder - INFO - " in line for line in log)
    assert sum(" - pass " in line for line in log) == len(small_result.iterations)
    screen = (folder / "calibrant_screen_out.csv").read_text(encoding="utf-8")
    assert screen.count("\nIteration ") == len(small_result.iterations)
    words = screen.split()
    lsd = next(i for i, w in enumerate(words) if w.rstrip(":") in ("Lsd", "Lsd:"))
    assert float(words[lsd + 1]) == pytest.approx(small_result.model.lsd_mm * 1000.0, rel=1e-6)


def test_a_folder_that_cannot_be_made_is_refused_and_nothing_is_written(small_result, tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(ConfigError, match=r"taken: cannot make the folder: File exists$"):
        small_result.save(tmp_path / "taken", report=False)
    assert (tmp_path / "taken").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_an_unwritable_folder_stays_empty(small_result, tmp_path, monkeypatch) -> None:
    """As seen by a user who may not write there (root, who runs some tests, may)."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConfigError, match="cannot write: no permission in the folder"):
        small_result.save(tmp_path, report=False)
    assert list(tmp_path.iterdir()) == []


def test_result_json_comes_last_so_that_its_presence_means_complete(
    small_result, tmp_path, monkeypatch
) -> None:
    def fails(*_args, **_kwargs):
        raise RuntimeError("power cut")

    monkeypatch.setattr(outputs, "_log", fails)
    with pytest.raises(RuntimeError, match="power cut"):
        small_result.save(tmp_path, report=False)
    names = {p.name for p in tmp_path.iterdir()}
    assert "result.json" not in names
    assert names < FILES  # whole files under their own names, no temporary ones


def test_files_of_before_are_replaced(small_result, tmp_path) -> None:
    (tmp_path / "result.json").write_text("old")
    small_result.save(tmp_path, report=False)
    assert json.loads((tmp_path / "result.json").read_text())["kind"] == "refimpl.powder.result"


def test_the_report_stands_alone(small_result, tmp_path) -> None:
    page = small_result.report(tmp_path)
    text = page.read_text(encoding="utf-8")
    assert page.suffix == ".html"
    assert "Lsd" in text
    assert 'src="http' not in text
    assert 'href="http' not in text.split("<body")[0]
