"""The work of ``refimpl convert``: read, refuse or leave out, write, read again and compare."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from refimpl.cli.convert_files import Options
from refimpl.cli.convert_formats import FORMATS, Format, kind_to_read, kind_to_write
from refimpl.errors import ConfigError, GeometryError, MissingExtra
from refimpl.frames import F64
from refimpl.interop.holdings import FEATURES, NOTES, features, without
from refimpl.interop.setup import Setup

__all__ = ["Converted", "convert", "largest_difference", "read_setup", "write_setup"]


@dataclass(frozen=True)
class Converted:
    """What a conversion did.

    Attributes
    ----------
    source, target
        Names of the formats.
    written
        Files.
    lost
        What the source says and the target does not, a sentence each; of these `essential` ones
        change where a pixel or a reflection is.
    said
        What the target says and the source did not, and the like.
    largest_mm, largest_rad
        Largest change of the place of a pixel, and of its 2-theta, between what was to be written
        and what the target says when it is read again; NaN where a package for that is missing.
    """

    source: str
    target: str
    written: tuple[Path, ...]
    lost: tuple[str, ...]
    essential: int
    said: tuple[str, ...]
    largest_mm: float
    largest_rad: float


def read_setup(
    path: Path, kind: str | None = None, options: Options | None = None
) -> tuple[Setup, Format]:
    """Geometry of a file of any format, and the format.

    Raises
    ------
    ConfigError
        The format is not known, or something is needed that the file does not say.
    FormatError
        The file is not what it should be.
    GeometryError
        It says what has no equal here.
    """
    options = options or Options()
    format_ = kind_to_read(path, kind)
    setup = format_.read(path, options)
    given = options.wavelength_angstrom
    if given is not None:
        if setup.wavelength_angstrom is None:
            setup = replace(setup, wavelength_angstrom=given)
        elif abs(setup.wavelength_angstrom - given) > 1e-9 * given:
            raise ConfigError(
                f"{path} states a wavelength of {setup.wavelength_angstrom:.9g} Å: "
                f"--wavelength-angstrom {given:g} differs"
            )
    return setup, format_


def write_setup(
    path: Path, setup: Setup, kind: str | None = None, *, lossy: bool = False
) -> tuple[Format, tuple[Path, ...], tuple[str, ...], int, tuple[str, ...], Setup]:
    """Write a geometry in any format.

    Returns
    -------
    Format, files, what is lost (the first so many of it essential), what there is to say, and the
    setup that was written: the given one without what is lost.

    Raises
    ------
    GeometryError
        The format cannot hold something that changes where pixels or reflections are, and the
        conversion is not to be lossy; or it cannot hold the geometry at all.
    """
    format_ = kind_to_write(path, kind)
    if format_.write is None:
        raise ConfigError(f"{path}: {format_.title} are read, not written")
    found = features(setup)
    missing = [key for key in found if key not in format_.holds]
    essential = [key for key in missing if key in FEATURES]
    if essential and not lossy:
        what = "; ".join(f"{FEATURES[key]} ({found[key]})" for key in essential)
        able = [f.name for f in FORMATS.values() if set(essential) <= f.holds]
        raise GeometryError(
            f"{format_.title}: no place for {what}; --lossy leaves that out and says so"
            + (f" (formats that have one: {', '.join(able)})" if able else "")
        )
    lost = [f"{FEATURES[key]} ({found[key]})" for key in essential]
    lost += [f"{NOTES[key]} ({found[key]})" for key in missing if key in NOTES]
    setup = without(setup, essential)
    written, said = format_.write(path, setup)
    return format_, written, tuple(lost), len(essential), said, setup


def convert(
    source: Path,
    target: Path,
    *,
    kind_from: str | None = None,
    kind_to: str | None = None,
    options: Options | None = None,
) -> Converted:
    """Write in one format what a file of another says.

    Raises
    ------
    ConfigError, FormatError, GeometryError
        As of :func:`read_setup` and :func:`write_setup`; the target is the source.
    """
    options = options or Options()
    if target.exists() and source.exists() and target.samefile(source):
        raise ConfigError(f"{target} is the file that is converted: name another")
    check_acting(kind_to_read(source, kind_from), options)
    setup, first = read_setup(source, kind_from, options)
    stated = setup.detector.image_shape
    if options.shape not in (None, stated):
        raise ConfigError(f"{source} states {stated} px: --shape {options.shape} differs")
    second, written, lost, essential, said, kept = write_setup(
        target, setup, kind_to, lossy=options.lossy
    )
    shape = kept.detector.image_shape
    said = (*setup.left_out, *said)
    try:
        again, _ = read_setup(
            target, second.name, Options(shape=None if len(written) > 1 else shape)
        )
        mm, rad = largest_difference(kept, again)
    except MissingExtra as error:
        mm, rad = np.nan, np.nan
        said = (*said, f"not read again: {error}")
    return Converted(first.name, second.name, written, lost, essential, said, mm, rad)


def check_acting(format_: Format, options: Options) -> None:
    """Refuse options that a format does not need to be told.

    Raises
    ------
    ConfigError
        There is one.
    """
    for name, value, of in (
        ("--image-transform", options.image_transform, "poni"),
        ("--pixel-size-um", options.pixel_size_mm, "gsas"),
    ):
        if value and format_.name != of:
            raise ConfigError(f"{name} is of {FORMATS[of].title} only: it does not act on "
                              f"{format_.title}", key=name.lstrip("-"))  # fmt: skip


def largest_difference(first: Setup, second: Setup) -> tuple[float, float]:
    """Largest distance of a pixel's places [mm] and difference of its 2-theta [rad].

    Pixels compared are the corners and middles of the first one's panels.

    Raises
    ------
    GeometryError
        The second has no panel where the first has one.
    """
    far_mm = far_rad = 0.0
    for k, panel in enumerate(first.detector.panels):
        n_fast, n_slow = panel.size_px
        ends = np.array([(0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.5)])
        at = 0.5 + np.floor(ends * (n_fast - 1, n_slow - 1))
        n, there = _panel_at(second, k, at + panel.image_origin_px)
        other = second.detector.panels[n]
        gap = panel.lab_mm(*at.T) - other.lab_mm(*there.T)
        far_mm = max(far_mm, float(np.sqrt((gap**2).sum(axis=1)).max()))
        angles = [
            s.detector.two_theta_eta(points[:, 0], points[:, 1], index)[0]
            for s, points, index in ((first, at, k), (second, there, n))
        ]
        far_rad = max(far_rad, float(np.abs(angles[0] - angles[1]).max()))
    return far_mm, far_rad


def _panel_at(setup: Setup, number: int, image_px: F64) -> tuple[int, F64]:
    """Panel that holds points of the image, and the points on it; of a stack that number."""
    panels = setup.detector.panels
    order = [number, *range(len(panels))] if number < len(panels) else range(len(panels))
    for k in order:
        at = image_px - panels[k].image_origin_px
        if np.all(at >= 0.0) and np.all(at <= panels[k].size_px):
            return k, at
    raise GeometryError("read again, the file has no panel where there was one")
