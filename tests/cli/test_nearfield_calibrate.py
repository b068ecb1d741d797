"""``refimpl nearfield calibrate``: from a wrong geometry to files that the next command takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refimpl.cli.main import main
from refimpl.cli.nearfield_files import lit_pixels, load
from refimpl.nearfield.example import SMALL, write_example


@pytest.fixture(scope="module")
def off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two grains simulated; a parameter file whose first distance is 30 um too long."""
    folder = tmp_path_factory.mktemp("off")
    wide = {"MaxRingRad": 1000.0, "BoxSize": ((-500.0, 500.0, 20.0, 980.0),), "OnlySpotsInfo": 1}
    made = write_example(folder, n_grains=2, **SMALL | wide)
    assert main(["nearfield", "simulate", str(made.parameters), str(made.truth)]) == 0
    rows = [row for row in made.truth.read_text().splitlines() if not row.startswith("%")]
    text = made.parameters.read_text().replace("Lsd 3000.0", "Lsd 3030.0")
    text += "".join(f"GridPoints {' '.join(row.split())}\n" for row in rows)
    (folder / "off.txt").write_text(text)
    return folder


def test_the_truth_returns_and_the_file_is_used_where_it_stands(off: Path, capsys) -> None:
    out = off / "results" / "first"
    capsys.readouterr()
    assert main(["nearfield", "calibrate", str(off / "off.txt"), "-o", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    by_name = {one["name"]: one for one in said["parameters"]}
    assert by_name["Lsd"]["unit"] == "mm"
    assert abs(by_name["Lsd"]["change"] + 0.03) < 4.0 * by_name["Lsd"]["sigma"] < 0.03
    assert said["lit_after"][0] > said["lit_before"][0]
    kept = json.loads((out / "calibration.json").read_text())
    assert kept == said
    assert kept["provenance"]["inputs"]["parameters"].endswith("off.txt")
    assert kept["provenance"]["version"]
    # DataDirectory . was of off.txt: the lit pixels are found from the new file, too
    job = load(out / "calibrated.txt")
    assert lit_pixels(job, job.params.folder).n_lit > 0
    assert job.params["Lsd"][0] == pytest.approx(3000.0, abs=25.0)


def test_tilts_of_each_distance_are_all_told(off: Path, tmp_path: Path, capsys) -> None:
    call = ["nearfield", "calibrate", str(off / "off.txt"), "-o", str(tmp_path), "--tilts", "each"]
    assert main(call) == 0
    said = capsys.readouterr().out
    assert "tx, ty, tz [degrees] of each distance; the file has room for the first:" in said
    rows = json.loads((tmp_path / "calibration.json").read_text())["tilts_deg"]
    assert len(rows) == 2
    assert rows[0] != rows[1]
    assert load(tmp_path / "calibrated.txt").params["tx"] == pytest.approx(rows[0][0])
