"""What the commands of ``refimpl nearfield`` share: parameters, lit pixels, seeds, maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import parse
from refimpl.errors import ConfigError, FormatError, GeometryError

if TYPE_CHECKING:
    from refimpl.detector.lit_pixels import LitPixels
    from refimpl.forward.nearfield_setup import Setup, Voxels
    from refimpl.frames import F64
    from refimpl.io.nearfield_params import NearfieldParams
    from refimpl.nearfield.maps import NearfieldMap
    from refimpl.nearfield.settings import NearfieldConfig

__all__ = [
    "Again", "AsJson", "Job", "Ncpus", "Paramfile", "SetValues", "check_ncpus", "check_seeds",
    "job_of", "lit_pixels", "load", "map_of", "notes", "placed", "saved_lit", "voxels_of",
]  # fmt: skip

Paramfile = Annotated[Path, typer.Argument(
    metavar="PARAMFILE", help="Near-field parameter file, as published.")]  # fmt: skip
Ncpus = Annotated[int | None, typer.Option(
    "-nCPUs", "--ncpus", metavar="N", help="Threads; the result does not depend on it.",
)]  # fmt: skip
SetValues = Annotated[list[str] | None, typer.Option(
    "--set", metavar="NAME=VALUE", help="Any setting in our own names and units, over the file's: "
    "orient_tol_deg=1, edge_mm=0.002. May be repeated.")]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")]
Again = Annotated[bool, typer.Option("--again", help="Do also what is done already.")]


@dataclass(frozen=True)
class Job:
    """A parameter file, as read and as the physics takes it; ``given`` are settings over it."""

    params: NearfieldParams
    config: NearfieldConfig
    setup: Setup
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def operators(self) -> F64:
        """(m, 4) operators of the crystal."""
        from refimpl.crystal.symmetry_operators import operators as group_of

        return group_of(self.setup.space_group, self.setup.cell)

    @property
    def min_confidence(self) -> float:
        """MinConfidence, where the file states it; else 0."""
        return self.params.number("MinConfidence") if "MinConfidence" in self.params else 0.0


def load(paramfile: Path, settings: Sequence[str] | None = None) -> Job:
    """Read a parameter file, with settings that win over it.

    Raises
    ------
    ConfigError, FormatError
        The file, with line and key; a setting that there is not.
    """
    from refimpl.io.nearfield_params import read_nearfield_params

    return job_of(read_nearfield_params(paramfile), parse.settings(settings or ()))


def job_of(params: NearfieldParams, given: Mapping[str, Any]) -> Job:
    """Parameters as the physics takes them; see :func:`load`."""
    from refimpl.nearfield.config import config_of_params, setup_of

    try:
        config = config_of_params(params, given)
        setup = setup_of(config)
    except GeometryError as error:
        raise ConfigError(str(error), path=params.path) from error
    except ConfigError as error:
        if error.path is not None or error.key is None or error.key in given:
            raise
        raise placed(params, error) from error
    return Job(params, config, setup, given)


def placed(params: NearfieldParams, error: ConfigError) -> ConfigError:
    """Error about a key or setting with its file, and its line where it has one."""
    from refimpl.nearfield.config import published_key

    key = published_key(str(error.key))
    known = key in params.table
    line = params.lines.get(key) if known else None
    return ConfigError(str(error), path=params.path, line=line, key=key)


def notes(params: NearfieldParams) -> None:
    """Say which keys of the file have no effect (stderr)."""
    for name, why in params.unused().items():
        typer.echo(f"note: {name} has no effect: {why}", err=True)


def check_ncpus(ncpus: int | None) -> int | None:
    """Threads that were asked for.

    Raises
    ------
    ConfigError
        Fewer than one.
    """
    if ncpus is not None and ncpus < 1:
        raise ConfigError(f"nCPUs {ncpus}: expected 1 or more", key="nCPUs", got=ncpus)
    return ncpus


def voxels_of(job: Job) -> Voxels:
    """Grid of a run, masked, and within the detector's view.

    Raises
    ------
    ConfigError
        The grid is not given, masks leave nothing, or a point is out of view.
    """
    from refimpl.nearfield.grid import check_view, grid_of

    try:
        grid = grid_of(job.config.grid)
        check_view(grid, job.setup.detector)
    except GeometryError as error:
        key = "GridFileName" if job.config.grid.grid_file is not None else "Rsample"
        raise job.params.refuse(key, str(error)) from error
    except ConfigError as error:
        if error.path is not None or error.key is None:
            raise
        raise placed(job.params, error) from error
    return grid


def saved_lit(job: Job, folder: Path, layer: int = 1) -> LitPixels | None:
    """Lit pixels of a folder: those of process-images, or the published bits; None: neither.

    Where both are there, the newer ones count: process-images writes its bits last, so that older
    bits are of another run, and newer ones those of it or of a later simulation.

    Raises
    ------
    FormatError
        They are of another number of distances, frames or pixels.
    """
    from refimpl.io.lit_files import lit_of_frames, read_frame_pixels
    from refimpl.io.spots_info import read_lit
    from refimpl.nearfield.image_result import lit_path

    detector = job.setup.detector
    shape = (detector.n_distances, job.setup.scan.n_frames, *detector.shape_px)
    files = [lit_path(folder, d, layer) for d in range(shape[0])]
    own = files[0].name.removesuffix("0.h5")
    bits = folder / "SpotsInfo.bin"
    # beside the files of another layer the bits are of whichever was processed last
    others = any(not p.name.startswith(own) for p in folder.glob("lit_pixels_*distance_*.h5"))
    if all(path.is_file() for path in files) and (others or not _newer(bits, files)):
        lit = lit_of_frames([read_frame_pixels(path) for path in files])
        if lit.shape != shape:
            raise FormatError(
                f"lit pixels of {lit.shape} distances, frames, Y and Z: the parameter file has "
                f"{shape}; run process-images again", path=files[0],
            )  # fmt: skip
        return lit
    return read_lit(bits, shape) if bits.is_file() and not others else None


def _newer(bits: Path, files: Sequence[Path]) -> bool:
    """Whether the published bits were written after every other file of lit pixels."""
    last = max(path.stat().st_mtime_ns for path in files)
    return bits.is_file() and bits.stat().st_mtime_ns > last


def lit_pixels(job: Job, folder: Path, layer: int = 1) -> LitPixels:
    """Lit pixels of a folder.

    Raises
    ------
    FormatError
        There are none, or none is lit.
    """
    lit = saved_lit(job, folder, layer)
    if lit is None:
        raise FormatError(
            "neither lit_pixels_distance_*.h5 nor SpotsInfo.bin: run 'refimpl nearfield "
            "process-images' or 'simulate' first", path=folder,
        )  # fmt: skip
    if not lit.n_lit:
        raise FormatError("no pixel is lit in any frame", path=folder)
    return lit


def check_seeds(job: Job, seeds: F64) -> F64:
    """Say where NrOrientations is not the number of seeds: the list counts."""
    wanted = job.params["NrOrientations"]
    if isinstance(wanted, int) and wanted != len(seeds):
        typer.echo(f"note: NrOrientations {wanted}, and the list has {len(seeds)}: the list counts",
                   err=True)  # fmt: skip
    return seeds


def map_of(
    path: Path, job: Job | None, space_group: int | None = None, **more: Any
) -> NearfieldMap:
    """Map of a file, whose space group and cell are those of the parameter file if it says none."""
    from refimpl.nearfield.outputs import read_map

    group, cell = space_group, None
    if job is not None:
        group = int(job.params.number("SGNr")) if group is None else group
        cell = job.setup.cell
    return read_map(path, space_group=group, cell=cell, **more)
