"""The thesis's tables beside ours: plans, tables, runs that go on."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl.centring.net_sizes import NETS
from refimpl.centring.published import TABLE_2_3, TABLE_2_5, TARGETS
from refimpl.centring.reproduce import LEDGER, missing, reproduce
from refimpl.centring.reproduce_plan import NIGHT, SMALL, Plan
from refimpl.centring.reproduce_tables import agreement, markdown, published_mse, write_tables
from refimpl.errors import ConfigError
from refimpl.testing.golden import golden

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs the extra centring (torch)"
)

TINY = Plan(
    archs=("a4", "a_fcn"), targets=("tanh",), classifier=False, crystals=8, views=1, crops=4,
    size=24, epochs=3, patience=9, aim=1, step_um=80.0,
)  # fmt: skip


# --- what was published ---------------------------------------------------------------------------


def test_the_published_numbers_are_those_of_the_golden_file():
    with (golden("published_figures/centring_tables").folder / "data.csv").open() as file:
        known = {(row["row"], row["quantity"]): float(row["value"]) for row in csv.DictReader(file)}
    ours = {
        (arch, f"mse_{target}"): published_mse(arch, target)
        for arch in TABLE_2_3 for target in TARGETS
    }  # fmt: skip
    assert ours | {("classifier", k): v for k, v in TABLE_2_5.items()} == known
    assert list(TABLE_2_3) == list(NETS)
    assert published_mse("a_fcn", "tanh") is None
    assert published_mse("a1", "slog") is None


# --- plans ----------------------------------------------------------------------------------------


def test_a_plan_is_every_net_with_every_target_and_the_classifier():
    assert len(NIGHT.nets) == 11 * 3 + 1
    assert NIGHT.nets[0] == ("a1", "vanilla")
    assert NIGHT.nets[-1] == ("classifier", "")
    assert set(SMALL.nets) == set(NIGHT.nets)
    assert NIGHT.size == 128
    assert NIGHT.with_(size=64, epochs=None).epochs == NIGHT.epochs


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"archs": ("a11",)}, "archs: 'a11': expected some of a1"),
        ({"archs": ("a1", "a1")}, "archs: a1, a1: a name twice"),
        ({"targets": ("sqrt",)}, "targets: 'sqrt': expected some of vanilla"),
        ({"targets": ("log_literal",)}, "log_literal is not defined for counts below the mean"),
        ({"archs": (), "classifier": False}, "nothing to do"),
        ({"crystals": 4}, "crystals 4: expected 5 or more"),
        ({"patience": -1}, "patience -1: expected 0 or more"),
        ({"lr": math.nan}, "lr nan: expected a positive number"),
        ({"step_um": 0.0}, "step_um 0.0: expected a positive number"),
    ],
)
def test_plans_that_cannot_be(change: dict[str, Any], words: str):
    with pytest.raises(ConfigError, match=words):
        NIGHT.with_(**change)


# --- tables ---------------------------------------------------------------------------------------


def row(arch: str, target: str, mse: float, **more: Any) -> dict[str, Any]:
    return {
        "arch": arch, "target": target, "parameters": 1000, "best_epoch": 2, "epochs": 5,
        "n_train": 60, "n_val": 20, "n_test": 20, "crystals_test": 4, "mse": mse, "mae": 0.3,
        "baseline_mse": 0.5, "baseline_mae": 0.4, "pearson": None, "spearman": 0.25,
        "aim_n": 5, "aim_found": 1.0, "aim_hit": 0.8, "aim_relative": 0.6, "aim_away_um": None,
        "seconds": 90.0, **more,
    }  # fmt: skip


CLASSIFIED = {
    "arch": "classifier", "target": "", "parameters": 9, "best_epoch": 0, "epochs": 1,
    "n_test": 40, "crystals_test": 4, "loss": 0.3, "accuracy": 0.85, "baseline_loss": 0.69,
    "baseline_accuracy": 0.5, "balanced_accuracy": 0.85, "confusion": [[18, 2], [4, 16]],
    "seconds": 3.0,
}  # fmt: skip


def test_ranks_of_both_tables():
    assert agreement([row("a1", "tanh", 0.1)], "tanh")[0] == 1
    assert math.isnan(agreement([row("a1", "tanh", 0.1)], "tanh")[1])
    same = [row(arch, "log", 2.0 * TABLE_2_3[arch][1]) for arch in TABLE_2_3]
    assert agreement(same, "log") == (10, pytest.approx(1.0))
    # another target, and nets that the thesis does not have, do not count
    assert agreement([*same, row("a_fcn", "log", 9.0)], "log")[0] == 10
    assert agreement(same, "tanh")[0] == 0


def test_the_page_has_both_numbers_the_baseline_and_plain_words():
    plan = Plan(archs=("a1", "a9", "a_fcn"), targets=("tanh",))
    nets = [row("a1", "tanh", 0.25), row("a_fcn", "tanh", 0.6)]
    text = markdown(plan, nets, CLASSIFIED, {"a9-tanh": "no memory"})
    assert "| a1 | 0.3638 | 0.25 | 0.5 |" in text
    assert "| a9 | 0.2188 | – | – |" in text
    assert "| a_fcn | – | 0.6 | 1.2 |" in text
    assert "| *predict the mean* | not stated | 0.5 | 1 |" in text
    assert "1 of 4 nets are missing** (a9-tanh)" in text
    assert "a9-tanh failed: no memory" in text
    assert "| thesis | 0.2604 | 0.891 |" in text
    assert "| ours | 0.3 | 0.85 |" in text
    assert (
        "Of 20 with a crystal 18 were called crystal and 2 empty; of 20 empty ones 4 and 16" in text
    )
    assert "cannot be compared" in text
    assert "1 of our 2 nets are better than predicting the mean" in text
    assert "px instead of 128" not in text
    assert "px instead of 128" in markdown(plan.with_(size=64), nets, None)


def test_files_of_the_tables(tmp_path: Path):
    plan = Plan(archs=("a1",), targets=("vanilla", "tanh"))
    write_tables(plan, [row("a1", "tanh", 0.25)], CLASSIFIED, {}, tmp_path)
    content = json.loads((tmp_path / "tables.json").read_text())
    assert content["table_2_5"]["published_accuracy"] == 0.891
    assert content["table_2_3"][0]["published_mse"] == 0.3638
    assert content["table_2_3"][0]["mse_over_baseline"] == 0.5
    assert content["missing"] == ["a1-vanilla"]
    assert content["rank_correlation"]["tanh"] == {"nets": 1, "spearman": None}
    with (tmp_path / "table_2_3.csv").open() as file:
        (line,) = csv.DictReader(file)
    assert (line["arch"], line["mse"], line["pearson"]) == ("a1", "0.25", "")


# --- runs -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    pytest.importorskip("torch", reason="needs the extra centring (torch)")
    folder = tmp_path_factory.mktemp("reproduced")
    return folder, reproduce(TINY, folder)


def test_a_run_writes_tables_and_predictions(done: tuple[Path, Any]):
    folder, found = done
    assert [(r["arch"], r["target"]) for r in found.rows] == [("a4", "tanh"), ("a_fcn", "tanh")]
    assert not found.failed
    assert "| a4 | 0.3572 |" in (folder / "tables.md").read_text()
    first = found.rows[0]
    assert first["n_train"] + first["n_val"] + first["n_test"] == TINY.pictures
    lines = (folder / "predictions" / "a4-tanh.csv").read_text().splitlines()[1:]
    true, predicted = np.array([[float(v) for v in line.split(",")[1:]] for line in lines]).T
    assert len(lines) == first["n_test"]
    assert ((true - predicted) ** 2).mean() == pytest.approx(first["mse"], rel=1e-7)
    assert not (folder / "work").exists()


def test_what_is_done_is_not_done_again(done: tuple[Path, Any]):
    folder, found = done
    told = []
    again = reproduce(TINY, folder, progress=lambda o, n, of: told.append((o.key, o.kept)))
    assert told == [("a4-tanh", True), ("a_fcn-tanh", True)]
    assert again.rows == found.rows
    assert missing(TINY, folder) == ()
    # other data, other results; another table of the same nets is not
    assert missing(TINY.with_(seed=1), folder) == TINY.nets
    assert missing(TINY.with_(archs=("a4", "a8")), folder) == (("a8", "tanh"),)


def test_a_net_that_was_stopped_goes_on(done: tuple[Path, Any], tmp_path: Path, monkeypatch: Any):
    from refimpl.centring import reproduce_net
    from refimpl.scaleout import Interrupted

    _, found = done
    real, seen = reproduce_net.checkpoint, []

    def in_the_second_epoch() -> None:
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt
        real()

    monkeypatch.setattr(reproduce_net, "checkpoint", in_the_second_epoch)
    plan = TINY.with_(archs=("a4",))
    with pytest.raises(Interrupted):
        reproduce(plan, tmp_path)
    assert "1 of 1 nets are missing" in (tmp_path / "tables.md").read_text()
    assert [p.name for p in (tmp_path / "work").glob("*/last.ckpt")] == ["last.ckpt"]
    gone_on = reproduce(plan, tmp_path)
    assert {**gone_on.rows[0], "seconds": 0} == {**found.rows[0], "seconds": 0}
    assert len(seen) - 2 < 3 + 1 + 1  # not all three epochs, the scores and an aim again


@needs_torch
def test_a_net_that_fails_leaves_the_others(tmp_path: Path, monkeypatch: Any):
    from refimpl.centring import reproduce_net

    real = reproduce_net.train

    def train(samples: Any, split: Any, settings: Any, **options: Any) -> Any:
        if settings.arch == "a4":
            raise ConfigError("no memory for it")
        return real(samples, split, settings, **options)

    monkeypatch.setattr(reproduce_net, "train", train)
    found = reproduce(TINY.with_(epochs=1, aim=0), tmp_path)
    assert found.failed == {"a4-tanh": "no memory for it"}
    assert [r["arch"] for r in found.rows] == ["a_fcn"]
    assert "aim_hit" not in found.rows[0]
    assert "a4-tanh failed: no memory for it" in (tmp_path / "tables.md").read_text()


@needs_torch
@pytest.mark.parametrize("engine", ["threads", "auto", "parsl"])
def test_nets_are_not_trained_in_threads(engine: str, tmp_path: Path):
    with pytest.raises(ConfigError, match="nets share the random numbers"):
        reproduce(TINY, tmp_path, engine=engine)


@needs_torch
def test_the_weights_are_kept_where_asked(tmp_path: Path):
    from refimpl.centring.modules import load_regressor

    plan = TINY.with_(archs=("a_fcn",), aim=0, epochs=1)
    reproduce(plan, tmp_path, keep=True)
    net = load_regressor(tmp_path / "nets" / "a_fcn-tanh.ckpt")
    assert (net.hparams["arch"], net.target.name) == ("a_fcn", "tanh")
    assert net.crop is not None
    (tmp_path / "nets" / "a_fcn-tanh.ckpt").unlink()
    told = []
    reproduce(plan, tmp_path, keep=True, progress=lambda o, n, of: told.append(o.kept))
    assert told == [False]
    assert (tmp_path / LEDGER).is_file()


@needs_torch
def test_the_estimate_counts_nets_and_jobs():
    from refimpl.centring.reproduce_time import Estimate, estimate

    one = estimate(TINY, (("a_fcn", "tanh"),))
    both = estimate(TINY.with_(epochs=200), (("a_fcn", "tanh"), ("a_fcn", "log")))
    assert (one.nets, both.nets) == (1, 2)
    assert both.total_s == pytest.approx(2.0 * both.longest_s)
    assert both.total_s > 10.0 * one.total_s
    made = Estimate(33, 72_000.0, 7200.0)
    assert made.wall_s(2) == 36_000.0
    assert made.wall_s(33) == 7200.0
    assert "33 nets, 2 at a time: at most about 10.0 h" in made.words(2)
    assert "60 s" in Estimate(1, 60.0, 60.0).words(1)
