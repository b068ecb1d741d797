"""Mini-CBF files of Pilatus and Eiger detectors: pixels, header, and the experiment they state.

The container is read in ``io.cbf``, the header's lines in ``io.minicbf_header``; an experiment is
made of them as dxtbx makes it: beam along -Z, fast axis X, slow axis -Y, the detector at
``-distance`` on Z, rotation about X. One panel, or the modules of a Pilatus (487 x 195 pixels, gaps
7 and 17), numbered row by row, in the frame of the whole.

Checked on a measured Pilatus3 6M (S/N 60-0119): the single panel against the numbers of dxtbx's
model, the 60 against the gaps in the image. Not stated by a header, and so not checked: that the
rotation is about +X (some beamlines have -X or a vertical axis: dxtbx tells them by serial number).
The angles of further axes (Kappa, Phi, Chi) are not read: the goniometer is a single axis, and the
orientation of a crystal that is refined with it holds at these angles only. Exposure_time is taken
as the time of an image; dxtbx takes Exposure_period, which is longer by the readout. The Pilatus
12M of Diamond I23 is refused: its rows stand on a barrel of which the header says nothing; its
geometry comes with an ``.expt`` file. So is a detector on a 2-theta arm.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.attenuation import silicon_mu_per_mm
from refimpl.detector.hierarchy import Group, Hierarchy, Module
from refimpl.errors import ConfigError, FormatError
from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
from refimpl.io.cbf import read_cbf
from refimpl.io.minicbf_header import Header, header_fields, read_header

__all__ = [
    "Header",
    "experiment_from_minicbf",
    "header_fields",
    "read_header",
    "read_minicbf",
    "valid_pixels",
]

MODULE_PX: Final = (487, 195)
GAP_PX: Final = (7, 17)
_NAME: Final = re.compile(r"^(.*?)(\d+)(\.cbf(?:\.gz|\.bz2)?)$")
_SHUTTER_ANGLE: Final = 1e-3
"""Largest difference [deg] between an image's start angle and the end of the one before."""


def read_minicbf(path: str | Path) -> tuple[NDArray[np.int32], dict[str, str]]:
    """Image of :func:`refimpl.io.cbf.read_cbf`, and the :func:`header_fields` of its text.

    Raises
    ------
    FormatError
        See :func:`refimpl.io.cbf.read_cbf`.
    """
    image, text = read_cbf(path)
    return image, header_fields(text)


def valid_pixels(image: NDArray[Any], trusted_range: tuple[float, float]) -> NDArray[np.bool_]:
    """Pixels within the trusted range, both ends included: no gap, bad or overloaded pixel."""
    low, high = trusted_range
    return np.asarray((image >= low) & (image <= high))


# --- experiment -----------------------------------------------------------------------------------


def experiment_from_minicbf(
    paths: str | Path | Sequence[str | Path],
    multi_panel: bool = False,
    mu_per_mm: float | None = None,
) -> Experiment:
    """Experiment that the headers of one image, or of the images of one scan, state.

    Parameters
    ----------
    paths
        One image, or all of a scan in their order, numbered in their names.
    multi_panel
        The modules of a Pilatus as panels of one group, in place of one panel.
    mu_per_mm
        Attenuation of the sensor; None takes that of silicon at the wavelength.

    Returns
    -------
    Experiment without a crystal; stills (no increment) have no goniometer and no scan.

    Raises
    ------
    FormatError
        See :func:`read_header`; images of different geometry; numbers or angles that do not follow
        each other; a sensor that is no whole number of modules; a detector that is not flat, or on
        a 2-theta arm.
    ConfigError
        No image, or a sensor that is not silicon and no ``mu_per_mm``.
    """
    files = [Path(p) for p in ([paths] if isinstance(paths, (str, Path)) else paths)]
    if not files:
        raise ConfigError("no images given")
    headers = [read_header(file) for file in files]
    _check_flat(headers[0], files[0])
    for file, header in zip(files, headers, strict=True):
        _check_same(headers[0], header, file)
    beam = Beam(np.array([0.0, 0.0, 1.0]), headers[0].wavelength_angstrom)
    detector = _detector(headers[0], multi_panel, mu_per_mm, files[0])
    if headers[0].increment_deg == 0.0:
        images = {"__id__": "ImageSet", "images": [str(file) for file in files]}
        return Experiment(beam=beam, detector=detector, imageset=images)
    scan, template = _scan(files, headers)
    sequence = {"__id__": "ImageSequence", "template": template, "params": {}}
    return Experiment(
        beam=beam,
        detector=detector,
        goniometer=Goniometer(np.array([1.0, 0.0, 0.0])),
        scan=scan,
        imageset=sequence | dict.fromkeys(("mask", "gain", "pedestal", "dx", "dy")),
    )


