"""The sentence and the checks at the top of the report: what was found, how good, what is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from refimpl.report.numbers import count, microstrain, parameter, with_uncertainty
from refimpl.report.panel_view import FIELDS, PanelView
from refimpl.report.view import PowderView

__all__ = ["Check", "Level", "checks", "headline", "sentence"]

Level = Literal["good", "look", "bad"]

# Limits of the checks. They sort what deserves a look; they are no claim about the physics.
CROSS_VALIDATION = 1.10  # held-out over fitted strain; the published frames stay below 1.05
SYSTEMATIC = 1.5  # spread of strain over its own error; 1 if only the peaks' noise is left
COVERAGE = (0.75, 0.4)  # share of 10-degree sectors with points: good, hardly usable
CORRELATED = 0.95
LEFT_OUT = 0.20
STAND_OUT = (3.0, 1.0)  # of its uncertainty, and in px
RING_OFFSET = 0.5  # mean strain of one ring over the mean |strain| of all


@dataclass(frozen=True)
class Check:
    """One line of the list of checks."""

    level: Level
    title: str
    text: str


def checks(view: PowderView) -> list[Check]:
    """Everything that a careful reader would look at first, worst first."""
    if view.used.empty:
        return [Check("bad", "Points", "no points were used: there is nothing to trust here")]
    order = {"bad": 0, "look": 1, "good": 2}
    found = [*_fit(view), *_parameters(view), *_points(view), *_panels(view)]
    return sorted(found, key=lambda check: order[check.level])


def _fit(view: PowderView) -> Iterator[Check]:
    converged = view.summary.get("converged")
    if converged is not None:
        word = "the loop converged" if converged else "the loop did not converge"
        yield Check("good" if converged else "bad", "Convergence", word)
    clip, held = (_number(view, key) for key in ("clip_mean", "cross_validated"))
    if np.isfinite(held) and clip > 0.0:
        ratio = held / clip
        text = f"the mean strain of held-out points is {ratio:.2f} times the clipped mean"
        yield Check("good" if ratio <= CROSS_VALIDATION else "look", "Cross-validation", text)
    else:
        text = "no held-out figure: a low strain alone is no proof"
        yield Check("look", "Cross-validation", text)
    spread = robust_ratio(view)
    if np.isfinite(spread):
        text = f"residuals scatter {spread:.1f} times as widely as the errors of the peaks"
        if spread > SYSTEMATIC:
            text += ": distortion, panel positions or the peak shape are not fully described"
        yield Check("good" if spread <= SYSTEMATIC else "look", "Systematic residuals", text)


def robust_ratio(view: PowderView) -> float:
    """Spread of strain over its own error, from the median absolute deviation; NaN if unknown."""
    used = view.used
    ratio = used["strain"].to_numpy(dtype=float) / view.sigma_strain(used)
    ratio = ratio[np.isfinite(ratio)]
    if ratio.size == 0:
        return float("nan")
    # 1.4826 makes the median absolute deviation of a normal its standard deviation.
    return 1.4826 * float(np.median(np.abs(ratio - np.median(ratio))))


def _parameters(view: PowderView) -> Iterator[Check]:
    lost, bound = _names(view, "not determined"), _names(view, "at bound")
    if lost:
        yield Check("look", "Not determined", f"these data say nothing about {_list(lost)}")
    if bound:
        yield Check("look", "At a bound", f"{_list(bound)}: widen the bound or fix the parameter")
    if not (lost or bound):
        yield Check("good", "Parameters", "all refined parameters are determined, none at a bound")
    pairs = strong_pairs(view)
    if pairs:
        text = "; ".join(f"{a} with {b} ({r:+.3f})" for a, b, r in pairs[:3])
        more = f"; {len(pairs) - 3} more" if len(pairs) > 3 else ""
        yield Check("look", "Correlated", f"{text}{more}: they move together")


def strong_pairs(view: PowderView) -> list[tuple[str, str, float]]:
    """Pairs of parameters with a correlation beyond :data:`CORRELATED`, strongest first."""
    if view.correlations is None:
        return []
    matrix, names = np.asarray(view.correlations[0], dtype=float), view.correlations[1]
    strong = np.abs(np.tril(np.nan_to_num(matrix), -1)) > CORRELATED
    pairs = [
        (parameter(names[i])[0], parameter(names[j])[0], float(matrix[i, j]))
        for i, j in zip(*np.nonzero(strong), strict=True)
    ]
    return sorted(pairs, key=lambda pair: -abs(pair[2]))


def _points(view: PowderView) -> Iterator[Check]:
    used = view.used
    eta = used["eta_rad"].to_numpy(dtype=float)
    sector = np.unique(np.floor(np.degrees(eta) / 10.0) % 36)
    share = len(sector) / 36.0
    level: Level = "good" if share >= COVERAGE[0] else "look" if share >= COVERAGE[1] else "bad"
    text = f"{used['ring'].nunique()} rings, points in {len(sector)} of 36 sectors around the beam"
    if level != "good":
        text += ": distance, centre and tilts lean on one side"
    yield Check(level, "Coverage", text)
    out = len(view.left_out) / max(len(view.left_out) + len(used), 1)
    level = "good" if out <= LEFT_OUT else "look"
    yield Check(level, "Points left out", f"{100.0 * out:.1f} % of the fitted points")
    group = used.groupby("ring")["strain"]
    mean, error = group.mean(), group.sem()
    size = float(np.abs(used["strain"].to_numpy(dtype=float)).mean())
    off = mean[(mean.abs() > RING_OFFSET * size) & (mean.abs() > 4.0 * error)]
    if len(off):
        worst = off.abs().sort_values(ascending=False).index[:3]
        text = ", ".join(f"ring {ring} by {microstrain(float(mean[ring]), 0)}" for ring in worst)
        yield Check("look", "Rings that stand off", text)


def _panels(view: PowderView) -> Iterator[Check]:
    """What the panels gained, which of them stand out, which the data do not determine."""
    panels = view.panels
    if panels is None:
        return
    single, held_out = (_number(view, f"cross_validated{end}") for end in ("_single", ""))
    if single > 0.0 and np.isfinite(held_out):
        gained = held_out < single
        text = (
            f"held-out strain {microstrain(single)} at the best single surface, "
            f"{microstrain(held_out)} with panels"
        )
        text += "" if gained else ": they do not earn their place, fit a single surface"
        yield Check("good" if gained else "look", "Panels, held-out points", text)
    before, after = panel_gain(view)
    if np.isfinite(before):
        text = (
            f"mean |strain| of the fitted points {microstrain(before)} before, "
            f"{microstrain(after)} after; a fit with more parameters always lowers it"
        )
        yield Check("good" if after < before else "look", "Panels, fitted points", text)
    far = stand_out(panels)
    if far:
        words = (
            f"panel {i} by {with_uncertainty(panels.shift_px[i], panels.shift_sigma_px[i])} px"
            for i in far[:3]
        )
        more = f"; {len(far) - 3} more" if len(far) > 3 else ""
        yield Check("look", "Panels that stand out", f"{', '.join(words)}{more}")
    held = _held_words(panels)
    if held:
        yield Check("look", "Panels not determined", held)


def _held_words(panels: PanelView) -> str:
    """Which panels are held wholly, and which numbers of the others; empty if none is."""
    lost, words = panels.lost, []
    if lost.any():
        which = _numbers(np.flatnonzero(lost))
        words.append(f"{np.count_nonzero(lost)} of {len(panels)} panels ({which})")
    for name in panels.refined:
        number = np.count_nonzero(panels.held_in(name) & ~lost)
        if number:
            words.append(f"{FIELDS[name].name} on {number}{' more' if lost.any() else ''}")
    return f"held: {'; '.join(words)}" if words else ""


def panel_gain(view: PowderView) -> tuple[float, float]:
    """Mean |strain| of the used points at the best single surface, and now; NaN if unknown."""
    if "strain_before" not in view.points:
        return float("nan"), float("nan")
    both = np.abs(view.used[["strain_before", "strain"]].to_numpy(dtype=float))
    both = both[np.isfinite(both).all(axis=1)]
    if not len(both):
        return float("nan"), float("nan")
    return float(both[:, 0].mean()), float(both[:, 1].mean())


def stand_out(panels: PanelView) -> list[int]:
    """Panels shifted by more than :data:`STAND_OUT`, farthest first."""
    size, sigma = panels.shift_px, panels.shift_sigma_px
    far = (size > STAND_OUT[1]) & (size > STAND_OUT[0] * sigma) & ~panels.shift_held
    return [int(i) for i in np.argsort(-size, kind="stable") if far[i]]


def _numbers(index: NDArray[np.int64]) -> str:
    """Numbers in words, the first eight of many."""
    words = [str(int(i)) for i in index[:8]]
    return _list(words) if len(index) <= 8 else f"{', '.join(words)} and {len(index) - 8} more"


def headline(view: PowderView) -> tuple[Level, str]:
    """Level and the few words that sum up the checks."""
    levels = [check.level for check in checks(view)]
    if view.used.empty:
        return "bad", "No calibration"
    if "bad" in levels:
        return "bad", "Not to be relied on"
    remarks = levels.count("look") + len(view.warnings)
    if remarks:
        return "look", f"Calibrated, with {remarks} remark{'s' if remarks > 1 else ''}"
    return "good", "Calibrated"


def sentence(view: PowderView) -> str:
    """What was found, how good it is, and what the data do not determine."""
    used = view.used
    if used.empty:
        return "No point survived, so neither the distance nor the centre follows from this image."
    distance = with_uncertainty(view.model.lsd_mm, sigma_of(view, "lsd"))
    rms = float(np.sqrt(np.mean(view.residual_px(used) ** 2)))
    all_points = count(len(used) + len(view.left_out))
    text = (
        f"The detector stands {distance} mm from the sample. {count(len(used))} of {all_points} "
        f"points on {used['ring'].nunique()} rings match the calibrant to "
        f"{microstrain(_number(view, 'clip_mean'))} (clipped mean |strain|), {rms:.3f} px rms "
        "along the radius"
    )
    held = _number(view, "cross_validated")
    text += f"; held-out points to {microstrain(held)}." if np.isfinite(held) else "."
    text += _panel_words(view)
    for status, words in (("not determined", "Not determined"), ("at bound", "At a bound")):
        names = _names(view, status)
        text += f" {words}: {_list(names)}." if names else ""
    return text


def _panel_words(view: PowderView) -> str:
    """How many panels were refined, and what they gained."""
    if view.panels is None:
        return ""
    free = int(np.count_nonzero(~view.panels.lost))
    text = f" {free} of {len(view.panels)} panels were refined with it"
    single, held = (_number(view, f"cross_validated{end}") for end in ("_single", ""))
    if np.isfinite(single) and np.isfinite(held):
        text += f"; one surface alone leaves held-out points at {microstrain(single)}"
    return f"{text}."


def sigma_of(view: PowderView, stem: str) -> float | None:
    """Standard uncertainty of a parameter by its name without unit; None if it has none."""
    for name, sigma, status in zip(
        view.parameters["name"], view.parameters["sigma"], view.parameters["status"], strict=True
    ):
        if parameter(name)[1] == stem and status == "refined":
            return None if sigma is None else float(sigma)
    return None


def _number(view: PowderView, key: str) -> float:
    value = view.summary.get(key)
    return float("nan") if value is None else float(value)


def _names(view: PowderView, status: str) -> list[str]:
    rows = view.parameters[view.parameters["status"] == status]
    return [parameter(name)[0] for name in rows["name"]]


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
