"""Near-field forward simulation: theory spots, hkl to detector, stacks from a map; one core.

    python benchmarks/nearfield_forward.py [--update docs/benchmarks.md]

The gold example of the MIDAS manual (``REFIMPL_DATA``): 258 reflections, two distances. The peers'
figures are those that the goals were set by: MIDAS C 19 thousand orientations a second; hexrd 6.7
and ImageD11 4.0 million spots a second from hkl to detector; they are not installed here.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import numpy as np
from harness import measure
from page import Table, add_options, finish, seconds
from process import peak_memory_mb
from two_threads import speedup

from refimpl.data import path as data_path
from refimpl.forward.nearfield_pixels import pixels_of_setup
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.forward.nearfield_spots import spots_of_setup
from refimpl.forward.nearfield_stack import ImageModel, simulate_stack, stack_images
from refimpl.frames import F64
from refimpl.io.nearfield_params import read_nearfield_params
from refimpl.nearfield.config import config_of_params, setup_of
from refimpl.rotations import matrix_of_euler, matrix_of_quaternion
from refimpl.units import UM


def gold() -> Setup:
    """Experiment of ps_au.txt."""
    return setup_of(
        config_of_params(read_nearfield_params(data_path("nearfield-golden/ps_au.txt")))
    )


def gold_map() -> tuple[Voxels, F64]:
    """Its 1514 voxels of confidence 0.7 and more."""
    mic = np.loadtxt(data_path("nearfield-golden/Au_txt.mic"), comments="%")
    mic = mic[mic[:, 10] >= 0.7]
    voxels = Voxels(mic[:, 3:5] * UM, mic[:, 5] * UM, mic[:, 6] > 0.0)
    return voxels, matrix_of_euler(mic[:, 7:10])


def seeds(n: int) -> F64:
    with np.load(data_path("nearfield-golden/screen_seeds_49543.npz")) as file:
        return matrix_of_quaternion(file["wxyz"][:n])


def spots() -> Table:
    """Orientations and spots a second, then two threads against one."""
    table = Table(
        "Near-field spots, one core", "what", "CPU", "a second", "peer, a second", "ratio"
    )
    setup, u = gold(), seeds(20000)
    wide = setup.changed(boxes_mm=np.array([[-1e9, 1e9, -1e9, 1e9]]), exclude_pole_rad=0.0)
    theory = measure(lambda: spots_of_setup(setup, u, threads=1), 3)
    rate = len(u) / theory.cpu_s
    table.add(
        f"theory spots of {len(u)} orientations", seconds(theory.cpu_s),
        f"{rate / 1e3:.0f} thousand orientations", "MIDAS C: 19 thousand (quoted)",
        f"{rate / 19e3:.1f}", quiet=theory.quotable,
    )  # fmt: skip
    few = u[:4000]
    points = Voxels(
        np.full((len(few), 2), 0.01), np.zeros(len(few)), np.ones(len(few), bool), "point"
    )
    one = wide.changed(
        lsd_mm=setup.detector.lsd_mm[:1], beam_centre_px=setup.detector.beam_centre_px[:1]
    )

    def chain() -> None:
        pixels_of_setup(one, points, spots_of_setup(one, few, threads=1), threads=1)

    n = len(spots_of_setup(one, few))
    whole = measure(chain, 3)
    rate = n / whole.cpu_s
    table.add(
        f"hkl to detector, {n} spots, every one counted", seconds(whole.cpu_s),
        f"{rate / 1e6:.1f} million spots", "hexrd: 6.7, ImageD11: 4.0 million (quoted)",
        f"{rate / 6.7e6:.1f}", quiet=whole.quotable,
    )  # fmt: skip
    both = speedup(lambda threads: spots_of_setup(setup, u, threads=threads))
    table.note(both.note("theory spots"))
    return table


def stacks() -> Table:
    """A whole map, and the images of it."""
    table = Table("Near-field stack from the gold map, one core", "what", "CPU", "result")
    setup, (voxels, u) = gold(), gold_map()
    edge = {"1 um": voxels, "2.5 um": Voxels(voxels.xy_mm, np.full(len(u), 2.5 * UM), voxels.up)}
    for name, v in edge.items():
        for exact in (False, True):
            timing = measure(
                lambda v=v, e=exact: simulate_stack(setup, v, u, exact=e, threads=1), 3
            )  # type: ignore[misc]
            lit = len(simulate_stack(setup, v, u, exact=exact))
            table.add(
                f"1514 triangles of {name}, {'exact' if exact else 'scaled'} geometry",
                seconds(timing.cpu_s), f"{lit} lit pixels", quiet=timing.quotable,
            )  # fmt: skip
    stack = simulate_stack(setup, voxels, u)
    frames = stack_images(stack, ImageModel(), distance=0)
    image = measure(lambda: next(frames), 3)
    table.add("a raw image of 2048 x 2048 with blur and noise", seconds(image.cpu_s), "uint16",
              quiet=image.quotable)  # fmt: skip
    return table


def memory() -> Table:
    table = Table("Peak memory of a simulation, fresh process", "voxels", "peak memory")
    for repeats in (1, 4, 16):
        command = [sys.executable, __file__, "--worker", str(repeats)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        table.add(repeats * 1514, f"{float(done.stdout):.0f} MB")
    table.note("The map is repeated, so that the lit pixels stay the same.")
    return table


def worker(repeats: int) -> None:
    voxels, u = gold_map()
    rows = np.tile(np.arange(len(u)), repeats)
    simulate_stack(gold(), voxels[rows], u[rows], threads=1)
    print(peak_memory_mb())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", type=int, metavar="N", help=argparse.SUPPRESS)
    add_options(parser)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker)
        return 0
    return finish("nearfield-forward", [spots(), stacks(), memory()], options)


if __name__ == "__main__":
    sys.exit(main())
