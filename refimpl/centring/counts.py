"""Reflection counts of diffraction images: Spot Total by our own spot finder, or from logs.

The counts are those of :func:`refimpl.imaging.distl.count_spots`, as ``refimpl metrology
count-spots`` makes them, for images without an experiment: mini-CBF files or the frames N to M of
an Eiger master file, counted from 1 with both ends, as eiger2cbf takes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, FormatError
from refimpl.reading import read_text

if TYPE_CHECKING:
    import pandas as pd

    from refimpl.imaging.distl import DistlSettings, FlatDetector

__all__ = ["Kind", "count_images", "counts_of_log", "frame_range"]

Kind = Literal["pilatus", "eiger", "other"]
_HDF5: Final = (".h5", ".hdf5", ".nxs")


class _Still(NamedTuple):
    name: str
    frame: int
    image: NDArray[Any]
    detector: FlatDetector
    overload: int
    kind: Kind


def frame_range(text: str | None) -> tuple[int, int] | None:
    """First and last frame of ``N:M`` or ``N``, from 1, both included; None stays None.

    Raises
    ------
    ConfigError
        It is neither, or runs backwards.
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+)\s*(?::\s*(\d+)\s*)?", text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last:
        raise ConfigError(
            f"frames {text!r}: expected N or N:M, from 1, both included", key="frames", got=text
        )
    return first, last


