"""Tables and texts of the report of an EPU session; the figures are elsewhere."""

from __future__ import annotations

import numpy as np

from refimpl.epu.calibration import Alternative, Calibration
from refimpl.epu.radius import diameters_um
from refimpl.report import page
from refimpl.report.epu_view import EpuView
from refimpl.report.numbers import NOTHING, count
from refimpl.units import DEG

__all__ = ["calibration_table", "checks", "duplicate_table", "error_table", "group_table"]
__all__ += ["provenance", "square_table", "tiles", "top"]

_WORDS = {"good": "good", "look": "look here", "bad": "bad"}
_ROWS = 100
_HEALTHY, _TOO_MANY = 0.1, 10.0
_CLEAR, _TIGHT, _LOOSE = 1.2, 0.05, 0.15


def findings(view: EpuView) -> list[tuple[str, str, str]]:
    """Level, title and text of each check."""
    found = view.duplicates
    share = found.percent
    level = "good" if share < _HEALTHY else "look" if share < _TOO_MANY else "bad"
    text = f"{count(found.n_duplicates)} of {count(len(view.session))} exposures ({share:.2f} %)"
    if level == "bad":
        text += ": so many are rarely true; look at the radius and at the map"
    out = [(level, "Duplicates", text), *_calibration(view)]
    if (row := _other_model(view)) is not None:
        out.append(row)
    out += _beam(view)
    unused = int((~view.session.errors["used"].to_numpy(dtype=bool)).sum())
    if unused:
        out.append(("look", "Files", f"{count(unused)} could not be used: see below"))
    return out


def _calibration(view: EpuView) -> list[tuple[str, str, str]]:
    """How well the holes are on a lattice, and whether another answer is as good."""
    c, out = view.calibration, []
    if c.pitch_um is None:
        out.append(("look", "Hole lattice", "not known: nothing to check the calibration with"))
    elif len(view.holes.visits):
        rms = view.holes.rms_um
        part = rms / min(c.pitch_um)
        level = "good" if part < _TIGHT else "look" if part < _LOOSE else "bad"
        out.append(
            (level, "Hole lattice",
             f"{count(len(view.holes.visits))} hole visits are off it by {1e3 * rms:.0f} nm rms, "
             f"{100.0 * part:.1f} % of the distance of holes")
        )  # fmt: skip
    if c.margin is not None:
        level = "good" if c.margin >= _CLEAR else "look"
        out.append(
            (level, "Other answers", f"the next best fits {c.margin:.2f} times as badly"
             + ("" if level == "good" else ": state the spacing of the holes"))
        )  # fmt: skip
    if view.is_scalar:
        out.append(
            ("look", "One number", "no rotation and no mirror: on a real microscope it calls wrong "
             "exposures duplicates and misses others")
        )  # fmt: skip
    return out


def _other_model(view: EpuView) -> tuple[str, str, str] | None:
    """What one number would have said."""
    if view.is_scalar or len(view.session) > 20_000:
        return None
    mine, other = view.duplicates.bad, view.scalar_duplicates.bad
    text = (
        f"k = {view.scalar.k_um:.2f} without a matrix would flag {int(other.sum())}, "
        f"{int((other & ~mine).sum())} of them not among these, and miss "
        f"{int((mine & ~other).sum())}"
    )
    return ("good", "One number instead", text)


def _beam(view: EpuView) -> list[tuple[str, str, str]]:
    values, counts = diameters_um(view.session.table)
    if not len(values):
        return [("look", "Beam", "no exposure states its diameter: no overlap can be given")]
    if len(values) == 1:
        return [("good", "Beam", f"{values[0]:g} µm in every exposure that states it")]
    each = ", ".join(f"{v:g} µm ({count(int(n))})" for v, n in zip(values, counts, strict=True))
    return [("look", "Beam", f"{len(values)} diameters: {each}")]


