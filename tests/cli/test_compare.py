"""``refimpl compare``: files in, a verdict and a picture out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from refimpl.cli.main import main
from refimpl.detector.model import TiltedFlat
from refimpl.interop.pyfai import format_poni, poni_from_tilted_flat
from refimpl.io.geometry_json import write_geometry

MODEL = TiltedFlat((300, 400), (0.2, 0.2), 250.0, (170.3, 131.8), (0.0, 0.012, -0.02))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with two geometries, the second 0.3 px off, and the first as .poni."""
    monkeypatch.chdir(tmp_path)
    write_geometry("a.json", MODEL, 0.25)
    write_geometry("b.json", MODEL.replace(beam_centre_px=(170.6, 131.8)), 0.25)
    Path("a.poni").write_text(format_poni(poni_from_tilted_flat(MODEL, 0.25)))
    Path("shifts.txt").write_text("# ID dY dZ\n0 0.1 0.2\n1 0.3 -0.1\n")
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: object, code: int) -> str:
    capsys.readouterr()
    assert main(["compare", *(str(a) for a in arguments)]) == code
    output = capsys.readouterr()
    if code == 2:
        assert output.out == ""
        assert output.err.count("\n") == 1
        return output.err
    assert output.err == ""
    return output.out


def test_met_is_0_and_beyond_a_tolerance_is_1(here: Path, capsys) -> None:
    assert said(capsys, "a.json", "a.poni", code=0).endswith("\nmet\n")
    text = said(capsys, "a.json", "b.json", code=1)
    assert "not met: two_theta_max_px, eta_max_px" in text
    wide = ["--tolerance", "two_theta_max_px=0.5", "--tolerance", "eta_max_px=none"]
    assert said(capsys, "a.json", "b.json", *wide, code=0).endswith("\nmet\n")


def test_json_and_picture(here: Path, capsys) -> None:
    out = said(capsys, "a.json", "b.json", "--json", "--picture", "p.png", code=1)
    content = json.loads(out)
    assert content["kind"] == "refimpl.compare.geometry"
    assert content["met"] is False
    rows = {m["name"]: m for m in content["measures"]}
    assert rows["beam_px"]["value"] == pytest.approx(0.3)
    assert rows["two_theta_max_px"]["met"] is False
    assert rows["beam_px"]["met"] is None
    first = Path("p.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    said(capsys, "a.json", "b.json", "-o", "text.txt", "--picture", "p.png", code=1)
    assert Path("p.png").read_bytes() == first
    assert Path("text.txt").read_text().startswith("geometry: b.json against a.json\n")


def test_uncertainties_of_a_run_of_ours_count(here: Path, capsys) -> None:
    for name, value in (("one", 250.0), ("two", 250.02)):
        Path(name).mkdir()
        write_geometry(f"{name}/geometry.json", MODEL.replace(lsd_mm=value), 0.25)
        row = {"name": "lsd_mm", "value": value, "sigma": 0.01}
        held = {"name": "p2", "value": 0.0, "sigma": 0.0}
        Path(name, "result.json").write_text(json.dumps({"parameters": [row, held]}))
    text = said(capsys, "one/result.json", "two/geometry.json", code=0)
    assert "parameters_max_sigma  1.4142" in text
    assert "1 refined parameters" in text


def test_maps_and_panels_and_reflections_are_known_by_their_content(here: Path, capsys) -> None:
    rows = [f"0 1 0 {x} 0 0.002 1 {0.3 + 0.01 * (x > 3)} 0.5 0.2 0.9 1" for x in range(8)]
    head = "%TriEdgeSize 0.002\n%NumPhases 1\n%GlobalPosition 0\n%OrientationRowNr\n"
    Path("m.mic").write_text(head + "\n".join(rows) + "\n")
    assert said(capsys, "m.mic", "m.mic", "--space-group", 225, "--picture", "m.png", code=0)
    assert Path("m.png").stat().st_size > 1000
    assert "give it, or the parameter file" in said(capsys, "m.mic", "m.mic", code=2)
    text = said(capsys, "shifts.txt", "shifts.txt", "--picture", "s.png", code=0)
    assert text.startswith("panels:")
    spots = np.random.default_rng(1).uniform(0.0, 300.0, (50, 3))
    np.savez("r.npz", **{"panel": np.zeros(50, dtype=np.uint64), "xyzobs.px.value": spots})
    assert said(capsys, "r.npz", "r.npz", "--picture", "r.png", code=0).startswith("reflections:")
    assert "a.poni is read as geometry, r.npz as reflections" in said(
        capsys, "a.poni", "r.npz", code=2
    )


def test_an_empty_table_is_no_interruption(here: Path, capsys) -> None:
    Path("empty.npz").write_bytes(b"")
    assert "not an .npz file of plain columns" in said(capsys, "empty.npz", "empty.npz", code=2)


def test_panels_of_a_calibration_with_places_and_uncertainties(here: Path, capsys) -> None:
    Path("ps.txt").write_text("NPanelsY 2\nNPanelsZ 1\nPanelSizeY 190\nPanelSizeZ 300\n"
                              "PanelGapsY 20\n")  # fmt: skip
    Path("run").mkdir()
    shifts = Path("run/panelshifts.txt")
    shifts.write_text("0 0.11 0.2\n1 0.3 -0.1\n")
    names = ("dY_px", "dZ_px", "dTheta_deg", "dLsd_um", "dP2")
    head = ",".join(["panel", *(f"sigma_{n}" for n in names)])
    Path("run/panels.csv").write_text(f"{head}\n1,0.02,0.02,0,0,0\n0,0.01,0.02,0,0,0\n")
    text = said(capsys, "shifts.txt", shifts, "--parameters", "ps.txt", code=0)
    assert "sum of d_fast_px" in text
    assert "panels_max_sigma" in text
    Path("run/panels.csv").write_text("panel\n0\n1\n")
    assert "panels.csv: not the panels of" in said(capsys, "shifts.txt", shifts, code=2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a.json", "none.json"), "none.json"),
        (("a.json", "b.json", "--kind", "maps"), "expected one of geometry, map"),
        (("a.json", "b.json", "--tolerance", "beam"), "expected NAME=VALUE"),
        (("a.json", "b.json", "--tolerance", "beam_px=-1"), "a number from 0"),
        (("a.json", "b.json", "--tolerance", "beam_xp=1"), "did you mean 'beam_px'"),
        (("a.json", "b.json", "--space-group", "225"), "--space-group is no option of geometry"),
        (("a.json", "b.json", "--picture", "p.pdf"), "ends with .png"),
        (("a.json", "b.json", "--pixel-size-um", "0", "1"), "expected sizes > 0"),
        (("a.json", "b.json", "--shape", "0", "1"), "expected numbers from 1"),
        (("a.json", "b.json", "--image-transform", "3", "--picture", "no/p.png"), "no"),
        (("a.json", "b.json", "--kind", "reflections"), "a.json"),
        (("a.json", "b.json", "--kind", "panels"), "a.json"),
        (("a.json", "b.json", "--kind", "map"), "a.json"),
        (("shifts.txt", "shifts.txt", "--kind", "geometry"), "shifts.txt"),
        (("shifts.txt", "shifts.txt", "--parameters", "shifts.txt"), "shifts.txt"),
    ],
)
def test_bad_input_is_one_line(here: Path, capsys, arguments: tuple[str, ...], words: str) -> None:
    assert words in said(capsys, *arguments, code=2)
    assert not Path("p.png").exists()


