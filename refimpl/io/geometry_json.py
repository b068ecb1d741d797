"""Reader and writer of ``geometry.json``: a calibrated detector as vectors, for any other code.

Panels are in the lab frame (+Z along the beam, +Y up, +X to the left seen along the beam; mm) and
in the pixel order of the image as stored. The distortion that vectors cannot hold, and the
parameters that the whole came from, ride along.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel import Detector, Panel, PolarDistortion
from refimpl.errors import FormatError, RefimplError
from refimpl.io.atomic import write_json
from refimpl.reading import parse_json, read_text
from refimpl.units import DEG

__all__ = [
    "SCHEMA",
    "Geometry",
    "detector_dict",
    "geometry_dict",
    "parse_geometry",
    "read_geometry",
    "write_geometry",
]

SCHEMA = 1
_KIND = "refimpl.geometry"


@dataclass(frozen=True, eq=False)
class Geometry:
    """What ``geometry.json`` holds.

    Attributes
    ----------
    detector
        Panels and distortion, in the file's pixel order.
    model
        The parametrised detector that they came from; None if there is none.
    wavelength_angstrom
        None if not stated.
    extra
        Everything else that the file says.
    """

    detector: Detector
    model: TiltedFlat | None = None
    wavelength_angstrom: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def geometry_dict(
    model: TiltedFlat, wavelength_angstrom: float | None = None, **extra: Any
) -> dict[str, Any]:
    """JSON-ready content for a parametrised detector."""
    return detector_dict(model.detector(), model, wavelength_angstrom, **extra)


def detector_dict(
    detector: Detector,
    model: TiltedFlat | None = None,
    wavelength_angstrom: float | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """JSON-ready content for panels, with the parameters that they came from if there are any."""
    return {
        "schema": SCHEMA,
        "kind": _KIND,
        "frame": "right-handed, +Z along the beam, +Y up, +X left seen along the beam; mm",
        "pixel_order": "as stored in the image file; (fast, slow), (0, 0) is the outer corner",
        "wavelength_angstrom": wavelength_angstrom,
        "image_shape": list(detector.image_shape),
        "panels": [
            {
                "name": p.name,
                "origin_mm": list(p.origin_mm),
                "fast_axis": list(p.fast_axis),
                "slow_axis": list(p.slow_axis),
                "pixel_size_mm": list(p.pixel_size_mm),
                "size_px": list(p.size_px),
                "image_origin_px": list(p.image_origin_px),
            }
            for p in detector.panels
        ],
        "distortion": {
            "p": list(detector.distortion.p),
            "rho_d_mm": detector.distortion.rho_d_mm,
            "lsd_mm": detector.distortion.lsd_mm,
            "parallax_mm": detector.distortion.parallax_mm,
            "panel_lsd_mm": list(detector.distortion.panel_lsd_mm),
            "panel_d_p2": list(detector.distortion.panel_d_p2),
        },
        "model": None if model is None else _model_dict(model),
        **extra,
    }


def _model_dict(model: TiltedFlat) -> dict[str, Any]:
    boxes = None if model.panel_boxes is None else np.asarray(model.panel_boxes).tolist()
    moves = None if model.panel_corrections is None else model.panel_corrections.tolist()
    return {
        "kind": "tilted_flat",
        "image_transform": list(model.image_transform),
        "shape": list(model.shape),
        "pixel_size_mm": list(model.pixel_size_mm),
        "lsd_mm": model.lsd_mm,
        "beam_centre_px": list(model.beam_centre_px),
        "tilts_deg": [t / DEG for t in model.tilts_rad],
        "rho_d_mm": model.rho_d_mm,
        "p": list(model.p),
        "parallax_mm": model.parallax_mm,
        "panel_boxes": boxes,
        "panel_corrections": moves,
    }


def write_geometry(
    path: str | Path, model: TiltedFlat, wavelength_angstrom: float | None = None, **extra: Any
) -> Path:
    """Write ``geometry.json`` atomically."""
    return write_json(path, geometry_dict(model, wavelength_angstrom, **extra))


def read_geometry(path: str | Path) -> Geometry:
    """Read ``geometry.json``.

    Raises
    ------
    FormatError
        No such file, not JSON, not a geometry, a newer schema, or a missing or bad entry.
    """
    try:
        content = parse_json(read_text(path))
    except (OSError, UnicodeDecodeError) as exc:
        raise FormatError(f"cannot read the geometry: {exc}", path=path) from exc
    except json.JSONDecodeError as exc:
        raise FormatError(f"not JSON: {exc.msg}", path=path, line=exc.lineno) from exc
    except (ValueError, RecursionError) as exc:  # a number of 5000 digits, 1000 brackets
        raise FormatError(f"not JSON: {exc}", path=path) from exc
    return parse_geometry(content, path)


def parse_geometry(content: Any, path: str | Path | None = None) -> Geometry:
    """Geometry of the content of a ``geometry.json``; see :func:`read_geometry`."""
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise FormatError(f"not a geometry: expected an object of kind {_KIND!r}", path=path)
    if content.get("schema") != SCHEMA:
        raise FormatError(
            f"schema {content.get('schema')!r} is not the one known here ({SCHEMA}); upgrade",
            path=path,
        )
    try:
        return _parsed(content)
    except KeyError as exc:
        raise FormatError(f"missing entry {exc}", path=path) from exc
    except RefimplError as exc:
        raise FormatError(str(exc), path=path) from exc
    except (TypeError, ValueError, OverflowError, AttributeError) as exc:
        raise FormatError(f"bad entry: {exc}", path=path) from exc


def _parsed(content: dict[str, Any]) -> Geometry:
    panels = tuple(
        Panel(
            name=str(p["name"]),
            origin_mm=_floats(p["origin_mm"], 3),
            fast_axis=_floats(p["fast_axis"], 3),
            slow_axis=_floats(p["slow_axis"], 3),
            pixel_size_mm=_floats(p["pixel_size_mm"], 2),
            size_px=_ints(p["size_px"], 2),
            image_origin_px=_ints(p["image_origin_px"], 2),
        )
        for p in content["panels"]
    )
    d = content["distortion"]
    flat = PolarDistortion(
        p=_floats(d["p"], 15),
        rho_d_mm=float(d["rho_d_mm"]),
        lsd_mm=float(d["lsd_mm"]),
        parallax_mm=float(d["parallax_mm"]),
        panel_lsd_mm=tuple(float(v) for v in d["panel_lsd_mm"]),
        panel_d_p2=tuple(float(v) for v in d["panel_d_p2"]),
    )
    known = {"schema", "kind", "panels", "distortion", "model", "image_shape"}
    known |= {"wavelength_angstrom", "frame", "pixel_order"}
    wavelength = content["wavelength_angstrom"]
    return Geometry(
        detector=Detector(panels, _ints(content["image_shape"], 2), flat),
        model=_model(content.get("model")),
        wavelength_angstrom=None if wavelength is None else float(wavelength),
        extra={k: v for k, v in content.items() if k not in known},
    )


def _model(m: dict[str, Any] | None) -> TiltedFlat | None:
    if m is None:
        return None
    boxes, moves = m["panel_boxes"], m["panel_corrections"]
    tilts = _floats(m["tilts_deg"], 3)
    return TiltedFlat(
        shape=_ints(m["shape"], 2),
        pixel_size_mm=_floats(m["pixel_size_mm"], 2),
        lsd_mm=float(m["lsd_mm"]),
        beam_centre_px=_floats(m["beam_centre_px"], 2),
        tilts_rad=(tilts[0] * DEG, tilts[1] * DEG, tilts[2] * DEG),
        rho_d_mm=float(m["rho_d_mm"]),
        p=_floats(m["p"], 15),
        parallax_mm=float(m["parallax_mm"]),
        panel_boxes=None if boxes is None else np.array(boxes, dtype=np.int64),
        panel_corrections=None if moves is None else np.array(moves, dtype=np.float64),
        image_transform=tuple(int(v) for v in m["image_transform"]),
    )


def _floats(values: Any, n: int) -> Any:
    out = tuple(float(v) for v in values)
    if len(out) != n:
        raise ValueError(f"expected {n} numbers, got {len(out)}")
    return out


def _ints(values: Any, n: int) -> Any:
    out = tuple(int(v) for v in values)
    if len(out) != n:
        raise ValueError(f"expected {n} whole numbers, got {len(out)}")
    return out
