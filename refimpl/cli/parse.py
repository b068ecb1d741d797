"""What the commands share: option values from text, the output folder, the progress line."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refimpl.errors import ConfigError
from refimpl.units import UM, kev_to_angstrom

__all__ = [
    "TimeLeft",
    "command_line",
    "frames",
    "names",
    "output_file",
    "output_folder",
    "pixel_size_mm",
    "progress",
    "settings",
    "wavelength_angstrom",
    "with_option",
]

# Above it the wavelength is less than any that is accepted: somebody counts in eV.
_MOST_KEV = 12_000.0
_OPTIONS = {
    "wavelength_angstrom": "--wavelength-angstrom or --energy-kev",
    "pixel_size_mm": "--pixel-size-um",
}


def command_line() -> str:
    """Command that this process was started with, as a shell takes it; for the provenance."""
    return shlex.join(["refimpl", *sys.argv[1:]])


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Settings from ``NAME=VALUE``; a value is TOML, and a bare word is a string."""
    out: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--set {pair!r}: expected NAME=VALUE", key="set", got=pair)
        try:
            out[name.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            out[name.strip()] = text.strip()
    return out


def names(given: Sequence[str] | None) -> tuple[str, ...] | None:
    """Names from repeated options, each with commas and spans: ``tilt,p0..p5``."""
    if not given:
        return None
    out: list[str] = []
    for part in (part.strip() for text in given for part in text.split(",")):
        span = re.fullmatch(r"p(\d{1,3})(?:\.\.|-)p(\d{1,3})", part)
        if span is None:
            out.append(part)
            continue
        first, last = int(span[1]), int(span[2])
        if first > last:
            raise ConfigError(f"--refine {part!r}: the span runs backwards", key="refine", got=part)
        out += [f"p{i}" for i in range(first, last + 1)]
    return tuple(dict.fromkeys(out))


def wavelength_angstrom(wavelength: float | None, energy_kev: float | None) -> float | None:
    """Wavelength from the one or the other option; None if neither is given."""
    if energy_kev is None:
        return wavelength
    if wavelength is not None:
        raise ConfigError("--wavelength-angstrom and --energy-kev: give one of them")
    if not energy_kev > 0.0:
        raise ConfigError(f"--energy-kev {energy_kev:g}: expected > 0", got=energy_kev)
    if energy_kev > _MOST_KEV:
        raise ConfigError(
            f"--energy-kev {energy_kev:g}: expected keV; {energy_kev:g} eV are "
            f"{energy_kev / 1000.0:g} keV",
            got=energy_kev,
        )
    return kev_to_angstrom(energy_kev)


def with_option(error: ConfigError) -> ConfigError:
    """Name the options that would give what is missing."""
    option = _OPTIONS.get(error.key or "")
    if option is None or not str(error).endswith("missing: give it"):
        return error
    return ConfigError(f"{error} ({option})", key=error.key)


def pixel_size_mm(sizes_um: Sequence[float] | None) -> tuple[float, float] | None:
    """(fast, slow) [mm] from one or two sizes [um]."""
    if not sizes_um:
        return None
    if len(sizes_um) > 2:
        raise ConfigError(f"--pixel-size-um: got {len(sizes_um)} values: expected one or two")
    return round(sizes_um[0] * UM, 12), round(sizes_um[-1] * UM, 12)


def frames(text: str | None) -> int | slice | None:
    """``N`` or ``N:M`` (M not included), counted from 0."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+)\s*|\s*(\d*)\s*:\s*(\d*)\s*", text)
    if found is None:
        raise ConfigError(f"--frames {text!r}: expected N or N:M, from 0", key="frames", got=text)
    if found[1] is not None:
        return int(found[1])
    return slice(*(int(end) if end else None for end in (found[2], found[3])))


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """Make the folder for the results before the work, so that a bad place is found first.

    What a failing command made and left empty is removed again; a folder that was there, and what
    it holds, stays as it was.

    Raises
    ------
    ConfigError
        It is a file, lies under one, or cannot be written to.
    """
    from refimpl.io.atomic import make_folder

    made = [p for p in (path, *path.parents) if not p.exists()]
    make_folder(path)
    try:
        if not os.access(path, os.W_OK | os.X_OK):
            raise ConfigError("cannot write: no permission in this folder", path=path)
        yield path
    except BaseException:
        for folder in made:
            try:
                folder.rmdir()
            except OSError:  # it holds something by now: that is not ours to throw away
                break
        raise


def output_file(path: Path | None) -> None:
    """Refuse a file that could not be written, before the work.

    Raises
    ------
    ConfigError
        Its folder is missing or not writable, or it is a folder.
    """
    from refimpl.io.atomic import check_target

    if path is not None:
        check_target(path)


class TimeLeft:
    """How long a step still takes, from how far it came since it began.

    A step that goes on from an earlier run begins with what was done then: that counts for nothing.
    """

    def __init__(self) -> None:
        self._stage, self._part, self._began, self._last = "", 0.0, 0.0, 0.0

    def text(self, stage: str, part: float, now: float) -> str:
        """Words for a step of which a part, 0 to 1, is done at a time [s]; none before 2 s."""
        if stage != self._stage or part < self._last:
            self._stage, self._part, self._began = stage, part, now
        self._last = part
        worked, done = now - self._began, part - self._part
        if worked < 2.0 or done <= 0.0 or part >= 1.0:
            return ""
        left = (1.0 - part) * worked / done
        if left < 100.0:
            return f"{left:.0f} s left"
        return f"{left / 60.0:.0f} min left" if left < 6000.0 else f"{left / 3600.0:.1f} h left"


@contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """Progress line on a terminal (stderr), nothing elsewhere; the time left is the step's."""
    from time import monotonic

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console, left = Console(stderr=True), TimeLeft()
    columns = (
        TextColumn("{task.description:<16}"), BarColumn(), TaskProgressColumn(),
        TimeElapsedColumn(), TextColumn("{task.fields[left]}"),
    )  # fmt: skip
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("reading", total=1.0, left="")

        def tell(stage: str, part: float) -> None:
            words = left.text(stage, part, monotonic())
            bar.update(task, description=stage, completed=part, left=words)

        yield tell
