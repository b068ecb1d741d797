"""The frames of a joint calibration: what is their own, and files that describe them."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError
from refimpl.io.image import Image
from refimpl.reading import check_numbers, read_text
from refimpl.units import kev_to_angstrom

__all__ = ["FRAME_KEYS", "FRAME_SETTINGS", "JointFrame", "frame_names", "read_frame"]

FRAME_SETTINGS = (
    "wavelength_angstrom", "polarisation", "calibrant", "lattice_parameter_angstrom",
    "exclude_rings", "lsd_mm", "beam_centre_px", "tilt_deg", "eta_bin_deg", "gain",
    "variance_floor",
)  # fmt: skip
"""Settings that a frame may have of its own; all others hold for all frames."""

_PATHS = ("image", "mask", "dark")
_READING = ("dark", "dataset", "frames", "bad_values", "gap_values")

FRAME_KEYS = (
    "image", "name", "mask", *_READING, "travel_mm", "wavelength_known", "energy_kev",
    *FRAME_SETTINGS,
)  # fmt: skip
"""Keys of a file that describes a frame."""


@dataclass(frozen=True, eq=False)
class JointFrame:
    """One frame of several.

    Attributes
    ----------
    image
        As of :func:`refimpl.powder.calibrate`.
    name
        Of its folder; None: that of the file.
    settings
        Of :data:`FRAME_SETTINGS`; they win over those of all frames.
    mask, reading
        As of :func:`refimpl.powder.calibrate`.
    travel_mm
        How much farther from the sample the detector stood than at 0, anywhere; None: unknown.
    wavelength_known
        Whether its wavelength is held even where wavelengths are refined.
    start
        Geometry to start from; None: found.
    """

    image: str | Path | Image | ArrayLike
    name: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    mask: str | Path | NDArray[np.bool_] | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)
    travel_mm: float | None = None
    wavelength_known: bool = False
    start: TiltedFlat | None = None

    def __post_init__(self) -> None:
        for key in self.settings:
            if key not in FRAME_SETTINGS:
                raise ConfigError(
                    f"a frame has no setting {key!r} of its own{_near(key, FRAME_SETTINGS)}",
                    key=key,
                )
        travel = self.travel_mm
        if travel is not None and not (_is_number(travel) and abs(travel) < np.inf):
            raise ConfigError(f"travel_mm: got {travel!r}: expected a number", key="travel_mm")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _near(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f": expected some of {', '.join(known)}"


def frame_names(frames: Sequence[JointFrame]) -> tuple[str, ...]:
    """(f,) names of the frames; a name that comes again gets a number.

    Raises
    ------
    ConfigError
        A name is no name of a folder.
    """
    out: list[str] = []
    for i, frame in enumerate(frames):
        name = frame.name
        if name is None:
            path = frame.image.path if isinstance(frame.image, Image) else frame.image
            name = Path(path).stem if isinstance(path, str | Path) else f"frame_{i + 1}"
        if not name or name in (".", "..") or "/" in name or "\\" in name:
            raise ConfigError(f"name: {name!r} is no name of a folder", key="name", got=name)
        plain, k = name, 2
        while name in out:
            name, k = f"{plain}_{k}", k + 1
        out.append(name)
    return tuple(out)


def read_frame(path: str | Path) -> JointFrame:
    """Read a TOML file that describes one frame; paths in it count from its folder.

    Raises
    ------
    ConfigError
        No such file, not TOML, an unknown key (the nearest one is named), ``image`` missing, a
        value of the wrong kind.
    """
    path = Path(path)
    text, content = _toml(path)
    for key in content:
        if key not in FRAME_KEYS:
            raise ConfigError(
                f"unknown key {key!r}{_near(key, FRAME_KEYS)}",
                path=path, line=_line(text, key), key=key,
            )  # fmt: skip
    if not isinstance(content.get("image"), str):
        raise ConfigError(
            'image: missing: name the image of this frame, image = "..."', path=path, key="image"
        )
    _check_kinds(path, text, content)
    for key in _PATHS:
        if key in content:
            content[key] = path.parent / content[key]
    if "energy_kev" in content:
        if "wavelength_angstrom" in content:
            raise ConfigError(
                "wavelength_angstrom and energy_kev: give one of them",
                path=path, line=_line(text, "energy_kev"), key="energy_kev",
            )  # fmt: skip
        content["wavelength_angstrom"] = kev_to_angstrom(content.pop("energy_kev"))
    reading = {key: content[key] for key in _READING if key in content}
    if isinstance(reading.get("frames"), list):
        reading["frames"] = slice(*reading["frames"])
    return JointFrame(
        image=content["image"], name=content.get("name", path.stem),
        settings={key: content[key] for key in FRAME_SETTINGS if key in content},
        mask=content.get("mask"), reading=reading, travel_mm=content.get("travel_mm"),
        wavelength_known=content.get("wavelength_known", False),
    )  # fmt: skip


def _toml(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = read_text(path)
        return text, check_numbers(tomllib.loads(text))
    except OSError as exc:
        raise ConfigError(f"cannot read the frame's file: {exc.strerror}", path=path) from exc
    except (ValueError, RecursionError) as exc:  # those of TOML and UTF-8 are ValueErrors too
        raise ConfigError(f"not a TOML file: {exc}", path=path) from exc


def _line(text: str, key: str) -> int | None:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.split("=")[0].strip().strip('"[]') == key:
            return number
    return None


_KINDS: Mapping[str, tuple[str, Any]] = {
    **dict.fromkeys(("name", "mask", "dark", "dataset"), ("text", lambda v: isinstance(v, str))),
    "wavelength_known": ("true or false", lambda v: isinstance(v, bool)),
    "travel_mm": ("a number", _is_number),
    "energy_kev": ("a number > 0", lambda v: _is_number(v) and v > 0.0),
    "frames": (
        "a number, or two of them in brackets",
        lambda v: isinstance(v, int) or (isinstance(v, list) and len(v) == 2),
    ),
}
"""What a value must be, where no setting's own check says it."""


def _check_kinds(path: Path, text: str, content: Mapping[str, Any]) -> None:
    for key, value in content.items():
        what, good = _KINDS.get(key, ("", lambda v: True))
        if not good(value):
            raise ConfigError(
                f"{key}: got {value!r}: expected {what}", path=path, line=_line(text, key), key=key
            )
