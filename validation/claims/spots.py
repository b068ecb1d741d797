"""Claims of spot finding on the images of a thaumatin grid: our figures."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any

import numpy as np

from refimpl import data
from refimpl.imaging.distl import DistlResult, FlatDetector, count_spots
from refimpl.imaging.spots import SpotSettings, find_spots, strong_pixels
from refimpl.io.minicbf import experiment_from_minicbf, read_minicbf

TRUSTED = (0.0, 115897.0)


def _path(image: int) -> Any:
    return data.path(f"thaumatin-grid/thau_3_2_{image:04d}.cbf.bz2")


@cache
def _image(image: int) -> Any:
    return read_minicbf(_path(image))[0]


def counts(threshold: str, least: int) -> list[int]:
    """Spots of the ten images."""
    settings = SpotSettings(threshold, min_spot_size=least)  # type: ignore[arg-type]
    images = (_image(n) for n in range(1, 11))
    found = find_spots(images, trusted_range=TRUSTED, is_still=True, settings=settings)
    return [int(n) for n in found.per_image()]


def strong(threshold: str, image: int, gain: float) -> int:
    """Strong pixels of an image."""
    settings = SpotSettings(threshold, gain=gain)  # type: ignore[arg-type]
    return int(strong_pixels(_image(image), None, (0, 115897), settings).sum())


def pixels(image: int) -> str:
    """SHA-256 of the pixels as little-endian int32, and how many are -1 and -2."""
    array = _image(image)
    words = hashlib.sha256(array.astype("<i4").tobytes()).hexdigest()
    return f"{words} {int((array == -1).sum())} {int((array == -2).sum())}"


def origin() -> list[float]:
    """Place of the first pixel of the whole detector [mm]."""
    (module,) = experiment_from_minicbf(_path(1), multi_panel=False).detector.modules
    return list(module.origin_mm)


def panels() -> int:
    """Panels of the detector where modules are told apart."""
    return len(experiment_from_minicbf(_path(1), multi_panel=True).detector)


@cache
def _distl(image: int) -> DistlResult:
    beam = (1261.61 * 0.172, 1306.96 * 0.172)  # header of the images: 351 mm, 0.96859 angstrom
    return count_spots(
        _image(image), FlatDetector((2527, 2463), 0.172, 351.0, 0.96859, beam), overload=115897
    )


def distl_counts(image: int) -> list[int]:
    """Spot total, after ice, in resolution, good Bragg, rings of ice."""
    found = _distl(image)
    lists = found.lists
    return [
        found.spot_total, *(len(lists[k]) for k in ("remove_ice", "in_resolution", "good_bragg")),
        len(found.ice_rings),
    ]  # fmt: skip


def distl_figures(image: int) -> list[float]:
    """Resolution by methods 1 and 2, largest cell, eccentricity, total signal."""
    found = _distl(image)
    return [
        found.method1_angstrom, found.method2_angstrom, found.max_cell_angstrom,
        found.mean_eccentricity, found.total_signal,
    ]  # fmt: skip


def distl_listing(image: int) -> bool:
    """Whether our text is what the program printed."""
    name = f"thau_3_2_{image:04d}"
    printed = data.path(f"metrology/distl/{name}.txt").read_text().lstrip("\n")
    return printed.startswith(_distl(image).listing(f"{name}.cbf"))


def parallax() -> float:
    """Largest difference of 48 points from pixels to mm [mm]."""
    from refimpl.io.dials_files import read_expt

    stored = json.loads(data.path("metrology/fixtures/parallax_points.json").read_text())
    (experiment,) = read_expt(data.path(f"metrology/refine/{stored['panel_model']}"))
    panel, x, y, x_mm, y_mm, *_ = np.array(stored["rows"]).T
    ours = experiment.detector.pixel_to_mm(panel.astype(np.int64), x, y)
    return float(np.abs(np.array(ours) - [x_mm, y_mm]).max())