def test_real_geometries_of_two_programs(here: Path, capsys, real_data) -> None:
    folder = real_data("pilatus1m-ceria-cpf")
    files = [folder / "CeO2_cal_Dioptas.poni", folder / "CeO2_cal_GSAS.imctrl"]
    size = ["--shape", 1043, 981, "--pixel-size-um", 172, 172]
    assert "--image-transform 2" in said(capsys, *files, *size, code=1)
    text = said(capsys, *files, *size, "--image-transform", 2, "--json", code=1)
    rows = {m["name"]: m["value"] for m in json.loads(text)["measures"]}
    # GSAS-II holds another energy: 3.2 % in wavelength, made up for by the distance
    assert rows["wavelength_ppm"] == pytest.approx(31842, abs=1)
    assert rows["beam_px"] == pytest.approx(0.129, abs=1e-3)
    assert rows["strain_rms_ue"] < 4000.0  # the penetration correction is left out
    assert "states neither the image" in said(capsys, files[1], files[1], code=2)


def test_a_published_reconstruction_has_its_published_errors(here: Path, capsys, real_data) -> None:
    folder = real_data("nearfield-golden")
    text = said(capsys, folder / "Au_txt.mic", folder / "au_c_reconstructed.mic", "--parameters",
                folder / "ps_au.txt", "--min-confidence", 0.7, "--json", code=0)  # fmt: skip
    content = json.loads(text)
    assert content["details"]["plain"]["pairs"] == 1514
    rows = {m["name"]: m["value"] for m in content["measures"]}
    assert rows["plain_median_deg"] == pytest.approx(0.0233, abs=5e-5)
    assert rows["twin_share"] == pytest.approx(0.0046, abs=5e-5)


def test_indices_of_other_axes_are_seen_in_real_tables(here: Path, capsys, real_data) -> None:
    folder = real_data("metrology") / "data"
    files = folder / "centroid_indexed.npz", folder / "centroid_integrated.npz"
    content = json.loads(said(capsys, *files, "--json", code=1))
    (found,) = content["details"]["reindexing"]
    assert found["matrix"] == [[0, -1, 0], [-1, 0, 0], [0, 0, -1]]
    rows = {m["name"]: m["value"] for m in content["measures"]}
    assert (rows["index_plain_share"], rows["index_share"]) == (1.0, 0.0)
