"""Every option of ``refimpl metrology refine`` acts, or is refused."""

from __future__ import annotations

import json
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


PLAIN = ("start.expt", "spots.refl", "--json")


def test_gauges_tell_one_answer(here, capsys) -> None:
    assert refine(*PLAIN) == 0
    published = printed(capsys)
    assert published["gauge"]["kind"] == "published"
    assert refine(*PLAIN, "--gauge", "zero-sum", "--out-of-plane") == 0
    zero = printed(capsys)
    assert refine(*PLAIN, "--gauge", "anchored", "--anchor", "2") == 0
    anchored = printed(capsys)
    for found in (zero, anchored):
        # to rounding: the gauge is a way of speaking
        np.testing.assert_allclose(found["rmsd_mm"], published["rmsd_mm"], rtol=1e-12)
        assert len(found["gauge"]["whole"]) == 6
        assert len(found["gauge"]["own"]) == 36
    own = {row["name"]: row for row in anchored["gauge"]["own"]}
    assert own["Detector1Group2Dist"]["sigma"] < 1e-6  # mm
    assert own["Detector1Group3Dist"]["sigma"] > 1e-4
    assert "Detector1Group2Dist is held" in anchored["gauge"]["sentences"]
    anchor = anchored["panels"][1]["sigma"]
    assert max(anchor.values()) < 1e-6
    rows = [f["panels"][1]["sigma"]["normal_mm"] for f in (zero, published)]
    assert min(rows) > 1e-4
    assert abs(rows[0] / rows[1] - 1.0) > 0.01  # within the detector, and in the lab


def test_weak_modes_are_told(here, capsys) -> None:
    assert refine("start.expt", "spots.refl", "--weak-modes", "2", "--gauge", "zero-sum") == 0
    said = capsys.readouterr().out
    found = json.loads(Path("out/result.json").read_text())
    modes = found["weak_modes"]["modes"]
    assert len(modes) == 2
    assert 0.0 < modes[0]["eigenvalue"] <= modes[1]["eigenvalue"] < 1.0
    assert modes[0]["sentence"] in said
    assert "condition number of the scaled normal matrix" in said
    assert "Detector1: the sum of shift along fast over its groups is 0" in said
    assert "Detector1 turn about the normal [mrad] " in said
    assert refine(*PLAIN, "--weak-modes", "1", "--constraint", "Dist") == 0
    tied = printed(capsys)["weak_modes"]
    assert "for 37 parameters" in tied["sentences"][0]


def test_constraints_and_restraints(here, capsys) -> None:
    assert refine(*PLAIN, "--constraint", "Dist,Tau1", "--constraint", "Shift2") == 0
    found = printed(capsys)
    assert found["n_parameters"] == 36 + 6 - 3 * 5
    moved = [p["value"] - p["start"] for p in found["parameters"] if p["name"].endswith("Tau1")]
    np.testing.assert_allclose(moved, moved[0], rtol=0, atol=1e-9)
    target = "57.9,57.9,150.2,90,90,90:1e-4,0,1e-4,0,0,0"
    assert refine(*PLAIN, "--restrain-cell", target) == 0
    # some 1e-2 of a width of 1e-4 is left to the data
    np.testing.assert_allclose(
        printed(capsys)["cells"][0]["cell"], [57.9, 57.9, 150.2, 90, 90, 90], rtol=0, atol=2e-3
    )


@pytest.mark.parametrize(
    ("options", "more"),
    [(("--iqr-multiplier", "3"), False), (("--outlier", "null"), False),
     (("--iqr-multiplier", "0.7"), True), (("--no-separate-panels",), None)],
)  # fmt: skip
def test_outlier_options(options, more, here, capsys) -> None:
    assert refine(*PLAIN) == 0
    usual = printed(capsys)["n_outliers"]
    assert refine(*PLAIN, *options) == 0
    found = printed(capsys)["n_outliers"]
    assert found != usual
    if more is not None:
        assert (found > usual) == more


def test_experiments_apart_or_together(here, capsys) -> None:
    """Two crystals of unequal spread: together the worse one has more outliers."""
    one, table = read_expt("start.expt")[0], read_refl("spots.refl")
    second = replace(one, identifier="other", crystal=replace(one.crystal))
    write_expt("two.expt", [one, second])
    ids = (np.arange(len(table)) % 2).astype(table["id"].dtype)
    xyz = table["xyzobs.mm.value"].copy()
    xyz[ids == 1, :2] += np.random.default_rng(3).normal(0.0, 0.1, (int(ids.sum()), 2))
    both = replace(table, identifiers={0: one.identifier, 1: "other"})
    write_refl("two.refl", both.with_columns({"id": ids, "xyzobs.mm.value": xyz}))
    left = []
    for option in ("--separate-experiments", "--no-separate-experiments"):
        assert refine("two.expt", "two.refl", "--json", option) == 0
        left.append([row["n"] for row in printed(capsys)["by_experiment"]])
    assert left[1][1] < left[0][1]


