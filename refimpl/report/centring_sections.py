"""Tables and texts of the report of a net; the figures are elsewhere."""

from __future__ import annotations

import numpy as np

from refimpl.report import page
from refimpl.report.centring_view import NAMES, EvaluationView
from refimpl.report.numbers import NOTHING, count

__all__ = ["aim_table", "checks", "notes", "provenance", "score_table", "tiles", "top"]

_WORDS = {"good": "good", "look": "look here", "bad": "bad"}
_CLEARLY, _HARDLY = 0.85, 1.0
_APART, _ALIKE = 1.5, 0.55
_HIT, _RELATIVE = 0.8, 0.6


def findings(view: EvaluationView) -> list[tuple[str, str, str]]:
    """Level, title and text of each check."""
    found = view.evaluation
    scores = found.scores[found.judged]
    part = scores.mse / scores.baseline_mse if scores.baseline_mse else float("inf")
    level = "good" if part < _CLEARLY else "look" if part < _HARDLY else "bad"
    out = [
        (level, "Better than the mean",
         f"its MSE is {part:.2f} of what predicting the mean for all would give"),
    ]  # fmt: skip
    if np.isfinite(scores.spearman):
        level = "good" if scores.spearman > _ALIKE else "look" if scores.spearman > 0.2 else "bad"
        out.append((level, "Order", f"rank correlation (Spearman) {scores.spearman:.2f}"))
    else:
        out.append(("bad", "Order", "all predictions are equal"))
    if found.judged in ("all", "train", "val"):
        out.append(
            ("look", "Unseen crystals",
             "no test set is known: pictures that the net was taught may be among these")
        )  # fmt: skip
    if "train" in found.scores and found.judged == "test":
        ratio = scores.mse / max(found.scores["train"].mse, 1e-12)
        level = "good" if ratio < _APART else "look"
        words = f"test MSE {ratio:.2f} times that of the training set"
        out.append((level, "Over-fitting", words))
    if found.aiming is not None:
        aim = found.aiming.scores["net"]
        good = aim.hit >= _HIT and aim.relative >= _RELATIVE
        level = "good" if good else "look" if aim.hit >= 0.5 else "bad"
        out.append(
            (level, "Aim", f"on the crystal in {aim.hit:.0%} of {aim.n} simulated pictures, with "
             f"{aim.relative:.0%} of the best reflections there")
        )  # fmt: skip
    else:
        out.append(("look", "Aim", "not judged: it needs pictures whose truth is known"))
    return out


def top(view: EvaluationView) -> str:
    """Title, and the verdict in words."""
    levels = [level for level, _, _ in findings(view)]
    level = "bad" if "bad" in levels else "look" if "look" in levels else "good"
    words = {"good": "Good", "look": "Done, with remarks", "bad": "Not to be trusted yet"}[level]
    found = view.evaluation
    scores = found.scores[found.judged]
    text = (
        f"{count(scores.n)} pictures ({NAMES[found.judged]}): MSE {scores.mse:.4g}, where "
        f"predicting the mean gives {scores.baseline_mse:.4g}."
    )
    return (
        '<header class="top"><p class="kind">Crystal centring</p>\n'
        f'<h1>{page.text(view.name)}</h1>\n<p class="verdict {level}">'
        f"<strong>{page.text(words)}</strong>{page.text(text)}</p></header>\n"
    )


def tiles(view: EvaluationView) -> str:
    """Numbers that everybody asks for first."""
    found = view.evaluation
    scores = found.scores[found.judged]
    items = [
        ("MSE", f"{scores.mse:.4g}", f"mean for all: {scores.baseline_mse:.4g}"),
        ("MAE", f"{scores.mae:.4g}", f"median for all: {scores.baseline_mae:.4g}"),
        ("Pearson", f"{scores.pearson:.3f}", "correlation of predicted and real targets"),
        ("Spearman", f"{scores.spearman:.3f}", "correlation of their ranks"),
    ]
    if found.aiming is not None:
        aim = found.aiming.scores["net"]
        items += [
            ("On the crystal", f"{aim.hit:.0%}", f"of {aim.n} unseen simulated pictures"),
            ("Reflections there", f"{aim.relative:.0%}", "of the most that any point has"),
            ("From the best (µm)", f"{aim.away_um:.0f}", "median distance to that point"),
            ("A point given", f"{aim.found:.0%}", "else: no crystal here"),
        ]
    return page.tiles(items)


