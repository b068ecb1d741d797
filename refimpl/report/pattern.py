"""The picture of an integration: a pattern with its error band, or a cake."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from refimpl.report import style

__all__ = ["pattern_figure"]

_LABELS = {
    "two_theta_deg": "2θ (°)",
    "two_theta_rad": "2θ (rad)",
    "q_inv_angstrom": "q (Å⁻¹)",
    "q_inv_nm": "q (nm⁻¹)",
    "d_angstrom": "d (Å)",
    "radius_mm": "ring radius (mm)",
}


def pattern_figure(pattern: Any) -> Figure:
    """Figure of a :class:`refimpl.powder.pattern.Pattern`."""
    with style.styled():
        figure = style.new_figure(9.6, 3.7 if pattern.azimuth_deg is None else 4.8)
        ax = figure.add_axes((0.085, 0.15, 0.895, 0.73))
        intensity = np.asarray(pattern.intensity, dtype=float)
        if not np.isfinite(intensity).any():
            style.empty(ax, "no pixel is in range")
        elif pattern.azimuth_deg is None:
            style.title(ax, "Pattern", f"{pattern.pixels.sum():.0f} pixels")
            low, high = intensity - pattern.sigma, intensity + pattern.sigma
            ax.fill_between(pattern.axis, low, high, color=style.SKY, lw=0.0)
            ax.plot(pattern.axis, intensity, color=style.INK, lw=0.9)
            ax.set_ylabel("mean intensity per pixel")
        else:
            style.title(ax, "Cake", f"{pattern.pixels.sum():.0f} pixels")
            ax.imshow(
                style.stretch(intensity),
                cmap=style.PICTURE,
                aspect="auto",
                origin="lower",
                interpolation="nearest",
                extent=(
                    *(pattern.edges[0], pattern.edges[-1]),
                    *(pattern.azimuth_edges_deg[0], pattern.azimuth_edges_deg[-1]),
                ),
            )
            ax.set_ylabel("azimuth (°)")
            ax.grid(visible=False)
        ax.set(xlim=(pattern.edges[0], pattern.edges[-1]), xlabel=_LABELS[pattern.unit])
    return figure
