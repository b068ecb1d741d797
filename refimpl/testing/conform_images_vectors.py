"""Quantities of the kit about images: strong pixels, spots and their centroids, ring peaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from refimpl.imaging.ring_peaks import fit_ring_peaks
from refimpl.imaging.spot_stream import Stream, as_table
from refimpl.imaging.spot_table import SpotSettings
from refimpl.imaging.spot_threshold import dispersion
from refimpl.testing.conform_records import Array, Inputs, Output, Quantity, quantity, rng_of

__all__: list[str] = []

_DOUBLE = "double precision sums of counts"


# --- strong pixels --------------------------------------------------------------------------------


def _strong(**given: Any) -> Inputs:
    fast, slow = (int(v) for v in given["kernel_px"])
    marked = dispersion(
        given["image"], given["mask"], 0, 1 << 20, fast, slow, 2, float(given["sigma_background"]),
        float(given["sigma_strong"]), float(given["global_threshold"]), 0.0,
    )  # fmt: skip
    return {"strong": marked}


def _strong_cases() -> Iterator[tuple[str, Inputs]]:
    name = "strong_pixels"

    def one(rng: np.random.Generator, level: float, spots: int = 8, rows: int = 24) -> Inputs:
        image = rng.poisson(level, (rows, 31))
        for _ in range(spots):
            s, f = rng.integers(0, 22), rng.integers(0, 29)
            image[s : s + rng.integers(1, 4), f : f + rng.integers(1, 3)] += rng.integers(20, 500)
        return {
            "image": image, "mask": np.ones(image.shape, dtype=np.int64),
            "kernel_px": np.array([3, 2]), "sigma_background": np.float64(6.0),
            "sigma_strong": np.float64(3.0), "global_threshold": np.float64(0.0),
        }  # fmt: skip

    yield "ordinary-0", one(rng_of(name, 1000), 3.0)
    masked = one(rng_of(name, 1001), 20.0)
    masked["mask"][8:11], masked["mask"][:, 14] = 0, 0
    yield "ordinary-masked", masked
    yield "edge-no-spots", one(rng_of(name, 1002), 5.0, 0)
    yield "edge-threshold", one(rng_of(name, 1003), 3.0) | {"global_threshold": np.float64(100.0)}
    yield "edge-dark", one(rng_of(name, 1004), 0.0)
    # many pixels near the limits, so that a small change of any number shows
    near = {"sigma_background": np.float64(0.9), "sigma_strong": np.float64(0.5)}
    yield "edge-many-near-the-limits", one(rng_of(name, 1005), 30.0, 0, 60) | near
    faint = near | {"sigma_strong": np.float64(1.5)}  # pixels from there to its square
    yield "edge-pixel-decides", one(rng_of(name, 1007), 30.0, 0, 40) | faint
    level = near | {"global_threshold": np.float64(34.0)}  # some pixels hold just that
    yield "edge-on-the-threshold", one(rng_of(name, 1006), 30.0, 0) | level
    for k in range(4):
        rng = rng_of(name, k)
        sigmas = {"sigma_background": rng.uniform(2.0, 7.0), "sigma_strong": rng.uniform(1.0, 4.0)}
        yield f"random-{k:03d}", one(rng, float(rng.choice([0.3, 3.0, 30.0]))) | sigmas


quantity(Quantity(
    "strong_pixels", "strong pixels of an image by the dispersion of their windows",
    "refimpl.imaging.spot_threshold.dispersion",
    (Array("image", "count", "s,f", "counts", "i8"),
     Array("mask", "1", "s,f", "1 where a pixel may be used", "i8"),
     Array("kernel_px", "px", "2", "half size of the window: fast, slow", "i8"),
     Array("sigma_background", "1", "", "of the window"),
     Array("sigma_strong", "1", "", "of the pixel"),
     Array("global_threshold", "count", "", "a strong pixel exceeds it")),
    (Output("strong", "1", "s,f", "1 for a strong pixel", "i8", compare="exact"),),
    _strong, _strong_cases,
    "With m, x, y the number, sum and sum of squares of the valid pixels p of the window, which "
    "ends at the image: m y - x^2 - x (m - 1) > x sigma_b sqrt(2 (m - 1)), m p - x > sigma_s "
    "sqrt(x m), m >= 2. As DIALS' dispersion.",
))  # fmt: skip


# --- spots ----------------------------------------------------------------------------------------


def _centroids(**given: Any) -> Inputs:
    stack, strong = given["counts"], given["strong"] != 0
    every = SpotSettings(min_spot_size=1, max_spot_size=10**6, max_separation=None)
    stream = Stream(0, stack.shape[2], False, every)
    for z, (image, marked) in enumerate(zip(stack, strong, strict=True)):
        index = np.flatnonzero(marked)
        stream.add(index, image.reshape(-1)[index].astype(np.int32), z, z)
    per_image = strong.sum(axis=(1, 2)).astype(np.int64)
    table = as_table([stream], per_image, 0).columns
    box = np.asarray(table["bbox"])
    order = np.lexsort(box[:, [5, 3, 1, 0, 2, 4]].T)
    return {
        "box": box[order], "total": table["intensity.sum.value"][order],
        "centroid_px": table["xyzobs.px.value"][order],
        "variance_px2": table["xyzobs.px.variance"][order],
    }  # fmt: skip


def _stack(
    rng: np.random.Generator, blobs: int, shape: tuple[int, int, int] = (6, 18, 21)
) -> Inputs:
    z, s, f = np.indices(shape)
    light = np.zeros(shape)
    for _ in range(blobs):
        at = rng.uniform(0.5, np.array(shape) - 0.5)
        size = rng.uniform(0.4, 1.0, 3)
        r2 = sum(((i + 0.5 - a) / w) ** 2 for i, a, w in zip((z, s, f), at, size, strict=True))
        light += rng.uniform(50.0, 900.0) * np.exp(-0.5 * r2)
    counts = rng.poisson(light)
    return {"counts": counts, "strong": (counts > 12).astype(np.int64)}


def _centroid_cases() -> Iterator[tuple[str, Inputs]]:
    name = "spot_centroids"
    yield "ordinary-0", _stack(rng_of(name, 1000), 6)
    yield "ordinary-one-image", _stack(rng_of(name, 1001), 5, (1, 18, 21))
    single = np.zeros((2, 6, 7), dtype=np.int64)
    single[0, 2, 4], single[1, 5, 0] = 9, 7
    yield "edge-single-pixels", {"counts": single, "strong": (single > 0).astype(np.int64)}
    # touching at a corner only, in an image and from one to the next: four spots
    corner = np.zeros((2, 6, 7), dtype=np.int64)
    corner[0, 1, 1:3], corner[0, 2, 3], corner[1, 3, 3], corner[1, 0, 6] = (5, 8), 6, 4, 11
    yield "edge-corners", {"counts": corner, "strong": (corner > 0).astype(np.int64)}
    # two arms that a later image joins
    arms = np.zeros((3, 6, 7), dtype=np.int64)
    arms[0, 2, 1], arms[0, 2, 5], arms[1, 2, 1], arms[1, 2, 5], arms[2, 2, 1:6] = 5, 9, 6, 8, 7
    yield "edge-joined-later", {"counts": arms, "strong": (arms > 0).astype(np.int64)}
    wrap = np.zeros((1, 4, 5), dtype=np.int64)
    wrap[0, 1, 4], wrap[0, 2, 0] = 6, 8
    yield "edge-row-ends", {"counts": wrap, "strong": (wrap > 0).astype(np.int64)}
    for k in range(4):
        yield f"random-{k:03d}", _stack(rng_of(name, k), 7)


quantity(Quantity(
    "spot_centroids", "spots of a series of images: boxes, intensities, centroids",
    "refimpl.imaging.spot_labels.measure_spots",
    (Array("counts", "count", "z,s,f", "images", "i8"),
     Array("strong", "1", "z,s,f", "1 for the pixels that count", "i8")),
    (Output("box", "px, image", "k,6", "first and one past the last fast, slow, image", "i8",
            compare="exact"),
     Output("total", "count", "k", "sum of counts", ulp=4, why=_DOUBLE),
     Output("centroid_px", "px, image", "k,3", "fast, slow, image; corner origin", atol=1e-10,
            why=_DOUBLE),
     Output("variance_px2", "px2", "k,3", "of the centroid", atol=1e-10, why=_DOUBLE)),
    _centroids, _centroid_cases,
    "Pixels that share a side, in an image or from one to the next, make a spot. Variance: "
    "sum p (r - c)^2 / (S^2 - sum p^2) + 1/12 with S = sum p. Rows are sorted by the box's first "
    "image, slow, fast, then its last image, slow, fast.",
))  # fmt: skip


# --- ring peaks -----------------------------------------------------------------------------------


def _fit(**given: Any) -> Inputs:
    n = len(given["x"])
    p, sigma, chi2, _, _ = fit_ring_peaks(
        given["x"], given["counts"], np.ones(n), np.array([0, n]),
        np.array([[given["expected"], np.nan]]), given["window"][None],
        np.array([given["fwhm_start"]]), step_tolerance=1e-10,
    )  # fmt: skip
    names = ("centre", "height", "fwhm", "mixing", "background", "slope")
    return dict(zip(names, p[0], strict=False)) | {"centre_sigma": sigma[0, 0], "chi2": chi2[0]}


def _peak(
    rng: np.random.Generator, height: float, mixing: float, background: float, n: int = 160
) -> Inputs:
    x = np.sort(rng.uniform(-1.0, 1.0, n))
    centre, fwhm, slope = rng.uniform(-0.2, 0.2), rng.uniform(0.25, 0.4), rng.uniform(-2.0, 2.0)
    u = (x - centre) / fwhm
    shape = mixing / (1.0 + 4.0 * u * u) + (1.0 - mixing) * np.exp(-4.0 * np.log(2.0) * u * u)
    counts = rng.poisson(np.maximum(background + slope * x + height * shape, 0.0))
    return {
        "x": x, "counts": counts.astype(np.float64), "expected": np.float64(0.0),
        "window": np.array([-1.0, 1.0]), "fwhm_start": np.float64(0.3),
    }  # fmt: skip


def _peak_cases() -> Iterator[tuple[str, Inputs]]:
    name = "ring_peak_fit"
    yield "ordinary-0", _peak(rng_of(name, 1000), 200.0, 0.4, 20.0)
    yield "ordinary-strong", _peak(rng_of(name, 1001), 5000.0, 0.5, 300.0)
    yield "edge-weak", _peak(rng_of(name, 1002), 60.0, 0.5, 10.0)
    for k in range(4):
        rng = rng_of(name, k)
        yield f"random-{k:03d}", _peak(rng, rng.uniform(300.0, 900.0), rng.uniform(0.3, 0.7), 30.0)


_FIT = "1e-4 of the smallest standard error among the cases"

quantity(Quantity(
    "ring_peak_fit", "pseudo-Voigt on a sloping background, of greatest Poisson likelihood",
    "refimpl.imaging.ring_peaks.fit_ring_peaks",
    (Array("x", "1", "n", "abscissa of each pixel"), Array("counts", "count", "n", "observed"),
     Array("expected", "1", "", "where to begin"), Array("window", "1", "2", "range of x"),
     Array("fwhm_start", "1", "", "where to begin")),
    (Output("centre", "1", "", "of the peak", atol=1e-7, why=_FIT),
     Output("height", "count", "", "of the peak", atol=1e-3, why=_FIT),
     Output("fwhm", "1", "", "full width at half maximum", atol=5e-7, why=_FIT),
     Output("mixing", "1", "", "Lorentzian part", atol=2e-6, why=_FIT),
     Output("background", "count", "", "in the middle of the window", atol=1e-4, why=_FIT),
     Output("slope", "count", "", "of the background per unit of x", atol=1e-4, why=_FIT),
     Output("centre_sigma", "1", "", "standard uncertainty of the centre", atol=1e-7,
            why="from the expected information at the optimum"),
     Output("chi2", "1", "", "sum of (y - m)^2 / m", atol=1e-3, why="at the optimum")),
    _fit, _peak_cases,
    "m = b + s x + A [mu / (1 + 4 u^2) + (1 - mu) exp(-4 ln2 u^2)], u = (x - c) / w; mu is kept "
    "within 0 and 1, which no case needs; counts below 0.1 expected do not occur.",
))  # fmt: skip