def top(view: EpuView) -> str:
    """Title, and the verdict in words."""
    levels = [level for level, _, _ in findings(view)]
    level = "bad" if "bad" in levels else "look" if "look" in levels else "good"
    words = {"good": "Good", "look": "Done, with remarks", "bad": "Not to be trusted yet"}[level]
    found = view.duplicates
    text = (
        f"{count(found.n_duplicates)} of {count(len(view.session))} exposures lie within "
        f"{found.radius_um:g} µm of an earlier one that is kept."
    )
    return (
        '<header class="top"><p class="kind">EPU session</p>\n'
        f'<h1>{page.text(view.title)}</h1>\n<p class="verdict {level}">'
        f"<strong>{page.text(words)}</strong>{page.text(text)}</p></header>\n"
    )


def tiles(view: EpuView) -> str:
    """Numbers that everybody asks for first."""
    found, c = view.duplicates, view.calibration
    n_levels = " and ".join(str(level.n) for level in view.levels) or NOTHING
    turn = f"turned by {c.rotation_rad / DEG:.1f}°, {'' if c.is_mirrored else 'not '}mirrored"
    pitch = NOTHING if c.pitch_um is None else " × ".join(f"{p:.3f}" for p in c.pitch_um)
    visited, off = len(view.holes.visits), view.holes.rms_um
    items = [
        ("Exposures", count(len(view.session)), _squares(len(found.squares))),
        ("Duplicates", count(found.n_duplicates), f"{found.percent:.2f} %, radius {found.radius}"),
        ("k (µm)", f"{c.k_um:.3f}", f"{c.method}, {turn}"),
        ("Holes apart (µm)", pitch, f"{count(visited)} visits of holes"),
        ("Off the lattice (nm)", NOTHING if np.isnan(off) else f"{1e3 * off:.0f}",
         "root mean square of the holes"),
        ("Beam shift groups", n_levels, "levels that the beam shifts show by themselves"),
    ]  # fmt: skip
    return page.tiles(items)


def _squares(n: int) -> str:
    return "1 grid square" if n == 1 else f"{count(n)} grid squares"


def checks(view: EpuView) -> str:
    """Checks with their outcome."""
    rows = [(page.badge(level, _WORDS[level]), name, text) for level, name, text in findings(view)]
    return page.table(
        ("", "check", "finding"), rows, caption="What to look at first", numeric="kk."
    )


def calibration_table(view: EpuView) -> str:
    """The calibration, and the other answers that fit."""
    c = view.calibration
    shown: list[tuple[str, Calibration | Alternative, float]] = [(c.method, c, 1.0)]
    shown += [
        (f"other answer {i}", a, a.misfit_ratio) for i, a in enumerate(c.alternatives, start=1)
    ]
    rows = []
    for name, one, ratio in shown:
        (a, b), (d, e) = one.matrix_um
        pitch, rms = one.pitch_um, one.rms_um
        rows.append(
            (name, f"{one.k_um:.3f}", f"{one.rotation_rad / DEG:.2f}",
             "yes" if one.is_mirrored else "no", f"{one.anisotropy:.4f}",
             f"{a:.3f}, {b:.3f}; {d:.3f}, {e:.3f}",
             NOTHING if pitch is None else f"{pitch[0]:.3f}, {pitch[1]:.3f}",
             NOTHING if rms is None else f"{1e3 * rms:.0f}", f"{ratio:.2f}")
        )  # fmt: skip
    table = page.table(
        ("method", "k (µm)", "turn (°)", "mirror", "anisotropy", "matrix (µm)", "apart (µm)",
         "rms (nm)", "misfit"),
        rows, caption="Beam shift to stage: position = stage + beam shift · matrix (row; row); "
        "holes apart; holes off the lattice; rms / pitch over that of the answer",
        numeric="knn.nknnn",
    )  # fmt: skip
    notes = "".join(f"<li>{page.text(note)}</li>" for note in c.notes)
    return table + (f"<ul>{notes}</ul>\n" if notes else "")


