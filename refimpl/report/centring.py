"""The report of a centring net: the thesis's figures as PNG, and one HTML page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from refimpl import __version__
from refimpl.report import centring_pictures as pictures
from refimpl.report import centring_plots as plots
from refimpl.report import centring_sections as sections
from refimpl.report import page
from refimpl.report.centring_view import EvaluationView
from refimpl.report.page import Entry

if TYPE_CHECKING:
    from refimpl.centring.evaluation import Evaluation
    from refimpl.centring.heat_shown import Shown

__all__ = ["EvaluationView", "figure_names", "figures", "write_overlay", "write_report"]

_FIGURES = {
    "correlation": Entry(
        plots.correlation,
        "Scatter of predicted against real targets, with the line x = y",
        "Each point is a picture; the orange line is x = y. A cloud along the dotted line predicts "
        "the mean and no more. Points on the left far above the line are pictures with few "
        "reflections that look like crystals.",
    ),
    "errors": Entry(
        plots.errors,
        "Bars of MSE and MAE of each part beside those of the mean and the median",
        "An error means something beside its grey bar only. MSE is led by few large errors, MAE "
        "is not: a net that is good by one of them and not by the other has outliers.",
    ),
    "hits": Entry(
        plots.hits,
        "Table of hits and misses, real against predicted",
        "More reflections than this count as a hit (the thesis's threshold).",
    ),
    "photo_high": Entry(
        lambda view: _gallery(view, "high"),
        "Gallery of pictures that were predicted high",
        "Drawn at random from those above the threshold. The red cross is added: the beam was "
        "there. p is the predicted target, t the real one.",
    ),
    "photo_low": Entry(
        lambda view: _gallery(view, "low"),
        "Gallery of pictures that were predicted low",
        "Drawn at random from those below the threshold.",
    ),
    "photo_worst": Entry(
        lambda view: _gallery(view, "worst"),
        "Gallery of the worst predictions",
        "Largest error first. Look for what they share: glare, a dark crystal, one out of view.",
    ),
    "photo_heat": Entry(
        lambda view: _heat_maps(view),
        "Photographs with the heat map of the predictions laid over them",
        "Warmer is more. The black cross is the best point; no cross: no crystal here. Where the "
        "truth is known the white line is the crystal's outline and the white plus the true best "
        "point. A bright background or grains are faults of the net.",
    ),
    "histograms": Entry(
        plots.histograms,
        "Histograms of the reflections and of the targets, of the whole and of each part",
        "The parts should look alike; where they do not, their errors cannot be compared.",
    ),
}  # fmt: skip


def _drawn(view: EvaluationView) -> list[str]:
    found = view.evaluation
    skipped = {
        "hits": found.judged not in found.hits,
        "photo_heat": not found.shown,
    }
    return [name for name in _FIGURES if not skipped.get(name, False)]


def _gallery(view: EvaluationView, which: str) -> Figure:
    found = view.evaluation
    if which == "worst":
        rows, title = view.worst_rows, "Worst predictions"
    else:
        high = which == "high"
        chosen = found.predicted > view.high if high else found.predicted < view.low
        rows = view.high_rows if high else view.low_rows
        limit = f"above {view.high:g}" if high else f"below {view.low:g}"
        n = view.how_many(chosen)
        title = f"Predicted {limit}: {len(rows)} of {n} pictures"
        if not n:
            title = f"None is predicted {limit}: the {'highest' if high else 'lowest'}"
    texts = [
        f"p {found.predicted[i]:.2f}  t {found.wanted[i]:.2f}  ({found.samples.count[i]:.0f})"
        for i in rows.tolist()
    ]
    return pictures.gallery(found.samples.images, rows, texts, title)


def _heat_maps(view: EvaluationView) -> Figure:
    return pictures.heat_maps(view.evaluation.shown, view.evaluation.target.name)


def figure_names(view: EvaluationView) -> list[str]:
    """Names of the figures that the view has data for, in the order of the page."""
    return _drawn(view)


def figures(view: EvaluationView, names: list[str] | None = None) -> dict[str, Figure]:
    """Figures by name; all that the view has data for, or some of them."""
    return {name: _FIGURES[name].draw(view) for name in (_drawn(view) if names is None else names)}


def write_report(
    result: Evaluation | EvaluationView, folder: str | os.PathLike[str], **options: Any
) -> Path:
    """Write ``figures/<name>.png`` and ``report.html`` into a folder; the page comes last.

    Parameters
    ----------
    result
        An evaluation, or the view of one.
    folder
        Made if it does not exist.
    options
        Of an evaluation: the other attributes of
        :class:`~refimpl.report.centring_view.EvaluationView`.

    What comes back and what is raised: as of :func:`refimpl.report.page.write`.
    """
    view = result if isinstance(result, EvaluationView) else EvaluationView(result, **options)
    return page.write(folder, figures(view), _FIGURES, lambda inline: _page(view, inline))


def _page(view: EvaluationView, inline: dict[str, str]) -> str:
    def figures_of(*names: str) -> str:
        return "".join(inline.get(name, "") for name in names)

    parts = [
        ("checks", "Is it good?", sections.checks(view) + sections.notes(view)),
        ("scores", "Errors", sections.score_table(view) + figures_of("correlation", "errors")),
        ("aim", "Aim", sections.aim_table(view) + figures_of("photo_heat")),
        ("pictures", "High, low and worst", figures_of("photo_high", "photo_low", "photo_worst")),
        ("hits", "Hits", figures_of("hits")),
        ("counts", "Reflections and targets", figures_of("histograms")),
        ("provenance", "Where it comes from", sections.provenance(view)),
    ]
    foot = f"Made by refimpl {__version__}. Errors are of transformed reflection counts."
    return page.main(
        sections.top(view), sections.tiles(view), parts, foot, f"{view.name} – crystal centring"
    )


def write_overlay(shown: Shown, target: str, path: str | os.PathLike[str]) -> Path:
    """Write a picture beside its heat map as a PNG.

    Parameters
    ----------
    shown
        Picture, map and points.
    target
        Name of what was predicted, for the scale.
    path
        The picture.

    Returns
    -------
    Its path.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    page.write_png(Path(path), pictures.heat_figure(shown, target))
    return Path(path)
