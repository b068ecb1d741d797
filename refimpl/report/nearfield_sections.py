"""Tables and texts of the report of a near-field map; the figures are elsewhere."""

from __future__ import annotations

import numpy as np

from refimpl.report import page
from refimpl.report.nearfield_view import MapView
from refimpl.report.numbers import NOTHING, count

__all__ = ["checks", "grain_table", "provenance", "tiles", "top"]

_WORDS = {"good": "good", "look": "look here", "bad": "bad"}
_GOOD, _POOR = 0.7, 0.3
_APART = 0.1
_ROWS = 60


def _mean(view: MapView) -> float:
    c = view.result.confidence[view.shown]
    return float(c.mean()) if len(c) else 0.0


def findings(view: MapView) -> list[tuple[str, str, str]]:
    """Level, title and text of each check."""
    m, out = view.result, []
    solved = int(m.solved.sum())
    level = "good" if solved == len(m) else "look" if solved else "bad"
    out.append(
        (level, "Solutions", f"{count(solved)} of {count(len(m))} voxels have an orientation")
    )
    if solved:
        mean = _mean(view)
        level = "good" if mean >= _GOOD else "look" if mean >= _POOR else "bad"
        hint = (
            ""
            if level == "good"
            else ": distances, beam centres or tilts may be off, images may "
            "hold other spots, or reflections without intensity cap it"
        )
        out.append((level, "Confidence", f"mean {mean:.4f} of the voxels shown{hint}"))
    out += _distances(view)
    if (disputed := int(m.disputed.sum())) > 0:
        out.append(
            ("look", "Disputed voxels", f"{count(disputed)} disagreed with all their neighbours "
             "and were fitted again from these")
        )  # fmt: skip
    sizes = np.bincount(view.grain[view.grain > 0])[1:]
    if (lone := int((sizes == 1).sum())) > 0:
        level = "look" if lone > 0.02 * max(int(view.shown.sum()), 1) else "good"
        out.append((level, "Grains of one voxel", f"{count(lone)} of {count(len(sizes))}"))
    return out + _against(view)


def _distances(view: MapView) -> list[tuple[str, str, str]]:
    """Whether one distance is worse than the others."""
    d = view.result.by_distance[view.shown]
    if d.shape[1] < 2 or not np.isfinite(d).any():
        return []
    means = np.nanmean(d, axis=0)
    text = ", ".join(f"{v:.3f}" for v in means)
    apart = float(means.max() - means.min())
    if apart > _APART:
        worst = int(np.argmin(means)) + 1
        return [
            ("look", "Distances", f"means {text}: distance {worst} is worse, check its Lsd and BC")
        ]
    return [("good", "Distances", f"means {text}")]


def _against(view: MapView) -> list[tuple[str, str, str]]:
    if view.comparison is None:
        return []
    s = view.comparison.summary()
    if not len(view.comparison):
        return [("bad", "Reference", "no voxel to compare")]
    share = 100.0 * s["below_deg"]["0.25"]
    level = "good" if share >= 99.0 else "look" if share >= 90.0 else "bad"
    text = (
        f"{share:.2f} % of {count(s['pairs'])} voxels within 0.25°, median "
        f"{s['median_deg']:.4f}°, {s['twins']} wrong twins, {s['missing']} missing"
    )
    return [(level, "Reference", text)]


def top(view: MapView) -> str:
    """Title, and the verdict in words."""
    levels = [level for level, _, _ in findings(view)]
    level = "bad" if "bad" in levels else "look" if "look" in levels else "good"
    words = {"good": "Good", "look": "Done, with remarks", "bad": "Not to be trusted yet"}[level]
    text = (
        f"{count(int(view.shown.sum()))} voxels shown, {count(view.n_grains)} grains, mean "
        f"confidence {_mean(view):.4f}."
    )
    return (
        '<header class="top"><p class="kind">Near-field map of orientations</p>\n'
        f'<h1>{page.text(view.title)}</h1>\n<p class="verdict {level}">'
        f"<strong>{page.text(words)}</strong>{page.text(text)}</p></header>\n"
    )


def tiles(view: MapView) -> str:
    """Numbers that everybody asks for first."""
    m, c = view.result, view.result.confidence[view.shown]
    kam = view.kam_deg[np.isfinite(view.kam_deg)]
    area = len(c) * view.cell_um2
    hidden = int(m.solved.sum()) - len(c)
    angle = f"{np.degrees(view.grain_angle_rad):g}°"
    items = [
        ("Voxels", count(len(m)), f"{view.pitch_um:.3g} µm apart, {m.voxels.shape}s"),
        ("With orientation", count(int(m.solved.sum())),
         f"{count(hidden)} below {view.min_confidence:g} not shown" if hidden else "all shown"),
        ("Mean confidence", f"{_mean(view):.4f}", f"{count(int((c >= 1.0).sum()))} are 1"),
        ("Grains", count(view.n_grains), f"neighbours within {angle}"),
        ("Area (µm²)", count(round(area)), f"height {m.position_um:g} µm"),
        ("Within grains (°)", f"{np.median(kam):.4f}" if len(kam) else NOTHING,
         "median misorientation of neighbours"),
        ("Space group", str(m.space_group), "colours and angles go by its Laue class"),
    ]  # fmt: skip
    if m.evaluations.any():
        n = int(m.evaluations.sum())
        items.append(("Evaluations", count(n), f"{n / max(len(m), 1):,.0f} a voxel"))
    return page.tiles(items)


def checks(view: MapView) -> str:
    """Checks with their outcome."""
    rows = [(page.badge(level, _WORDS[level]), name, text) for level, name, text in findings(view)]
    return page.table(
        ("", "check", "finding"), rows, caption="What to look at first", numeric="kk."
    )


def grain_table(view: MapView) -> str:
    """Largest grains."""
    rows = [
        (
            str(g.number), count(g.voxels), f"{g.area_um2:.1f}", f"{g.diameter_um:.2f}",
            f"{g.centre_um[0]:.1f}, {g.centre_um[1]:.1f}", f"{g.confidence:.3f}",
            f"{g.kam_deg:.4f}" if np.isfinite(g.kam_deg) else NOTHING,
            ", ".join(f"{e:.2f}" for e in g.euler_deg),
        )
        for g in view.grains(_ROWS)
    ]  # fmt: skip
    if not rows:
        return ""
    more = f" (the {_ROWS} largest of {view.n_grains})" if view.n_grains > _ROWS else ""
    return page.table(
        ("grain", "voxels", "area (µm²)", "diameter (µm)", "centre x, y (µm)", "confidence",
         "within (°)", "φ₁, Φ, φ₂ of its best voxel (°)"),
        rows, caption=f"Grains{more}", numeric="nnnnnnnn",
    )  # fmt: skip


def provenance(view: MapView) -> str:
    """Where the map comes from."""
    rows: list[tuple[str, str]] = []
    for name, value in view.result.provenance.items():
        if isinstance(value, dict):
            rows += [(f"{name}: {key}", str(item)) for key, item in value.items()]
        elif value not in (None, ""):
            rows.append((name, str(value)))
    return page.table(("what", "value"), rows, caption="Provenance", numeric="k.") if rows else ""
