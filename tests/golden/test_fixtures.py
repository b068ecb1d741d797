"""The golden data themselves: pinned, explained, used, and true where they can be checked."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from refimpl.testing.golden import (
    case_ids,
    fixtures_root,
    golden,
    manifest_problems,
    provenance_problems,
)

TESTS = Path(__file__).resolve().parents[1]

RECORDS = {
    "autocal_loop": "what a published loop did, not a quantity",
    "autocal_seed": "what a published seed finder answered, not a quantity",
    "lm_floor": "figures to beat",
    "published_figures": "figures to beat",
    "published_points": "output of one run",
    "published_listings": "text, not a quantity",
}
"""Folders that one kind of source is enough for, and why."""


def test_every_byte_is_in_the_manifest():
    assert manifest_problems() == []


@pytest.mark.parametrize("case_id", case_ids())
def test_provenance_is_complete(case_id):
    assert provenance_problems(golden(case_id)) == []


@pytest.mark.parametrize("case_id", case_ids())
def test_every_described_column_exists(case_id):
    case = golden(case_id)
    data = case.folder / "data.csv"
    if data.exists():
        assert set(case.columns) <= set(case.table()), case_id
        assert set(case.table()) <= set(case.columns), f"{case_id}: a column is not described"
    else:
        assert [p for p in case.folder.iterdir() if p.suffix in (".json", ".gz")], case_id


def test_every_case_is_used_by_a_test():
    here = Path(__file__).name
    sources = [p.read_text("utf-8") for p in TESTS.rglob("test_*.py")]
    unused = [c for c in case_ids() if not any(f'"{c}"' in text for text in sources)]
    assert unused == [], f"no test names these cases (this file, {here}, counts)"


def test_every_quantity_has_two_kinds_of_source():
    kinds: dict[str, set[str]] = {}
    for case_id in case_ids():
        case = golden(case_id)
        kinds.setdefault(case_id.split("/")[0], set()).add(case.provenance["source_kind"])
    lonely = [q for q, k in kinds.items() if len(k - {"self"}) < 2 and q not in RECORDS]
    assert lonely == []


def test_no_case_is_large():
    # 300 kB: the largest table here is a forward-model table of 141 kB
    big = [p for p in fixtures_root().rglob("*") if p.is_file() and p.stat().st_size > 300_000]
    assert big == []


MADE_HERE = [c for c in case_ids() if golden(c).provenance["source_kind"] != "external"]
COPIED = [c for c in case_ids() if c not in MADE_HERE]
NOT_COPIED = (
    "rings/pyfai_Cr2O3", "interop/pyfai_poni", "interop/imaged11_par", "misorientation/orix",
)  # fmt: skip


def _run_make(case_id: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    make = golden(case_id).folder / "make.py"
    monkeypatch.setattr(sys, "argv", [str(make), *arguments])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(make), run_name="__main__")
    return stopped.value.code


@pytest.mark.parametrize("case_id", [c for c in MADE_HERE if c != "lm_floor/pilatus2m"])
def test_make_gives_the_same_data_again(case_id, monkeypatch):
    assert _run_make(case_id, monkeypatch) in (0, False)


@pytest.mark.parametrize("case_id", [c for c in COPIED if c not in NOT_COPIED])
def test_copies_equal_their_originals(case_id, monkeypatch, real_data):
    assert _run_make(case_id, monkeypatch, str(real_data("powder-golden"))) in (0, False)


def test_transcribed_rings_of_pyfai_are_whole(monkeypatch):
    assert _run_make("rings/pyfai_Cr2O3", monkeypatch) in (0, False)


def test_pyfai_gives_the_same_geometry_again(monkeypatch):
    pytest.importorskip("pyFAI", reason="pyFAI is not installed: pip install 'refimpl[interop]'")
    assert _run_make("interop/pyfai_poni", monkeypatch) in (0, False)


def test_imaged11_gives_the_same_geometry_again(monkeypatch):
    pytest.importorskip("ImageD11", reason="ImageD11 is not installed: pip install ImageD11")
    assert _run_make("interop/imaged11_par", monkeypatch) in (0, False)


def test_orix_gives_the_same_misorientations_again(monkeypatch):
    pytest.importorskip("orix", reason="orix is not installed: pip install orix")
    assert _run_make("misorientation/orix", monkeypatch) in (0, False)


def test_chord_runs_show_the_closed_form():
    closed = golden("chord_bias/closed_form").table()
    runs = golden("chord_bias/pilatus2m").table()
    bias = dict(zip(closed["eta_bin_deg"], closed["bias_ppm"], strict=True))
    rows = zip(runs["eta_bin_deg"], runs["lsd_um"], strict=True)
    lsd = {size: value / (1.0 + 1e-6 * bias[size]) for size, value in rows if size <= 8.0}
    # 30 ppm of 740 mm: noise of the published fits, 20 times under the bias at 5 degrees
    assert max(lsd.values()) - min(lsd.values()) < 30e-6 * 740e3
    assert bias[5.0] == pytest.approx(635.1, abs=0.05)  # one decimal printed


def test_loop_of_the_published_driver_never_ends():
    for case_id, last in (
        ("autocal_loop/pilatus2m", 106.88),
        ("autocal_loop/pilatus2m_mask", 126.14),
    ):
        steps = golden(case_id).json()["hist"]
        assert steps[-1]["ms"] == steps[-2]["ms"] == pytest.approx(last, abs=0.01)  # as printed
        assert steps[-1]["Lsd"] == steps[-2]["Lsd"]
        assert steps[-1]["ms"] > 40.0  # microstrain: the default StoppingStrain, never reached


def test_seed_of_the_published_driver():
    seed = golden("autocal_seed/pilatus2m").json()
    row, column = seed["bc"]
    assert (column, row) == pytest.approx((769.83, 874.48), abs=0.005)  # two decimals printed
    assert seed["threshold"] == 4100.0
    assert seed["labels"] == 2352
    assert len(seed["rads"]) == 7


def test_points_of_the_published_run():
    case = golden("published_points/single_eta1")
    raw = gzip.decompress(case.path("corr.csv.gz").read_bytes())
    assert hashlib.md5(raw).hexdigest() == "5eae55186a4c1a57d2a5d9fb5cca6d38"
    header, *lines = raw.decode().splitlines()
    table = np.array([[float(w) for w in line.split()] for line in lines])
    assert len(header.split()) == 10
    assert table.shape == (2618, 11)
    printed = float(re.findall(r"^MeanStrain (\S+)", case.text("out.txt"), re.M)[-1])
    assert table[:, 1].mean() == pytest.approx(printed, abs=1e-8)  # columns hold 8 decimals
    strain = table[:, 1]
    for _ in range(3):
        kept = table[table[:, 1] <= 2.5 * strain.mean(), 1]
        strain = kept
    assert (1e6 * strain.mean(), len(strain)) == (pytest.approx(125.8, abs=0.05), 2324)
    assert set(table[:, 10]) == set(range(1, 17))  # ring 17 does not reach the detector


def test_published_figures_agree_with_each_other():
    runs = golden("published_figures/powder_runs").table()
    floors = golden("published_figures/powder_floors").table()
    scores = golden("published_figures/patch2deg").table()
    fits = golden("lm_floor/pilatus2m").json()
    best = runs["run"].tolist().index("5 + 6 distortion")
    assert runs["clip_ue"][best] == pytest.approx(
        fits["single_dist"]["fit"]["mean_clip3"],
        abs=0.05,  # one decimal printed
    )
    held_out = {
        (model, split): value
        for model, split, value in zip(
            floors["model"], floors["split"], floors["strain_ue"], strict=True
        )
    }
    assert held_out["24 x 3 shifts", "odd_even_rings"] > 2 * held_out["24 x 3 shifts", "in_sample"]
    at = scores["geometry"].tolist().index("published single surface")
    assert scores["strain_ue"][at] == held_out["best monolithic 5 dof", "in_sample"] == 223.0


def test_folder_of_the_fixtures_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("REFIMPL_FIXTURES", str(tmp_path / "none"))
    with pytest.raises(ValueError, match="set REFIMPL_FIXTURES to the folder data_fixtures"):
        fixtures_root()
    monkeypatch.setenv("REFIMPL_FIXTURES", str(tmp_path))
    assert case_ids() == []
    assert os.environ["REFIMPL_FIXTURES"] == str(tmp_path)
