"""Refined panels in plain text: for a terminal and a log, no line as long as 100 characters."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.panel_layout import grid_positions
from refimpl.frames import I64
from refimpl.powder.panel_result import PanelTable
from refimpl.units import DEG, MICROSTRAIN, UM

__all__ = ["panel_lines"]

_WIDTH = 96
_CELL, _NARROW = 14, 6  # characters a panel: both shifts, or their length alone
_REASONS = 8  # sentences about held panels that are written; the rest is counted
# Order of the columns, published name, unit, factor from refimpl's unit.
_FIELDS = (
    ("d_fast_px", "dY", "px", 1.0),
    ("d_slow_px", "dZ", "px", 1.0),
    ("d_theta_rad", "dTheta", "deg", 1.0 / DEG),
    ("d_lsd_mm", "dLsd", "um", 1.0 / UM),
    ("d_p2", "dP2", "", 1.0),
    ("tilt_fast_rad", "tilt fast", "deg", 1.0 / DEG),
    ("tilt_slow_rad", "tilt slow", "deg", 1.0 / DEG),
)


def panel_lines(table: PanelTable) -> list[str]:
    """Panels in words: a map of their shifts, then rms values, strain, gauge, and what is held.

    A grid is shown as it is seen along the beam, fast to the right and slow up: two lines a panel
    with dY and dZ [px] over its number and points, or the length of the shift alone where many
    panels stand side by side. Panels that form no grid, or a very wide one, are listed.

    Parameters
    ----------
    table
        What the refinement returned.

    Returns
    -------
    Lines without their ends, each shorter than 100 characters.
    """
    grid = grid_positions(table.boxes)
    columns = 0 if grid is None else int(grid[:, 0].max()) + 1
    held = _held(table)
    free = len(table) - int(np.count_nonzero(held))
    refined = ", ".join(name for key, name, _, _ in _FIELDS if key in table.refined)
    lines = [f"panels: {free} of {len(table)} refined ({refined or 'nothing'})"]
    if grid is not None and columns * _CELL <= _WIDTH:
        lines += _map(table, grid, held)
    elif grid is not None and columns * _NARROW <= _WIDTH:
        lines += _size_map(table, grid, held)
    else:
        lines += _list(table, held)
    lines += [_field_line(table, j) for j in range(7) if _FIELDS[j][0] in table.refined]
    lines += _strain_line(table)
    lines += [_cut(f"  gauge: {sentence}") for sentence in table.gauge]
    lines += [_cut(f"  {sentence}") for sentence in table.reasons[:_REASONS]]
    if len(table.reasons) > _REASONS:
        lines.append(f"  {len(table.reasons) - _REASONS} more are held")
    return lines


def _held(table: PanelTable) -> NDArray[np.bool_]:
    """(p,) panels on which everything that was refined elsewhere is held."""
    mine = [j for j in range(7) if _FIELDS[j][0] in table.refined]
    if not mine:
        return np.zeros(len(table), dtype=bool)
    return np.asarray(np.all(table.held[:, mine], axis=1), dtype=bool)


def _number(value: float) -> str:
    """Shift in at most six characters, with its sign."""
    return f"{value:+.2f}" if abs(value) < 99.995 else f"{value:+.0f}"


def _mark(table: PanelTable, i: int) -> str:
    """Star on a panel of which some numbers are held."""
    return "*" if np.any(table.held[i]) else ""


def _map(table: PanelTable, grid: I64, held: NDArray[np.bool_]) -> list[str]:
    """Two lines a row of panels: dY and dZ, then number and points."""
    upper, lower = {}, {}
    for i, (column, row) in enumerate(grid):
        d = table.corrections[i]
        upper[column, row] = "held" if held[i] else f"{_number(d[0])} {_number(d[1])}"
        lower[column, row] = f"{i}{'' if held[i] else _mark(table, i)}: {table.points[i]}"
    lines = [
        "  seen along the beam, fast to the right, slow up: dY dZ [px], below it panel: points"
        + ("; * held in part" if np.any(table.held[~held]) else "")
    ]
    for row in range(int(grid[:, 1].max()), -1, -1):
        for text in (upper, lower):
            cells = [text.get((column, row), "") for column in range(int(grid[:, 0].max()) + 1)]
            lines.append("  " + "".join(f"{cell:>{_CELL}}" for cell in cells).rstrip())
    return lines


def _size_map(table: PanelTable, grid: I64, held: NDArray[np.bool_]) -> list[str]:
    """One line a row of panels: the length of the shift."""
    size = np.hypot(table.corrections[:, 0], table.corrections[:, 1])
    cells = {}
    for i, (column, row) in enumerate(grid):
        length = f"{size[i]:.2f}" if size[i] < 9.995 else f"{size[i]:.0f}"
        cells[column, row] = "held" if held[i] else f"{length}{_mark(table, i)}"
    lines = ["  length of the shift [px], seen along the beam, fast to the right, slow up"]
    if np.any(table.held[~held]):
        lines[0] += "; * held in part"
    for row in range(int(grid[:, 1].max()), -1, -1):
        line = [cells.get((column, row), "") for column in range(int(grid[:, 0].max()) + 1)]
        lines.append("  " + "".join(f"{cell:>{_NARROW}}" for cell in line).rstrip())
    few = int(np.min(table.points, initial=0 if not len(table) else int(table.points[0])))
    lines.append(f"  points per panel: median {np.median(table.points):.0f}, fewest {few}")
    return lines


def _list(table: PanelTable, held: NDArray[np.bool_]) -> list[str]:
    """Number, shifts and points of every panel, in as many columns as there is room for."""
    head = f"{'panel':>6}{'dY px':>9}{'dZ px':>9}{'points':>8}"
    beside = min(_WIDTH // len(head), max(1, -(-len(table) // 12)))
    down = -(-len(table) // beside)
    lines = ["".join([head] * min(beside, max(len(table), 1)))]
    for k in range(down):
        cells = []
        for i in range(k, len(table), down):
            d = table.corrections[i]
            both = ("held", "held") if held[i] else (_number(d[0]), _number(d[1]))
            name = f"{i}{'' if held[i] else _mark(table, i)}"
            cells.append(f"{name:>6}{both[0]:>9}{both[1]:>9}{int(table.points[i]):>8}")
        lines.append("".join(cells))
    if np.any(table.held[~held]):
        lines.append("  * held in part")
    return lines


def _field_line(table: PanelTable, j: int) -> str:
    """Root mean square of one kind of number, its largest, and the width of its prior."""
    key, name, unit, scale = _FIELDS[j]
    free = np.flatnonzero(~np.asarray(table.held[:, j], dtype=bool))
    unit = f" {unit}" if unit else ""
    if not len(free):
        return f"  {name + ':':<11}held on every panel"
    value, sigma = table.corrections[free, j] * scale, table.sigma[free, j] * scale
    worst = int(np.argmax(np.abs(value)))
    line = (
        f"  {name + ':':<11}rms {math.sqrt(float(np.mean(value**2))):.3g}{unit}, largest "
        f"{_with_sigma(float(value[worst]), float(sigma[worst]))} (panel {free[worst]}), "
        f"median error {float(np.median(sigma)):.2g}"
    )
    return _cut(
        line
        + (
            f", prior {table.priors[key] * scale:.3g}"
            if math.isfinite(table.priors.get(key, math.inf))
            else ""
        )
    )


def _with_sigma(value: float, sigma: float) -> str:
    if not (math.isfinite(sigma) and sigma > 0.0):
        return f"{value:.4g}"
    digits = max(0, 1 - math.floor(math.log10(sigma)))
    return f"{value:.{digits}f} +- {sigma:.{digits}f}"


def _strain_line(table: PanelTable) -> list[str]:
    """Mean |strain| of the points of all panels before and after, from the panels' own means."""
    known = np.isfinite(table.strain) & np.isfinite(table.strain_before) & (table.points > 0)
    if not known.any():
        return []
    weight = table.points[known] / np.sum(table.points[known])
    before, after = (
        float(np.sum(weight * s[known])) / MICROSTRAIN for s in (table.strain_before, table.strain)
    )
    better = int(np.count_nonzero(table.strain[known] < table.strain_before[known]))
    return [
        f"  mean |strain| {before:.1f} -> {after:.1f} ue by the panels (points of the fit), "
        f"lower on {better} of {int(known.sum())}"
    ]


def _cut(line: str) -> str:
    """Line of at most 99 characters."""
    return line if len(line) < 100 else f"{line[:96]}..."