def _check_flat(header: Header, file: Path) -> None:
    """Refuse detectors that do not stand as a header can say."""
    if re.search(r"PILATUS.* 12M|120-0100", header.detector):
        raise FormatError(
            f"{header.detector}: its modules stand on a barrel of which the header says nothing; "
            "take the geometry from an .expt file",
            path=file, key="Detector",
        )  # fmt: skip
    if header.two_theta_deg != 0.0:
        raise FormatError(
            f"Detector_2theta {header.two_theta_deg:g}: expected 0; the axis of the arm is not "
            "stated, take the geometry from an .expt file",
            path=file, key="Detector_2theta",
        )  # fmt: skip


def _check_same(first: Header, header: Header, file: Path) -> None:
    for name in (
        "detector",
        "size_px",
        "pixel_size_mm",
        "beam_px",
        "distance_mm",
        "wavelength_angstrom",
        "increment_deg",
    ):
        if getattr(first, name) != getattr(header, name):
            raise FormatError(
                f"{name} {getattr(header, name)} differs from the first image's "
                f"{getattr(first, name)}",
                path=file,
                key=name,
            )


def _detector(header: Header, multi_panel: bool, mu_per_mm: float | None, file: Path) -> Hierarchy:
    if mu_per_mm is None and header.thickness_mm and header.material != "Si":
        raise ConfigError(
            f"attenuation of {header.material} is not known: give mu_per_mm", path=file
        )
    known = silicon_mu_per_mm(header.wavelength_angstrom) if header.thickness_mm else 0.0
    px, py = header.pixel_size_mm
    corner = (-header.beam_px[0] * px, header.beam_px[1] * py, -header.distance_mm)
    shared: dict[str, Any] = {
        "pixel_size_mm": (px, py),
        "trusted_range": (0.0, header.count_cutoff),
        "thickness_mm": header.thickness_mm,
        "mu_per_mm": known if mu_per_mm is None else mu_per_mm,
        "parallax": header.thickness_mm > 0.0,
        "material": header.material,
        "identifier": header.detector,
    }
    fast, slow = (1.0, 0.0, 0.0), (0.0, -1.0, 0.0)
    if not multi_panel:
        return Hierarchy((Module("Panel", fast, slow, corner, header.size_px, **shared),))
    modules = tuple(
        Module(
            f"Panel{k}", fast, (0.0, 1.0, 0.0), (x * px, y * py, 0.0), MODULE_PX,
            raw_image_offset=(x, y), **shared,
        )
        for k, (x, y) in enumerate(_module_corners(header.size_px, file))
    )  # fmt: skip
    root = Group("root", fast, slow, corner, tuple(range(len(modules))))
    return Hierarchy(modules, root)


def _module_corners(size_px: tuple[int, int], file: Path) -> list[tuple[int, int]]:
    """First pixel (fast, slow) of every module, row by row."""
    steps = [MODULE_PX[axis] + GAP_PX[axis] for axis in (0, 1)]
    counts = [divmod(size_px[axis] + GAP_PX[axis], steps[axis]) for axis in (0, 1)]
    if any(rest or not n for n, rest in counts):
        raise FormatError(
            f"a sensor of {size_px[0]} x {size_px[1]} pixels is no whole number of modules of "
            f"{MODULE_PX[0]} x {MODULE_PX[1]} with gaps of {GAP_PX[0]} and {GAP_PX[1]}",
            path=file,
        )
    return [
        (column * steps[0], row * steps[1])
        for row in range(counts[1][0])
        for column in range(counts[0][0])
    ]


def _scan(files: Sequence[Path], headers: Sequence[Header]) -> tuple[Scan, str]:
    """Scan of images that follow each other, and the template of their names."""
    width, numbers, templates = headers[0].increment_deg, [], []
    for file in files:
        found = _NAME.match(file.name)
        if found is None:
            raise FormatError("no image number at the end of the name", path=file)
        numbers.append(int(found[2]))
        templates.append(str(file.parent / f"{found[1]}{'#' * len(found[2])}{found[3]}"))
    for k, (file, header) in enumerate(zip(files, headers, strict=True)):
        expected = headers[0].start_angle_deg + k * width
        if numbers[k] != numbers[0] + k or templates[k] != templates[0]:
            raise FormatError(f"does not follow image {files[k - 1].name}", path=file)
        if abs(header.start_angle_deg - expected) > _SHUTTER_ANGLE * (k + 1):
            raise FormatError(
                f"Start_angle {header.start_angle_deg}: expected {expected:.4f}", path=file
            )
    epochs = [0.0] * len(files)
    entry = {
        "image_range": [numbers[0], numbers[-1]],
        "batch_offset": 0,
        "oscillation": [headers[0].start_angle_deg, width],
        "exposure_time": [h.exposure_s for h in headers],
        "epochs": epochs,
        "valid_image_ranges": {},
    }
    angles = (headers[0].start_angle_deg, width)
    return Scan((numbers[0], numbers[-1]), angles, entry), templates[0]
