r"""CrystFEL geometry files: panels and beam to and from ``.geom``.

A panel's pixel (fs, ss), counted from its first pixel's outer corner as here, is at
:math:`(\mathrm{corner} + fs\,\vec f + ss\,\vec s) / \mathrm{res}` across the beam, and at
``clen + coffset`` plus the vectors' z parts along it; lengths in metres, ``res`` in pixels per
metre. The frame: z along the beam, y up, x completes it, origin at the sample. A rotation takes the
vectors of an experiment there: z along s0, y as near to the experiment's y as can be. Pixels that
are not square make the slow vector longer than 1. Rigid groups are the tree's first level. The beam
is along z by definition, so its direction and what the sensor is made of are not in the file.
Source: CrystFEL's manual page ``crystfel_geometry(5)``. The text of files is
:mod:`refimpl.interop.crystfel_file`.
"""

from __future__ import annotations

import numpy as np

from refimpl.detector.hierarchy import Group, Hierarchy, Module
from refimpl.errors import GeometryError
from refimpl.forward.experiment import Beam, Experiment
from refimpl.frames import F64
from refimpl.interop.crystfel_file import (
    CrystfelGeometry,
    CrystfelPanel,
    read_geom,
)
from refimpl.units import HC_KEV_ANGSTROM, M

__all__ = ["crystfel_frame", "crystfel_from_experiment", "experiment_from_crystfel", "read_geom"]


def crystfel_frame(s0: F64) -> F64:
    """(3, 3) rotation from an experiment's frame to CrystFEL's.

    Parameters
    ----------
    s0
        (3,) beam vector of the experiment.
    """
    z = s0 / np.sqrt(s0 @ s0)
    up = np.array([0.0, 1.0, 0.0]) if abs(z[1]) < 0.9 else np.array([0.0, 0.0, 1.0])
    y = up - (up @ z) * z
    y = y / np.sqrt(y @ y)
    return np.array([np.cross(y, z), y, z])


def crystfel_from_experiment(experiment: Experiment) -> CrystfelGeometry:
    """Geometry in CrystFEL's terms.

    Panels that all start at the same pixel of the image are a stack, one plane a panel.

    Raises
    ------
    GeometryError
        No beam or no detector.
    """
    if experiment.beam is None or experiment.detector is None:
        raise GeometryError("CrystFEL geometry: the experiment has no beam or no detector")
    detector, turn = experiment.detector, crystfel_frame(experiment.beam.s0)
    d = np.einsum("ij,pjk->pik", turn, detector.d)
    clen = float(np.round(np.mean(d[:, 2, 2]), 6)) / M
    offsets = {m.raw_image_offset for m in detector.modules}
    stack = len(offsets) == 1 and len(detector) > 1
    names = _names(detector)
    panels = []
    for k, (m, own) in enumerate(zip(detector.modules, d, strict=True)):
        res = M / m.pixel_size_mm[0]
        slow = own[:, 1] * (m.pixel_size_mm[1] / m.pixel_size_mm[0])
        corner = own[:, 2] / M * res
        panels.append(
            CrystfelPanel(
                names[k], m.raw_image_offset, m.size_px, res, (float(corner[0]), float(corner[1])),
                float(own[2, 2] / M - clen), tuple(own[:, 0].tolist()), tuple(slow.tolist()),
                k if stack else None,
            )
        )  # fmt: skip
    groups = {}
    for n, child in enumerate(detector.root.children if detector.root is not None else ()):
        if isinstance(child, Group):
            groups[f"g{n}"] = tuple(names[k] for k in child.panels)
    energy = 1e3 * HC_KEV_ANGSTROM / experiment.beam.wavelength_angstrom
    return CrystfelGeometry(tuple(panels), clen, energy, groups)


def _names(detector: Hierarchy) -> list[str]:
    """Names that CrystFEL takes: letters and digits, none twice, none that starts a group."""
    clean = ["".join(c for c in m.name if c.isalnum()) for m in detector.modules]
    reserved = any(n.startswith(("rigid", "group", "bad", "dim", "mask")) for n in clean)
    if not reserved and all(clean) and len(set(clean)) == len(clean):
        return clean
    return [f"p{k}" for k in range(len(clean))]


def experiment_from_crystfel(geometry: CrystfelGeometry, s0: F64 | None = None) -> Experiment:
    """Still of a geometry: beam and detector.

    Parameters
    ----------
    geometry
        As read.
    s0
        (3,) beam vector whose frame is wanted, the inverse of :func:`crystfel_frame`; without it
        the vectors are CrystFEL's own, with the beam along z. Only its direction counts.

    Raises
    ------
    GeometryError
        Vectors that are no right angle apart.
    """
    turn = np.eye(3) if s0 is None else crystfel_frame(np.asarray(s0)).T
    modules = []
    for panel in geometry.panels:
        fast, slow = np.array(panel.fs), np.array(panel.ss)
        sizes = np.sqrt(fast @ fast), np.sqrt(slow @ slow)
        unit = M / panel.res
        origin = np.array([*panel.corner, (geometry.clen + panel.coffset) * panel.res]) * unit
        f, s, o = ((turn @ v).tolist() for v in (fast / sizes[0], slow / sizes[1], origin))
        if abs(np.dot(f, s)) > 1e-5:
            raise GeometryError(f"CrystFEL panel {panel.name}: fs and ss are not perpendicular")
        s = _squared(np.array(f), np.array(s)).tolist()
        modules.append(
            Module(panel.name, tuple(f), tuple(s), tuple(o), panel.size,
                   (float(unit * sizes[0]), float(unit * sizes[1])),
                   raw_image_offset=panel.first)
        )  # fmt: skip
    names = [p.name for p in geometry.panels]
    beam = Beam(-(turn @ [0.0, 0.0, 1.0]), 1e3 * HC_KEV_ANGSTROM / geometry.photon_energy_ev)
    root = _tree(names, geometry)
    return Experiment("", beam, Hierarchy(tuple(modules), root))


def _squared(fast: F64, slow: F64) -> F64:
    """Slow, made exactly perpendicular: files round."""
    out = slow - (slow @ fast) * fast
    return np.asarray(out / np.sqrt(out @ out))


def _tree(names: list[str], geometry: CrystfelGeometry) -> Group | None:
    """Root with the rigid groups, if they hold each panel once."""
    held = sorted(name for members in geometry.groups.values() for name in members)
    if not geometry.groups or held != sorted(names):
        return None
    x, y, o = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0)
    children = tuple(
        Group(name, x, y, o, tuple(names.index(m) for m in members))
        for name, members in geometry.groups.items()
    )
    return Group("root", x, y, o, children)
