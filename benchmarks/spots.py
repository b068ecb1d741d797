"""Finding spots on a Pilatus 6M: CPU seconds and memory an image, decoding included.

    python benchmarks/spots.py [--images N] [--update docs/benchmarks.md]

Real images 1-10 of the thaumatin grid (``REFIMPL_DATA``), unpacked once to mini-CBF files as a
beamline writes them; then every image is read from its file and searched with one thread. The peers
are not installed here: their figures are those of the reference runs that made the golden tables
(DIALS: 19 images, wall time, one process; distl: CPU time in process), on another, busy machine.
Memory is that of a fresh process for each number of images.
"""

from __future__ import annotations

import argparse
import bz2
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

from harness import Timing, measure
from page import Table, add_options, finish, seconds
from process import peak_memory_mb

from refimpl.data import path as data_path
from refimpl.imaging.distl import FlatDetector, count_spots
from refimpl.imaging.spots import SpotSettings, find_spots
from refimpl.io.minicbf import read_minicbf

TRUSTED = (0, 115897)
DETECTOR = FlatDetector((2527, 2463), 0.172, 351.0, 0.96859, (1261.61 * 0.172, 1306.96 * 0.172))
PEERS = {  # seconds an image, from the reference runs
    "dispersion": ("DIALS 3, wall", 7.7 / 19, 10.3 / 19),
    "dispersion_extended": ("DIALS 3, wall", 11.2 / 19, 13.7 / 19),
    "distl": ("distl.signal_strength, CPU", 0.20, 0.36),
}
SERIES = (2, 10, 40)


def unpacked(folder: Path) -> list[Path]:
    """Images 1 to 10 as plain files."""
    files = []
    for number in range(1, 11):
        name = f"thau_3_2_{number:04d}.cbf"
        files.append(folder / name)
        files[-1].write_bytes(bz2.decompress(data_path(f"thaumatin-grid/{name}.bz2").read_bytes()))
    return files


def search(files: list[Path], threshold: str, still: bool = True) -> int:
    """Spots of the files, read one by one."""
    images = (read_minicbf(file)[0] for file in files)
    settings = SpotSettings(threshold)  # type: ignore[arg-type]
    return len(
        find_spots(images, trusted_range=TRUSTED, is_still=still, settings=settings, threads=1)
    )


def count(files: list[Path]) -> int:
    """Spot Total of the files together."""
    return sum(
        count_spots(read_minicbf(file)[0], DETECTOR, overload=TRUSTED[1], threads=1).spot_total
        for file in files
    )


def cases(files: list[Path]) -> Iterator[tuple[str, Callable[[], int]]]:
    yield "decoding alone", lambda: sum(read_minicbf(file)[0].size for file in files)
    yield "dispersion", lambda: search(files, "dispersion")
    yield "dispersion_extended", lambda: search(files, "dispersion_extended")
    yield "distl", lambda: count(files)


def row(name: str, timing: Timing, images: int) -> tuple[str, ...]:
    ours = timing.cpu_s / images
    if name not in PEERS:
        return name, seconds(ours), "", ""
    peer, low, high = PEERS[name]
    return (
        name,
        seconds(ours),
        f"{peer}: {seconds(low)} to {seconds(high)} (quoted)",
        f"{low / ours:.1f} to {high / ours:.1f}",
    )


def memory(folder: Path, images: int) -> tuple[str, str]:
    """Spots that a fresh process finds in a series of so many images, and its peak memory."""
    command = [sys.executable, __file__, "--worker", str(images), str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    spots, peak = done.stdout.split()
    return spots, f"{float(peak):.0f} MB"


def worker(images: int, folder: Path) -> None:
    files = list(islice(cycle(sorted(folder.glob("*.cbf"))), images))
    print(search(files, "dispersion", still=False), peak_memory_mb())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10, help="images of each case, 1 to 10")
    parser.add_argument("--worker", nargs=2, metavar=("N", "FOLDER"), help=argparse.SUPPRESS)
    add_options(parser)
    options = parser.parse_args()
    if options.worker:
        worker(int(options.worker[0]), Path(options.worker[1]))
        return 0
    times = Table(
        "Spots of a Pilatus 6M image, one thread, decoding included",
        "what", "refimpl, CPU an image", "peer, an image", "times as fast",
    )  # fmt: skip
    space = Table("Memory of a rotation series, dispersion", "images", "spots", "peak memory")
    with tempfile.TemporaryDirectory() as name:
        files = unpacked(Path(name))[: options.images]
        for what, call in cases(files):
            timing = measure(call, repeats=3)
            times.add(*row(what, timing, len(files)), quiet=timing.quotable)
        for images in SERIES:
            space.add(images, *memory(Path(name), images))
    space.note(
        "What grows is the table of spots and its last sorting: one image and the open spots are "
        "held besides."
    )
    times.note(
        "The peers are not installed here: figures of the reference runs behind the golden tables, "
        "on a loaded machine; DIALS's are wall times of 19 images over 19."
    )
    return finish("spots", [times, space], options)


if __name__ == "__main__":
    sys.exit(main())
