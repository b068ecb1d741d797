"""``refimpl metrology count-spots``: the spots of each image, counted in the manner of distl."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import metrology_files as files
from refimpl.cli import parse
from refimpl.errors import ConfigError, GeometryError

if TYPE_CHECKING:
    from refimpl.forward.experiment import Experiment
    from refimpl.imaging.distl import DistlResult, DistlSettings, FlatDetector

__all__ = ["EXAMPLES", "count_spots", "flat_detector"]

EXAMPLES = """\b
Examples:
  refimpl metrology count-spots imported.expt
  refimpl metrology count-spots imported.expt --kind eiger --json -o counts"""

LARGEST_TILT = 0.002
"""Angle [rad] between the beam and the normal of a detector that still faces it."""
EVERY_S = 1.0
"""Time between two writings of what is done."""


def count_spots(
    experiments: Annotated[Path, typer.Argument(metavar="EXPT", help=(
        "One scan, or stills, with their images, as refimpl metrology import makes them."))],
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="DIR", help=(
            "Folder for counts.json; an interrupted count goes on from what it holds."))] = None,
    kind: Annotated[str | None, typer.Option(
        metavar="NAME", help=(
            "Whose defaults: pilatus, eiger or other; default: by the size and name."))] = None,
    set_: Annotated[list[str] | None, typer.Option(
        "--set", metavar="NAME=VALUE", help="Any setting, value as in TOML.")] = None,
    threads: Annotated[int | None, typer.Option(
        metavar="N", help="Threads; the result does not depend on it.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Also what is done already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> int:  # fmt: skip
    """Count the spots of each image: Spot Total, Good Bragg Candidates, resolution, ice rings."""
    from refimpl.cli.metrology_images import of_experiment, together
    from refimpl.imaging.distl import count_spots as count
    from refimpl.io.atomic import json_text
    from refimpl.io.dials_files import read_expt

    models = read_expt(experiments)
    experiment = together(models, experiments)
    if any(e.beam is not experiment.beam for e in models):
        raise ConfigError("stills in several beams: count them apart", path=experiments)
    detector, overload = flat_detector(experiment)
    options = parse.settings(set_ or [])
    settings = _settings(experiment, detector, kind, options)
    images = of_experiment(experiment, experiments)
    key = files.fingerprint([experiments, *images.paths], options | {"kind": kind})
    kept = _Kept(out, key, again)
    listings: list[str] = []
    with files.counter("counting spots", len(images)) as tell:
        try:
            for k, image in enumerate(images.since(len(kept.rows)), start=len(kept.rows)):
                found = count(
                    image, detector, overload=overload, settings=settings, threads=threads
                )
                kept.rows.append(_row(images.first + k, found))
                tell(k + 1)
                if time.monotonic() - kept.last > EVERY_S:
                    kept.write()
        finally:
            kept.write()
    if as_json:
        typer.echo(json_text(kept.rows))
        return 0
    listings = [" image  spots   dry  in-res   good  ice  method 1  method 2  max cell"]
    listings += [_line(row) for row in kept.rows]
    typer.echo("\n".join(listings))
    return 0


class _Kept:
    """Rows that are done, in the folder's ``counts.json`` where there is a folder."""

    def __init__(self, folder: Path | None, key: str, again: bool) -> None:
        self.path = None if folder is None else folder / "counts.json"
        self.key, self.last = key, time.monotonic()
        self.rows: list[dict[str, Any]] = []
        if self.path is None or again:
            return
        try:
            content = json.loads(self.path.read_text())
            if content["fingerprint"] == key:
                self.rows = content["images"]
                typer.echo(f"{folder}: {len(self.rows)} images done before, kept", err=True)
        except (OSError, ValueError, KeyError, TypeError):
            return

    def write(self) -> None:
        from refimpl.io.atomic import make_folder, write_json

        self.last = time.monotonic()
        if self.path is not None and self.rows:
            make_folder(self.path.parent)
            write_json(self.path, {"fingerprint": self.key, "images": self.rows})


