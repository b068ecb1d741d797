"""``refimpl nearfield reconstruct`` with GridRefactor, what it would cost, and many layers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refimpl.cli import nearfield_files as files
from refimpl.cli import nearfield_run as own
from refimpl.cli import parse
from refimpl.errors import ConfigError, FormatError, GeometryError

if TYPE_CHECKING:
    from refimpl.cli.nearfield_run import Choices, Place
    from refimpl.frames import F64
    from refimpl.nearfield.estimate import Estimate
    from refimpl.nearfield.file_names import FileNames
    from refimpl.nearfield.fit_settings import SearchSettings
    from refimpl.nearfield.image_files import ImagePlan
    from refimpl.nearfield.loop_grids import LoopGrids
    from refimpl.nearfield.loops import Multires, MultiresSettings
    from refimpl.nearfield.workplace import Workplace

__all__ = ["Loops", "check_options", "estimate", "is_coarse_to_fine", "places_of"]

_GRAIN_LEAST = 0.6  # what the published driver passes to Mic2GrainsList, whatever the file says


def is_coarse_to_fine(job: files.Job) -> bool:
    """Whether the parameter file asks for loops."""
    return "GridRefactor" in job.params


def check_options(job: files.Job, choices: Choices) -> None:
    """Refuse options of loops for a run that has none.

    Raises
    ------
    ConfigError
        See there.
    """
    given = {
        "-minConfidence": choices.grain_least is not None,
        "--everywhere": choices.everywhere,
        "--until-settled": choices.until_settled is not None,
    }
    for name in given:
        if given[name] and not is_coarse_to_fine(job):
            raise ConfigError(
                f"{name} is for coarse-to-fine runs: the file has no GridRefactor",
                path=job.params.path, key=name,
            )  # fmt: skip


@dataclass(frozen=True)
class Loops:
    """A map from coarse to fine that is to be made."""

    search: SearchSettings
    names: FileNames
    settings: MultiresSettings
    grids: LoopGrids
    seeds: F64 | None
    every: F64 | None
    named: str

    @classmethod
    def of(cls, job: files.Job, choices: Choices, place: Place) -> Loops:
        """Everything that can be refused before the work."""
        from refimpl.nearfield.file_names import FileNames
        from refimpl.nearfield.loop_grids import LoopGrids

        search = own.search_of(job, choices)
        names = FileNames.of(job.params, place.folder, flat=place.flat)
        stated = "EdgeLength" in job.params or "edge_mm" in job.given
        grids = LoopGrids.of(job.config.grid, edge_stated=stated)
        settings = _settings(job, choices)
        try:
            grids.check(settings.sizes_mm, job.setup.detector)
        except GeometryError as error:
            raise job.params.refuse("GridRefactor", str(error)) from error
        except ConfigError as error:
            if error.path is not None or error.key is None:
                raise
            raise files.placed(job.params, error) from error
        seeds, named = own.seeds_of_run(job, choices)
        every = None if choices.blind else _every_seed(job)
        if seeds is None and every is not None:  # nothing else is named to begin with
            seeds, named = every, str(job.params.file("SeedOrientationsAll"))
        return cls(search, names, settings, grids, seeds, every, named)

    def run(
        self, job: files.Job, choices: Choices, place: Place, work: Workplace | None
    ) -> tuple[Multires, Path]:
        """Make it, its files as the loops end; also the one to look at first."""
        from refimpl import hooks
        from refimpl.nearfield.config import layer_position_um
        from refimpl.nearfield.multires import multires
        from refimpl.nearfield.multires_files import Publisher
        from refimpl.nearfield.workplace import Workplace

        with parse.output_folder(place.folder), parse.progress() as tell:
            lit, images = own.lit_of(job, choices, place.images, tell)
            # held before a file is written: another run in this folder is not disturbed
            with nullcontext(work) if work else Workplace(place.blocks, **choices.engine) as here:
                own.write_own_params(job, choices, place)
                publisher = Publisher(
                    job.params, job.config, job.setup, self.settings, self.grids, self.names,
                    layer=place.layer, published_rows=choices.published_rows,
                    threads=choices.threads,
                )  # fmt: skip
                publisher.start(lit, images)
                result = multires(
                    job.setup, lit, self.grids, self.seeds, self.settings, self.search,
                    every_seed=self.every, folder=here, threads=choices.threads,
                    block_voxels=choices.block_voxels, phase=job.config.crystal.phase,
                    position_um=layer_position_um(job.params, place.images),
                    inputs=own.inputs_of(job, choices, self.named), command=parse.command_line(),
                    progress=lambda step, n, of: tell(step, n / max(of, 1)),
                    on_loop=publisher.on_loop, label=place.label,
                )  # fmt: skip
                tell("files", 1.0)
                written = publisher.finish(result)
            if not choices.report:
                return result, written.text
            page: Path = hooks.call(
                "nearfield.multires_report", result, place.folder, title=written.text.name,
                grain_angle_rad=own.grain_angle(job),
            )  # fmt: skip
            return result, page


def _settings(job: files.Job, choices: Choices) -> MultiresSettings:
    from refimpl.nearfield.loops import MultiresSettings
    from refimpl.units import DEG, UM

    params = job.params
    size, factor, loops = params.rows("GridRefactor")
    return MultiresSettings(
        size * UM, factor, int(loops), bad_below=params.number("MinConfidence"),
        grain_angle_rad=params.number("MaxAngle") * DEG, everywhere=choices.everywhere,
        grain_least=_GRAIN_LEAST if choices.grain_least is None else choices.grain_least,
        settled_share=choices.until_settled,
    )  # fmt: skip


def _every_seed(job: files.Job) -> F64 | None:
    """Orientations of SeedOrientationsAll; None without it."""
    from refimpl.io.nearfield_files import read_seeds

    path = job.params.file("SeedOrientationsAll")
    if path is None:
        return None
    if not path.is_file():
        raise job.params.refuse("SeedOrientationsAll", f"SeedOrientationsAll: no such file: {path}")
    return read_seeds(path)


def estimate(job: files.Job, choices: Choices, place: Place) -> Estimate:
    """What a run would cost, from a sample of its points; raw images are processed for it."""
    from refimpl.nearfield.estimate import estimate as sampled

    if is_coarse_to_fine(job):
        loops = Loops.of(job, choices, place)
        what: tuple[Any, ...] = (loops.grids, loops.seeds, loops.settings, loops.search)
        more: dict[str, Any] = {"every_seed": loops.every}
    else:
        one = own.OneGrid.of(job, choices, place)
        what, more = (None, one.seeds, None, one.search), {"voxels": one.voxels}
    with parse.progress() as tell:
        lit, _ = own.lit_of(job, choices, place.images, tell)
        tell("sample", 0.0)
        return sampled(job.setup, lit, *what, threads=choices.threads, **more)


def places_of(
    job: files.Job, choices: Choices, layers: Sequence[int], root: Path
) -> list[tuple[files.Job, Place]]:
    """Parameters and folder of each layer of a volume; nothing is made.

    Raises
    ------
    ConfigError, FormatError
        What a layer needs is missing: said before the first one is begun.
    """
    from refimpl.io.nearfield_params import NearfieldParams
    from refimpl.nearfield.image_files import plan_of
    from refimpl.nearfield.volume import layer_folder, layer_params

    out = []
    for layer in layers:
        folder = layer_folder(root, layer)
        params: NearfieldParams = layer_params(job.params, layer, folder)
        one, images = files.job_of(params, job.given), 1
        if own.lit_source(one, choices.images, 1):
            if not params["Ice9Input"]:
                _check_images(plan_of(params, 1), layer)
        else:
            one, images = _with_lit(job, one, layer)
        place = own.Place(folder, True, images, layer, root / "reconstruction", f"layer {layer}")
        out.append((one, place))
    return out


def _check_images(plan: ImagePlan, layer: int) -> None:
    """Refuse images that are missing; what is wrong in them is found when they are read."""
    from refimpl.io.nearfield_places import places_of as frames_of

    for distance in range(plan.n_distances):
        files_, frames = plan.files(distance), plan.frames(distance)
        if frames is not None:  # one file, that holds so many frames or not
            frames_of(files_, plan.rows_columns, frames=frames, dataset=plan.dataset)
        missing = [path for path in files_ if not path.exists()]
        if missing:
            raise FormatError(f"no such image, of layer {layer}", path=missing[0])


def _with_lit(volume: files.Job, one: files.Job, layer: int) -> tuple[files.Job, int]:
    """Job that finds the lit pixels of a layer: in its own folder, else beside the others'."""
    if files.saved_lit(one, one.params.folder, 1) is not None:
        return one, 1
    files.lit_pixels(volume, volume.params.folder, layer)  # or it says that there are none
    return volume, layer
