"""Console text of the published panel program: maps of panels, tables of rings, outlier lines.

Layouts and number formats are those of `CalibrantPanelShiftsOMP` as of the AutoCalibrate manual
version 10. The manual promises per-ring deviation tables, of which its program prints none: that
table is ours. Nothing here prints; it makes the text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import F64, I64
from refimpl.imaging.published_bins import RingWindows
from refimpl.io.midas_outputs import PanelShifts
from refimpl.objective.pseudo_strain import published_mean_strain
from refimpl.units import DEG, MICROSTRAIN, UM

__all__ = [
    "doublet_lines",
    "indices_map",
    "outlier_line",
    "passes_line",
    "ring_lines",
    "ring_table",
    "shift_statistics",
    "strain_map",
]

TRANSFORMS = {
    0: "0 No transformation.",
    1: "1 Flip Left Right.",
    2: "2 Flip Top Bottom.",
    3: "3 Transpose.",
}


def ring_lines(
    two_theta_rad: F64, excluded: Sequence[int], tolerance_rad: float, codes: Sequence[int]
) -> str:
    """Transforms, rings and the angular width of their windows."""
    thetas = " ".join(f"{0.5 * t / DEG:f}" for t in two_theta_rad)
    left_out = "".join(f" {ring}" for ring in excluded)
    return "\n".join(
        [
            *(f"TransformationOptions: {TRANSFORMS[code]}" for code in codes),
            f"Thetas: {thetas} ",
            f"Number of planes being considered: {len(two_theta_rad)}.",
            f"The following rings will be excluded:{left_out}",
            f"2Theta Tolerance: {tolerance_rad / DEG:f} ",
        ]
    )


def doublet_lines(
    windows: RingWindows, groups: Sequence[tuple[int, ...]], pixel_mm: float
) -> list[str]:
    """One line a pair of rings that is fitted together."""
    lines = []
    for pair in groups:
        if len(pair) == 2:
            (a, b), r = pair, windows.ideal_mm
            lines.append(
                f"Doublet detected: ring {windows.ring[a]} (R={r[a] / UM:.2f}) <-> ring "
                f"{windows.ring[b]} (R={r[b] / UM:.2f}), separation {(r[b] - r[a]) / pixel_mm:.1f} "
                "px"
            )
    return lines


def passes_line(strain: F64, factor: float, passes: int) -> str:
    """Outcome of the iterated clip: the means before and after its last pass.

    The clip is that of :func:`~refimpl.objective.pseudo_strain.published_strain`; empty text
    where it is off.
    """
    size = np.abs(strain)
    if factor <= 0.0:
        return ""
    kept, before, mean = size, float(size.mean()), float(size.mean())
    for _ in range(passes):
        now = size[size <= factor * mean]
        if not len(now):
            break
        kept, before, mean = now, mean, float(now.mean())
        if abs(mean - before) < 1e-10:  # the published stop
            break
    return (
        f"Outlier Rejection (Factor {factor:.2f}, iter {passes}/{passes}): Excluded "
        f"{len(size) - len(kept)} / {len(size)}. Mean Strain: {before:.8f} -> {mean:.8f}"
    )


def outlier_line(strain: F64, factor: float) -> str:
    """Outcome of the single pass that decides the printed MeanStrain; empty where it is off."""
    size = np.abs(strain)
    if factor <= 0.0:
        return ""
    mean = float(size.mean())
    excluded = int(np.count_nonzero(size > factor * mean))
    return (
        f"Outlier rejection (Factor {factor:.2f}): Excluded {excluded} / {len(size)} points. "
        f"Mean Strain: {mean:.8f} -> {published_mean_strain(size, factor):.8f}"
    )


def indices_map(counts: I64, n_y: int, n_z: int, fix_panel: int) -> str:
    """Points of each panel, laid out as on the detector: Z upwards, Y to the right.

    Parameters
    ----------
    counts
        (n_y * n_z,) points of panel ``iY * n_z + iZ``.
    n_y, n_z, fix_panel
        NPanelsY, NPanelsZ and FixPanelID.
    """
    title = "Indices per Panel (Visual Layout: Z^ Y>)"
    lines = ["", f"{'*' * 19} {title} {'*' * 19}", f"{'':24}Anchored Panel ID: {fix_panel} "]
    for z in reversed(range(n_z)):
        ids = [y * n_z + z for y in range(n_y)]
        lines.append(f"Z={z:<2d} | |" + "".join(f" {i:3d} ({counts[i]:5d}) |" for i in ids))
    lines.append(f"{'':7}" + "".join(f"     Y={y:<2d}     " for y in range(n_y)))
    return "\n".join([*lines, "*" * 80]) + "\n"


def strain_map(means: F64, n_y: int, n_z: int) -> str:
    """Mean strain of each panel in units of 1e-4, laid out as on the detector.

    Parameters
    ----------
    means
        (n_y * n_z,) mean absolute strain without outliers; NaN for a panel without points.
    n_y, n_z
        NPanelsY, NPanelsZ.
    """
    lines = ["", "*** Per-Panel Strain x10000 (Z^ Y>) ***"]
    for z in reversed(range(n_z)):
        cells = []
        for i in (y * n_z + z for y in range(n_y)):
            text = f"{means[i] * 1e4:4.2f}" if np.isfinite(means[i]) else "--- "
            cells.append(f" {i:2d}: {text} |")
        lines.append(f"Z{z} |" + "".join(cells))
    lines.append("   " + "".join(f"    Y={y:<2d}   " for y in range(n_y)))
    return "\n".join([*lines, "*" * 35])


def shift_statistics(
    shifts: PanelShifts, varied: NDArray[np.bool_], fix_panel: int, *, all_fields: bool = False
) -> str:
    """Mean, median, range and spread of the corrections over the refined panels.

    Parameters
    ----------
    shifts
        Of all panels.
    varied
        (p,) True where the panel was refined.
    fix_panel
        FixPanelID.
    all_fields
        dLsd [um] and dP2 too; the published table ends with dTheta [deg].
    """
    columns = [("dY:", shifts.d_y_px, 4), ("dZ:", shifts.d_z_px, 4)]
    columns.append(("dTheta:", shifts.d_theta_deg, 6))
    if all_fields:
        columns += [("dLsd:", shifts.d_lsd_um, 4), ("dP2:", shifts.d_p2, 8)]
    lines = [
        "",
        f"*** Panel Shift Statistics ({np.count_nonzero(varied)} optimized panels, excluding "
        f"fixPanel={fix_panel}) ***",
        " " * 9 + " ".join(f"{name:>12}" for name in ("Mean", "Median", "Min", "Max", "Std")),
    ]
    for label, column, digits in columns:
        x = column[varied] if varied.any() else np.zeros(1)
        figures = (x.mean(), np.median(x), x.min(), x.max(), x.std())
        lines.append(f"  {label:<7}" + " ".join(f"{v:12.{digits}f}" for v in figures))
    return "\n".join([*lines, "*" * 73])


def ring_table(
    ring: I64,
    two_theta_rad: F64,
    strain: F64,
    outlier: NDArray[np.bool_],
    lsd_mm: float,
    pixel_mm: float,
) -> str:
    """Deviation of each ring, one line a ring; means and spread without outliers.

    Parameters
    ----------
    ring, two_theta_rad, strain, outlier
        (n,) of the points; the strain signed.
    lsd_mm, pixel_mm
        For the radius.
    """
    head = "Ring 2Theta(deg) Radius(px) Points Outliers Mean(ue) |Mean|(ue)  Std(ue) Dev(px)"
    lines = ["", "*** Deviation per ring ***", head]
    for number in np.unique(ring):
        mine = ring == number
        two_theta = float(two_theta_rad[mine][0])
        radius = lsd_mm * np.tan(two_theta) / pixel_mm
        kept = strain[mine & ~outlier] / MICROSTRAIN
        figures = (np.nan,) * 3
        if len(kept):
            figures = (float(kept.mean()), float(np.abs(kept).mean()), float(kept.std()))
        lines.append(
            f"{number:4d} {two_theta / DEG:11.6f} {radius:10.3f} {int(mine.sum()):6d} "
            f"{int((mine & outlier).sum()):8d} {figures[0]:8.1f} {figures[1]:10.1f} "
            f"{figures[2]:8.1f} {-figures[0] * MICROSTRAIN * radius:7.3f}"
        )
    return "\n".join([*lines, "*" * len(head)])
