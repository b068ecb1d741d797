"""What a reconstruction starts from and how it is done: seeds, lit pixels, engine, one map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refimpl.cli import nearfield_files as files
from refimpl.cli import parse
from refimpl.errors import ConfigError, FormatError

if TYPE_CHECKING:
    from refimpl.detector.lit_pixels import LitPixels
    from refimpl.forward.nearfield_setup import Voxels
    from refimpl.frames import F64
    from refimpl.nearfield.file_names import FileNames
    from refimpl.nearfield.fit_settings import SearchSettings
    from refimpl.nearfield.image_result import DistanceReport
    from refimpl.nearfield.maps import NearfieldMap
    from refimpl.nearfield.workplace import Workplace

__all__ = ["Choices", "OneGrid", "Place", "check_engine", "check_going_on", "grain_angle"]
__all__ += ["inputs_of", "lit_of", "lit_source", "search_of", "seeds_of_run", "write_own_params"]

ZONE = "the fundamental zone"
_OURS = ("serial", "threads", "processes")


@dataclass(frozen=True)
class Choices:
    """Options of ``refimpl nearfield reconstruct`` that every map of it shares."""

    paramfile: Path
    blind: bool
    far_field: int | None
    images: int | None
    published_fit: bool
    quick: bool
    published_rows: bool
    machine: str
    nodes: int | None
    threads: int | None
    block_voxels: int | None
    report: bool
    again: bool
    resume: bool
    everywhere: bool
    until_settled: float | None
    grain_least: float | None
    patience_s: float | None

    @property
    def engine(self) -> dict[str, Any]:
        """Engine and how it is used, as ``reconstruct``, ``multires`` and a workplace take it."""
        how = {"threads": self.threads, "again": self.again, "patience_s": self.patience_s}
        if self.machine == "local":
            return {"engine": "auto"} | how
        if self.machine in _OURS:
            return {"engine": self.machine} | how
        return {"engine": self.machine, "nodes": self.nodes, "cpus": self.threads} | how


@dataclass(frozen=True)
class Place:
    """Where the files of a map go.

    Attributes
    ----------
    folder
        Of the map.
    flat
        Folders in names of the parameter file are left out.
    images
        Layer that the images are counted from, 1 where the parameters are the layer's own.
    layer
        Number of the layer.
    shared
        Folder of the blocks and the ledger, of all layers.
    label
        Of this layer in the shared ledger.
    """

    folder: Path
    flat: bool
    images: int = 1
    layer: int = 1
    shared: Path | None = None
    label: str = ""

    @property
    def blocks(self) -> Path:
        """Folder of what is done."""
        return self.shared or self.folder / "reconstruction"


def check_engine(machine: str, nodes: int | None) -> None:
    """Refuse a machine that we do not know, and nodes that it has not.

    Raises
    ------
    ConfigError
        See there.
    """
    own = machine == "local" or machine in _OURS
    if not own and not Path(machine).is_file():
        raise ConfigError(
            f"-machineName {machine!r}: expected local, serial, threads, processes, or the file of "
            "a Parsl configuration (the machines of the published driver are no part of refimpl: "
            "'refimpl cluster slurm -o site.py' writes such a file for yours)",
            key="machineName",
        )
    if nodes is not None and nodes < 1:
        raise ConfigError(f"-nNodes {nodes}: expected 1 or more", key="nNodes", got=nodes)
    if own and nodes is not None and nodes > 1:
        raise ConfigError(
            f"-nNodes {nodes}: -machineName {machine} is this computer alone; name the file of a "
            "Parsl configuration ('refimpl cluster slurm -o site.py' writes one)",
            key="nNodes", got=nodes,
        )  # fmt: skip


def check_going_on(place: Place, choices: Choices) -> None:
    """With --resume, refuse to begin anew.

    Raises
    ------
    ConfigError
        There is nothing to go on with; --again too.
    """
    from refimpl.nearfield.reconstruct import LEDGER

    if not choices.resume:
        return
    if choices.again:
        raise ConfigError("--resume and --again: one of them", key="--resume")
    if not (place.blocks / LEDGER).is_file():
        raise ConfigError(
            "nothing to resume: no run has left its ledger here; run without --resume",
            path=place.blocks / LEDGER, key="--resume",
        )  # fmt: skip


def search_of(job: files.Job, choices: Choices) -> SearchSettings:
    """How points are searched and fitted."""
    from refimpl.nearfield.fit_settings import FitSettings, settings_of

    if choices.quick and choices.published_fit:
        raise ConfigError("--quick and --published-fit: one of them", key="--quick")
    fit = FitSettings.quick() if choices.quick else None
    try:
        return settings_of(
            job.config.search, FitSettings.published() if choices.published_fit else fit
        )
    except ConfigError as error:
        if error.key not in job.params.table:
            raise
        raise job.params.refuse(str(error.key), str(error)) from error


def seeds_of_run(job: files.Job, choices: Choices) -> tuple[F64 | None, str]:
    """Seeds of the run, None where there are none, and where they are from."""
    from refimpl.nearfield.seeds import seeds_of

    search, params, far_field = job.config.search, job.params, choices.far_field
    if choices.blind:
        return None, ZONE
    if far_field == 1 and search.grains is None:
        raise ConfigError("-ffSeedOrientations 1 needs GrainsFile", path=params.path,
                          key="GrainsFile")  # fmt: skip
    if far_field == 0 and search.seeds is None:
        raise ConfigError("-ffSeedOrientations 0 needs SeedOrientations", path=params.path,
                          key="SeedOrientations")  # fmt: skip
    if search.seeds is None and search.grains is None:
        return None, ZONE
    hidden: dict[str, None] = (
        {} if far_field is None else {"seeds" if far_field else "grains": None}
    )
    chosen = search.model_copy(update=hidden)
    seeds = seeds_of(chosen, job.operators)
    if chosen.seeds is not None:
        return files.check_seeds(job, seeds), chosen.seeds
    return seeds, str(chosen.grains)


def lit_source(job: files.Job, wanted: int | None, layer: int) -> bool:
    """Whether the lit pixels are to be made of raw images."""
    from refimpl.nearfield.image_files import plan_of

    if wanted is not None:
        return wanted == 1
    try:
        process = plan_of(job.params, layer).files(0)[0].exists()
    except (ConfigError, FormatError):
        process = False
    return process or bool(job.params["Ice9Input"])


def lit_of(
    job: files.Job, choices: Choices, layer: int, tell: Any
) -> tuple[LitPixels, tuple[DistanceReport, ...] | None]:
    """Lit pixels: made of raw images, with what became of these, or those that are there."""
    from refimpl.nearfield.images import process_images

    if not lit_source(job, choices.images, layer):
        return files.lit_pixels(job, job.params.folder, layer), None

    def step(what: str, distance: int, done: int, of: int) -> None:
        tell(f"{what} {distance}", done / max(of, 1))

    made = process_images(
        job.params, layer, spots_info=False, threads=choices.threads, progress=step
    )
    return made.lit, made.reports


def inputs_of(job: files.Job, choices: Choices, seeds: str) -> dict[str, Any]:
    """What a map is made of, by name."""
    return {"parameters": choices.paramfile, "seeds": seeds, "lit pixels": job.params.folder}


def grain_angle(job: files.Job) -> float:
    """Misorientation of a grain boundary [rad] (GBAngle)."""
    from refimpl.units import DEG

    return job.config.output.grain_boundary_deg * DEG


def write_own_params(job: files.Job, choices: Choices, place: Place) -> None:
    """Write the parameter file of a layer of a volume into its folder, as the published driver."""
    from refimpl.io.nearfield_params import write_nearfield_params
    from refimpl.nearfield.volume import layer_params

    if place.shared is None:
        return
    params = job.params
    if place.images != 1:  # lit pixels beside those of the other layers, with their parameters
        params = layer_params(params, place.layer, place.folder)
    write_nearfield_params(place.folder / choices.paramfile.name, params.given)


@dataclass(frozen=True)
class OneGrid:
    """A map of a single resolution that is to be made."""

    search: SearchSettings
    names: FileNames
    voxels: Voxels
    seeds: F64 | None
    named: str

    @classmethod
    def of(cls, job: files.Job, choices: Choices, place: Place) -> OneGrid:
        """Everything that can be refused before the work."""
        from refimpl.nearfield.file_names import FileNames

        search = search_of(job, choices)
        names = FileNames.of(job.params, place.folder, flat=place.flat)
        voxels = files.voxels_of(job)
        return cls(search, names, voxels, *seeds_of_run(job, choices))

    def run(
        self, job: files.Job, choices: Choices, place: Place, work: Workplace | None
    ) -> tuple[NearfieldMap, Path]:
        """Make it and write its files; also the one to look at first."""
        from refimpl.nearfield.config import layer_position_um
        from refimpl.nearfield.reconstruct import reconstruct

        with parse.output_folder(place.folder), parse.progress() as tell:
            write_own_params(job, choices, place)
            lit, _ = lit_of(job, choices, place.images, tell)
            result = reconstruct(
                job.setup, lit, self.voxels, self.seeds, self.search, folder=work or place.blocks,
                block_voxels=choices.block_voxels, phase=job.config.crystal.phase,
                position_um=layer_position_um(job.params, place.images),
                inputs=inputs_of(job, choices, self.named), command=parse.command_line(),
                progress=lambda n, of: tell("voxels", n / max(of, 1)), **choices.engine,
            )  # fmt: skip
            tell("files", 1.0)
            return result, _save(job, result, self.names, choices)


def _save(job: files.Job, result: NearfieldMap, names: FileNames, choices: Choices) -> Path:
    """Write the files of a map under the names of the parameter file; return the main one."""
    from refimpl import hooks
    from refimpl.nearfield.outputs import save

    written = save(
        result, names.folder, text=names.text, binary=names.binary,
        n_phases=job.config.crystal.n_phases, published_rows=choices.published_rows,
        grain_angle_rad=grain_angle(job), grain_space_group=int(job.params.number("SGNr")),
    )  # fmt: skip
    if choices.report:
        page: Path = hooks.call(
            "nearfield.report", result, names.folder, title=Path(names.text).name,
            min_confidence=job.min_confidence, grain_angle_rad=grain_angle(job),
        )  # fmt: skip
        return page
    return written.text
