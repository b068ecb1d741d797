"""Tables 2.3 and 2.5 of the thesis beside ours, as Markdown, CSV and JSON, and what they say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import refimpl
from refimpl.centring.published import PICTURES, TABLE_2_3, TABLE_2_5, TARGETS
from refimpl.centring.reproduce_plan import Plan
from refimpl.centring.scores import spearman
from refimpl.io.atomic import write_json, write_text

__all__ = ["agreement", "markdown", "published_mse", "write_tables"]

Row = Mapping[str, Any]

_COLUMNS = (
    "arch", "target", "parameters", "published_mse", "mse", "baseline_mse", "mse_over_baseline",
    "mae", "baseline_mae", "pearson", "spearman", "best_epoch", "epochs", "n_train", "n_val",
    "n_test", "crystals_test", "aim_n", "aim_found", "aim_hit", "aim_relative", "aim_away_um",
    "seconds",
)  # fmt: skip


def published_mse(arch: str, target: str) -> float | None:
    """Mean square error in the thesis; None where it has none."""
    if arch not in TABLE_2_3 or target not in TARGETS:
        return None
    return TABLE_2_3[arch][TARGETS.index(target)]


def agreement(rows: Sequence[Row], target: str) -> tuple[int, float]:
    """How many nets both tables have for a target, and the correlation of their ranks.

    NaN with fewer than three nets.
    """
    pairs = [
        (published, float(row["mse"]))
        for row in rows
        if row["target"] == target and (published := published_mse(row["arch"], target)) is not None
    ]
    if len(pairs) < 3:
        return len(pairs), math.nan
    theirs, ours = np.array(pairs).T
    return len(pairs), spearman(theirs, ours)


def write_tables(
    plan: Plan, nets: Sequence[Row], classifier: Row | None, failed: Mapping[str, str], folder: Path
) -> None:
    """Write ``tables.md``, ``table_2_3.csv`` and ``tables.json``.

    Parameters
    ----------
    plan
        What was asked for.
    nets, classifier
        What is done of it (:func:`refimpl.centring.reproduce_net.work`).
    failed
        Net to its error.
    folder
        Where to.
    """
    write_text(folder / "tables.md", markdown(plan, nets, classifier, failed))
    full = [_full(row) for row in nets]
    lines = [",".join(_COLUMNS)]
    lines += [",".join(_cell(row.get(name)) for name in _COLUMNS) for row in full]
    write_text(folder / "table_2_3.csv", "\n".join(lines) + "\n")
    compared = {target: agreement(nets, target) for target in plan.targets}
    content = {
        "kind": "refimpl.centring_reproduction", "schema": 1, "version": refimpl.__version__,
        "plan": plan.as_dict(), "table_2_3": full,
        "table_2_5": None if classifier is None else {
            **classifier, **{f"published_{k}": v for k, v in TABLE_2_5.items()}},
        "rank_correlation": {
            name: {"nets": n, "spearman": None if math.isnan(value) else value}
            for name, (n, value) in compared.items()
        },
        "failed": dict(failed), "missing": _missing(plan, nets, classifier),
    }  # fmt: skip
    write_json(folder / "tables.json", content)


def _full(row: Row) -> dict[str, Any]:
    part = row["mse"] / row["baseline_mse"] if row["baseline_mse"] else None
    published = published_mse(row["arch"], row["target"])
    return {**row, "published_mse": published, "mse_over_baseline": part}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _missing(plan: Plan, nets: Sequence[Row], classifier: Row | None) -> list[str]:
    done = {(row["arch"], row["target"]) for row in nets}
    done |= {("classifier", "")} if classifier is not None else set()
    return ["-".join(filter(None, net)) for net in plan.nets if net not in done]


def markdown(
    plan: Plan, nets: Sequence[Row], classifier: Row | None, failed: Mapping[str, str] | None = None
) -> str:
    """Both tables and what can be read from them."""
    out = ["# Crystal centring: the thesis's tables beside ours", "", *_data_words(plan)]
    missing = _missing(plan, nets, classifier)
    if missing:
        out += ["", f"**Not whole: {len(missing)} of {len(plan.nets)} nets are missing** "
                f"({', '.join(missing)})."]  # fmt: skip
    out += [f"\n{name} failed: {why}" for name, why in (failed or {}).items()]
    if plan.archs and plan.targets:
        out += ["", "## Table 2.3: mean square errors", "", *_table_2_3(plan, nets)]
        out += ["", "## More of our nets", "", *_table_more(plan, nets)]
    if plan.classifier:
        out += ["", "## Table 2.5: crystal or empty loop", "", *_table_2_5(classifier)]
    out += ["", "## What can be compared, and what not", ""]
    out += [f"- {line}" for line in _comparison(plan, nets)]
    return "\n".join(out) + "\n"


def _data_words(plan: Plan) -> list[str]:
    return [
        f"Ours: {plan.pictures:,} simulated crops of {plan.crystals} scenes ({plan.views} pictures "
        f"of each, {plan.crops} crops of each picture), {plan.size} px, 60/20/20 % of the scenes "
        f"for training, validation and test; at most {plan.epochs} epochs, batch {plan.batch}, "
        f"Adam with {plan.lr:g}, patience {plan.patience}, seed {plan.seed}. Thesis: about "
        f"{PICTURES['regression']:,} photographs of BioMAX, 128 px, never published.",
    ]


def _number(value: Any, digits: int = 4) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}g}"


def _table_2_3(plan: Plan, nets: Sequence[Row]) -> list[str]:
    """A row a net; for each target the thesis's error, ours, and ours over the baseline."""
    of = {(row["arch"], row["target"]): row for row in nets}
    head, base = ["net"], ["*predict the mean*"]
    for target in plan.targets:
        head += [f"{target}: thesis", "ours", "ours / mean"]
        known = [row["baseline_mse"] for row in nets if row["target"] == target]
        base += ["not stated", _number(known[0] if known else None), "1"]
    out = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for arch in plan.archs:
        cells = [arch]
        for target in plan.targets:
            row = of.get((arch, target))
            cells += [_number(published_mse(arch, target))]
            cells += (
                ["–", "–"]
                if row is None
                else [
                    _number(row["mse"]),
                    _number(row["mse"] / (row["baseline_mse"] or math.nan), 3),
                ]
            )
        out.append("| " + " | ".join(cells) + " |")
    out += [
        "| " + " | ".join(base) + " |", "",
        "Mean square errors of the transformed reflection counts of the test set. *Predict the "
        "mean*: the error of answering the mean of the training set every time; a net at or above "
        "it has learnt nothing.",
    ]  # fmt: skip
    return out


