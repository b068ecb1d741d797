"""The automatic start from end to end: search, growth, and the question whether all that is true.

A given start is believed only if the geometry that grows from it leaves nothing to doubt; a false
one can explain half of the places. Where the image and the calibrant do not agree, the other
calibrants are tried, so that the error can name the right one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.crystal.rings import Rings
from refimpl.detector.model import TiltedFlat
from refimpl.detector.orientation import model_from_file
from refimpl.errors import GeometryError, NoRingsError
from refimpl.powder.config import PowderConfig
from refimpl.powder.grow import Grown, RingsAt, grow_best
from refimpl.powder.identify import other_calibrants
from refimpl.powder.observations import Frame
from refimpl.powder.start import (
    Candidate,
    ReducedImage,
    candidates,
    reduce_image,
    ring_centre,
)
from refimpl.units import DEG

__all__ = ["WIDEST_ANGLE", "automatic_start", "doubts", "polarisation"]

WIDEST_ANGLE = 80.0 * DEG
"""Rings beyond this 2-theta are not thought of."""

NO_POLARISATION = 2.0

BETTER = 1.05
"""Another calibrant is named if its merit is so many times that of the given one."""

MOST_OTHERS = 3
"""Other calibrants that are tried, those first whose pattern resembles the profile most."""

Start = tuple[Grown, Rings]


@dataclass(frozen=True, eq=False)
class _Picture:
    """What an image shows whatever the calibrant."""

    reduced: ReducedImage
    centre_px: tuple[float, float]

    @classmethod
    def of(cls, frame: Frame) -> _Picture:
        """Picture of a frame; raise NoRingsError if it shows no rings."""
        reduced = reduce_image(frame.counts, frame.usable)
        return cls(reduced, ring_centre(reduced))

    def starts(self, everything: Rings, config: PowderConfig) -> list[Candidate]:
        """Distances to try."""
        pixel = float(np.mean(config.detector.pixel_size_mm))
        lsd = config.start.lsd_mm
        return candidates(self.reduced, self.centre_px, everything, pixel, lsd)


def polarisation(config: PowderConfig) -> float:
    """Degree of polarisation as :func:`~refimpl.imaging.ring_pixels.ring_pixels` wants it."""
    return NO_POLARISATION if config.beam.polarisation is None else config.beam.polarisation


def automatic_start(
    frame: Frame,
    everything: Rings,
    config: PowderConfig,
    *,
    start: TiltedFlat | None = None,
    threads: int | None = None,
) -> Start:
    """Centre, distance and tilts good enough to refine from.

    Parameters
    ----------
    frame
        The image.
    everything
        The calibrant's rings, to as large an angle as can matter.
    config
        Guesses narrow the search; without any, there is none.
    start
        A geometry to begin with; the search follows only if it does not explain the image.
    threads
        See :func:`refimpl.dispatch.resolve_threads`.

    Returns
    -------
    grown, rings
        The geometry with its points, and the rings that lie on the image.

    Raises
    ------
    NoRingsError
        No rings, or not the calibrant's.
    GeometryError
        `start` is for an image of another shape or pixel size.
    """
    if start is not None:
        _check_start(start, frame, config)
        start = start.replace(panel_boxes=None, panel_corrections=None)
    found = None
    given = _given(frame, config, start)
    if given is not None:
        found = _from_given(frame, everything, config, given, start, threads)
        if found is not None and found[0].match.is_good:
            return found
    try:
        picture = _Picture.of(frame)  # it knows nothing of calibrants
    except NoRingsError:
        if found is None:
            raise
        return found
    searched = _search(frame, picture, everything, config, start, threads)
    if found is None or (searched is not None and _merit(searched) > _merit(found)):
        found = searched
    if found is None or not found[0].match.is_good:
        _name_another(frame, picture, config, _merit(found), threads)
    if found is None or found[0].match.is_hopeless:
        how = "" if found is None else f" ({found[0].match})"
        raise NoRingsError(
            f"the rings of the image are not those of {config.calibrant.calibrant} at any "
            f"distance{how}: check the calibrant, the wavelength and the pixel size"
        )
    return found


def _merit(found: Start | None) -> float:
    return 0.0 if found is None else found[0].match.merit


def doubts(grown: Grown, config: PowderConfig) -> tuple[str, ...]:
    """What the reader must know of a start that was taken although it leaves doubts."""
    match = grown.match
    if match.is_good:
        return ()
    return (
        f"Image and calibrant agree in part only: {match}. Is it {config.calibrant.calibrant}, "
        "and are wavelength and pixel size right?",
    )


def _check_start(start: TiltedFlat, frame: Frame, config: PowderConfig) -> None:
    """Refuse a geometry of another detector: its result would be a detector that is not there."""
    if tuple(start.shape) != frame.counts.shape:
        here, there = (f"{s} x {f} px" for s, f in (start.shape, frame.counts.shape))
        raise GeometryError(
            f"start: the geometry is for an image of {here} (slow x fast, as laid down), "
            f"this image has {there}"
        )
    if not np.allclose(start.pixel_size_mm, config.detector.pixel_size_mm, rtol=1e-3, atol=0.0):
        raise GeometryError(
            f"start: the geometry has pixels of {start.pixel_size_mm} mm (fast, slow), the "
            f"settings say {config.detector.pixel_size_mm}"
        )


def _template(frame: Frame, config: PowderConfig, start: TiltedFlat | None) -> TiltedFlat:
    """What all candidates share; of a start that failed, all but centre, distance and tilts."""
    ty, tz = (angle * DEG for angle in config.start.tilt_deg)
    if start is not None:
        return start.replace(tilts_rad=(start.tilts_rad[0], ty, tz))
    return TiltedFlat(
        shape=(frame.counts.shape[0], frame.counts.shape[1]),
        pixel_size_mm=config.detector.pixel_size_mm,
        lsd_mm=config.start.lsd_mm or 1000.0,
        beam_centre_px=(0.5 * frame.counts.shape[1], 0.5 * frame.counts.shape[0]),
        tilts_rad=(config.detector.tx_deg * DEG, ty, tz),
        p=tuple(config.start.p),
        parallax_mm=config.start.parallax_mm,
        image_transform=config.detector.image_transform,
    )


def _given(frame: Frame, config: PowderConfig, start: TiltedFlat | None) -> Candidate | None:
    """Return the user's start as a candidate, if it is complete."""
    if start is not None:
        return Candidate(start.beam_centre_px, start.lsd_mm, 1.0)
    if config.start.lsd_mm is None or config.start.beam_centre_px is None:
        return None
    template = _template(frame, config, None)
    matrix, offset = model_from_file(template.image_transform, template.file_shape)
    centre = matrix @ np.array(config.start.beam_centre_px) + offset
    return Candidate((float(centre[0]), float(centre[1])), config.start.lsd_mm, 1.0)


