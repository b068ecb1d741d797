"""A geometry on its way from one format to another: what it holds, and what is left of it.

Every reader ends in a :class:`Setup`, every writer begins with one. Panels are in the lab frame
(+Z along the beam, +Y up) and in the pixel order of the image as stored. Files that state vectors
in a frame of their own (DIALS, XDS) keep it beside: their models ride along as they are. A format
without such a frame is written in that of DIALS, half a turn about y from ours, the beam along -Z.
What a format can hold is named
in :mod:`refimpl.interop.holdings`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from refimpl.detector.hierarchy import Hierarchy, Module
from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel import Detector, Panel, PolarDistortion
from refimpl.detector.panel_boxes import published_order
from refimpl.errors import ConfigError, GeometryError
from refimpl.forward.experiment import Beam, Experiment
from refimpl.frames import F64
from refimpl.interop.crystfel import crystfel_frame
from refimpl.interop.panels import boxes_of_detector, tilted_flat_from_panels
from refimpl.interop.plane import panel_of_tilted_flat, tilted_flat_from_panel

__all__ = [
    "DIALS_FROM_LAB",
    "Setup",
    "experiment_of",
    "lab_panels",
    "model_of",
    "module_of",
    "plane_of",
    "s0_of",
    "setup_from_detector",
    "setup_from_experiments",
    "setup_from_model",
]

DIALS_FROM_LAB: Final = np.diag([-1.0, 1.0, -1.0])
"""Half a turn about y; its own inverse."""
DIALS_FROM_LAB.flags.writeable = False


@dataclass(frozen=True, eq=False)
class Setup:
    """A geometry in the terms that all formats share.

    Attributes
    ----------
    detector
        Panels in the lab frame, with what distortion is left.
    model
        The parametrised detector that they came from, or None.
    wavelength_angstrom
        None where it is not stated.
    experiments
        Of formats with vectors of their own, in their own frame; else empty.
    tables
        Files of spatial corrections along fast and slow that belong to it.
    left_out
        What the source says and its reader could not take.
    """

    detector: Detector
    model: TiltedFlat | None = None
    wavelength_angstrom: float | None = None
    experiments: tuple[Experiment, ...] = ()
    tables: tuple[Path, Path] | None = None
    left_out: tuple[str, ...] = ()


def setup_from_model(model: TiltedFlat, wavelength_angstrom: float | None = None) -> Setup:
    """Setup of a parametrised detector."""
    return Setup(model.detector(), model, wavelength_angstrom)


def setup_from_detector(detector: Detector, wavelength_angstrom: float | None = None) -> Setup:
    """Setup of panels in the lab frame."""
    return Setup(detector, None, wavelength_angstrom)


def setup_from_experiments(experiments: tuple[Experiment, ...]) -> Setup:
    """Setup of experiments; the first one's detector and beam count.

    Raises
    ------
    ConfigError
        No experiments.
    GeometryError
        The first has no detector.
    """
    if not experiments:
        raise ConfigError("no experiments to convert")
    first = experiments[0]
    if first.detector is None:
        raise GeometryError("the experiment has no detector")
    panels = lab_panels(first.detector, crystfel_frame(s0_of(first)))
    ends = np.array([np.add(p.image_origin_px, p.size_px) for p in panels]).max(axis=0)
    wavelength = None if first.beam is None else first.beam.wavelength_angstrom
    return Setup(
        Detector(panels, (int(ends[1]), int(ends[0]))), None, wavelength, tuple(experiments)
    )


def lab_panels(detector: Hierarchy, turn: F64) -> tuple[Panel, ...]:
    """Panels of a detector after a rotation (3, 3); names that are not unique become numbers."""
    names = [m.name for m in detector.modules]
    if len(set(names)) != len(names) or not all(names):
        names = [f"p{k}" for k in range(len(names))]
    out = []
    for name, m, d in zip(names, detector.modules, detector.d, strict=True):
        fast, slow, origin = (_triple(turn @ v) for v in d.T)
        out.append(Panel(name, origin, fast, slow, m.pixel_size_mm, m.size_px, m.raw_image_offset))
    return tuple(out)


def _triple(v: F64) -> tuple[float, float, float]:
    return float(v[0]), float(v[1]), float(v[2])


# --- in the terms of a format ---------------------------------------------------------------------


def plane_of(setup: Setup) -> Panel:
    """Whole image as one panel: the plane nearest to the panels.

    Raises
    ------
    GeometryError
        Panels that share no image, or no plane that the beam crosses.
    """
    panels = setup.detector.panels
    if setup.model is not None:
        return panel_of_tilted_flat(setup.model.replace(p=(0.0,) * 15, parallax_mm=0.0))
    if len(panels) == 1 and panels[0].size_px == setup.detector.image_shape[::-1]:
        return panels[0]
    return panel_of_tilted_flat(model_of(setup))


def model_of(setup: Setup) -> TiltedFlat:
    """Parametrised detector of a setup; panels are numbered in the published order.

    Raises
    ------
    GeometryError
        Panels that share no image; see :func:`~refimpl.interop.panels.tilted_flat_from_panels`.
    """
    if setup.model is not None:
        return setup.model
    detector = replace(setup.detector, distortion=PolarDistortion())
    panels = detector.panels
    if len(panels) == 1 and panels[0].size_px == detector.image_shape[::-1]:
        return tilted_flat_from_panel(panels[0])
    if len(panels) > 1 and len({p.image_origin_px for p in panels}) == 1:
        raise GeometryError("the panels do not share one image: each has its own")
    codes = tilted_flat_from_panels(detector).image_transform
    order = published_order(boxes_of_detector(detector, codes))
    detector = replace(detector, panels=tuple(panels[k] for k in order))
    return tilted_flat_from_panels(detector, image_transform=codes)


def experiment_of(setup: Setup) -> Experiment:
    """First experiment of a setup, or one in the frame of DIALS.

    Raises
    ------
    ConfigError
        The wavelength is not known.
    """
    if setup.wavelength_angstrom is None:
        raise ConfigError("the wavelength is not stated: give --wavelength-angstrom")
    if setup.experiments:
        return setup.experiments[0]
    modules = tuple(module_of(panel, DIALS_FROM_LAB) for panel in setup.detector.panels)
    beam = Beam(np.array([0.0, 0.0, 1.0]), setup.wavelength_angstrom)
    return Experiment(beam=beam, detector=Hierarchy(modules))


def module_of(panel: Panel, turn: F64) -> Module:
    """Panel of the lab frame after a rotation (3, 3)."""
    axes = (panel.fast_axis, panel.slow_axis, panel.origin_mm)
    fast, slow, origin = (_triple(turn @ np.array(v)) for v in axes)
    return Module(
        panel.name, fast, slow, origin, panel.size_px, panel.pixel_size_mm,
        raw_image_offset=panel.image_origin_px,
    )  # fmt: skip


def s0_of(experiment: Experiment) -> F64:
    """Beam vector; against z where there is no beam."""
    return np.array([0.0, 0.0, -1.0]) if experiment.beam is None else experiment.beam.s0
