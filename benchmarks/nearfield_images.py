"""Near-field images to lit pixels: time of each step on one core, and of whole scans with memory.

    python benchmarks/nearfield_images.py [--frames N] [--update docs/benchmarks.md]

The published program took 0.106 s a frame of 2048 x 2048 without and 1.18 s with the Laplacian of
Gaussian (sigma 4, radius 10, and sigma 1, radius 4), its Python successor 1.0 s and more than 7 s;
they held 0.42 and 3.9 GB for 40 frames. Peers here: NumPy and SciPy in the same run.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harness import Timing, measure, peer, serve
from numpy.typing import NDArray
from page import Table, add_options, finish, seconds
from process import peak_memory_mb
from scipy import ndimage

from refimpl.imaging.binarise import Filters, spot_pixels
from refimpl.imaging.nearfield_background import lower_median

SIZE = 2048
WIDE = {"log_sigma": 4.0, "log_radius": 10}
Counts = NDArray[np.uint16]


def frame(seed: int, spots: int) -> Counts:
    """Blurred spots of some 170 px on a Poisson background of 100."""
    rng = np.random.default_rng(seed)
    light = np.zeros((SIZE, SIZE))
    y, x = rng.integers(30, SIZE - 30, (2, spots))
    light[y, x] = rng.uniform(2e4, 3e5, spots)
    light = ndimage.gaussian_filter(light, 2.5)
    return rng.poisson(light + 100.0).astype(np.uint16)


def steps() -> Table:
    """Filters of one frame."""
    table = Table(
        f"One frame of {SIZE} x {SIZE}, one core", "step", "lit by noise", "refimpl",
        "SciPy or NumPy", "ratio",
    )  # fmt: skip
    raw = frame(0, 300)
    for name, blanket in (("floor at 1/2 sigma", 5), ("floor at 4 sigma", 40)):
        floor = np.full(raw.shape, 100 + blanket, dtype=np.uint16)
        share = f"{100.0 * (raw > floor).mean():.0f} %"
        for what, filters in (
            ("no LoG, 3 x 3", Filters(log=False)),
            ("no LoG, 5 x 5", Filters(log=False, median_radius=2)),
            ("LoG 4/10 + 1/4, 3 x 3", Filters(**WIDE)),  # type: ignore[arg-type]
        ):
            ours = measure(lambda f=filters, b=floor: spot_pixels(raw, b, f, threads=1))  # type: ignore[misc]
            other = measure(lambda f=filters, b=floor: scipy_pixels(raw, b, f), 1)  # type: ignore[misc]
            add(table, f"{what}, {name}", share, ours, other)
    dense = np.full(raw.shape, 5, dtype=np.uint16)
    filters = Filters(**WIDE, median_radius=0)  # type: ignore[arg-type]
    ours = measure(lambda: spot_pixels(raw, dense, filters, threads=1))
    other = measure(lambda: scipy_pixels(raw, dense, filters), 1)
    add(table, "LoG, every pixel lit", "100 %", ours, other)
    return table


def add(table: Table, name: str, share: str, ours: Timing, other: Timing) -> None:
    table.add(
        name, share, seconds(ours.cpu_s), seconds(other.cpu_s), f"{other.cpu_s / ours.cpu_s:.1f}",
        quiet=ours.quotable and other.quotable,
    )  # fmt: skip


def scipy_pixels(raw: Counts, floor: Counts, filters: Filters) -> NDArray[np.int64]:
    """SciPy's filters for the same purpose; its Laplacian is real and separable."""
    counts = raw - np.minimum(raw, floor)
    if filters.median_radius:
        counts = ndimage.median_filter(counts, 2 * filters.median_radius + 1)
    if not filters.log:
        return np.flatnonzero(counts)
    lit = np.zeros(counts.shape, dtype=bool)
    real = counts.astype(np.float64)
    for sigma, radius in filters.passes:
        curved = ndimage.gaussian_laplace(real, sigma, truncate=radius / sigma)
        lit |= ndimage.binary_dilation(curved > 0.0, np.ones((3, 3))) & (counts > 0)
    return np.flatnonzero(lit)


