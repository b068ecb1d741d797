"""The reports of a net and of a classifier: figures, galleries, pages that load nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra centring (torch)")

from refimpl import hooks  # noqa: E402
from refimpl.centring.aim import AimScores  # noqa: E402
from refimpl.centring.aiming import Aiming  # noqa: E402
from refimpl.centring.class_scores import class_scores  # noqa: E402
from refimpl.centring.classify import ClassEvaluation  # noqa: E402
from refimpl.centring.evaluation import Evaluation, hit_table  # noqa: E402
from refimpl.centring.heat_shown import Shown  # noqa: E402
from refimpl.centring.heatmap import HeatMap, Point  # noqa: E402
from refimpl.centring.samples import Samples  # noqa: E402
from refimpl.centring.scores import scores_of  # noqa: E402
from refimpl.centring.targets import Target  # noqa: E402
from refimpl.report import style  # noqa: E402
from refimpl.report.centring import EvaluationView, figure_names, figures  # noqa: E402
from refimpl.report.centring_classes import ClassView  # noqa: E402
from refimpl.report.centring_sections import findings  # noqa: E402

TARGET = Target("tanh", 200.0, 150.0, 0.0)


def samples(n: int = 60) -> Samples:
    rng = np.random.default_rng(2)
    count = rng.integers(0, 600, n)
    return Samples.of(rng.normal(size=(n, 8, 8)), count, [f"c{k % 10}" for k in range(n)])


def heat(points: int = 1, *, truth: bool = True, colour: bool = False) -> Shown:
    x, y = np.arange(5.0, 60.0, 10.0), np.arange(5.0, 40.0, 10.0)
    value = np.add.outer(np.sin(y), np.cos(x))
    picture: Any = np.tile(np.arange(60, dtype=np.uint8), (40, 1))
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:20, 30:45] = True
    return Shown(
        np.stack([picture] * 3, axis=-1) if colour else picture, "crystal <1>",
        HeatMap(x, y, value, 100.0 * value, np.zeros(value.shape)),
        tuple(Point(20.0 + 9.0 * k, 15.0, 250.0) for k in range(points)),
        mask if truth else None, (37.5, 15.5) if truth else None,
    )  # fmt: skip


def evaluation(*, parts: bool = True, error: float = 0.2) -> Evaluation:
    made = samples()
    wanted = TARGET.apply(made.count)
    predicted = wanted + error * np.random.default_rng(1).normal(size=len(wanted))
    part = np.where(
        np.arange(60) % 10 < 6, "train", np.where(np.arange(60) % 10 < 8, "val", "test")
    )
    part = part if parts else np.full(60, "all")
    names = [n for n in ("train", "val", "test", "all") if (part == n).any()]
    scores = {n: scores_of(predicted[part == n], wanted[part == n], wanted) for n in names}
    told = TARGET.invert(predicted)
    hits = {n: hit_table(told[part == n], made.count[part == n]) for n in names}
    aim = AimScores(10, 1.0, 0.9, 0.85, 12.0)
    aiming = Aiming({"net": aim, "lucid, corrected": replace(aim, hit=0.1)}, (heat(),), 0)
    return Evaluation(
        "a_fcn", TARGET, made, predicted, wanted, part, scores, hits, aiming,
        (heat(), heat(0), heat(2, truth=False, colour=True)), Path("run/<best>.ckpt"), "here",
        ("no & never",),
    )  # fmt: skip


def test_the_page_has_all_and_loads_nothing(tmp_path: Path) -> None:
    path = hooks.call("centring.report", evaluation(), tmp_path, title="Net <1>")
    text = path.read_text(encoding="utf-8")
    assert {p.stem for p in (tmp_path / "figures").iterdir()} == {
        "correlation", "errors", "hits", "photo_high", "photo_low", "photo_worst", "photo_heat",
        "histograms",
    }  # fmt: skip
    assert "Net &lt;1&gt;" in text
    assert "run/&lt;best&gt;.ckpt" in text
    assert "no &amp; never" in text
    assert "lucid, corrected" in text
    assert "predicting the mean" in text
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    # the same evaluation, the same bytes
    first = (tmp_path / "figures" / "correlation.png").read_bytes()
    (again,) = figures(EvaluationView(evaluation()), ["correlation"]).values()
    assert style.png(again) == first


def test_one_part_and_no_aim() -> None:
    bare = replace(evaluation(parts=False), aiming=None, shown=(), hits={})
    view = EvaluationView(bare)
    names = figure_names(view)
    assert "photo_heat" not in names
    assert "hits" not in names
    assert set(figures(view, ["correlation", "histograms", "errors"])) == {
        "correlation", "histograms", "errors",
    }  # fmt: skip
    found = {name: level for level, name, _ in findings(view)}
    assert found["Unseen crystals"] == "look"
    assert found["Aim"] == "look"


def test_findings_tell_a_net_that_learnt_nothing() -> None:
    good = {name: level for level, name, _ in findings(EvaluationView(evaluation()))}
    assert good["Better than the mean"] == "good"
    assert good["Aim"] == "good"
    bad = {name: level for level, name, _ in findings(EvaluationView(evaluation(error=2.0)))}
    assert bad["Better than the mean"] == "bad"


def test_galleries_hold_what_they_say() -> None:
    view = EvaluationView(evaluation(), most=3)
    p = view.evaluation.predicted
    assert len(view.judged) == 12
    assert (p[view.high_rows] > 0.7).all()
    assert (np.diff(p[view.high_rows]) <= 0.0).all()
    assert (p[view.low_rows] < 0.0).all()
    error = np.abs(p - view.evaluation.wanted)
    assert error[view.worst_rows[0]] == error[view.judged].max()
    assert set(view.worst_rows.tolist()) <= set(view.judged.tolist())
    none = EvaluationView(evaluation(), high=9.0, most=2)
    assert p[none.high_rows].tolist() == sorted(p[none.judged].tolist())[::-1][:2]
    assert none.how_many(p > 9.0) == 0


def test_an_overlay_of_one_picture(tmp_path: Path) -> None:
    for k, one in enumerate((heat(2, truth=False), heat(0), heat(1, colour=True))):
        path = hooks.call("centring.overlay", one, "tanh", tmp_path / f"{k}.png")
        assert path.read_bytes().startswith(b"\x89PNG")


def test_classes(tmp_path: Path) -> None:
    made = samples(40)
    label = (np.arange(40) % 4 == 0).astype(float)
    answer = np.clip(label * 0.7 + 0.1 + 0.3 * np.random.default_rng(0).random(40), 0.0, 1.0)
    answer[:3] = 1.0 - answer[:3]
    part = np.where(np.arange(40) < 20, "train", "test")
    scores = {n: class_scores(answer[part == n], label[part == n]) for n in ("train", "test")}
    found = ClassEvaluation(replace(made, count=label), answer, part, scores)
    path = hooks.call("centring.classes", found, tmp_path, source="a <folder>")
    text = path.read_text(encoding="utf-8")
    assert {p.stem for p in (tmp_path / "figures").iterdir()} == {"confusion", "answers"}
    assert "a &lt;folder&gt;" in text
    assert "answering the larger class gives" in text
    wrong = ClassView(replace(found, part=np.full(40, "all"), scores={"all": scores["test"]}))
    assert set(wrong.wrong.tolist()) == {0, 1, 2}
    hooks.call("centring.classes", wrong, tmp_path)
    assert (tmp_path / "figures" / "photo_wrong.png").exists()