def duplicate_table(view: EpuView) -> str:
    """Bad exposures with what is kept instead."""
    found, table = view.duplicates, view.session.table
    causes = {
        (int(row["first"]), int(row["second"])): row for row in found.pairs.to_dict("records")
    }
    rows = []
    for first, second in view.cases[:_ROWS].tolist():
        pair = causes.get((first, second), {})
        away = float(np.hypot(*(found.positions_um[first] - found.positions_um[second])))
        overlap = float(pair.get("overlap", np.nan))
        rows.append(
            (table["name"][second], table["name"][first],
             f"{1e3 * away:.0f}",
             f"{100.0 * overlap:.0f}" if np.isfinite(overlap) else NOTHING,
             str(pair.get("cause", NOTHING)), str(table["square"][second]))
        )  # fmt: skip
    if not rows:
        return ""
    more = f" (the first {_ROWS} of {count(len(view.cases))})" if len(view.cases) > _ROWS else ""
    return page.table(
        ("bad", "kept", "apart (nm)", "beam (%)", "cause", "grid square"),
        rows, caption=f"Exposures of places that were exposed before{more}", numeric="..nn.n",
    )  # fmt: skip


def square_table(view: EpuView) -> str:
    """Duplicates by grid square, and why."""
    squares = view.duplicates.squares
    if len(squares) < 2 and not view.duplicates.n_duplicates:
        return ""
    squares = squares.sort_values(["duplicates", "square"], ascending=[False, True], kind="stable")
    causes = [c for c in squares.columns if c not in _SQUARE]
    rows = [
        (row["square"] if row["square"] >= 0 else "unknown", count(row["exposures"]),
         count(row["duplicates"]), f"{row['percent']:.2f}", *(count(row[c]) for c in causes))
        for row in squares.head(_ROWS).to_dict("records")
    ]  # fmt: skip
    more = f" (the first {_ROWS} of {count(len(squares))})" if len(squares) > _ROWS else ""
    return page.table(
        ("grid square", "exposures", "bad", "%", *causes), rows,
        caption=f"By grid square, most duplicates first; pairs by likely cause{more}",
        numeric="n" * (4 + len(causes)),
    )  # fmt: skip


_SQUARE = ("square", "exposures", "duplicates", "percent", "pairs")


def group_table(view: EpuView) -> str:
    """Levels that the beam shifts show."""
    rows = [
        (count(level.n), f"{len(view.session) / level.n:.1f}", f"{level.height:.3g}",
         "∞" if np.isinf(level.gap) else f"{level.gap:.2f}")
        for level in view.levels
    ]  # fmt: skip
    if not rows:
        return ""
    return page.table(
        ("groups", "exposures in each", "longest step inside", "gap: shortest between over it"),
        rows, caption="Levels of grouping of the beam shifts, finest first", numeric="nnnn",
    )  # fmt: skip


def error_table(view: EpuView) -> str:
    """Files that cannot be used, and what is missing in others."""
    errors = view.session.errors
    rows = [
        (row["path"], row["reason"], "yes" if row["used"] else "no")
        for row in errors.head(_ROWS).to_dict("records")
    ]
    if not rows:
        return ""
    more = f" (the first {_ROWS} of {count(len(errors))})" if len(errors) > _ROWS else ""
    return page.table(("file", "what is wrong", "used"), rows, caption=f"Files{more}")


def provenance(view: EpuView) -> str:
    """Where the session comes from."""
    table = view.session.table
    rows = [] if view.session.folder is None else [("folder", str(view.session.folder))]
    if len(table):
        rows.append(("time", f"{table['time'].iloc[0]} to {table['time'].iloc[-1]}"))
    for name in ("instrument", "camera", "epu_version", "voltage_kv", "magnification",
                 "pixel_size_angstrom", "exposure_s"):  # fmt: skip
        values = [v for v in table[name].dropna().unique().tolist() if v != ""]
        if len(values):
            more = f" and {len(values) - 5} more" if len(values) > 5 else ""
            rows.append((name, ", ".join(f"{v:.7g}" if isinstance(v, float) else str(v)
                                         for v in values[:5]) + more))  # fmt: skip
    rows += [
        (str(k), str(v)) for k, v in view.calibration.provenance.items() if v not in (None, "")
    ]
    return page.table(("what", "value"), rows, caption="Provenance", numeric="k.") if rows else ""
