"""A simulated sample of three grains whose map is made from coarse to fine."""

from __future__ import annotations

from pathlib import Path

from refimpl.cli.main import main
from refimpl.nearfield.example import SMALL, write_example

LOOPS = {
    "GridRefactor": (24.0, 2.0, 1), "GridMask": (-35.0, 35.0, -35.0, 35.0),
    "SeedOrientations": "seeds.txt", "SeedOrientationsAll": "seeds_all.txt", "OnlySpotsInfo": 1,
}  # fmt: skip
RUN = ("reconstruct", "ps.txt", "-o", "out")


def nearfield(*arguments: object) -> int:
    """Exit code of a near-field command."""
    return main(["nearfield", *(str(a) for a in arguments)])


def loops(*arguments: object) -> int:
    """Exit code of a run in the folder worked in; 19 points, then 74."""
    return nearfield(*RUN, "--no-report", "-nCPUs", 1, *arguments)


def write_loops(folder: Path) -> Path:
    """Write parameters, lit pixels and seeds of the sample into a folder."""
    write_example(folder, n_grains=3, seed=3, **(SMALL | LOOPS))
    assert nearfield("simulate", folder / "ps.txt", folder / "truth.mic") == 0
    for name in ("seeds.txt", "seeds_all.txt"):
        assert nearfield("seeds", folder / "ps.txt", "--from", "grains", "-o", folder / name) == 0
    return folder
