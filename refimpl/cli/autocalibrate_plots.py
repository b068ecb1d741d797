"""Plots of ``-MakePlots 1``, saved instead of shown: a command never waits for a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from refimpl.frames import F64
from refimpl.io.atomic import atomic_path
from refimpl.powder.published_loop import AutoCalibration, PublishedStart
from refimpl.units import DEG, MICROSTRAIN

__all__ = ["write_plots"]


def write_plots(
    folder: Path, image: F64, start: PublishedStart, result: AutoCalibration
) -> list[Path]:
    """Write ``autocal_start.png`` and ``autocal_strain.png``; each is atomic."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    top = float(np.percentile(image, 99.5))
    left.imshow(image, vmin=0.0, vmax=top, origin="lower", cmap="magma")
    left.set_title("image")
    middle.imshow(start.background, vmin=0.0, vmax=top, origin="lower", cmap="magma")
    middle.set_title("background")
    right.imshow(image - start.background >= start.threshold, origin="lower", cmap="gray")
    right.set_title(f"at or above {start.threshold:g} counts, rings found")
    turn = np.linspace(0.0, 2.0 * np.pi, 361)
    fast, slow = start.detector.beam_centre_px
    for radius in start.radii_px:
        right.plot(fast + radius * np.cos(turn), slow + radius * np.sin(turn), "r", lw=0.6)
    for axes in (left, middle, right):
        axes.set(xlim=(0, image.shape[1]), ylim=(0, image.shape[0]), xlabel="fast [px]")
    strain = Figure(figsize=(8, 5), layout="constrained")
    axes = strain.subplots()
    for number, step in enumerate(result.steps, start=1):
        points, means = step.run.points, step.run.ring_means()
        two_theta = [points.two_theta_rad[points.ring == r][0] / DEG for r in means]
        ue = [m / MICROSTRAIN for m in means.values()]
        axes.plot(two_theta, ue, "o-", label=f"run {number}")
    axes.set(xlabel="2-theta [degrees]", ylabel="mean |strain| [µε]", yscale="log")
    axes.legend()
    paths = []
    for name, one in (("autocal_start.png", figure), ("autocal_strain.png", strain)):
        with atomic_path(folder / name) as temporary:
            FigureCanvasAgg(one).print_png(str(temporary))  # type: ignore[no-untyped-call]
        paths.append(folder / name)
    return paths