def _table_more(plan: Plan, nets: Sequence[Row]) -> list[str]:
    out = [
        "| net | target | parameters | epochs, best | Pearson | Spearman | MAE | of the median | "
        "hits the crystal | reflections there | away [um] | minutes |",
        "|---|---" + "|---:" * 10 + "|",
    ]
    for row in nets:
        out.append(
            f"| {row['arch']} | {row['target']} | {row['parameters']:,} | {row['epochs']}, "
            f"{row['best_epoch'] + 1} | {_number(row['pearson'], 3)} | "
            f"{_number(row['spearman'], 3)} | {_number(row['mae'], 3)} | "
            f"{_number(row['baseline_mae'], 3)} | {_number(row.get('aim_hit'), 3)} | "
            f"{_number(row.get('aim_relative'), 3)} | {_number(row.get('aim_away_um'), 3)} | "
            f"{row['seconds'] / 60.0:.1f} |"
        )
    return [
        *out, "",
        "Hits, and reflections there as a part of the most that any point has: of the highest "
        f"point of the heat maps, a point each {plan.step_um:g} um, of {plan.aim} crystals that no "
        "net was taught. Minutes of the last attempt.",
    ]  # fmt: skip


def _table_2_5(row: Row | None) -> list[str]:
    out = ["| | loss | accuracy |", "|---|---:|---:|",
           f"| thesis | {TABLE_2_5['loss']} | {TABLE_2_5['accuracy']} |"]  # fmt: skip
    if row is None:
        return [*out, "| ours | – | – |"]
    (a, b), (c, d) = row["confusion"]
    return [
        *out, f"| ours | {_number(row['loss'])} | {_number(row['accuracy'], 3)} |",
        f"| ours, *always the same answer* | {_number(row['baseline_loss'])} | "
        f"{_number(row['baseline_accuracy'], 3)} |", "",
        f"{row['n_test']} pictures of {row['crystals_test']} loops. Of {a + b} with a crystal {a} "
        f"were called crystal and {b} empty; of {c + d} empty ones {c} and {d}. The thesis had "
        f"{PICTURES['classification']} pictures in all; its confusion matrix is a figure without "
        "numbers in the text, and the part of the larger class is not stated.",
    ]  # fmt: skip


def _comparison(plan: Plan, nets: Sequence[Row]) -> list[str]:
    best, worst = (f(v[0] for v in TABLE_2_3.values()) for f in (min, max))
    out = [
        "The errors themselves cannot be compared between the thesis and us: other pictures, other "
        "reflection counts, and a test set with another variance. A smaller number is not a better "
        "net.",
        "Within one column the order of the nets can be compared, with care. The columns cannot: "
        "each target has a variance of its own.",
        "The thesis states no baseline. Its vanilla counts were standardised over the whole data "
        "set, so predicting the mean would give about 1 there if the test set was like the whole: "
        f"its best net ({best}) then explains about {100 * (1 - best):.0f} % of the variance, its "
        f"worst ({worst}) {100 * (1 - worst):.0f} %. But it says itself that only a handful of "
        "crystals were in the test set. For log and tanh nothing of the kind follows.",
        "The thesis does not say how the logarithm of negative numbers was taken, nor batch, "
        "learning rate, patience, padding, colour or how many crystals there were; ours are stated "
        "above and in tables.json.",
    ]
    for target in plan.targets:
        n, value = agreement(nets, target)
        if math.isfinite(value):
            out.append(
                f"{target}: the ranks of {n} nets, thesis against ours, correlate with "
                f"{value:+.2f} (Spearman; by chance alone beyond ±{_by_chance(n):.2f} in one of "
                "twenty cases)."
            )
    learnt = [row for row in nets if row["mse"] < row["baseline_mse"]]
    if nets:
        out.append(f"{len(learnt)} of our {len(nets)} nets are better than predicting the mean.")
    out.append(
        "One seed: two nets whose errors differ by a few per cent may stand the other way round "
        "with another (--seed)."
    )
    if plan.size != 128:
        out.append(
            f"These nets saw {plan.size} px instead of 128: their dense layers are smaller than "
            "the thesis's, and so are the numbers of parameters."
        )
    if plan.aim:
        out.append(
            "What matters is whether the beam would hit the crystal. The thesis shows single heat "
            "maps and no hit rate: those of our nets, above, have no published counterpart."
        )
    return out


def _by_chance(n: int) -> float:
    """Rank correlation that chance exceeds, either way, in one of twenty cases."""
    from scipy.stats import t

    quantile = float(t.ppf(0.975, n - 2))
    return quantile / math.sqrt(n - 2 + quantile**2)
