"""Tables and texts of the report of a coarse-to-fine reconstruction."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from refimpl.nearfield.loops import Loop
from refimpl.report import page
from refimpl.report.nearfield_multires_view import MultiresView
from refimpl.report.numbers import NOTHING, count, quantity, seconds
from refimpl.units import DEG, UM

__all__ = ["grain_table", "loop_table", "settings_table", "stage_table", "tiles", "top"]

_ROWS = 30
_NAMES = {
    "start_mm": "first edge (µm)", "factor": "divided by", "loops": "loops after the first",
    "bad_below": "bad below (MinConfidence)", "grain_angle_rad": "angle of a grain (MaxAngle, °)",
    "grain_least": "least confidence of a grain", "mixed_below": "bad below on coarse grids",
    "everywhere": "every point by all grains",
    "settled_share": "done when at most this share changes",
}  # fmt: skip


def _good(loop: Loop, bad_below: float) -> float:
    return float((loop.merged.confidence >= bad_below).mean())


def _won(loop: Loop) -> int:
    """Points that the second pass found something better for."""
    if loop.second is None:
        return 0
    return int((loop.second.confidence > loop.first.confidence[loop.bad]).sum())


def top(view: MultiresView) -> str:
    """Title, and the verdict in words."""
    run, m = view.result, view.result.final
    good = _good(run.loops[-1], run.settings.bad_below)
    level = "good" if good and m.solved.any() else "bad"
    words = "Done" if level == "good" else "Nothing found"
    ends = "; the last loops were not needed" if run.settled else ""
    text = (
        f"{len(run.loops)} loops, {count(len(m))} points, {100.0 * good:.2f} % good, "
        f"{count(view.n_grains[-1])} grains{ends}."
    )
    return (
        '<header class="top"><p class="kind">Near-field map, coarse to fine</p>\n'
        f'<h1>{page.text(view.title)}</h1>\n<p class="verdict {level}">'
        f"<strong>{page.text(words)}</strong>{page.text(text)}</p></header>\n"
    )


def tiles(view: MultiresView) -> str:
    """Numbers that everybody asks for first."""
    run, m = view.result, view.result.final
    s = run.settings
    good = m.confidence[m.confidence >= s.bad_below]
    sizes = " → ".join(f"{loop.size_mm / UM:.4g}" for loop in run.loops)
    work = run.evaluations
    return page.tiles([
        ("Grids (µm)", sizes, f"{count(len(run.loops))} loops"),
        ("Points", count(len(m)), f"{count(len(good))} good, at {s.bad_below:g} or more"),
        ("Mean confidence", f"{good.mean():.4f}" if len(good) else NOTHING, "of the good points"),
        ("Grains", count(view.n_grains[-1]), f"within {s.grain_angle_rad / DEG:.4g}°, wherever"),
        ("Evaluations", count(work), f"{work / max(len(m), 1):,.0f} a point of the finest grid"),
        ("Second passes won", count(sum(map(_won, run.loops))),
         f"of {count(sum(len(loop.bad) for loop in run.loops))} bad points"),
    ])  # fmt: skip


def loop_table(view: MultiresView) -> str:
    """One row a loop."""
    least = view.result.settings.bad_below
    rows = []
    for loop, grains in zip(view.result.loops, view.n_grains, strict=True):
        c = loop.merged.confidence
        good = c[c >= least]
        rows.append((
            str(loop.number), f"{loop.size_mm / UM:.4g}", count(len(c)),
            "zone" if loop.seeds is None else count(len(loop.seeds)),
            count(len(loop.bad)) if loop.number else NOTHING,
            count(_won(loop)) if loop.number else NOTHING,
            f"{100.0 * len(good) / max(len(c), 1):.2f}",
            f"{good.mean():.4f}" if len(good) else NOTHING,
            NOTHING if loop.changed is None else f"{100.0 * loop.changed:.2f}",
            count(grains), count(loop.evaluations),
        ))  # fmt: skip
    return page.table(
        ("loop", "edge (µm)", "points", "seeds", "bad", "pass 2 won", "good (%)",
         "mean confidence", "changed (%)", "grains", "evaluations"),
        rows, caption="Seeds: what the loop began with, from loop 1 on the grains of the one "
        "before. Bad: points that the second pass searched. Mean confidence: of the good points. "
        "Changed: points that are not what the nearest of the loop before is.",
        numeric="n" * 11,
    )  # fmt: skip


def grain_table(view: MultiresView) -> str:
    """Largest grains as Mic2GrainsList makes them."""
    found, m = view.result.grains, view.result.final
    order = np.argsort(-found.n_points, kind="stable")[:_ROWS]
    rows = []
    for number in order:
        best = int(found.centre[number])
        x, y = m.voxels.xy_mm[best] / UM
        points = int(found.n_points[number])
        rows.append((
            str(int(number) + 1), count(points), f"{points * view.final.cell_um2:.1f}",
            f"{m.confidence[best]:.4f}", f"{x:.1f}, {y:.1f}",
            ", ".join(f"{e:.3f}" for e in m.euler_rad[best] / DEG),
        ))  # fmt: skip
    if not rows:
        return ""
    total = len(found.centre)
    more = f"the {_ROWS} largest of {count(total)}" if total > _ROWS else f"all {count(total)}"
    return page.table(
        ("grain", "points", "area (µm²)", "confidence", "best point x, y (µm)", "φ₁, Φ, φ₂ (°)"),
        rows, caption=f"Grains of the final map, best point first as Mic2GrainsList makes them; "
        f"{more}", numeric="nnnnnn",
    )  # fmt: skip


def stage_table(view: MultiresView) -> str:
    """Points, evaluations and time of each step."""
    rows = []
    stages = [stage for loop in view.result.loops for stage in loop.stages]
    for stage in stages:
        n, e, t = stage.voxels, stage.evaluations, stage.seconds
        rows.append((
            stage.name, count(n), count(e) if e else NOTHING,
            f"{e / n:,.0f}" if n and e else NOTHING, seconds(t),
            f"{e / t:,.0f}" if t and e else NOTHING,
        ))  # fmt: skip
    work, spent = sum(s.evaluations for s in stages), sum(s.seconds for s in stages)
    rows.append(("all", "", count(work), "", seconds(spent),
                 f"{work / spent:,.0f}" if spent else NOTHING))  # fmt: skip
    return page.table(
        ("step", "points", "evaluations", "a point", "time", "evaluations/s"), rows,
        caption="Time is that of the clock, of all runs that worked on a step", numeric="knnnnn",
    )  # fmt: skip


def settings_table(view: MultiresView) -> str:
    """Settings of the loops."""
    s, rows = view.result.settings, []
    for field in fields(s):
        value = getattr(s, field.name)
        if field.name == "start_mm":
            value = f"{value / UM:.4g}"
        elif field.name == "grain_angle_rad":
            value = f"{value / DEG:.4g}"
        rows.append((_NAMES.get(field.name, field.name.replace("_", " ")), quantity(value)))
    return page.table(("setting", "value"), rows, caption="Settings of the loops", numeric="k.")
