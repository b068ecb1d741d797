"""The tables of a batch and its lines of progress: one row, one line a frame.

The tables hold no times: they depend on the input alone, to the last byte.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.io.atomic import write_text
from refimpl.powder.batch_frames import BatchFrame
from refimpl.scaleout import Outcome, Run
from refimpl.units import MICROSTRAIN

if TYPE_CHECKING:
    from refimpl.powder.result import PowderResult

__all__ = ["PANELS", "SUMMARY", "frame_value", "progress_line", "write_tables"]

SUMMARY, PANELS = "summary.csv", "panels.csv"
"""Tables of a batch, beside the folders of the frames."""


def frame_value(result: PowderResult) -> dict[str, Any]:
    """Part of a result that the tables show, as plain values."""
    from refimpl.powder.result import SAID_OF_ALL

    summary, cross = result.summary, result.cross_validated
    out: dict[str, Any] = {
        "converged": result.converged,
        "reason": result.reason,
        "passes": len(result.iterations),
        "points": int(result.points.used.sum()),
        "parameters": [
            [p.name, p.unit, _plain(p.value), _plain(p.sigma)] for p in result.parameters
        ],
        "mean_strain": _plain(summary.clip_mean),
        "mean_strain_all": _plain(summary.mean_all),
        "median_strain": _plain(summary.median),
        "mean_strain_cross_validated": None if cross is None else _plain(cross.clip_mean),
        "rms_px": _plain(result.rms_px),
        "notes": [text for text in result.warnings if text not in SAID_OF_ALL],
    }  # fmt: skip
    if result.panels is not None:
        out["panels"] = [
            [[_plain(v), _plain(s)] for v, s in zip(values, sigma, strict=True)]
            for values, sigma in zip(result.panels.corrections, result.panels.sigma, strict=True)
        ]
    return out


def _plain(value: Any) -> float | None:
    """Float, or None where there is no number."""
    number = float(value)
    return number if math.isfinite(number) else None


def write_tables(
    frames: Sequence[BatchFrame], run: Run, folder: Path
) -> tuple[Mapping[str, Any], ...]:
    """Write :data:`SUMMARY`, and :data:`PANELS` where panels were refined; return the rows.

    One row a frame, in the order of the frames, also of those that failed or are not done; one
    row a frame and panel.
    """
    import pandas as pd

    outcomes = {outcome.key: outcome for outcome in run.outcomes}
    rows = [_row(frame, outcomes.get(frame.name)) for frame in frames]
    names = list(dict.fromkeys(name for row in rows for name in row if name != "error"))
    table = pd.DataFrame(rows, columns=[*names, "error"])
    write_text(folder / SUMMARY, table.to_csv(index=False, float_format="%.12g"))
    panels = [
        {"name": key, "panel": i, **dict(_fields(values))}
        for key, outcome in outcomes.items()
        for i, values in enumerate((outcome.value or {}).get("panels", ()))
    ]
    if panels:
        text = pd.DataFrame(panels).to_csv(index=False, float_format="%.12g")
        write_text(folder / PANELS, text)
    else:
        (folder / PANELS).unlink(missing_ok=True)  # of an older run
    return tuple(rows)


def _row(frame: BatchFrame, outcome: Outcome | None) -> dict[str, Any]:
    """Row of one frame; numbers only where there are any."""
    row: dict[str, Any] = {"name": frame.name, "file": str(frame.path), "frame": frame.index}
    if outcome is None or outcome.status == "interrupted":
        return {**row, "status": "not done", "error": None}
    if outcome.status == "failed":
        return {**row, "status": "failed", "error": outcome.error}
    value = dict(outcome.value)
    converged, reason = value.pop("converged"), value.pop("reason")
    notes = " ".join(value.pop("notes"))
    row["status"] = "converged" if converged else "not converged"
    parameters = value.pop("parameters")
    value.pop("panels", None)
    row |= value
    for name, unit, number, sigma in parameters:
        suffix = f"_{unit}" if unit else ""
        row |= {f"{name}{suffix}": number, f"sigma_{name}{suffix}": sigma}
    return {**row, "notes": notes, "error": None if converged else reason}


def _fields(values: Sequence[Sequence[float | None]]) -> Iterator[tuple[str, float | None]]:
    for name, (value, sigma) in zip(PANEL_FIELDS, values, strict=False):
        yield name, value
        yield f"sigma_{name}", sigma


def progress_line(outcome: Outcome, number: int, total: int) -> str:
    """One line a frame: name, Lsd, beam centre, mean strain and time, or what went wrong."""
    head = f"[{number:{len(str(total))}d}/{total}] {outcome.key}"
    if outcome.status != "done":
        return f"{head}  {outcome.status}{': ' * bool(outcome.error)}{outcome.error}"
    value = outcome.value
    number_of = {name: x for name, _, x, _ in value["parameters"]}
    strain = value["mean_strain"] / MICROSTRAIN
    parts = [
        head,
        f"Lsd {number_of['Lsd']:.4f} mm",
        f"centre ({number_of['BC_fast']:.3f}, {number_of['BC_slow']:.3f}) px",
        f"strain {strain:.1f} µε",
        "done before" if outcome.kept else f"{outcome.seconds:.1f} s",
    ]
    if value["notes"]:
        parts.append(f"{len(value['notes'])} note{'s' * (len(value['notes']) > 1)}")
    if not value["converged"]:
        parts.insert(1, f"NOT CONVERGED ({value['reason']})")
    return "  ".join(parts)
