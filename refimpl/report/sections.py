"""Tables and texts of the powder report; the figures are elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from refimpl.report import page, verdict
from refimpl.report.numbers import (
    NOTHING,
    count,
    microstrain,
    parameter,
    quantity,
    seconds,
    with_uncertainty,
)
from refimpl.report.view import PowderView
from refimpl.units import DEG, MICROSTRAIN

__all__ = ["check_list", "key_numbers", "parameter_table", "provenance", "reproduce", "ring_table"]
__all__ += ["free_rows", "timing_table", "top", "truth_table", "warning_box"]

_KNOWN = frozenset(("n", "mean_all", "median", "clip_mean", "clip_rule"))
_KNOWN |= {"cross_validated", "cross_validated_single", "converged"}
_WORDS = {"good": "good", "look": "look here", "bad": "bad"}
_STATUS = {"refined": "good", "at bound": "look", "not determined": "look"}


def top(view: PowderView) -> str:
    """Title, and the verdict in words."""
    level, words = verdict.headline(view)
    title, text = page.text(view.title), page.text(verdict.sentence(view))
    return (
        '<header class="top"><p class="kind">Powder calibration</p>\n'
        f'<h1>{title}</h1>\n<p class="verdict {level}"><strong>{page.text(words)}</strong>'
        f"{text}</p></header>\n"
    )


def key_numbers(view: PowderView) -> str:
    """Tiles of the numbers that everybody asks for first."""
    m, used = view.model, view.used
    beam = [
        with_uncertainty(value, verdict.sigma_of(view, stem))
        for value, stem in zip(m.beam_centre_px, ("beam_fast", "beam_slow"), strict=True)
    ]
    tilts = [
        _tilt(view, stem, value) for stem, value in zip(("ty", "tz"), m.tilts_rad[1:], strict=True)
    ]
    rms = float(np.sqrt(np.mean(view.residual_px(used) ** 2))) if len(used) else float("nan")
    rule = str(view.summary.get("clip_rule", ""))
    get = view.summary.get
    both = ", ".join(microstrain(get(key)).removesuffix(" µε") for key in ("median", "mean_all"))
    pixels = f"{rms:.3f} px" if np.isfinite(rms) else NOTHING
    distance = with_uncertainty(m.lsd_mm, verdict.sigma_of(view, "lsd"))
    corner = "fast, slow; the corner of the first pixel is 0, 0"
    on_rings = f"of {count(len(view.points))} fitted, on {used['ring'].nunique()} rings"
    return page.tiles(
        [
            ("Distance Lsd (mm)", distance, "sample to detector along the beam"),
            ("Beam centre (px)", ", ".join(beam), corner),
            ("Tilts ty, tz (°)", ", ".join(tilts), "about the horizontal, the vertical"),
            ("Radial residual", pixels, "rms of the points used"),
            ("Clipped mean |strain|", microstrain(get("clip_mean")), rule),
            ("Held-out |strain|", microstrain(get("cross_validated")), "cross-validated"),
            ("Median, mean of all |strain| (µε)", both, "no point clipped"),
            ("Points used", count(get("n", len(used))), on_rings),
        ]
    )


def _tilt(view: PowderView, stem: str, value_rad: float) -> str:
    for row in view.parameters.itertuples(index=False):
        if parameter(row.name)[1] == stem:
            value, sigma, _ = _shown(row)
            return with_uncertainty(value, sigma if row.status == "refined" else None)
    return with_uncertainty(value_rad / DEG, None)


def _shown(row: Any) -> tuple[float, float | None, str]:
    """Value, uncertainty and unit for readers: radians as degrees."""
    sigma = None if row.sigma is None else float(row.sigma)
    if row.unit == "rad":
        return float(row.value) / DEG, None if sigma is None else sigma / DEG, "°"
    return float(row.value), sigma, str(row.unit or "")


def warning_box(view: PowderView) -> str:
    """Warnings of the calibration, or nothing."""
    if not view.warnings:
        return ""
    items = "".join(f"<li>{page.text(text)}</li>" for text in view.warnings)
    return f'<section class="warnings" id="warnings"><h2>Warnings</h2><ul>{items}</ul></section>\n'


def check_list(view: PowderView) -> str:
    """Checks with their outcome."""
    rows = [
        (page.badge(check.level, _WORDS[check.level]), check.title, check.text)
        for check in verdict.checks(view)
    ]
    return page.table(
        ("", "check", "finding"), rows, caption="What to look at first", numeric="kk."
    )


def parameter_table(view: PowderView) -> str:
    """All parameters with uncertainty, unit and status."""
    rows = []
    for row in view.parameters.itertuples(index=False):
        value, sigma, unit = _shown(row)
        status = str(row.status)
        known = sigma if status in ("refined", "at bound") else None
        label = page.badge(_STATUS.get(status, "plain"), status)
        rows.append((parameter(row.name)[0], with_uncertainty(value, known), unit, label))
    return page.table(
        ("parameter", "value", "unit", "status"),
        rows,
        caption="In brackets: standard uncertainty in the last digits",
        numeric=".n..",
    )


def truth_table(view: PowderView) -> str:
    """Found against true values of a simulation, or nothing."""
    if not view.truth:
        return ""
    rows = []
    for row in view.parameters.itertuples(index=False):
        if str(row.name) not in view.truth:
            continue
        value, sigma, unit = _shown(row)
        true = float(view.truth[str(row.name)]) / (DEG if row.unit == "rad" else 1.0)
        error = value - true
        refined = sigma is not None and np.isfinite(sigma) and sigma > 0.0
        pull = error / sigma if refined and sigma else float("nan")
        level = "good" if abs(pull) <= 3.0 else "look"
        ratio = page.badge(level, f"{pull:+.2f} σ") if np.isfinite(pull) else NOTHING
        found = with_uncertainty(value, sigma)
        rows.append((parameter(row.name)[0], found, quantity(true), f"{error:+.2e}", unit, ratio))
    return page.table(
        ("parameter", "found", "true", "error", "unit", "error / σ"),
        rows,
        caption="Two of three errors should be within 1 σ, all but one in 370 within 3 σ",
        numeric=".nnn..",
    )


def ring_table(view: PowderView) -> str:
    """One row a ring: how many points, how far off, how wide."""
    head = ("ring", "hkl", "2θ (°)", "points", "left out", "mean strain (µε)", "")
    return page.table(
        (*head, "mean |strain| (µε)", "rms (px)", "FWHM (°)", "η seen"),
        list(_ring_rows(view)),
        caption="Mean strain is signed: above 0 the ring is too small, below 0 too large",
        numeric="nknnnn.nnnn",
    )


def _ring_rows(view: PowderView) -> Iterator[tuple[object, ...]]:
    used, out = view.used, view.left_out
    means = used.groupby("ring")["strain"].mean().abs()
    largest = float(means.max()) if len(means) else 1.0
    for index, number in enumerate(view.ring_number):
        mine = used[used["ring"] == number]
        head = (int(number), view.hkl_text(index), f"{view.ring_two_theta[index] / DEG:.4f}")
        left = int((out["ring"] == number).sum())
        if mine.empty:
            yield (*head, 0, left, NOTHING, "", NOTHING, NOTHING, NOTHING, NOTHING)
            continue
        strain = mine["strain"].to_numpy(dtype=float)
        mean = float(strain.mean())
        error = float(strain.std(ddof=1) / np.sqrt(len(strain))) if len(strain) > 1 else None
        error_ue = None if error is None else error / MICROSTRAIN
        rms = float(np.sqrt(np.mean(view.residual_px(mine) ** 2)))
        eta = np.floor(np.degrees(mine["eta_rad"].to_numpy(dtype=float)) / 10.0) % 36
        yield (
            *head,
            *(len(mine), left, with_uncertainty(mean / MICROSTRAIN, error_ue)),
            page.bar(mean / largest if largest > 0.0 else 0.0),
            *(f"{np.abs(strain).mean() / MICROSTRAIN:.1f}", f"{rms:.3f}"),
            _degrees(float(mine["fwhm_rad"].median())),
            f"{100.0 * len(np.unique(eta)) / 36.0:.0f} %",
        )


def _degrees(angle_rad: float) -> str:
    return f"{angle_rad / DEG:.4f}" if np.isfinite(angle_rad) else NOTHING


def free_rows(view: PowderView) -> str:
    """Rows of the summary that have no place of their own."""
    rows = [
        (key.replace("_", " "), quantity(v)) for key, v in view.summary.items() if key not in _KNOWN
    ]
    return page.table(("", "value"), rows, caption="Given and assumed") if rows else ""


def timing_table(view: PowderView) -> str:
    """Time by stage, longest bar for the longest stage."""
    if not view.timing:
        return ""
    total = sum(view.timing.values())
    rows = [
        (
            stage.replace("_", " "),
            seconds(t),
            f"{100.0 * t / total:.0f} %" if total > 0.0 else NOTHING,
        )
        for stage, t in view.timing.items()
    ]
    rows.append(("total", seconds(total), ""))
    return page.table(("stage", "time", "share"), rows, caption="Time by stage", numeric=".nn")


def provenance(view: PowderView) -> str:
    """Versions, backend, inputs: what made this page."""
    rows = [
        (k.replace("_", " "), quantity(v)) for k, v in view.provenance.items() if k != "command"
    ]
    return page.table(("", ""), rows, caption="What made this page") if rows else ""


def reproduce(view: PowderView) -> str:
    """The command that gives the same result, and what must be equal for that."""
    command = view.provenance.get("command")
    if not command:
        return ""
    return (
        f"<pre><code>{page.text(str(command))}</code></pre>\n"
        "<p>The result does not depend on the number of threads. It is the same bit for bit with "
        "the same inputs, seed, version and backend.</p>\n"
    )
