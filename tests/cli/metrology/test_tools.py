"""``refimpl metrology`` with a refined detector: export, transfer, compare, remeasure."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from refimpl.cli.main import main
from refimpl.io.dials_files import read_expt, read_refl, write_expt, write_refl


@pytest.fixture(scope="module")
def made(nine_panels: Path) -> Path:
    return nine_panels


def metrology(*arguments: object) -> int:
    return main(["metrology", *(str(a) for a in arguments)])


def test_export_and_compare_tables(here, capsys) -> None:
    """Tables from a detector, read back, are its own to the unit they are in."""
    assert metrology("export", "refined.expt", "--to", "xds-geo", "-o", "tables") == 0
    said = capsys.readouterr().out
    assert said.startswith("they belong to a flat detector 150.0")
    assert {p.name for p in Path("tables").iterdir()} == {
        "x_geo_corr.cbf", "y_geo_corr.cbf", "flat.expt",
    }  # fmt: skip
    assert len(read_expt("tables/flat.expt")[0].detector) == 1
    tables = ("--tables", "tables/x_geo_corr.cbf", "tables/y_geo_corr.cbf")
    assert metrology("compare", "refined.expt", *tables, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["overall_px"] < 0.01  # rounded to 1/100 px, both ways together
    assert found["overall_reference_px"] > 0.5
    assert metrology("compare", "start.expt", *tables) == 0
    assert capsys.readouterr().out.startswith("the tables differ by ")
    assert metrology("export", "refined.expt", "--to", "xds", "-o", "tables",
                     "--reference", "start.expt", "--reflections", "refined.refl") == 0  # fmt: skip
    assert "flat detector" not in capsys.readouterr().out
    xds = ("--tables", "tables/X-CORRECTIONS.cbf", "tables/Y-CORRECTIONS.cbf")
    given = (*xds, "--reference", "start.expt", "--reflections", "refined.refl")
    assert metrology("compare", "refined.expt", *given, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["layout"] == "xds"
    assert found["overall_px"] < 0.06  # rounded to 1/10 px, both ways together; 4 x 4 pixels


def test_export_models(here, capsys) -> None:
    assert metrology("export", "refined.expt", "--to", "crystfel", "-o", "detector.geom") == 0
    assert capsys.readouterr().out == "wrote detector.geom\n"
    text = Path("detector.geom").read_text()
    assert text.count("/corner_x = ") == 9
    assert metrology("export", "refined.expt", "--to", "dials", "-o", "reference.expt") == 0
    (made,), (given,) = read_expt("reference.expt"), read_expt("refined.expt")
    assert made.crystal is None
    assert made.scan is None
    np.testing.assert_array_equal(made.detector.d, given.detector.d)


def test_export_refuses(here, refused) -> None:
    said = refused("export", "refined.expt", "--to", "nexus", "-o", "x")
    assert said == "--to 'nexus': expected one of xds, xds-geo, crystfel, dials"
    said = refused(
        "export", "refined.expt", "--to", "dials", "--reference", "start.expt", "-o", "x"
    )
    assert said == "--reference and --reflections are of tables, not of --to dials"
    (e,) = read_expt("refined.expt")
    write_expt("bare.expt", [replace(e, detector=None)])
    said = refused("export", "bare.expt", "--to", "xds", "-o", "x")
    assert said == "bare.expt: the experiment has no detector"
    write_expt("dark.expt", [replace(e, beam=None)])
    said = refused("export", "dark.expt", "--to", "xds", "-o", "x")
    assert said == "a reference geometry needs a beam and a detector"
    empty = {"__id__": "ExperimentList", "experiment": []}
    Path("empty.expt").write_text(json.dumps(empty))
    for given in (("export", "--to", "dials"), ("view",), ("transfer", "--distance-mm", "3")):
        said = refused(given[0], "empty.expt", *given[1:], "-o", "x")
        assert said == "empty.expt: no experiment in the list"
    for name in ("dark", "bare"):
        said = refused("simulate", f"{name}.expt", "-o", "x")
        assert said == f"{name}.expt: the experiment has no beam or no detector"
    write_expt("two.expt", [e, replace(e, detector=replace(e.detector))])
    said = refused("export", "two.expt", "--to", "xds", "-o", "x")
    assert said == "two.expt: 2 detectors in 2 experiments: expected one"
    said = refused("find-spots", "bare.expt", "-o", "x")
    assert said == "bare.expt: the experiment has no detector"
    stack = [replace(m, raw_image_offset=(0, 0)) for m in e.detector.modules]
    write_expt("stack.expt", [replace(e, detector=replace(e.detector, modules=tuple(stack)))])
    said = refused("export", "stack.expt", "--to", "xds", "-o", "x")
    assert said == "tables: panel 1 overlaps another in the image"
    write_refl("spots.refl", read_refl("spots.refl").with_columns(flags=np.zeros(1800, np.int64)))
    said = refused(
        "export", "refined.expt", "--to", "xds", "--reflections", "spots.refl", "-o", "x"
    )
    assert said == "spots.refl: no reflection is marked as used in refinement"


def test_transfer(here, capsys) -> None:
    far = ("transfer", "refined.expt", "--distance-mm", "300", "--reflections", "refined.refl")
    assert metrology(*far, "-o", "far.expt") == 0
    assert capsys.readouterr().out == "9 panels for 1 experiments\nwrote far.expt\n"
    assert metrology("compare", "refined.expt", "far.expt", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["aligned"]["in_plane_mm"] < 1e-9
    assert found["congruence"]["normal_mm"] == pytest.approx(150.0, abs=0.5)
    assert metrology("transfer", "refined.expt", "--onto", "start.expt", "-o", "onto.expt") == 0
    (onto,), (start,) = read_expt("onto.expt"), read_expt("start.expt")
    assert onto.crystal is not None
    apart = np.abs(onto.detector.d - start.detector.d)[:, :, 2]
    assert 0.05 < apart.max() < 1.0  # panels as refined, where the other has its detector


def test_transfer_and_compare_refuse(here, refused) -> None:
    said = refused("transfer", "refined.expt", "-o", "x.expt")
    assert said == "transfer: say whereto, with --onto EXPT, --distance-mm D or both"
    said = refused("transfer", "refined.expt", "--distance-mm", "-2", "-o", "x.expt")
    assert said == "transfer: distance -2.0 mm: expected a positive number"
    said = refused("transfer", "refined.expt", "--distance-mm", "9", "-o", "no/x.expt")
    assert "no" in said
    said = refused("compare", "refined.expt")
    assert said == "compare: expected either another EXPT or --tables X Y"
    said = refused("compare", "refined.expt", "start.expt", "--reference", "start.expt")
    assert said == "--reference is of --tables"
    (e,) = read_expt("refined.expt")
    fewer = replace(e.detector, modules=e.detector.modules[:4], root=None)
    write_expt("four.expt", [replace(e, detector=fewer)])
    said = refused("compare", "refined.expt", "four.expt")
    assert said == "detectors of 9 and 4 panels: expected equal"
    said = refused("compare", "four.expt", "four.expt", "--reflections", "refined.refl")
    assert said == "refined.refl: reflections lie on panel 8: the detector has 4 panels"
    np.save("x.npy", np.zeros((3, 3), dtype=np.int32))
    said = refused("compare", "refined.expt", "--tables", "x.npy", "x.npy")
    assert said.startswith("x.npy: a table of shape (3, 3) for an image of (740, 740): expected")


def test_remeasure(here, refused, capsys) -> None:
    """Parallax that a file's millimetres lack, forward; and back into calculated pixels."""
    (e,), table = read_expt("refined.expt"), read_refl("spots.refl")
    modules = tuple(
        replace(m, parallax=True, thickness_mm=1.0, mu_per_mm=2.0) for m in e.detector.modules
    )
    thick = replace(e, detector=replace(e.detector, modules=modules))
    write_expt("thick.expt", [thick])
    flags = table["flags"] | np.array(1, dtype=table["flags"].dtype)  # predicted
    columns = {"xyzcal.mm": table["xyzobs.mm.value"], "xyzcal.px": table["xyzobs.px.value"]}
    write_refl("both.refl", table.with_columns(columns | {"flags": flags}))
    assert metrology("remeasure", "thick.expt", "both.refl", "-o", "new.refl") == 0
    said = capsys.readouterr().out
    assert said.startswith("positions moved by 0.")
    new = read_refl("new.refl")
    panel = table["panel"].astype(np.int64)
    px, mm = table["xyzobs.px.value"], table["xyzobs.mm.value"]
    x, y = thick.detector.pixel_to_mm(panel, px[:, 0], px[:, 1])
    np.testing.assert_array_equal(new["xyzobs.mm.value"][:, :2], np.column_stack([x, y]))
    x, y = thick.detector.mm_to_pixel(panel, mm[:, 0], mm[:, 1])
    np.testing.assert_array_equal(new["xyzcal.px"][:, :2], np.column_stack([x, y]))
    assert np.abs(new["xyzobs.mm.value"][:, :2] - mm[:, :2]).max() > 0.05  # mm
    write_refl("bare.refl", table.without("xyzobs.px.value"))
    said = refused("remeasure", "start.expt", "bare.refl", "-o", "x.refl")
    assert said.startswith("bare.refl: missing column xyzobs.px.value")
    panel = table["panel"].copy()
    panel[3] = 9
    write_refl("other.refl", table.with_columns(panel=panel))
    for command in ("remeasure", "validate"):
        said = refused(command, "start.expt", "other.refl", "-o", "x")
        assert "row 3 is on panel 9: the detector of experiment 0 has 9 panels" in said
    said = refused("remeasure", "start.expt", "none.refl", "-o", "x.refl")
    assert said == "none.refl: cannot be read: No such file or directory"
