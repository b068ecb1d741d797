"""Files and tables that ``refimpl metrology refine`` refuses with one line, or bears."""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from refimpl.cli.main import main
from refimpl.io.dials_files import read_expt, read_refl, write_expt, write_refl

REFINE = ["--hierarchy-level", "1", "--no-report"]


def metrology(*arguments: object) -> int:
    return main(["metrology", *(str(a) for a in arguments)])


def refine(*arguments: object) -> int:
    return metrology("refine", *arguments, *REFINE, "-o", "out")


def printed(capsys: pytest.CaptureFixture[str]) -> dict:
    captured = capsys.readouterr()
    return json.loads(captured.out)


def refused_table(refused, table, *options: str, code: int = 2) -> str:
    write_refl("bad.refl", table)
    return refused("refine", "start.expt", "bad.refl", *REFINE, *options, "-o", "out", code=code)


def test_missing_files(here, refused) -> None:
    said = refused("refine", "none.expt", "spots.refl", "-o", "out")
    assert said == "none.expt: cannot be read: No such file or directory"
    said = refused("refine", "start.expt", "none.refl", "-o", "out")
    assert said == "none.refl: cannot be read: No such file or directory"
    said = refused("refine", "start.expt", "none.npz", "-o", "out")
    assert said == "none.npz: no such file"
    assert refused("import", "no_####.cbf").endswith("no images found")


def test_a_pickle_is_refused_and_never_loaded(here, refused) -> None:
    class Trap:
        def __reduce__(self):
            return (Path("loaded").touch, ())

    for name in ("bad.refl", "bad.expt"):
        Path(name).write_bytes(pickle.dumps(Trap()))
    said = refused("refine", "start.expt", "bad.refl", "-o", "out")
    assert "bad.refl" in said
    assert "pickle" in said
    assert "pickle" in refused("refine", "bad.expt", "spots.refl", "-o", "out")
    np.savez("bad.npz", flags=np.array([{"a": 1}], dtype=object))
    said = refused("refine", "start.expt", "bad.npz", "-o", "out")
    assert said == "bad.npz: not an .npz file of plain columns"
    assert not Path("loaded").exists()


@pytest.mark.parametrize("column", ["miller_index", "xyzobs.mm.value", "xyzobs.mm.variance", "id"])
def test_missing_columns(column, here, refused) -> None:
    said = refused_table(refused, read_refl("spots.refl").without(column))
    assert said.startswith("bad.refl: ")
    assert f"missing column {column}" in said


def test_reflections_of_another_detector(here, refused) -> None:
    table = read_refl("spots.refl")
    panel = table["panel"].copy()
    panel[7] = 60
    said = refused_table(refused, table.with_columns(panel=panel))
    assert "row 7 is on panel 60: the detector of experiment 0 has 6 panels" in said
    said = refused_table(refused, replace(table, identifiers={0: "another"}))
    assert "id 0 is of experiment 'another'" in said


def test_reflections_of_another_experiment(here, refused) -> None:
    table = read_refl("spots.refl")
    ids = table["id"].copy()
    ids[3] = 4
    said = refused_table(refused, table.with_columns(id=ids))
    assert "row 3 is of experiment 4: the list has 1, from 0" in said


@pytest.mark.parametrize("command", ["refine", "validate"])
@pytest.mark.parametrize("lost", ["scan", "goniometer"])
def test_a_scan_that_was_lost(command, lost, here, refused) -> None:
    (e,) = read_expt("start.expt")
    write_expt("lost.expt", [replace(e, **{lost: None})])
    said = refused(command, "lost.expt", "spots.refl", "-o", "out")
    assert said.startswith(f"lost.expt: experiment 0 has no {lost}, so it is a still, but ")


def test_rows_in_any_order_give_the_same(here, capsys) -> None:
    """Unsorted tables are no error: the order of rows has no say in a refinement."""
    assert refine("start.expt", "spots.refl", "--json") == 0
    expected = printed(capsys)
    table = read_refl("spots.refl")
    write_refl("mixed.refl", table.select(np.random.default_rng(1).permutation(len(table))))
    assert refine("start.expt", "mixed.refl", "--json") == 0
    found = printed(capsys)
    assert found["n_used"] == expected["n_used"]
    # sums in another order
    np.testing.assert_allclose(found["rmsd_mm"], expected["rmsd_mm"], rtol=1e-9)


@pytest.mark.parametrize("value", [-1.0, 0.0, np.nan])
def test_variances_that_are_none(value, here, refused) -> None:
    table = read_refl("spots.refl")
    variance = table["xyzobs.mm.variance"].copy()
    variance[5, 1] = value
    said = refused_table(refused, table.with_columns({"xyzobs.mm.variance": variance}))
    assert re.match(
        r"bad\.refl: 1 of 2\d+ rows of xyzobs\.mm\.variance are not positive, the first is row 5: ",
        said,
    )


def test_a_panel_without_data_is_named_and_held(here, refused, capsys) -> None:
    table = read_refl("spots.refl")
    write_refl("five.refl", table.select(table["panel"] != 2))
    assert refine("start.expt", "five.refl", "--json") == 0
    found = printed(capsys)
    assert found["n_parameters"] == 5 * 6 + 6
    assert any(text.startswith("Detector1Group3: 0 reflections") for text in found["reduced"])
    told = ("refine", "start.expt", "five.refl", *REFINE, "--auto-reduction", "fail", "-o", "new")
    assert "Detector1Group3: 0 reflections" in refused(*told)


def test_all_rejected(here, refused) -> None:
    table = read_refl("spots.refl").select(np.arange(0, 2400, 200))
    said = refused_table(refused, table)
    assert said == (
        "bad.refl: all of 12 reflections are rejected as outliers by tukey: 12 lie in 6 jobs of "
        "fewer than 20; separate_panels = False makes larger jobs"
    )


def test_nothing_indexed(here, refused) -> None:
    table = read_refl("spots.refl")
    none = table.with_columns(miller_index=np.zeros_like(table["miller_index"]))
    said = refused_table(refused, none)
    assert said == "bad.refl: none of 2400 reflections is fit for refinement: 2400 not indexed"
