"""The report of a classifier of crystals and empty loops: confusion matrix, answers, mistakes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from refimpl import __version__
from refimpl.frames import I64
from refimpl.report import page, style
from refimpl.report.centring_pictures import gallery
from refimpl.report.centring_plots import draw_table
from refimpl.report.centring_view import NAMES
from refimpl.report.numbers import count
from refimpl.report.page import Entry

if TYPE_CHECKING:
    from refimpl.centring.class_scores import ClassScores
    from refimpl.centring.classify import ClassEvaluation

__all__ = ["ClassView", "figures", "write_report"]

_CLASSES = ("crystal", "empty")


@dataclass(frozen=True, eq=False)
class ClassView:
    """Answers of a classifier as their report shows them.

    Attributes
    ----------
    evaluation
        What was found.
    title
        Of the page.
    checkpoint, source
        Where the net and the pictures came from.
    most
        Pictures of the gallery of mistakes.
    """

    evaluation: ClassEvaluation
    title: str = "Crystals and empty loops"
    checkpoint: str = ""
    source: str = ""
    most: int = 12

    @cached_property
    def judged(self) -> str:
        """Part that counts."""
        return "test" if "test" in self.evaluation.scores else next(iter(self.evaluation.scores))

    @property
    def scores(self) -> ClassScores:
        """Of that part."""
        return self.evaluation.scores[self.judged]

    @cached_property
    def wrong(self) -> I64:
        """Rows of that part that were told wrong, the surest first."""
        found = self.evaluation
        off = np.abs(found.probability - found.samples.count)
        rows = np.flatnonzero((found.part == self.judged) & _missed(found))
        return rows[np.argsort(-off[rows], kind="stable")]


def _missed(found: ClassEvaluation) -> Any:
    return (found.probability > 0.5) != (found.samples.count > 0.5)


def confusion(view: ClassView) -> Figure:
    """Confusion matrix of the part that counts (Figure 2.23 of the thesis)."""
    with style.styled():
        figure = style.new_figure(4.8, 4.2)
        ax = figure.add_axes((0.2, 0.16, 0.76, 0.72))
        draw_table(ax, view.scores.confusion, _CLASSES)
        ax.set(xlabel="answer", ylabel="truth")
        style.title(ax, NAMES[view.judged].capitalize(), f"{view.scores.accuracy:.1%} right")
    return figure


def answers(view: ClassView) -> Figure:
    """Histogram of the probabilities of an empty loop, by true class."""
    found = view.evaluation
    rows = found.part == view.judged
    with style.styled():
        figure = style.new_figure(9.6, 3.3)
        ax = figure.add_axes((0.075, 0.16, 0.905, 0.7))
        edges = list(np.linspace(0.0, 1.0, 41))
        for label, colour in ((0, style.BLUE), (1, style.ORANGE)):
            values = found.probability[rows & (found.samples.count == label)]
            name = f"{_CLASSES[label]}: {len(values)}"
            ax.hist(values, edges, color=colour, alpha=0.7, label=name)
        ax.axvline(0.5, color=style.VERMILLION, ls="--", lw=1.2)
        ax.set(xlabel="answered probability of an empty loop", ylabel="pictures per bin",
               xlim=(0.0, 1.0))  # fmt: skip
        ax.legend(loc="upper center")
        style.title(ax, "Answers", NAMES[view.judged])
    return figure


def mistakes(view: ClassView) -> Figure:
    """Gallery of what was told wrong, the surest first."""
    found, rows = view.evaluation, view.wrong[: view.most]
    texts = [
        f"{_CLASSES[int(found.samples.count[i])]}, P(empty) {found.probability[i]:.2f}"
        for i in rows.tolist()
    ]
    title = f"Told wrong: {len(rows)} of {len(view.wrong)}, the surest first"
    return gallery(found.samples.images, rows, texts, title, cross=False)


_FIGURES = {
    "confusion": Entry(
        confusion,
        "Confusion matrix: truth against answer",
        "Per cent are of a row. A classifier that always gives the larger class has one full "
        "column.",
    ),
    "answers": Entry(
        answers,
        "Histogram of the answered probabilities by true class",
        "The classes should stand at the two ends; what lies about the dashed line is a guess.",
    ),
    "photo_wrong": Entry(
        mistakes,
        "Gallery of pictures that were told wrong",
        "Under each its true class and the answered probability of an empty loop.",
    ),
}


def figures(view: ClassView) -> dict[str, Figure]:
    """Figures by name, of what the view has data for."""
    return {
        name: entry.draw(view)
        for name, entry in _FIGURES.items()
        if name != "photo_wrong" or len(view.wrong)
    }


def write_report(
    result: ClassEvaluation | ClassView, folder: str | os.PathLike[str], **options: Any
) -> Path:
    """Write ``figures/<name>.png`` and ``report.html`` into a folder; the page comes last.

    Parameters
    ----------
    result
        An evaluation of a classifier, or the view of one.
    folder
        Made if it does not exist.
    options
        Of an evaluation: the other attributes of :class:`ClassView`.

    What comes back and what is raised: as of :func:`refimpl.report.page.write`.
    """
    view = result if isinstance(result, ClassView) else ClassView(result, **options)
    return page.write(folder, figures(view), _FIGURES, lambda inline: _page(view, inline))


def _level(view: ClassView) -> str:
    part = view.scores.loss / view.scores.baseline_loss
    return "good" if part < 0.8 else "look" if part < 1.0 else "bad"


def _page(view: ClassView, inline: dict[str, str]) -> str:
    def shown(*names: str) -> str:
        return "".join(inline.get(name, "") for name in names)

    s, level = view.scores, _level(view)
    words = {"good": "Good", "look": "Done, with remarks", "bad": "Not to be trusted yet"}[level]
    text = (
        f"{count(s.n)} pictures ({NAMES[view.judged]}): {s.accuracy:.1%} right, where always "
        f"answering the larger class gives {s.baseline_accuracy:.1%}."
    )
    top = (
        '<header class="top"><p class="kind">Crystal centring</p>\n'
        f'<h1>{page.text(view.title)}</h1>\n<p class="verdict {level}">'
        f"<strong>{page.text(words)}</strong>{page.text(text)}</p></header>\n"
    )
    tiles = page.tiles(
        [
            ("Accuracy", f"{s.accuracy:.3f}", f"larger class: {s.baseline_accuracy:.3f}"),
            ("Balanced", f"{s.balanced_accuracy:.3f}", "mean of both classes"),
            ("Loss", f"{s.loss:.4g}", f"always the same answer: {s.baseline_loss:.4g}"),
            ("Pictures", count(s.n), f"{s.members[0]} crystals, {s.members[1]} empty loops"),
        ]
    )
    parts = [
        ("answers", "Answers", shown("confusion", "answers")),
        ("mistakes", "Mistakes", shown("photo_wrong")),
        ("parts", "By part", _table(view)),
        ("provenance", "Where it comes from", _provenance(view)),
    ]
    foot = f"Made by refimpl {__version__}. Labels: crystal 0, empty 1, as in the thesis."
    return page.main(top, tiles, parts, foot, f"{view.title} – crystal centring")


def _table(view: ClassView) -> str:
    rows = [
        (NAMES[name], count(s.n), f"{s.members[0]} / {s.members[1]}", f"{s.loss:.4g}",
         f"{s.baseline_loss:.4g}", f"{s.accuracy:.3f}", f"{s.baseline_accuracy:.3f}",
         f"{s.balanced_accuracy:.3f}")
        for name, s in view.evaluation.scores.items()
    ]  # fmt: skip
    return page.table(
        ("part", "pictures", "crystal / empty", "loss", "of one answer", "accuracy",
         "of the larger class", "balanced"),
        rows, caption="Binary cross-entropy and accuracy, beside what always giving the same "
        "answer would give", numeric="k" + "n" * 7,
    )  # fmt: skip


def _provenance(view: ClassView) -> str:
    samples = view.evaluation.samples
    rows = [
        (name, value)
        for name, value in (("checkpoint", view.checkpoint), ("source", view.source))
        if value
    ]
    rows.append(("pictures", f"{samples.size} px, {samples.images.shape[1]} channel(s)"))
    rows.append(("loops", count(len(set(samples.crystal.tolist())))))
    return page.table(("what", "value"), rows, caption="Provenance", numeric="k.")
