"""From frames to an image: marks first, then mean, dark, mask and transforms, in one pass.

The order is the point: sentinel values are exact only on the stored integers of one frame, so
they are found there; the mean, the dark and the transforms come after.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError
from refimpl.io.frame_source import FrameSource
from refimpl.io.image import Image
from refimpl.io.sentinels import Sentinels, check_mask, detect_sentinels, find_sentinels
from refimpl.io.transforms import apply_transforms

__all__ = ["Marks", "Stored", "assemble"]

Marks = tuple[tuple[float, ...], tuple[float, ...]]
"""Bad values and gap values that the user states."""
Stored = tuple[NDArray[Any], Path | None]
"""A mask as stored, and the file that it came from."""


@dataclass
class _Sum:
    """Running state over the frames of one image."""

    total: NDArray[Any] | None = None
    marked: NDArray[np.bool_] | None = None
    saturated: NDArray[np.bool_] | None = None
    counts: Counter[str] = field(default_factory=Counter)


def assemble(
    source: FrameSource,
    indices: list[int],
    dark: Image | None,
    mask: Stored | None,
    marks: Marks,
    codes: tuple[int, ...],
    average: bool,
    saturation: float | None,
) -> Image:
    """Make the image of the chosen frames of a source.

    Parameters
    ----------
    source
        Open file.
    indices
        Frames to use, at least one.
    dark
        Mean dark of the same shape, or None.
    mask
        Mask as stored, in the pixel order of the file, or None.
    marks
        Bad and gap values stated by the user.
    codes
        ``ImTransOpt`` codes.
    average
        False keeps the frames as a stack.
    saturation
        Level stated by the user [counts], or None.

    Raises
    ------
    FormatError
        A frame is corrupt, shapes do not fit, the mask is ambiguous or nothing is left.
    """
    if dark is not None and dark.shape != source.shape:
        raise FormatError(
            f"the dark has {dark.shape} pixels, the image {source.shape}", path=source.path
        )
    state, level = _add_frames(source, indices, marks, saturation, average)
    data = _finished(state, len(indices), dark, average)
    bad, masked = _joined_mask(source, state, dark, mask)
    n_saturated = 0 if state.saturated is None else int(np.count_nonzero(state.saturated & ~bad))
    data, bad = apply_transforms(data, codes), apply_transforms(bad, codes)
    data.flags.writeable = bad.flags.writeable = False
    return Image(
        data=data,
        mask=bad,
        n_frames=len(indices),
        path=None if source.metadata.get("format") == "array" else source.path,
        dataset=source.dataset,
        dark_subtracted=dark is not None,
        transforms=codes,
        masked=masked,
        n_saturated=n_saturated,
        saturation=level,
        metadata=source.metadata,
    )


def _add_frames(
    source: FrameSource,
    indices: list[int],
    marks: Marks,
    saturation: float | None,
    average: bool,
) -> tuple[_Sum, float | None]:
    """One pass over the frames: marked and saturated pixels, and the sum or the stack."""
    state, rule, level = _Sum(), Sentinels(), saturation
    for number, index in enumerate(indices):
        frame = source.frame(index)
        if number == 0:
            rule = detect_sentinels(frame, *marks)
            level = _level(source, frame.dtype, rule) if saturation is None else saturation
        state.marked = find_sentinels(frame, rule, state.marked, state.counts)
        if level is not None and np.nanmax(frame, initial=0) >= level:
            over = frame >= level
            state.saturated = over if state.saturated is None else state.saturated | over
        if len(indices) == 1:
            state.total = frame if average else frame[np.newaxis]
        elif average:
            if state.total is None:
                state.total = np.zeros(source.shape)
            state.total += frame
        else:
            if state.total is None:
                state.total = np.empty((len(indices), *source.shape), dtype=frame.dtype)
            state.total[number] = frame
    return state, level


def _level(source: FrameSource, dtype: np.dtype[Any], rule: Sentinels) -> float | None:
    """Saturation level: as the file states it, or the top of a short integer type."""
    if source.saturation is not None:
        return source.saturation
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        top = int(np.iinfo(dtype).max)
        return float(top - 1 if top in rule.values else top)
    return None


def _finished(state: _Sum, n_frames: int, dark: Image | None, average: bool) -> NDArray[Any]:
    """Mean (or stack) minus dark, 0 where pixels are marked."""
    data = np.empty(0) if state.total is None else state.total
    if average and n_frames > 1:
        data /= n_frames
    if dark is not None:
        data = data - dark.data.astype(np.float64)
    if state.marked is not None:
        np.copyto(data, 0, where=state.marked)
    return data


def _joined_mask(
    source: FrameSource,
    state: _Sum,
    dark: Image | None,
    mask: Stored | None,
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Every reason to leave a pixel out, and how many pixels each one took."""
    bad = np.zeros(source.shape, dtype=bool) if state.marked is None else state.marked
    masked = dict(state.counts)
    extra: list[tuple[str, NDArray[np.bool_]]] = []
    if source.pixel_mask is not None:
        extra.append(("pixel mask of the detector", source.pixel_mask))
    if dark is not None:
        extra.append(("dark", dark.mask))
    if mask is not None:
        extra.append(("mask", check_mask(mask[0], source.shape, state.marked, mask[1])))
    for name, more in extra:
        number = int(np.count_nonzero(more & ~bad))
        if number:
            masked[name] = number
            bad = bad | more
    if bad.all():
        reasons = ", ".join(f"{number} {name}" for name, number in masked.items())
        raise FormatError(f"every pixel is masked ({reasons}): nothing is left", path=source.path)
    return bad, masked
