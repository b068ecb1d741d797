"""The search behind ``refimpl metrology find-spots``: masks, gains, going on where it stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from refimpl.cli import metrology_files as files
from refimpl.errors import ConfigError, FormatError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from refimpl.cli.metrology_images import Images
    from refimpl.detector.hierarchy import Hierarchy
    from refimpl.forward.experiment import Experiment
    from refimpl.imaging.spots import SpotFinder, SpotSettings, SpotTable
    from refimpl.io.spot_journal import SpotJournal

__all__ = ["mask_file", "search", "with_gains"]


def with_gains(settings: SpotSettings, experiment: Experiment) -> SpotSettings:
    """Settings with the gain of each panel, where none is set and the panels state some but 1.

    Raises
    ------
    ConfigError
        The experiment has no detector, or names a map of gains.
    """
    if experiment.detector is None:
        raise ConfigError("the experiment has no detector: spots cannot be looked for")
    entry = experiment.imageset or {}
    if entry.get("gain") and settings.gain is None:
        raise ConfigError(
            f"the experiment names a map of gains, {entry['gain']}, which is not read; give a gain "
            "for all panels or one for each: --set gain=[1.0,1.1]",
            key="gain",
        )
    gains = tuple(m.gain for m in experiment.detector.modules)
    if settings.gain is not None or all(g == 1.0 for g in gains):
        return settings
    return replace(settings, gain=gains)


def mask_file(experiment: Experiment, given: str | None, home: Path) -> Path | None:
    """File of the mask; what DIALS writes is a pickle and is not read.

    Raises
    ------
    ConfigError
        The experiment names a mask and none is given.
    """
    named = (experiment.imageset or {}).get("mask")
    if given is not None:
        return None if given == "none" else Path(given)
    if named:
        raise ConfigError(
            f"the experiment names a mask, {named}, which is a pickle and is never loaded; give "
            "--mask FILE, an image or .npy, or --mask none",
            path=home, key="mask",
        )  # fmt: skip
    return None


def search(
    experiment: Experiment,
    images: Images,
    settings: SpotSettings,
    mask: Path | None,
    journal: SpotJournal,
    threads: int | None,
) -> SpotTable:
    """Find the spots; what is done of an interrupted search is taken from the journal.

    Raises
    ------
    ConfigError, FormatError, ConvergenceError
        An image, the mask or a setting does not fit; names the image.
    """
    parts = journal.read()
    start = sum(len(part["strong"]) for part in parts)
    shape: tuple[int, int] | None = None
    if parts:
        shape = int(parts[0]["shape"][0]), int(parts[0]["shape"][1])
    finder: SpotFinder | None = None
    if start:
        typer.echo(f"going on after {start} of {len(images)} images", err=True)
    with files.counter("finding spots", len(images)) as tell:
        try:
            for image in images.since(start):
                if finder is None:
                    shape = shape or (image.shape[0], image.shape[1])
                    finder = _finder(experiment, images, shape, settings, mask, threads)
                    finder.restore(parts)
                    parts = []
                    finder.take()  # what is on disk already
                finder.add(image)
                tell(finder.done)
                if journal.is_due():
                    journal.write(finder.take())
        finally:
            if finder is not None:
                journal.write(finder.take())
    # the spots have gone to disk as they were found: now they are read as one
    whole = _finder(experiment, images, shape or (0, 0), settings, mask, threads)
    whole.restore(journal.read())
    return whole.table()


def _finder(
    experiment: Experiment, images: Images, shape: tuple[int, int], settings: SpotSettings,
    mask: Path | None, threads: int | None,
) -> SpotFinder:  # fmt: skip
    from refimpl.imaging.spots import SpotFinder

    detector = experiment.detector
    assert detector is not None  # an experiment with images has one
    corner = [max(m.raw_image_offset[k] + m.size_px[k] for m in detector.modules) for k in (0, 1)]
    if shape[1] < corner[0] or shape[0] < corner[1]:
        raise FormatError(
            f"an image of {shape[1]} x {shape[0]} pixels (fast x slow): the detector has "
            f"{corner[0]} x {corner[1]}; it is of another one",
            path=images.paths[0],
        )
    return SpotFinder(
        trusted_range=_trusted_range(detector),
        mask=_usable(detector, images, shape, mask),
        is_still=experiment.is_still,
        first_frame=0 if experiment.scan is None else experiment.scan.array_start,
        panels=[(*m.raw_image_offset, *m.size_px) for m in detector.modules],
        settings=settings,
        threads=threads,
    )


def _trusted_range(detector: Hierarchy) -> tuple[float, float]:
    first = detector.modules[0].trusted_range
    for k, module in enumerate(detector.modules):
        if module.trusted_range != first:
            raise ConfigError(
                f"panel {k} has the trusted range {module.trusted_range}, panel 0 {first}: "
                "expected the same for all",
                key="trusted_range",
            )
    return first


def _usable(
    detector: Hierarchy, images: Images, shape: tuple[int, int], path: Path | None
) -> NDArray[np.bool_] | None:
    """Pixels that may be used; None for all: masks of the file, of the detector, of the panels."""
    import numpy as np

    masks: list[NDArray[Any]] = []
    if path is not None:
        masks.append(_mask_of_file(path, shape))
    good = images.good_pixels()
    if good is not None:
        masks.append(good)
    areas = [(m.raw_image_offset, area) for m in detector.modules for area in m.mask]
    if areas:
        own = np.ones(shape, dtype=bool)
        for (fast, slow), (f0, s0, f1, s1) in areas:
            own[slow + s0 : slow + s1, fast + f0 : fast + f1] = False
        masks.append(own)
    return np.logical_and.reduce(masks) if masks else None


def _mask_of_file(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    from refimpl.io.images import open_source

    with open_source(path) as source:
        values = source.frame(0)
    if values.shape != shape:
        raise ConfigError(
            f"a mask of {values.shape[1]} x {values.shape[0]} pixels (fast x slow): the images "
            f"have {shape[1]} x {shape[0]}",
            path=path, key="mask",
        )  # fmt: skip
    return values != 0
