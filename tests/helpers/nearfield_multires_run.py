"""A small coarse-to-fine run: as a function, and as a program to be killed.

The program: ``python nearfield_multires_run.py FOLDER ENGINE WORKERS``. It writes the merged map of
each loop, and tells on a line of its own whenever a block has ended.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import h5py
from nearfield_case import Case

from refimpl.nearfield.grid import hex_grid
from refimpl.nearfield.loops import Loop
from refimpl.nearfield.multires import Multires, MultiresSettings, multires
from refimpl.nearfield.outputs import save

SETTINGS = MultiresSettings(0.024, 2.0, 2)


def small_run(case: Case, folder: Path | None, **options: Any) -> Multires:
    """Three grids of 24, 12 and 6 um; two of the four grains have no seed but in second passes."""
    return multires(
        case.setup, case.lit, lambda edge_mm: hex_grid(edge_mm, 0.020), case.seeds[:2], SETTINGS,
        every_seed=case.seeds, folder=folder, **({"block_voxels": 4} | options),
    )  # fmt: skip


def content(folder: Path) -> dict[str, bytes]:
    """What the files of all maps hold: their bytes, but of HDF5 the numbers (it states dates)."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*.mic*")):
        name = str(path.relative_to(folder))
        if path.suffix == ".h5":
            found |= {f"{name}/{key}": value for key, value in _numbers(path).items()}
        elif path.suffix != ".xdmf":
            found[name] = path.read_bytes()
    return found


def _numbers(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu":
            found[name] = item[()].tobytes()

    with h5py.File(path) as file:
        file.visititems(look)
    return found


def main(folder: Path, engine: str, workers: int) -> None:
    """Run, and write the maps."""

    def write(loop: Loop) -> None:
        save(loop.merged, folder / "maps" / str(loop.number))

    small_run(
        Case(), folder / "run", engine=engine, threads=workers, block_voxels=2, backoff_s=(0.1,),
        progress=lambda *what: print(*what, sep="|", flush=True), on_loop=write,
        patience_s=120.0,
    )  # fmt: skip


if __name__ == "__main__":
    print("ready", flush=True)
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
