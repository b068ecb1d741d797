"""The "Mean Values" block that the published calibration prints: read back, and written.

Values stay in the units of the files (um, deg, px), but for strains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from refimpl.errors import FormatError
from refimpl.reading import read_bytes
from refimpl.units import MICROSTRAIN

__all__ = ["MeanValues", "mean_values_text", "numbers_of", "read_mean_values", "text_lines"]

_MEAN_START = "Mean Values"
_MEAN_END = "Copy to par"
# A mean strain of a tenth is a detector off by its own size, one of 0.1 microstrain is below any
# ever reached: what lies above is in microstrain.
_STRAIN_LIMIT = 0.1


@dataclass(frozen=True)
class MeanValues:
    """The "Mean Values" block of the calibration's console output.

    Attributes
    ----------
    lsd_um, bc_px, ty_deg, tz_deg
        Distance, beam centre (Y, Z), tilts.
    p
        Distortion terms by name.
    mean_strain, std_strain
        As strain, whatever the unit of the file.
    """

    lsd_um: float
    bc_px: tuple[float, float]
    ty_deg: float
    tz_deg: float
    p: Mapping[str, float]
    mean_strain: float
    std_strain: float


def read_mean_values(path: str | Path, *, in_microstrain: bool | None = None) -> MeanValues:
    """Read the last "Mean Values" block of a ``calibrant_screen_out.csv``.

    Parameters
    ----------
    in_microstrain
        Unit of MeanStrain and StdStrain. The version of the manual writes strain, later ones
        microstrain, and neither says so; None decides by size: a mean of 0.1 or more is
        microstrain.

    Raises
    ------
    FormatError
        Missing file, no such block, or a value is missing or no number.
    """
    file = Path(path)
    lines = text_lines(file)
    starts = [n for n, line in enumerate(lines) if _MEAN_START in line]
    if not starts:
        raise FormatError(f"no {_MEAN_START!r} block: the calibration did not end", path=file)
    found: dict[str, list[float]] = {}
    for number, line in enumerate(lines[starts[-1] + 1 :], start=starts[-1] + 2):
        if _MEAN_END in line:
            break
        words = line.split(maxsplit=1)
        if len(words) == 2:
            found[words[0].rstrip(":")] = numbers_of(words[1], file, number)
    needed = {"Lsd": 1, "BC": 2, "ty": 1, "tz": 1, "MeanStrain": 1, "StdStrain": 1}
    for name, count in needed.items():
        if len(found.get(name, [])) != count:
            raise FormatError(f"the {_MEAN_START!r} block lacks {name}", path=file)
    mean, std = found["MeanStrain"][0], found["StdStrain"][0]
    if in_microstrain is None:
        in_microstrain = mean >= _STRAIN_LIMIT
    scale = MICROSTRAIN if in_microstrain else 1.0
    return MeanValues(
        lsd_um=found["Lsd"][0],
        bc_px=(found["BC"][0], found["BC"][1]),
        ty_deg=found["ty"][0],
        tz_deg=found["tz"][0],
        p={f"p{n}": found[f"p{n}"][0] for n in range(15) if f"p{n}" in found},
        mean_strain=mean * scale,
        std_strain=std * scale,
    )


def mean_values_text(values: MeanValues) -> str:
    """Write the block as published: ``%0.12f`` a line, strain, p4 and later after StdStrain."""
    lines = [
        "*******************Mean Values*******************",
        f"Lsd {values.lsd_um:.12f}",
        f"BC {values.bc_px[0]:.12f} {values.bc_px[1]:.12f}",
        f"ty {values.ty_deg:.12f}",
        f"tz {values.tz_deg:.12f}",
        *(f"p{n} {values.p.get(f'p{n}', 0.0):.12f}" for n in range(4)),
        f"MeanStrain {values.mean_strain:.12f}",
        f"StdStrain  {values.std_strain:.12f}",
        *(f"p{n} {values.p[f'p{n}']:.12f}" for n in range(4, 15) if f"p{n}" in values.p),
        "*******************Copy to par*******************",
    ]
    return "\n".join(lines) + "\n"


def text_lines(file: Path) -> list[str]:
    """Lines of a text file; the console output of the published program is not always UTF-8."""
    try:
        content = read_bytes(file)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=file) from error
    return content.decode("utf-8", errors="replace").splitlines()


def numbers_of(text: str, file: Path, line: int) -> list[float]:
    """Numbers of a line, with white space between them."""
    try:
        return [float(word) for word in text.split()]
    except ValueError as error:
        raise FormatError(f"not numbers: {text!r}", path=file, line=line) from error
