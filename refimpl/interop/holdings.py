"""What a setup holds, by name, and the same setup without some of it.

The names are the keys of :data:`FEATURES`, what changes where a pixel or a reflection is, and of
:data:`NOTES`, what does not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from refimpl.detector.hierarchy import Hierarchy
from refimpl.detector.panel import Detector, PolarDistortion
from refimpl.errors import GeometryError
from refimpl.forward.experiment import Experiment
from refimpl.interop.crystfel import crystfel_frame
from refimpl.interop.setup import Setup, module_of, plane_of, s0_of

__all__ = ["FEATURES", "NOTES", "features", "without"]

FEATURES: Final[Mapping[str, str]] = {
    "distortion": "the distortion of the ring radius",
    "parallax": "the parallax term of the ring radius",
    "panels": "panels that are not on one grid of pixels",
    "sensor": "the parallax correction by the sensor's thickness and attenuation",
    "wavelength": "the wavelength",
    "tables": "tables of spatial corrections",
    "goniometer": "the rotation axis",
    "scan": "the scan",
    "crystal": "the crystal",
    "experiments": "more than one experiment",
}
"""What changes where a pixel or a reflection is; lost only on request."""

NOTES: Final[Mapping[str, str]] = {
    "boundaries": "where one panel ends and the next begins",
    "names": "the names of the panels",
    "tree": "the tree of groups",
    "trusted": "the trusted range of counts",
    "masks": "masked rectangles",
    "material": "what the sensor is made of",
    "images": "the names of the images",
    "length": "how many images the scan has",
    "frame": "the frame of the source: the beam is along the format's own axis",
}
"""What moves no pixel; lost with a word."""

_FLAT_MM: Final = 1e-9


def features(setup: Setup) -> dict[str, str]:
    """Keys of :data:`FEATURES` and :data:`NOTES` that a setup has, with a word on each."""
    out: dict[str, str] = {}
    d, panels = setup.detector.distortion, setup.detector.panels
    terms = [f"p{i}" for i, v in enumerate(d.p) if v != 0.0 and i not in _PHASES]
    terms += ["dP2 of panels"] if any(d.panel_d_p2) else []
    if terms:
        out["distortion"] = ", ".join(terms)
    if d.parallax_mm != 0.0:
        out["parallax"] = f"{d.parallax_mm:g} mm"
    if len(panels) > 1 or panels[0].size_px != setup.detector.image_shape[::-1]:
        out["boundaries"] = f"{len(panels)} panels"
        departure = _departure_px(setup)
        if departure is None:
            out["panels"] = "they share no image"
        elif departure * panels[0].pixel_size_mm[0] > _FLAT_MM:
            out["panels"] = f"up to {departure:.3g} px from it"
    if any(p.name != f"p{k}" for k, p in enumerate(panels)) and len(panels) > 1:
        out["names"] = f"{panels[0].name}, ..."
    if setup.wavelength_angstrom is not None:
        out["wavelength"] = f"{setup.wavelength_angstrom:.9g} Å"
    if setup.tables is not None:
        out["tables"] = ", ".join(path.name for path in setup.tables)
    return out | (_features_of(setup.experiments) if setup.experiments else {})


_PHASES = frozenset((3, 6, 8, 10, 12, 14))
"""A phase without an amplitude distorts nothing."""


def _features_of(experiments: tuple[Experiment, ...]) -> dict[str, str]:
    """Those of models that only some formats have."""
    first, out = experiments[0], {}
    modules = first.detector.modules if first.detector is not None else ()
    if any(m.parallax for m in modules):
        m = modules[0]
        out["sensor"] = f"{m.thickness_mm:g} mm, {m.mu_per_mm:g} /mm"
    elif any(m.thickness_mm > 0.0 for m in modules):
        out["material"] = f"{modules[0].thickness_mm:g} mm of {modules[0].material or 'unknown'}"
    if any(m.trusted_range != (0.0, 0.0) for m in modules):
        out["trusted"] = f"{modules[0].trusted_range[0]:g} to {modules[0].trusted_range[1]:g}"
    if any(m.mask for m in modules):
        out["masks"] = f"{sum(len(m.mask) for m in modules)}"
    if first.detector is not None and first.detector.root is not None:
        out["tree"] = f"{first.detector.depth + 1} levels"
    if first.imageset:
        out["images"] = str(first.imageset.get("template", "given"))
    if first.goniometer is not None:
        axis = first.goniometer.setting @ first.goniometer.rotation_axis
        out["goniometer"] = "({:.6g}, {:.6g}, {:.6g})".format(*axis)
    if first.scan is not None:
        start, width = first.scan.oscillation_deg
        out["length"] = str(first.scan.n_images)
        out["scan"] = f"{first.scan.n_images} images of {width:g} degrees from {start:g}"
    if first.crystal is not None:
        out["crystal"] = "cell {:.4g} {:.4g} {:.4g} Å".format(*first.crystal.cell[:3])
    if len(experiments) > 1:
        out["experiments"] = f"{len(experiments)}; the first is written"
    if first.beam is not None and np.any(np.abs(first.beam.direction[:2]) > 0.0):
        out["frame"] = "beam vector ({:.6g}, {:.6g}, {:.6g})".format(*-first.beam.direction)
    return out


def _departure_px(setup: Setup) -> float | None:
    """Largest distance of a panel's corner from the plane of the whole image [px], or None."""
    try:
        plane = plane_of(setup)
    except GeometryError:
        return None
    far = 0.0
    for panel in setup.detector.panels:
        corners = np.array([(0, 0), (panel.size_px[0], 0), (0, panel.size_px[1]), panel.size_px])
        there = panel.lab_mm(corners[:, 0], corners[:, 1])
        f, s = (corners + panel.image_origin_px).T
        gap = there - plane.lab_mm(f, s)
        far = max(far, float(np.sqrt((gap**2).sum(axis=1)).max()))
    return far / plane.pixel_size_mm[0]