def _row(number: int, found: DistlResult) -> dict[str, Any]:
    return {
        "image": number, "spot_total": found.spot_total,
        "remove_ice": len(found.lists["remove_ice"]),
        "in_resolution": len(found.lists["in_resolution"]),
        "good_bragg": len(found.lists["good_bragg"]), "ice_rings": len(found.ice_rings),
        "method1_angstrom": found.method1_angstrom, "method2_angstrom": found.method2_angstrom,
        "max_cell_angstrom": found.max_cell_angstrom,
        "mean_eccentricity": found.mean_eccentricity, "saturation": found.saturation,
        "overloads": found.overloads, "total_signal": found.total_signal,
    }  # fmt: skip


def _line(row: dict[str, Any]) -> str:
    ends = [
        f"{row[name]:10.2f}" if row[name] is not None else f"{'-':>10s}"
        for name in ("method1_angstrom", "method2_angstrom", "max_cell_angstrom")
    ]
    return (
        f"{row['image']:6d} {row['spot_total']:6d} {row['remove_ice']:5d} "
        f"{row['in_resolution']:7d} {row['good_bragg']:6d} {row['ice_rings']:4d}{''.join(ends)}"
    )


def _settings(
    experiment: Experiment, detector: FlatDetector, kind: str | None, options: dict[str, Any]
) -> DistlSettings:
    from dataclasses import replace

    from refimpl.imaging.distl import DistlSettings, has_modules

    if kind is None:
        assert experiment.detector is not None
        first = experiment.detector.modules[0]
        eiger = "eiger" in f"{first.name} {first.identifier}".lower()
        kind = "eiger" if eiger else "pilatus" if has_modules(detector.shape) else "other"
    settings = DistlSettings.of_detector(kind)  # type: ignore[arg-type]
    known = DistlSettings.__dataclass_fields__
    for name in options:
        if name not in known:
            raise ConfigError(
                f"unknown setting {name!r}: expected some of {', '.join(known)}", key=name
            )
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    return replace(settings, **given)


def flat_detector(experiment: Experiment) -> tuple[FlatDetector, int]:
    """Detector as distl sees it, one plane across the beam, and the largest valid count.

    Raises
    ------
    GeometryError
        It does not face the beam, or its panels do not lie in one plane on one grid.
    """
    import numpy as np

    from refimpl.imaging.distl import FlatDetector

    if experiment.detector is None or experiment.beam is None:
        raise GeometryError("counting spots needs an experiment with a beam and a detector")
    modules, frames = experiment.detector.modules, experiment.detector.d
    pixel = modules[0].pixel_size_mm[0]
    if any(abs(v - pixel) > 1e-6 for m in modules for v in m.pixel_size_mm):
        raise GeometryError("counting spots needs square pixels, the same on all panels")
    s0 = np.asarray(experiment.beam.s0)
    fast, slow, origin = frames[0].T
    offset = np.array(modules[0].raw_image_offset) * pixel
    corner = origin - offset[0] * fast - offset[1] * slow
    for k, (module, frame) in enumerate(zip(modules, frames, strict=True)):
        at = np.array(module.raw_image_offset) * pixel
        away = frame[:, 2] - corner - at[0] * fast - at[1] * slow
        if np.abs(frame[:, :2] - frames[0][:, :2]).max() > 1e-3 or np.abs(away).max() > pixel:
            raise GeometryError(
                f"panel {k} does not lie on the grid of panel 0: a count takes one flat detector"
            )
    normal = np.cross(fast, slow)
    cosine = abs(float(normal @ s0)) / float(np.linalg.norm(normal) * np.linalg.norm(s0))
    tilt = float(np.arccos(min(cosine, 1.0)))
    if tilt > LARGEST_TILT:
        raise GeometryError(
            f"the detector is tilted by {tilt:.4f} rad to the beam: a count takes one that faces "
            f"it, within {LARGEST_TILT:g} rad"
        )
    u, v, w = np.linalg.inv(np.column_stack([fast, slow, corner])) @ s0
    size = [max(m.raw_image_offset[k] + m.size_px[k] for m in modules) for k in (1, 0)]
    distance = abs(float(corner @ normal)) / float(np.linalg.norm(normal))
    flat = FlatDetector(
        (size[0], size[1]), pixel, distance, experiment.beam.wavelength_angstrom,
        (float(u / w), float(v / w)),
    )  # fmt: skip
    return flat, int(modules[0].trusted_range[1])