def test_a_random_subset(here, capsys) -> None:
    assert refine(*PLAIN, "--reflections-per-degree", "30") == 0
    assert printed(capsys)["n_used"] == 30 * 45
    assert refine(*PLAIN, "--reflections-per-degree", "30", "--set", "seed=3") == 0
    assert refine(*PLAIN, "--reflections-per-degree", "all") == 0


def test_loss_steps_and_target(here, capsys) -> None:
    assert refine(*PLAIN, "--outlier", "null", "--weak-modes", "1") == 0
    plain = printed(capsys)
    assert refine(*PLAIN, "--outlier", "null", "--loss", "huber") == 0
    robust = printed(capsys)
    assert robust["n_used"] == plain["n_used"]
    assert robust["objective"] != plain["objective"]
    target = ("--engine", "levmar", "--bin-size-fraction", "0.5")
    assert refine(*PLAIN, *target) == 0
    assert printed(capsys)["reason"] == "RMSD target achieved"


def test_parallax_is_made_anew(here, capsys) -> None:
    def thick(name: str) -> None:
        (e,) = read_expt(name)
        modules = tuple(
            replace(m, parallax=True, thickness_mm=2.0, mu_per_mm=1.0) for m in e.detector.modules
        )
        write_expt(f"thick_{name}", [replace(e, detector=replace(e.detector, modules=modules))])

    thick("start.expt")
    assert refine("thick_start.expt", "spots.refl", "--parallax", "--json") == 0
    found = printed(capsys)
    changes = found["parallax_changes_mm"]
    assert 2 <= len(changes) <= 5
    assert changes[-1] < 1e-5 < changes[0]
    assert refine("thick_start.expt", "spots.refl", "--parallax", "--again") == 0
    assert f"parallax made anew {len(changes)} times" in capsys.readouterr().out


def test_help_has_its_options_in_groups(capsys) -> None:
    assert metrology("refine", "--help") == 0
    said = capsys.readouterr().out
    places = [
        said.find(f"\n{title}:\n")
        for title in ("Arguments", "Options", "What moves", "Which reflections count",
                      "How it is done")
    ]  # fmt: skip
    assert -1 not in places
    assert places == sorted(places)
    assert metrology("import", "--help") == 0
    assert "list[str]" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--engine", "newton"), "engine 'newton': expected one of arrow, levmar, gauss_newton"),
        (("--preset", "old"), "selection preset 'old' is unknown: expected one of tutorial, cur"),
        (("--auto-reduction", "no"), "auto_reduction 'no': expected fix, fail or remove"),
        (("--fix", "detector.all,beam.tilt"), "beam.fix: unknown 'tilt': expected some of in_sp"),
        (("--fix", "detector.all,beam.all,crystal.all"), "every parameter is fixed: nothing to"),
        (("--hierarchy-level", "3"), "hierarchy level 3: this detector has levels 0 to 1"),
        (("--gauge", "free"), "--gauge 'free': expected one of published, anchored, zero-sum"),
        (("--gauge", "anchored"), "--gauge anchored: say which group with --anchor N, from 1"),
        (("--anchor", "2"), "--anchor 2 with --gauge published: it is of --gauge anchored alone"),
        (("--out-of-plane",), "--out-of-plane with --gauge published: it is of --gauge zero-sum"),
        (("--gauge", "zero-sum"), "gauge zero_sum: 1 group(s) of the detector move: nothing to"),
        (
            ("--hierarchy-level", "1", "--gauge", "anchored", "--anchor", "9"),
            "gauge anchor: Detector1Group9 is held or not there: the free ones are 1, 2, 3, 4, 5",
        ),
        (("--constraint", "Dist"), "constraint 'Dist' matches 1 free parameter(s): expected two"),
        (("--loss", "cauchy"), "loss 'cauchy': expected one of none, huber, biweight"),
        (("--loss", "huber", "--constraint", "g_param"), "loss huber and constraints g_param: cho"),
        (("--restrain-cell", "1,2"), "--restrain-cell '1,2': expected CELL:WIDTHS, six numbers"),
        (("--restrain-cell", "1,2,3,4,5,6:1,1,1,0,0,0:7"), "tie_to_target: crystal 7: there are 1"),
        (("--reflections-per-degree", "-3"), "--reflections-per-degree '-3': expected a positive"),
        (
            ("--outlier", "null", "--iqr-multiplier", "2"),
            "iqr_multiplier = 2.0 with outlier null: it is of tukey alone",
        ),
        (("--set", "speed=1"), "selection: 'speed' is unknown: expected one of close_to_spindle_c"),
        (("--parallax",), "refine_with_parallax: no panel has a parallax: nothing would change"),
    ],
)
def test_bad_options(options, said, here, refused) -> None:
    given = ("refine", "start.expt", "spots.refl", "--no-report", *options, "-o", "new")
    assert refused(*given).startswith(said)
