r"""The modules of a NeXus detector (NXmx, NXdetector_module) as panels.

Each module says where it lies in the image (``data_origin``, ``data_size``) and gives the vectors
of its pixels, which hang on a chain of translations and rotations (``depends_on``):

.. math:: x = T_n \cdots T_2\, T_1\, x_0, \quad T = \begin{pmatrix} R & o \\ 0 & 1 \end{pmatrix}
          \ \text{or}\ \begin{pmatrix} 1 & v t + o \\ 0 & 1 \end{pmatrix}

with T_1 next to the module, o the ``offset``, v the ``vector``. The NeXus frame is ours (+Z along
the beam, +Y up); the sample is at its origin, and the position of a module is the outer corner of
its first pixel. Source: NXdetector_module and NXtransformations of the NeXus definitions. *Not*
read: transformations that differ from frame to frame, modules stacked in a third dimension, a
beam that is not along +Z, and files that give only ``distance`` and ``beam_center_x``: a detector
that is one plane needs no list of panels.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from refimpl.detector.panel import Detector, Panel
from refimpl.errors import ConfigError, FormatError
from refimpl.frames import F64
from refimpl.hdf5 import read_hdf5
from refimpl.hdf5.damage import whole_hdf5
from refimpl.rotations import expmap
from refimpl.units import DEG, UM

__all__ = ["detector_from_nexus"]

_LENGTHS: Final = {"m": 1e3, "cm": 10.0, "mm": 1.0, "um": UM, "µm": UM, "micron": UM, "microns": UM}
_ANGLES: Final = {
    "deg": DEG, "degree": DEG, "degrees": DEG, "rad": 1.0, "radian": 1.0, "radians": 1.0,
}  # fmt: skip
_LONGEST_CHAIN: Final = 64


def detector_from_nexus(path: str | Path, name: str | None = None) -> Detector:
    """Panels of the modules of an NXdetector, in the order of their names.

    Parameters
    ----------
    path
        HDF5 file.
    name
        Path of the NXdetector group in it; None takes the only one that has modules.

    Raises
    ------
    FormatError
        The file cannot be read, has no modules, or says something that is not understood; the
        field is named.
    ConfigError
        Several detectors and no name, or no such group.
    """
    try:
        file = read_hdf5(path)
    except OSError as error:
        raise FormatError(f"cannot be read as HDF5: {error}", path=path) from error
    with file, whole_hdf5(path):
        group = _the_detector(file, path, name)
        panels = tuple(_panel(module, path) for module in _modules(group))
        return Detector(panels, _image_shape(group, panels))


def _the_detector(file: Any, path: str | Path, name: str | None) -> Any:
    """Group of the detector that is meant."""
    if name is not None:
        if name not in file or not list(_modules(file[name])):
            raise ConfigError(
                f"{name!r} is no NXdetector with modules", path=path, key="name", got=name
            )
        return file[name]
    found = [group for group in _groups(file, "NXdetector") if list(_modules(group))]
    if not found:
        raise FormatError("no NXdetector with NXdetector_module groups", path=path)
    if len(found) > 1:
        raise ConfigError(
            f"several detectors, name one: {', '.join(group.name for group in found)}", path=path
        )
    return found[0]


def _groups(group: Any, nx_class: str) -> Iterator[Any]:
    """Groups of a class anywhere below, without following links out of the tree."""
    found: list[Any] = []

    def visit(_: str, node: Any) -> None:
        if hasattr(node, "keys") and _text(node.attrs.get("NX_class")) == nx_class:
            found.append(node)

    group.visititems(visit)
    return iter(found)


def _modules(group: Any) -> Iterator[Any]:
    names = sorted(group, key=lambda name: [int(w) if w.isdigit() else w for w in _words(name)])
    for name in names:
        node = group.get(name)
        if hasattr(node, "keys") and _text(node.attrs.get("NX_class")) == "NXdetector_module":
            yield node


def _words(name: str) -> list[str]:
    """Text and numbers in turn, so that module_10 comes after module_9."""
    return re.split(r"(\d+)", name)


def _image_shape(group: Any, panels: tuple[Panel, ...]) -> tuple[int, int]:
    """(n_slow, n_fast) of the image: of the data if they are here, else what the modules span."""
    for name in ("data", "pixel_mask"):
        node = group.get(name)
        if node is not None and len(getattr(node, "shape", ())) >= 2:
            return int(node.shape[-2]), int(node.shape[-1])
    ends = np.array([np.add(p.image_origin_px, p.size_px) for p in panels]).max(axis=0)
    return int(ends[1]), int(ends[0])


def _panel(module: Any, path: str | Path) -> Panel:
    """Vectors of one module."""
    slow0, fast0 = _pair(module, "data_origin", path)
    n_slow, n_fast = _pair(module, "data_size", path)
    fast, slow = (_field(module, f"{axis}_pixel_direction", path) for axis in ("fast", "slow"))
    chains = [_chain(field, path) for field in (fast, slow)]
    turns = [chain[:3, :3] for chain in chains]
    if np.abs(turns[0] - turns[1]).max() > 1e-12:
        raise FormatError(
            f"{module.name}: fast_pixel_direction and slow_pixel_direction are turned differently",
            path=path,
        )
    if "module_offset" in module:
        field = _field(module, "module_offset", path)
        place = (_chain(field, path) @ _matrix(field, path))[:3, 3]
    else:
        place = (chains[0] @ np.append(_offset(fast, path), 1.0))[:3]
    axes = [turns[0] @ _unit_vector(field, path) for field in (fast, slow)]
    return Panel(
        name=module.name.rsplit("/", 1)[-1],
        origin_mm=_triple(place),
        fast_axis=_triple(axes[0]),
        slow_axis=_triple(axes[1]),
        pixel_size_mm=(_length(fast, path), _length(slow, path)),
        size_px=(n_fast, n_slow),
        image_origin_px=(fast0, slow0),
    )


def _pair(module: Any, name: str, path: str | Path) -> tuple[int, int]:
    values = np.asarray(_field(module, name, path)[()]).ravel()
    if values.shape != (2,) or np.any(values != np.round(values)):
        raise FormatError(
            f"{module.name}/{name} = {values.tolist()}: expected two whole numbers (slow, fast); "
            "modules stacked in a third dimension are not read",
            path=path,
        )
    return int(values[0]), int(values[1])


def _field(group: Any, name: str, path: str | Path) -> Any:
    node = group.get(name)
    if node is None or not hasattr(node, "shape"):
        raise FormatError(f"{group.name} has no field {name}", path=path)
    return node


# --- chains of transformations -------------------------------------------------------------------


def _chain(field: Any, path: str | Path) -> F64:
    """(4, 4) product of everything that a field depends on [mm]."""
    total, node, length = np.eye(4), field, 0
    while True:
        target = _text(node.attrs.get("depends_on"))
        if target is None:
            raise FormatError(
                f"{node.name} has no depends_on: where it is cannot be known", path=path
            )
        if target == ".":
            return total
        try:
            # HDF5 itself knows no "..": the path is made absolute first
            node = node.file[posixpath.normpath(posixpath.join(node.parent.name, target))]
        except KeyError as error:
            raise FormatError(
                f"{node.name} depends on {target!r}, which is not in the file", path=path
            ) from error
        if not hasattr(node, "shape"):
            raise FormatError(f"{node.name} is no field: expected a transformation", path=path)
        total = _matrix(node, path) @ total
        length += 1
        if length > _LONGEST_CHAIN:
            raise FormatError(f"{field.name}: its depends_on goes round in a circle", path=path)


def _matrix(node: Any, path: str | Path) -> F64:
    """(4, 4) of one transformation [mm]."""
    matrix = np.eye(4)
    matrix[:3, 3] = _offset(node, path)
    kind = _text(node.attrs.get("transformation_type"))
    if kind == "translation":
        matrix[:3, 3] += _length(node, path) * _unit_vector(node, path)
    elif kind == "rotation":
        angle = _value(node, path) * _unit(node, "units", _ANGLES, path)
        matrix[:3, :3] = expmap(angle * _unit_vector(node, path))
    else:
        raise FormatError(
            f"{node.name}: transformation_type {kind!r}: expected translation or rotation",
            path=path,
        )
    return matrix


def _value(node: Any, path: str | Path) -> float:
    """Return the number of a field; one a frame only if all are equal."""
    values = np.asarray(node[()], dtype=np.float64).ravel()
    if values.size == 0 or not np.isfinite(values).all() or np.any(values != values[0]):
        raise FormatError(
            f"{node.name}: expected one number, got {values.size} that are not all the same",
            path=path,
        )
    return float(values[0])


def _length(node: Any, path: str | Path) -> float:
    return _value(node, path) * _unit(node, "units", _LENGTHS, path)


def _unit(node: Any, name: str, known: dict[str, float], path: str | Path) -> float:
    unit = _text(node.attrs.get(name))
    if unit not in known:
        raise FormatError(
            f"{node.name}: {name} {unit!r}: expected one of {', '.join(known)}", path=path
        )
    return known[unit]


def _unit_vector(node: Any, path: str | Path) -> F64:
    vector = np.asarray(node.attrs.get("vector", ()), dtype=np.float64).ravel()
    size = float(np.sqrt(vector @ vector))
    if vector.shape != (3,) or not size > 0.0:
        raise FormatError(f"{node.name}: vector {vector.tolist()}: expected a direction", path=path)
    return vector / size


def _offset(node: Any, path: str | Path) -> F64:
    """(3,) offset [mm]; its unit is offset_units, or units where the field is a length."""
    offset = node.attrs.get("offset")
    if offset is None or not np.any(offset):
        return np.zeros(3)
    vector = np.asarray(offset, dtype=np.float64).ravel()
    if vector.shape != (3,):
        raise FormatError(f"{node.name}: offset {vector.tolist()}: expected three", path=path)
    name = "offset_units" if "offset_units" in node.attrs else "units"
    return vector * _unit(node, name, _LENGTHS, path)


def _text(value: Any) -> str | None:
    """Attribute as text, however it was stored."""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else None
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


def _triple(v: F64) -> tuple[float, float, float]:
    return float(v[0]), float(v[1]), float(v[2])
