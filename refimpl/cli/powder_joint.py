"""``refimpl powder calibrate FIRST --joint SECOND``: several frames of one detector together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from refimpl.cli import parse
from refimpl.errors import ConfigError, ConvergenceError

if TYPE_CHECKING:
    from refimpl.powder.config import PowderConfig
    from refimpl.powder.joint import JointFrame, JointResult

__all__ = ["OPTIONS", "calibrate", "wanted"]

OPTIONS = ("joint", "refine_shared", "share")
"""Options of ``calibrate`` that are read here."""

_REFUSED = {"geometry": "--geometry", "save_plots_hdf": "--save-plots-hdf"}

Settled = Callable[[Mapping[str, Any]], "tuple[PowderConfig, dict[str, Any]]"]


def wanted(options: Mapping[str, Any]) -> bool:
    """Whether the options of ``calibrate`` ask for several frames."""
    return any(options[name] for name in OPTIONS)


def calibrate(options: Mapping[str, Any], settled: Settled) -> int:
    """Calibrate the image of ``calibrate`` and those of ``--joint`` together.

    Parameters
    ----------
    options
        The arguments of ``calibrate`` by name.
    settled
        Turns them into a configuration and reading options.
    """
    _check(options)
    from refimpl.powder.joint import calibrate_joint

    frames = [_frame(path) for path in (options["image"], *options["joint"])]
    config, reading = settled(_with_wavelength(options, frames))
    frames = [_with_reading(frame, reading) for frame in frames]
    refine = parse.names(options["refine_shared"])
    with parse.output_folder(options["out"]) as out:
        with parse.progress() as tell:
            result = calibrate_joint(
                frames, config=config, threads=options["threads"], progress=tell,
                refine_shared=("pixel_size",) if refine is None else _or_none(refine),
                share=parse.names(options["share"]) or (),
            )  # fmt: skip
        result.save(out, report=options["report"])
    _print(result, out, options["as_json"])
    if not result.converged:
        raise ConvergenceError(f"not converged: {result.reason}; what there is stands in {out}")
    return 0


def _check(options: Mapping[str, Any]) -> None:
    if not options["joint"]:
        name = "refine_shared" if options["refine_shared"] else "share"
        flag = name.replace("_", "-")
        raise ConfigError(
            f"--{flag}: one frame shares nothing: name further frames with --joint", key=name
        )
    for name, flag in _REFUSED.items():
        if options[name] is not None:
            raise ConfigError(f"{flag}: not with --joint", key=name)


def _or_none(names: Sequence[str]) -> tuple[str, ...]:
    return () if tuple(names) == ("none",) else tuple(names)


def _frame(path: Path) -> JointFrame:
    """Frame of an image, or of a .toml that describes one."""
    from refimpl.powder.joint_frames import JointFrame, read_frame

    return read_frame(path) if path.suffix.lower() == ".toml" else JointFrame(path)


def _with_wavelength(options: Mapping[str, Any], frames: Sequence[JointFrame]) -> dict[str, Any]:
    """Options of all frames; where each has a wavelength of its own, none is needed there."""
    out, key = dict(options), "wavelength_angstrom"
    elsewhere = options[key], options["energy_kev"], options["params"]
    if all(v is None for v in elsewhere) and all(key in f.settings for f in frames):
        out[key] = frames[0].settings[key]
    return out


def _with_reading(frame: JointFrame, reading: Mapping[str, Any]) -> JointFrame:
    """Frame with the options that hold for all where it has none of its own."""
    common = {name: value for name, value in reading.items() if name != "mask"}
    mask = reading.get("mask") if frame.mask is None else frame.mask
    return replace(frame, reading={**common, **frame.reading}, mask=mask)


def _print(result: JointResult, out: Path, as_json: bool) -> None:
    from refimpl.io.atomic import json_text

    if as_json:
        typer.echo(json_text(result.as_dict()))
    else:
        typer.echo("\n".join([*result.summary_lines(), f"wrote {out / 'joint.json'}"]))