def checks(view: EvaluationView) -> str:
    """Checks with their outcome."""
    rows = [(page.badge(level, _WORDS[level]), name, text) for level, name, text in findings(view)]
    return page.table(
        ("", "check", "finding"), rows, caption="What to look at first", numeric="kk."
    )


def score_table(view: EvaluationView) -> str:
    """Scores of each part."""
    found = view.evaluation
    rows = []
    for name, s in found.scores.items():
        chosen = found.part == name
        hits = found.hits.get(name)
        rows.append(
            (NAMES[name], count(len(set(found.samples.crystal[chosen].tolist()))), count(s.n),
             f"{s.mse:.4g}", f"{s.baseline_mse:.4g}", f"{s.mae:.4g}", f"{s.baseline_mae:.4g}",
             f"{s.pearson:.3f}", f"{s.spearman:.3f}",
             NOTHING if hits is None else f"{hits.accuracy:.3f}",
             NOTHING if hits is None else f"{hits.baseline_accuracy:.3f}")
        )  # fmt: skip
    return page.table(
        ("part", "crystals", "pictures", "MSE", "mean", "MAE", "median", "Pearson", "Spearman",
         "hits told", "guess"),
        rows, caption="Errors are of the transformed target: they compare within one target only. "
        "Mean and median are the errors of that one number"
        f"{' of the training set' if 'train' in found.scores else ''} predicted for all; hits "
        "told is the part of pictures whose hit or miss is predicted right, guess that of always "
        "saying what is more frequent.",
        numeric="k" + "n" * 10,
    )  # fmt: skip


def aim_table(view: EvaluationView) -> str:
    """Aims of the net and of others at the same pictures."""
    aiming = view.evaluation.aiming
    if aiming is None:
        return ""
    rows = [
        (name, count(a.n), f"{a.found:.3f}", f"{a.hit:.3f}", f"{a.relative:.3f}",
         NOTHING if np.isnan(a.away_um) else f"{a.away_um:.1f}")
        for name, a in aiming.scores.items()
    ]  # fmt: skip
    return page.table(
        ("who aims", "pictures", "a point given", "on the crystal", "reflections there",
         "from the best (µm)"),
        rows, caption=f"Aim at simulated crystals that nobody was taught (seed {aiming.seed}). "
        "Lucid finds the loop, which is another goal; the middle of the picture is where the beam "
        "is without any centring.",
        numeric=".nnnnn",
    )  # fmt: skip


def notes(view: EvaluationView) -> str:
    """What could not be done."""
    items = "".join(f"<li>{page.text(note)}</li>" for note in view.evaluation.notes)
    return f"<ul>{items}</ul>\n" if items else ""


def provenance(view: EvaluationView) -> str:
    """Where the net and the pictures come from."""
    found = view.evaluation
    target = found.target
    rows = [
        ("net", found.arch),
        ("target", f"{target.name}: mean {target.mean:.5g}, standard deviation "
         f"{target.deviation:.5g}, least {target.least:.5g}"
         + (f", {target.per_crystal} per crystal" if target.per_crystal else "")),
        ("pictures", f"{found.samples.size} px, {found.samples.images.shape[1]} channel(s)"),
    ]  # fmt: skip
    if found.checkpoint is not None:
        rows.append(("checkpoint", str(found.checkpoint)))
    if found.source:
        rows.append(("source", found.source))
    return page.table(("what", "value"), rows, caption="Provenance", numeric="k.")
