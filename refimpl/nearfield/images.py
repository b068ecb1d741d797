"""Raw near-field images to lit pixels: background, filters, packed bits (spec 1.8).

For each distance: the median of every pixel over the frames, then frame by frame what exceeds it.
A distance that is done is a file of its own, so a run that was stopped goes on with the next one,
and one whose images or settings have changed is done again. Memory is that of a block of rows of
all frames, and a few frames; it does not grow with their number. Not done here: wide-field images,
which are passed over, and the denoisers of the successor programs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refimpl.dispatch import current_backend, resolve_threads, use_backend
from refimpl.errors import FormatError
from refimpl.frames import I64, nearfield_from_raw
from refimpl.imaging.binarise import Filters, corrected, spot_pixels
from refimpl.imaging.nearfield_background import Background, background_of
from refimpl.io.atomic import atomic_path, make_folder
from refimpl.io.lit_files import append_frame_pixels, open_frame_pixels
from refimpl.io.nearfield_frames import NearfieldStack, open_stack
from refimpl.io.nearfield_params import NearfieldParams
from refimpl.io.nearfield_places import places_of
from refimpl.ledger import fingerprint
from refimpl.nearfield.image_files import ImagePlan, plan_of
from refimpl.nearfield.image_result import DistanceReport, ProcessedImages, finished, lit_path
from refimpl.nearfield.peak_images import read_peak_images
from refimpl.scaleout import checkpoint

__all__ = ["filters_of", "process_images"]

U16 = NDArray[np.uint16]
Progress = Callable[[str, int, int, int], None]
"""Called with what is done ("background" or "frames"), the distance from 1, and how far of what."""


def filters_of(params: NearfieldParams, **changes: float | bool) -> Filters:
    """Filters that a parameter file asks for; `changes` are fields of :class:`Filters`.

    Raises
    ------
    ConfigError
        A value out of range, or a blanket that is no whole number of counts.
    """
    blanket, radius = params.number("BlanketSubtraction"), int(params.number("MedFiltRadius"))
    if blanket != int(blanket):
        raise params.refuse(
            "BlanketSubtraction", f"BlanketSubtraction {blanket}: expected whole counts"
        )
    settings = {
        "blanket": int(blanket),
        "median_radius": radius if radius in (1, 2) else 0,
        "log": bool(params["DoLoGFilter"]),
        "log_sigma": params.number("GaussFiltRadius"),
        "log_radius": int(params.number("LoGMaskRadius")),
    }
    return Filters(**{**settings, **changes})  # type: ignore[arg-type]


def process_images(
    params: NearfieldParams,
    layer: int = 1,
    *,
    filters: Filters | None = None,
    stacks: Sequence[Path] | None = None,
    dataset: str | None = None,
    spots_info: bool = True,
    again: bool = False,
    memory_mb: float = 128.0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> ProcessedImages:
    """Find the lit pixels of all distances of a layer, and write the published files.

    With ``Ice9Input`` the images are peak files, which are read and not processed:
    :func:`~refimpl.nearfield.peak_images.read_peak_images`; `layer`, `filters`, `stacks` and
    `dataset` are refused then.

    Parameters
    ----------
    params
        The parameter file.
    layer
        Layer of the sample, from 1.
    filters
        None: those of the parameter file, see :func:`filters_of`.
    stacks, dataset
        Files that hold the frames of a distance each, or of all, instead of numbered images; and
        the data set in them. See :func:`~refimpl.nearfield.image_files.plan_of`.
    spots_info
        Write SpotsInfo.bin too.
    again
        Do every distance, whatever was done before.
    memory_mb
        For the frames of which the background is made.
    threads
        Does not change a bit of the result.
    progress
        See :data:`Progress`.

    Returns
    -------
    ProcessedImages

    Raises
    ------
    ConfigError, FormatError
        Parameters that are missing or contradict each other; an image that is missing, empty, cut
        short, of another size or the same in all frames: always with the name of the file.
    KeyboardInterrupt
        The run was stopped; distances that were done stay done.

    Notes
    -----
    Files in the folder of the outputs, with d from 0: ``lit_pixels_distance_d.h5``;
    ``{ReducedFileName}_Median_Background_Distance_d.{extReduced}``, ``_MaximumIntensity_`` and
    ``_MaximumIntensityMedianCorrected_`` (raw uint16, in the order of the raw image);
    ``SpotsInfo.bin``; with WriteFinImage the filtered frames at lit pixels, 0 elsewhere,
    ``{ReducedFileName}_FullImage_{frame:06d}.{extReduced}d``.
    """
    if params["Ice9Input"]:
        if layer != 1 or any(given is not None for given in (filters, stacks, dataset)):
            raise params.refuse(
                "Ice9Input", "Ice9Input reads peak files: layers, filters, stacks and data sets "
                "are of images",
            )  # fmt: skip
        return read_peak_images(params, spots_info=spots_info)
    chosen = filters_of(params) if filters is None else filters
    plan = plan_of(params, layer, stacks, dataset)
    for distance in range(plan.n_distances):  # of the last one too, before hours are spent
        places_of(
            plan.files(distance), plan.rows_columns, frames=plan.frames(distance),
            dataset=plan.dataset,
        )  # fmt: skip
    make_folder(plan.folder)
    reports: list[DistanceReport] = []
    for distance in range(plan.n_distances):
        path = lit_path(plan.folder, distance, layer)
        source = _digest(plan, distance, chosen)
        kept = not again and _is_done(path, source, plan, distance)
        if not kept:
            with append_frame_pixels(path, plan.shape_px, source) as append:
                _one_distance(plan, distance, chosen, append, memory_mb, threads, progress)
        reports.append(DistanceReport.of(distance, path, kept=kept))
    return finished(reports, plan.folder, spots_info=spots_info)


def _digest(plan: ImagePlan, distance: int, filters: Filters) -> str:
    """Digest of everything that the lit pixels of a distance depend on."""
    files = list(plan.files(distance)[: 1 if plan.frames(distance) is not None else None])
    settings = [asdict(filters), list(plan.shape_px), plan.frames(distance), plan.dataset]
    return fingerprint("lit pixels 1", settings, files)


def _is_done(path: Path, source: str, plan: ImagePlan, distance: int) -> bool:
    """Whether an earlier run left all files, of the same images and settings."""
    wanted = [plan.reduced(distance, kind) for kind in _PUBLISHED]
    if not path.exists() or not all(file.exists() for file in wanted):
        return False
    try:
        with open_frame_pixels(path) as pixels:
            return pixels.source == source
    except FormatError:  # of another program, or of a newer one: done again
        return False


_PUBLISHED = ("Median_Background", "MaximumIntensity", "MaximumIntensityMedianCorrected")


def _one_distance(
    plan: ImagePlan,
    distance: int,
    filters: Filters,
    append: Callable[[U16, U16], None],
    memory_mb: float,
    threads: int | None,
    progress: Progress | None,
) -> None:
    """Background, its published files, and the lit pixels of every frame."""

    def tell(what: str) -> Callable[[int, int], None]:
        def report(done: int, of: int) -> None:
            checkpoint()
            if progress is not None:
                progress(what, distance + 1, done, of)

        return report

    files, frames = plan.files(distance), plan.frames(distance)
    rows_columns = plan.rows_columns
    with open_stack(files, rows_columns, plan.folder, frames=frames, dataset=plan.dataset) as stack:
        background = background_of(
            stack.rows, stack.n_frames, stack.shape, memory_mb=memory_mb,
            with_noise=filters.sigmas > 0.0, threads=threads, progress=tell("background"),
        )  # fmt: skip
        if stack.n_frames > 1 and not background.maximum_corrected.any():
            raise FormatError(
                f"all {stack.n_frames} images of distance {distance + 1} are the same or empty: "
                "no pixel ever exceeds its median", path=stack.names[0],
            )  # fmt: skip
        _write_background(plan, distance, background)
        floor = background.floor(filters.blanket, filters.sigmas)
        found = _in_order(stack, floor, filters, resolve_threads(threads), plan, distance)
        for done, flat in enumerate(found, start=1):
            append(*_flipped(flat, plan.shape_px))
            tell("frames")(done, stack.n_frames)


def _flipped(flat: I64, shape_px: tuple[int, int]) -> tuple[U16, U16]:
    """Y and Z, sorted by both, of flat indices of the raw image."""
    row, column = np.divmod(flat, shape_px[0])
    y, z = nearfield_from_raw(row, column, shape_px)
    y, z = np.divmod(np.sort(y * shape_px[1] + z), shape_px[1])
    return y.astype(np.uint16), z.astype(np.uint16)


def _in_order(
    stack: NearfieldStack,
    floor: U16,
    filters: Filters,
    threads: int,
    plan: ImagePlan,
    distance: int,
) -> Iterator[I64]:
    """Flat indices of the lit pixels of each frame; as many frames at a time as threads."""
    backend = current_backend()

    def work(index: int) -> I64:
        with use_backend(backend):
            raw = stack.frame(index)
            flat = spot_pixels(raw, floor, filters, threads=1)
            if plan.write_images:
                image = np.zeros(raw.size, dtype=np.uint16)
                image[flat] = corrected(raw, floor, filters.median_radius).reshape(-1)[flat]
                _write_raw(plan.full_image(distance, index), image)
        return flat

    with ThreadPoolExecutor(threads, thread_name_prefix="refimpl") as pool:
        waiting: deque[Future[I64]] = deque()
        try:
            for index in range(stack.n_frames):
                waiting.append(pool.submit(work, index))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _write_background(plan: ImagePlan, distance: int, background: Background) -> None:
    images = (background.median, background.maximum, background.maximum_corrected)
    for kind, image in zip(_PUBLISHED, images, strict=True):
        _write_raw(plan.reduced(distance, kind), image)


def _write_raw(path: Path, image: U16) -> None:
    """Write little-endian 16-bit counts without a header; atomic."""
    with atomic_path(path) as temporary:
        image.astype("<u2", copy=False).tofile(temporary)