def _from_given(
    frame: Frame,
    everything: Rings,
    config: PowderConfig,
    given: Candidate,
    start: TiltedFlat | None,
    threads: int | None,
) -> Start | None:
    """Grow the user's start; None if it shows no rings."""
    template = _template(frame, config, None) if start is None else start
    return _grown(frame, lambda: [given], template, everything, config, least=0.5, threads=threads)


def _search(
    frame: Frame,
    picture: _Picture,
    everything: Rings,
    config: PowderConfig,
    start: TiltedFlat | None,
    threads: int | None,
) -> Start | None:
    """Find the distance and grow it; None if the calibrant fits at none."""
    template = _template(frame, config, start)

    def starts() -> list[Candidate]:
        return picture.starts(everything, config)

    return _grown(frame, starts, template, everything, config, threads=threads)


def _grown(
    frame: Frame,
    starts: Callable[[], list[Candidate]],
    template: TiltedFlat,
    everything: Rings,
    config: PowderConfig,
    **options: Any,
) -> Start | None:
    """Best of the starts, grown over the image and judged; None if they or it show no rings."""
    try:
        grown, rings = grow_best(
            frame, starts(), template, RingsAt(everything), polarisation=polarisation(config),
            **options,
        )  # fmt: skip
    except NoRingsError:
        return None
    return grown.judged(frame, rings), rings


def _name_another(
    frame: Frame,
    picture: _Picture,
    config: PowderConfig,
    merit: float,
    threads: int | None,
) -> None:
    """Refuse the image if another calibrant explains it beyond doubt, and far better."""
    name, a = config.calibrant.calibrant, config.calibrant.lattice_parameter_angstrom
    others = other_calibrants(name, a, config.beam.wavelength_angstrom, WIDEST_ANGLE)
    likely = sorted(others, key=lambda other: -picture.starts(other[1], config)[0].score)
    for other, rings in likely[:MOST_OTHERS]:
        found = _search(frame, picture, rings, config, None, threads)
        if found is not None and found[0].match.is_good and _merit(found) > BETTER * merit:
            said = name if a is None else f"{name} with a = {a:g} angstrom"
            raise NoRingsError(
                f"the rings of the image are those of {other} (certified lattice parameter), not "
                f"of {said}: with {other} {found[0].match}; check the calibrant"
            )
