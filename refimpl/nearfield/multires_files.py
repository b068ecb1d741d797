"""Files of a coarse-to-fine run under their published names, each as soon as its loop ends.

The output map of the manual, version 7.0, section 6. Its programs no longer write some of these
files (``Key.txt``, ``OrientMat.txt``, the flat log folder); here all of them exist. Where manual
and driver differ, or leave a choice:

- Text maps have a row for every voxel; ``published_rows`` leaves those without a solution out.
- ``MyMic_all_solutions.k`` exists also where no point was bad: then it has no row.
- ``MyMic_merged.k`` has what is better of both passes and of the closer look at boundaries, row by
  row, in the order of the grid (the manual sorts by y and x; the driver takes the second pass
  whatever it found).
- ``grid.txt`` at the end of a loop is its whole grid, row for row that of its maps; the points of
  the second pass are those of ``MyMic_all_solutions.k``.
- Spots, keys and matrices are those of the seeds of the last loop.
- The binary map, ``.AllMatches``, ``.map`` and what else a run of a single resolution leaves are
  those of the final map, ``MyMic_merged.K``. ``GrainsLayer{n}.csv`` are its grains too (the driver
  takes those of the first pass).
- ``fit{N}_out.csv``: N is the loop (published: the block of a node); a line for each point that was
  done, of the first pass, then of the second: pass, row, x, y [um], confidence, candidates,
  orientations tried.
- Times stand in ``midas_nf_workflow_multires.log`` alone.

Not here: how the loops are run (:mod:`refimpl.nearfield.multires`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from refimpl.detector.lit_pixels import LitPixels
from refimpl.errors import ConfigError, FormatError
from refimpl.forward.nearfield_setup import Setup
from refimpl.io.atomic import atomic_path, make_folder
from refimpl.io.grains_csv import write_grains
from refimpl.io.mic import MicTable, write_mic
from refimpl.io.nearfield_files import write_grid
from refimpl.io.nearfield_params import NearfieldParams
from refimpl.io.spots_info import read_lit, write_spots_info
from refimpl.nearfield.file_names import FileNames
from refimpl.nearfield.grain_list import greedy_table
from refimpl.nearfield.image_result import DistanceReport
from refimpl.nearfield.loop_grids import LoopGrids
from refimpl.nearfield.loops import Loop, Multires, MultiresSettings
from refimpl.nearfield.maps import NearfieldMap
from refimpl.nearfield.outputs import Written, mic_table, save
from refimpl.nearfield.run_logs import RunLogs
from refimpl.nearfield.seeds import write_grain_seeds
from refimpl.nearfield.settings import NearfieldConfig
from refimpl.nearfield.spot_files import write_hkls, write_spots
from refimpl.units import DEG, UM

__all__ = ["Publisher"]


class Publisher:
    """Writes the files of a run; every file is atomic.

    Parameters
    ----------
    params, config, setup
        The parameter file, as read and as the physics takes it.
    settings, grids
        Of the loops.
    names
        Where the files go.
    layer
        Number of the layer, for ``GrainsLayer{n}.csv``.
    published_rows
        Leave rows without a solution out of the text maps.
    threads
        Of what is computed for a file.
    """

    def __init__(
        self,
        params: NearfieldParams,
        config: NearfieldConfig,
        setup: Setup,
        settings: MultiresSettings,
        grids: LoopGrids,
        names: FileNames,
        *,
        layer: int = 1,
        published_rows: bool = False,
        threads: int | None = None,
    ) -> None:
        self.params, self.config, self.setup = params, config, setup
        self.settings, self.grids, self.names = settings, grids, names
        self.layer, self.published_rows, self.threads = layer, published_rows, threads
        self.logs = RunLogs(make_folder(names.folder))
        self._before: NearfieldMap | None = None

    # --- before the loops

    def start(self, lit: LitPixels, images: Sequence[DistanceReport] | None = None) -> None:
        """Write what does not depend on the loops.

        Parameters
        ----------
        lit
            Lit pixels of the layer.
        images
            What became of the raw images, where they were processed.
        """
        folder, s = self.names.folder, self.settings
        self.logs.workflow(
            f"layer {self.layer}: GridRefactor {s.start_mm / UM:g} {s.factor:g} {s.loops}"
        )
        table = write_hkls(folder / "hkls.csv", self.config)
        self.logs.add("hkls", f"{len(table.ring)} reflections of {table.ring.max()} rings")
        for one in images or ():
            self._image_logs(one)
        if not _holds(folder / "SpotsInfo.bin", lit):
            write_spots_info(folder / "SpotsInfo.bin", _numbers(lit), lit.shape)
        self.logs.add("map", f"{lit.n_lit} lit pixels of {' x '.join(map(str, lit.shape))}")
        if self.names.every is not None and self.names.backup is not None:
            make_folder(self.names.backup.parent)
            with atomic_path(self.names.backup) as temporary:
                shutil.copyfile(self.names.every, temporary)

    def _image_logs(self, one: DistanceReport) -> None:
        d = one.distance
        self.logs.add(f"median{d}", f"distance {d}: median over the frames")
        self.logs.add(
            f"image{d}", f"distance {d}: {one.n_lit} lit pixels in {one.path.name}",
            *(f"frame {frame}: nothing" for frame in one.empty_frames),
        )  # fmt: skip

    # --- a loop

    def on_loop(self, loop: Loop) -> None:
        """Write the files of a loop."""
        k, text = loop.number, self.names.text
        self._grid(loop)
        if k == 0:
            n = "the whole zone" if loop.seeds is None else f"{len(loop.seeds)} seeds"
            self.logs.add("seed", f"loop 0: {n}")
        else:
            self._grains(loop)
        self._map(f"{text}.{k}", mic_table(loop.first, n_phases=self._phases))
        if k:
            second = loop.second
            self._map(
                f"{text}_all_solutions.{k}",
                _no_rows(mic_table(loop.first, n_phases=self._phases)) if second is None
                else mic_table(second, n_phases=self._phases),
            )  # fmt: skip
            self._map(f"{text}_merged.{k}", mic_table(loop.merged, n_phases=self._phases))
        if k or not self.settings.loops:
            self._spots(loop)
        self.logs.write(f"fit{k}", _fit_lines(loop))
        self.logs.workflow(
            f"loop {k}: edge {loop.size_mm / UM:g} um, {len(loop.merged)} points, "
            f"{len(loop.bad)} searched again, {loop.evaluations} evaluations"
        )
        for stage in loop.stages:
            self.logs.workflow(f"{stage.name}: {stage.voxels} points, {stage.seconds:.1f} s")
        self._before = loop.merged

    @property
    def _phases(self) -> int:
        return self.config.crystal.n_phases

    def _grid(self, loop: Loop) -> None:
        """Files of the grid; published they hold triangles alone."""
        points, masked = loop.merged.voxels, ""
        if points.shape == "triangle":
            make_folder(self.names.grid.parent)
            if self.grids.backup is not None:
                whole = self.grids.whole(loop.size_mm)
                write_grid(self.names.grid.with_name(self.grids.backup), whole)
                masked = f", of {len(whole)} before the mask"
            write_grid(self.names.grid, points)
        self.logs.add("hex", f"loop {loop.number}: edge {loop.size_mm / UM:g} um, "
                             f"{len(points)} points{masked}")  # fmt: skip

    def _grains(self, loop: Loop) -> None:
        """Grains of the loop before and the seeds that they are."""
        assert loop.grains is not None  # of every loop but the first
        assert self._before is not None
        k = loop.number
        table = greedy_table(self._before, loop.grains)
        write_grains(self.names.folder / f"Grains.csv.{k}", table, self.setup.space_group)
        seeds = self.names.seeds.with_name(f"{self.names.seeds.name}.{k}")
        make_folder(seeds.parent)
        write_grain_seeds(seeds, table)
        least = self.settings.grain_least
        self.logs.write(
            f"mic2grains_{k}",
            [f"{len(table)} grains of {int((loop.grains.label >= 0).sum())} points of confidence "
             f"{least:g} or more"],
        )  # fmt: skip
        self.logs.add("seed", f"loop {k}: {len(table)} seeds in {seeds.name}")

    def _map(self, name: str, table: MicTable) -> None:
        path = self.names.folder / name
        make_folder(path.parent)
        write_mic(path, table, published_rows=self.published_rows)
        found = int((table.confidence > 0.0).sum())
        self.logs.add("parse", f"{path.name}: {len(table)} points, {found} with an orientation")

    def _spots(self, loop: Loop) -> None:
        """Spots of the seeds of the loop; without seeds there are none."""
        seeds = np.zeros((0, 4)) if loop.seeds is None else loop.seeds
        made = write_spots(self.names.folder, self.setup, seeds, text=True, threads=self.threads)
        self.logs.add("spots", f"loop {loop.number}: {len(made.yl_mm)} spots of {len(seeds)} "
                               "orientations")  # fmt: skip

    # --- after them

    def finish(self, result: Multires) -> Written:
        """Write the files of the final map."""
        k, text = result.loops[-1].number, self.names.text
        written = save(
            result.final, self.names.folder, text=f"{text}_merged.{k}" if k else f"{text}.0",
            binary=self.names.binary, n_phases=self._phases, published_rows=self.published_rows,
            grain_angle_rad=self.config.output.grain_boundary_deg * DEG,
            grain_space_group=int(self.params.number("SGNr")),
        )  # fmt: skip
        grains = greedy_table(result.final, result.grains)
        name = f"GrainsLayer{self.layer}.csv"
        write_grains(self.names.folder / name, grains, self.setup.space_group)
        settled = ", settled before the last" if result.settled else ""
        self.logs.workflow(f"layer {self.layer}: done, loop {k}{settled}; {name} has "
                           f"{len(grains)} grains")  # fmt: skip
        return written


def _no_rows(table: MicTable) -> MicTable:
    return table.rows(np.zeros(len(table), dtype=bool))


def _numbers(lit: LitPixels) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Numbers of the lit pixels as :mod:`refimpl.io.spots_info` counts them."""
    d, f, y, z = lit.pixels().astype(np.int64).T
    _, frames, ny, nz = lit.shape
    return np.asarray(((d * frames + f) * ny + y) * nz + z)


def _holds(path: Path, lit: LitPixels) -> bool:
    """Whether a file has these lit pixels already."""
    if not path.is_file():
        return False
    try:
        own = read_lit(path, lit.shape)
    except (ConfigError, FormatError):
        return False
    return np.array_equal(own.coarse, lit.coarse) and np.array_equal(own.tiles, lit.tiles)


def _fit_lines(loop: Loop) -> Iterator[str]:
    """A line for each point that a pass did."""
    for number, found in enumerate((loop.first, loop.second), start=1):
        if found is None:
            continue
        rows = np.arange(len(found)) if number == 1 else loop.bad
        columns = (
            rows.tolist(), *(found.voxels.xy_mm / UM).T.tolist(), found.confidence.tolist(),
            found.n_kept.tolist(), found.evaluations.tolist(),
        )  # fmt: skip
        for row, x, y, confidence, kept, tried in zip(*columns, strict=True):
            yield f"{number} {row} {x:.6f} {y:.6f} {confidence:.6f} {kept} {tried}"
