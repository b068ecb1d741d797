"""A small simulated EPU session as a folder, and what the tests of its commands share."""

from __future__ import annotations

import shutil
from pathlib import Path

from refimpl.cli.main import main
from refimpl.epu.simulate import Simulated, SimulationSettings, simulate
from refimpl.epu.simulate_files import write_session

SMALL = SimulationSettings(squares=1, groups=5, hole_fraction=1.0, shots=2, revisits=1, overlaps=1,
                           missed=1, singles=2, near_misses=2, square_radius_um=18.0)  # fmt: skip


def small_session(folder: Path, **options: object) -> Simulated:
    """Write 239 exposures; 84 of them are duplicates, of all kinds."""
    made = simulate(SMALL, seed=3)
    write_session(made, folder, **({"images": False, "artefacts": False} | options))
    return made


def xml_files(folder: Path) -> list[Path]:
    """XML files of the exposures, in the order of their times (of their names)."""
    files = folder.glob("Images-Disc*/GridSquare_*/Data/FoilHole_*_Data_*_????????_??????.xml")
    return sorted(files, key=lambda path: path.stem[-15:])


def some_of(folder: Path, target: Path, n: int) -> list[Path]:
    """Copy the first exposures of a session into another folder, as if it were running."""
    out = []
    for path in xml_files(folder)[:n]:
        place = target / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
        out.append(place)
    return out


def epu(*arguments: object) -> int:
    """Run ``refimpl epu``."""
    return main(["epu", *(str(a) for a in arguments)])