def background() -> Table:
    """Median over the frames, a block of rows."""
    table = Table(
        "Median background, 1440 frames, one core", "values", "refimpl, a frame of 2048 x 2048",
        "numpy.partition", "ratio",
    )  # fmt: skip
    rng = np.random.default_rng(0)
    for name, level in (("Poisson of 200", 200.0), ("Poisson of 20,000", 20000.0)):
        stack = rng.poisson(level, (1440, 20 * SIZE)).astype(np.uint16)
        share = SIZE * SIZE / stack.shape[1] / len(stack)
        ours = measure(lambda s=stack: lower_median(s, threads=1))  # type: ignore[misc]
        other = measure(lambda s=stack: np.partition(s, 719, axis=0)[719], 1)  # type: ignore[misc]
        table.add(
            name, seconds(ours.cpu_s * share), seconds(other.cpu_s * share),
            f"{other.cpu_s / ours.cpu_s:.1f}", quiet=ours.quotable and other.quotable,
        )  # fmt: skip
    return table


def work(request: dict[str, Any]) -> dict[str, Any]:
    """A whole scan in this process: from TIFFs to the files of lit pixels."""
    import time

    from refimpl.io.nearfield_params import NearfieldParams
    from refimpl.nearfield.images import process_images

    n, folder = int(request["frames"]), Path(request["folder"])
    params = NearfieldParams(
        {
            "DataDirectory": str(folder), "OutputDirectory": str(folder / request["out"]),
            "OrigFileName": "raw", "ReducedFileName": "red", "nDistances": 1, "StartNr": 0,
            "EndNr": n - 1, "NrPixels": SIZE, "NrPixelsY": SIZE, "NrPixelsZ": SIZE,
        },
        folder / "ps.txt",
        {},
    )  # fmt: skip
    settings = Filters(blanket=40, **request["filters"])
    wall, cpu = time.perf_counter(), time.process_time()
    found = process_images(params, filters=settings, threads=int(request["threads"]))
    return {
        "wall": (time.perf_counter() - wall) / n, "cpu": (time.process_time() - cpu) / n,
        "memory_mb": peak_memory_mb(), "n_lit": found.lit.n_lit,
    }  # fmt: skip


def scans(n_frames: int) -> Table:
    """Whole scans, each in a fresh process."""
    table = Table(
        f"Whole scan of one distance from TIFF, {SIZE} x {SIZE}", "filters", "frames", "threads",
        "CPU a frame", "wall a frame", "peak memory", "lit pixels",
    )  # fmt: skip
    import tifffile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for k in range(16):
            tifffile.imwrite(folder / f"own_{k}.tif", frame(k, 40))
        for k in range(n_frames):  # a scan of few different frames takes no more room than those
            os.link(folder / f"own_{k % 16}.tif", folder / f"raw_{k:06d}.tif")
        for title, filters in (("no LoG", {"log": False}), ("LoG 4/10 + 1/4", WIDE)):
            for threads, n in ((1, n_frames // 12), (1, n_frames), (2, n_frames)):
                out = f"out{len(table.rows)}"
                request = {
                    "frames": n, "threads": threads, "filters": filters, "folder": name, "out": out
                }  # fmt: skip
                r = peer(__file__, request, threads=threads)
                if "error" in r:
                    raise SystemExit(f"benchmarks/nearfield_images.py: {r['error']}")
                table.add(
                    title, n, threads, seconds(r["cpu"]), seconds(r["wall"]),
                    f"{r['memory_mb']:.0f} MB", r["n_lit"],
                )  # fmt: skip
    table.note(
        "Median, filters, the published background images, SpotsInfo.bin and the sparse file; the "
        "published program: 0.106 s a frame without, 1.18 s with the Laplacian of Gaussian."
    )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--frames", type=int, default=1440)
    parser.add_argument("--only", choices=("steps", "background", "scans"))
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    add_options(parser)
    options = parser.parse_args()
    if options.worker:
        serve(work)
        return 0
    kinds = {"steps": steps, "background": background, "scans": lambda: scans(options.frames)}
    tables = [make() for name, make in kinds.items() if options.only in (None, name)]
    return finish("nearfield-images", tables, options)


if __name__ == "__main__":
    sys.exit(main())
