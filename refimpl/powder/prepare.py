"""From whatever holds an image to a frame ready for ring fitting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refimpl.detector.panel_boxes import check_boxes
from refimpl.errors import ConfigError
from refimpl.frames import I64
from refimpl.imaging.panel_map import panel_grid
from refimpl.io import images
from refimpl.io.image import Image, check_usable
from refimpl.io.panel_grids import resolve_grid
from refimpl.io.transforms import apply_transforms
from refimpl.powder.config import PowderConfig
from refimpl.powder.observations import Frame

__all__ = ["Prepared", "prepare", "read_source"]

LEAST_COUNT_SCALE = 100.0
"""An image whose bright pixels are below this is no image of counts and is scaled up."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A frame in the model frame, and where it came from.

    Attributes
    ----------
    frame
        Ready for :func:`refimpl.powder.observations.observe`.
    source
        As read, in the file's pixel order.
    scale
        Factor that the values were multiplied by, 1 for counts.
    """

    frame: Frame
    source: Image
    scale: float


def read_source(
    image: str | Path | Image | ArrayLike,
    mask: str | Path | NDArray[np.bool_] | None = None,
    reading: dict[str, Any] | None = None,
) -> Image:
    """Image in the file's pixel order from whatever holds it.

    Parameters
    ----------
    image
        Path, an image as read, or an array.
    mask
        True (1) = bad, in the file's pixel order; a path or an array.
    reading
        Further options of :func:`refimpl.io.images.read`, for a path.

    Raises
    ------
    FormatError
        The file or the image is not usable; see :mod:`refimpl.io.images`.
    ConfigError
        Reading options or a mask were given for what is read already.
    """
    if isinstance(image, str | Path):
        return images.read(image, mask=mask, **(reading or {}))
    if reading:
        raise ConfigError(f"{', '.join(reading)}: only for an image that is read from a file")
    if isinstance(image, Image):
        if mask is not None:
            raise ConfigError("mask: the image has been read already; give the mask to the reader")
        return image
    return images.from_array(
        np.asarray(image),
        mask=images.read(mask).data if isinstance(mask, str | Path) else mask,
    )


def prepare(source: Image, config: PowderConfig, start_boxes: I64 | None = None) -> Prepared:
    """Check, transform, scale, and find the panels.

    Parameters
    ----------
    source
        As read, in the file's pixel order, without transforms.
    config
        For the transform, the panels and the noise.
    start_boxes
        (p, 4) panels of the start geometry, for ``panels_grid = "start"``.

    Raises
    ------
    FormatError
        No ring can be found in such an image.
    ConfigError, GeometryError
        The panel grid is unknown or does not fit the image.
    """
    check_usable(source)
    codes = config.detector.image_transform
    counts = np.ascontiguousarray(apply_transforms(source.data, codes), dtype=np.float64)
    bad = apply_transforms(source.mask, codes)
    usable = ~bad
    bright = float(np.percentile(counts[usable], 99.9))
    scale = 1.0
    if not np.issubdtype(source.data.dtype, np.integer) and 0.0 < bright < LEAST_COUNT_SCALE:
        scale = 10.0 * LEAST_COUNT_SCALE / bright
        counts = counts * scale
    boxes, panel_map = _panels(usable, config, start_boxes)
    frame = Frame(
        counts=counts,
        usable=np.ascontiguousarray(usable, dtype=np.uint8),
        panel_map=panel_map,
        n_panels=max(len(boxes), 1),
        boxes=boxes,
        gain=config.detector.gain * scale,
        variance_floor=config.detector.variance_floor * scale * scale,
    )
    return Prepared(frame, source, scale)


def _panels(
    usable: NDArray[np.bool_], config: PowderConfig, start_boxes: I64 | None
) -> tuple[I64, NDArray[np.int16]]:
    """Boxes of the panels, and the panel of each pixel; what is refined, or what bins may mix."""
    grid, shape = config.panels.panels_grid, (usable.shape[0], usable.shape[1])
    if grid == "none" and config.detector.panels == "auto":
        return panel_grid(usable)
    if grid == "none":
        boxes = np.array([[0, 0, shape[1], shape[0]]], dtype=np.int64)
    elif grid == "start":
        if start_boxes is None:
            raise ConfigError(
                "panels_grid 'start': the start geometry has no panels", key="panels_grid"
            )
        boxes = start_boxes
        check_boxes(boxes, shape)
    else:
        codes = config.detector.image_transform
        boxes, _ = resolve_grid(grid, shape, usable=usable, image_transform=codes)
    _check_panels(boxes, usable, config)
    panel_map = np.full(shape, -1, dtype=np.int16)
    for index, (f0, s0, f1, s1) in enumerate(boxes):
        panel_map[s0:s1, f0:f1] = index
    return boxes, panel_map


def _check_panels(boxes: I64, usable: NDArray[np.bool_], config: PowderConfig) -> None:
    """Refuse panels that cannot be what was meant."""
    panels = config.panels
    if panels.panels_grid == "none":
        return
    if panels.fix_panel is not None and panels.fix_panel >= len(boxes):
        raise ConfigError(
            f"fix_panel (FixPanelID) {panels.fix_panel}: there are {len(boxes)} panels, "
            f"expected 0 to {len(boxes) - 1}",
            key="fix_panel",
        )
    dark = [i for i, (f0, s0, f1, s1) in enumerate(boxes) if not np.any(usable[s0:s1, f0:f1])]
    if dark and not panels.allow_masked_panels:
        f0, s0, f1, s1 = boxes[dark[0]]
        more = f" (and {len(dark) - 1} more)" if len(dark) > 1 else ""
        raise ConfigError(
            f"panel {dark[0]}{more} is masked from end to end (fast {f0} to {f1}, slow {s0} to "
            f"{s1}): unmask it, leave it out by a description file, or set allow_masked_panels",
            key="panels_grid",
        )