def count_images(
    paths: Sequence[Path],
    frames: tuple[int, int] | None = None,
    *,
    kind: Kind | None = None,
    settings: DistlSettings | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Count the spots of images.

    Parameters
    ----------
    paths
        Mini-CBF files (plain, .gz, .bz2), or one Eiger master file.
    frames
        First and last frame, from 1; of CBF files by the number in their name. None is all.
    kind
        Whose defaults; None goes by the detector.
    settings
        Takes the place of the defaults of a kind.
    threads
        Threads; the result does not depend on it.
    progress
        Called with what is done, and of how many.

    Returns
    -------
    One row an image: ``image``, ``frame``, ``rc`` (Spot Total), ``remove_ice``, ``in_resolution``,
    ``good_bragg``, ``ice_rings``, ``method1_angstrom``, ``method2_angstrom``,
    ``max_cell_angstrom``, ``mean_eccentricity``, ``saturation_percent``, ``overloads``,
    ``total_signal``; NaN where an image has too few spots for it.

    Raises
    ------
    ConfigError
        No image, frames that are not there, an unknown kind.
    FormatError
        An image cannot be read.
    ConvergenceError
        See :func:`refimpl.imaging.distl.count_spots`.
    """
    import pandas as pd

    from refimpl.imaging.distl import DistlSettings, count_spots

    if kind is not None and kind not in get_args(Kind):
        raise ConfigError(f"kind={kind!r}: expected one of {', '.join(get_args(Kind))}", got=kind)
    number, stills = _stills([Path(path) for path in paths], frames)
    rows: list[dict[str, Any]] = []
    for still in stills:
        found = count_spots(
            still.image, still.detector, overload=still.overload, threads=threads,
            settings=settings or DistlSettings.of_detector(kind or still.kind),
        )  # fmt: skip
        rows.append({
            "image": still.name, "frame": still.frame, "rc": found.spot_total,
            **{n: len(found.lists[n]) for n in ("remove_ice", "in_resolution", "good_bragg")},
            "ice_rings": len(found.ice_rings), "method1_angstrom": found.method1_angstrom,
            "method2_angstrom": found.method2_angstrom,
            "max_cell_angstrom": found.max_cell_angstrom,
            "mean_eccentricity": found.mean_eccentricity,
            "saturation_percent": 100.0 * found.saturation, "overloads": found.overloads,
            "total_signal": found.total_signal,
        })  # fmt: skip
        if progress is not None:
            progress(len(rows), number)
    table = pd.DataFrame(rows)
    for name in ("method2_angstrom", "max_cell_angstrom", "mean_eccentricity"):
        table[name] = table[name].astype(np.float64)
    return table


def _stills(paths: list[Path], frames: tuple[int, int] | None) -> tuple[int, Iterator[_Still]]:
    if not paths:
        raise ConfigError("no images given")
    if paths[0].suffix.lower() in _HDF5:
        if len(paths) > 1:
            raise ConfigError(f"{paths[0]}: give an HDF5 file alone")
        return _of_master(paths[0], frames)
    numbered = [(_number_of(path, k), path) for k, path in enumerate(paths, start=1)]
    if frames is not None:
        numbered = [(n, path) for n, path in numbered if frames[0] <= n <= frames[1]]
    if not numbered:
        raise ConfigError(f"none of {len(paths)} images has a number in {frames}", key="frames")
    return len(numbered), _of_files(numbered)


def _number_of(path: Path, k: int) -> int:
    digits = re.findall(r"\d+", re.sub(r"\.cbf.*$", "", path.name))
    return int(digits[-1]) if digits else k


def _of_files(numbered: list[tuple[int, Path]]) -> Iterator[_Still]:
    from refimpl.imaging.distl import FlatDetector, has_modules
    from refimpl.io.minicbf import read_header, read_minicbf

    for number, path in numbered:
        header = read_header(path)
        px, py = header.pixel_size_mm
        if header.two_theta_deg != 0.0 or abs(px - py) > 1e-6:
            raise FormatError(
                "counting spots needs square pixels on a detector that faces the beam", path=path
            )
        fast, slow = header.size_px
        beam = (header.beam_px[0] * px, header.beam_px[1] * px)
        flat = FlatDetector((slow, fast), px, header.distance_mm, header.wavelength_angstrom, beam)
        kind: Kind = "pilatus" if has_modules(flat.shape) else "other"
        if "eiger" in header.detector.lower():
            kind = "eiger"
        image = read_minicbf(path)[0]
        yield _Still(path.name, number, image, flat, int(header.count_cutoff), kind)


def _of_master(path: Path, frames: tuple[int, int] | None) -> tuple[int, Iterator[_Still]]:
    from refimpl.io.eiger_master import read_eiger_geometry
    from refimpl.io.images import open_source

    with open_source(path) as source:
        shape, total = source.shape, source.n_frames
    first, last = frames or (1, total)
    if last > total:
        raise ConfigError(f"frames {first}:{last}: {path.name} has {total}", key="frames")
    geometry = read_eiger_geometry(path, shape)

    def each() -> Iterator[_Still]:
        from refimpl.io.eiger_master import eiger_counts

        with open_source(path) as source:
            for k in range(first, last + 1):
                image = eiger_counts(source, k - 1)
                yield _Still(f"{path.name}:{k}", k, image, *geometry, "eiger")

    return last - first + 1, each()


def counts_of_log(path: str | Path) -> pd.DataFrame:
    """Reflection counts in a log of distl.signal_strength, or of DIALS.

    Returns
    -------
    ``image``, ``frame``, ``rc`` and all that the log says besides. The count is Spot Total, of a
    log of DIALS ``#spots``; image sets after the first are told apart by ``series``.

    Raises
    ------
    FormatError
        The file is neither log, or a log of DIALS that was cut before its table.
    """
    import dataclasses

    import pandas as pd

    from refimpl.io.dials_spot_log import read_dials_spot_log
    from refimpl.io.distl_log import read_distl_log

    place = Path(path)
    try:
        text = read_text(place, errors="replace")
    except OSError as error:
        raise FormatError(f"cannot read: {error.strerror}", path=place) from error
    if re.search(r"^\s*File\s*:", text, re.MULTILINE) or "distl" in text.split("\n", 1)[0]:
        records = read_distl_log(place)
        rows = [
            {"image": r.file, "frame": r.frame, "rc": r.spot_total}
            | {k: v for k, v in vars(r).items() if k not in ("file", "spot_total", "parameters")}
            for r in records
        ]
        return pd.DataFrame(rows)
    spots = read_dials_spot_log(place)
    if any(s.spots is None for s in spots):
        raise FormatError("the log was cut before the table of spots by image", path=place)
    several = len({s.imageset for s in spots}) > 1
    out = []
    for s in spots:
        row = dataclasses.asdict(s)
        series = {"series": str(row.pop("imageset"))} if several else {}
        row.pop("imageset", None)
        frame = row.pop("image")
        out.append({"image": f"{frame}", "frame": frame, "rc": row.pop("spots")} | series | row)
    return pd.DataFrame(out).dropna(axis=1, how="all")