def without(setup: Setup, lost: Collection[str]) -> Setup:
    """Setup that lacks the named features of :data:`FEATURES`."""
    detector, model = setup.detector, setup.model
    p = (0.0,) * 15 if "distortion" in lost else detector.distortion.p
    depth = 0.0 if "parallax" in lost else detector.distortion.parallax_mm
    if model is not None:
        moves = model.panel_corrections
        if moves is not None and "distortion" in lost:
            moves = moves.copy()
            moves[:, 4] = 0.0
        model = model.replace(p=p, parallax_mm=depth, panel_corrections=moves)
        if "panels" in lost:
            model = model.replace(panel_boxes=None, panel_corrections=None)
        detector = model.detector()
    elif "panels" in lost and "panels" in features(setup):
        plane = plane_of(setup)
        detector = Detector((replace(plane, name="p0"),), setup.detector.image_shape)
    elif "distortion" in lost or "parallax" in lost:
        detector = replace(detector, distortion=PolarDistortion())
    experiments = setup.experiments[: 1 if "experiments" in lost else None]
    models = [name for name in ("goniometer", "scan", "crystal") if name in lost]
    experiments = tuple(replace(e, **dict.fromkeys(models)) for e in experiments)  # type: ignore[arg-type]
    if "sensor" in lost:
        experiments = tuple(replace(e, detector=_no_parallax(e.detector)) for e in experiments)
    if experiments and len(detector.panels) != len(setup.detector.panels):
        back = crystfel_frame(s0_of(experiments[0])).T
        flat = Hierarchy(tuple(module_of(panel, back) for panel in detector.panels))
        experiments = tuple(replace(e, detector=flat) for e in experiments)
    wavelength = None if "wavelength" in lost else setup.wavelength_angstrom
    tables = None if "tables" in lost else setup.tables
    return Setup(detector, model, wavelength, experiments, tables)


def _no_parallax(detector: Hierarchy | None) -> Hierarchy | None:
    if detector is None:
        return None
    modules = tuple(replace(m, parallax=False) for m in detector.modules)
    return Hierarchy(modules, detector.root)
