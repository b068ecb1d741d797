"""Photographs with outlines drawn in labelme, as those of Murko (SOLEIL, Proxima 2A).

A JSON file has the picture itself (``imageData``, base64) or its name (``imagePath``), and
``shapes`` with a label, a kind and points (x, y) [px] from the outer corner of the picture. Murko's
labels are crystal, loop_inside, loop, stem, pin, capillary, ice, dust, and the point user_click.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError
from refimpl.frames import F64
from refimpl.io.photographs import read_photograph
from refimpl.reading import parse_json, read_text

__all__ = ["Labelled", "Shape", "read_labelme"]

_LEAST = {"polygon": 3, "rectangle": 2, "circle": 2, "point": 1, "line": 2, "linestrip": 2}
CLICK = "user_click"


@dataclass(frozen=True, eq=False)
class Shape:
    """One outline.

    Attributes
    ----------
    label, kind
        What it is, and polygon, rectangle (two corners), circle (middle and a point of the rim),
        point, line or linestrip.
    points_px
        (n, 2) its points (x, y).
    """

    label: str
    kind: str
    points_px: F64


@dataclass(frozen=True, eq=False)
class Labelled:
    """A picture and what was drawn on it.

    Attributes
    ----------
    picture
        (h, w) or (h, w, 3).
    shapes
        Outlines, in their order.
    path
        File that they came from.
    """

    picture: NDArray[Any]
    shapes: tuple[Shape, ...]
    path: Path

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that there are, sorted."""
        return tuple(sorted({shape.label for shape in self.shapes}))

    @property
    def click_px(self) -> tuple[float, float] | None:
        """Where the user clicked (x, y), or None."""
        found = [s for s in self.shapes if s.label == CLICK and s.kind == "point"]
        return (
            None
            if not found
            else (float(found[0].points_px[0, 0]), float(found[0].points_px[0, 1]))
        )

    def mask(self, label: str) -> NDArray[np.bool_]:
        """(h, w) pixels whose middle is within any outline of a label."""
        height, width = self.picture.shape[:2]
        out = np.zeros((height, width), dtype=bool)
        for shape in self.shapes:
            if shape.label == label:
                out |= _inside(shape, height, width)
        return out


def read_labelme(path: str | Path) -> Labelled:
    """Read a file of labelme.

    Raises
    ------
    FormatError
        Not such a file: the key is named; or its picture cannot be read or is of another size.
    """
    place = Path(path)
    try:
        content = parse_json(read_text(place))
    except OSError as error:
        raise FormatError(f"cannot read: {error.strerror}", path=place) from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {error}", path=place) from error
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise FormatError("not a file of labelme: no list shapes", path=place, key="shapes")
    picture = _picture(content, place)
    for key, size in zip(("imageHeight", "imageWidth"), picture.shape, strict=False):
        if content.get(key) is not None and content[key] != size:
            raise FormatError(f"{key} {content[key]}: the picture has {size}", path=place, key=key)
    shapes = tuple(_shape(item, number, place) for number, item in enumerate(content["shapes"]))
    return Labelled(picture, shapes, place)


def _picture(content: dict[str, Any], path: Path) -> NDArray[Any]:
    if content.get("imageData"):
        try:
            data = base64.b64decode(content["imageData"], validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise FormatError(f"imageData: not base64: {error}", path=path) from error
        return read_photograph(path, data)
    name = content.get("imagePath")
    if not isinstance(name, str) or not name:
        raise FormatError("neither imageData nor imagePath", path=path, key="imagePath")
    return read_photograph(path.parent / name.replace("\\", "/"))


def _shape(item: Any, number: int, path: Path) -> Shape:
    def wrong(what: str) -> FormatError:
        return FormatError(f"shapes[{number}]: {what}", path=path, key="shapes")

    if not isinstance(item, dict) or not isinstance(item.get("label"), str):
        raise wrong("no label")
    kind = item.get("shape_type") or "polygon"  # older files have no type
    if not isinstance(kind, str):
        raise wrong("shape_type: expected a word")
    try:
        points = np.array(item["points"], dtype=np.float64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise wrong("points: expected pairs of numbers") from error
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise wrong("points: expected pairs of numbers")
    if kind in _LEAST and len(points) < _LEAST[kind]:
        raise wrong(f"{len(points)} points: a {kind} has {_LEAST[kind]} or more")
    return Shape(item["label"], kind, points)


def _inside(shape: Shape, height: int, width: int) -> NDArray[np.bool_]:
    points = shape.points_px
    y, x = np.ogrid[:height, :width]
    if shape.kind == "rectangle":
        low, high = points[:2].min(axis=0) - 0.5, points[:2].max(axis=0) - 0.5
        return np.asarray((x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1]))
    if shape.kind == "circle":
        middle, radius = points[0] - 0.5, np.hypot(*(points[1] - points[0]))
        return np.asarray(np.hypot(x - middle[0], y - middle[1]) <= radius)
    if shape.kind != "polygon":
        return np.zeros((height, width), dtype=bool)
    from skimage.draw import polygon2mask

    return np.asarray(polygon2mask((height, width), points[:, ::-1] - 0.5), dtype=bool)
