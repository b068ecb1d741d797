"""What stands in every file of a simulated session: microscope, camera, program."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from refimpl.errors import ConfigError

__all__ = ["Instrument", "check_types"]


@dataclass(frozen=True)
class Instrument:
    """What stands in every file of a session; defaults are those of the real one, rounded.

    Attributes
    ----------
    pixel_size_angstrom, camera_px
        Pixel on the specimen, and side of the square camera.
    image_deg
        Turn of the image on the stage; its y axis is mirrored. Real: 184.5 degrees.
    stage_z_um, alpha_deg, beta_deg, beam_tilt_x, beam_tilt_y
        Stage and beam tilt; EPU does not record what it does to the beam tilt.
    voltage_kv, magnification, camera, exposure_s, epu_version, name
        Microscope, camera and program.
    dose_per_angstrom2, defocus_um
        Dose, and the defocus values that are gone through.
    """

    pixel_size_angstrom: float = 0.87
    camera_px: int = 4096
    image_deg: float = 184.5
    stage_z_um: float = -22.2
    alpha_deg: float = 0.01
    beta_deg: float = 1.01
    beam_tilt_x: float = 0.0056
    beam_tilt_y: float = 0.0263
    voltage_kv: float = 300.0
    magnification: float = 96_000.0
    camera: str = "BM-Falcon"
    exposure_s: float = 5.0
    epu_version: str = "2.6.0.59"
    name: str = "SIMULATED"
    dose_per_angstrom2: float = 30.4
    defocus_um: tuple[float, ...] = (-0.5, -0.8, -1.1, -1.4, -1.7, -2.0)

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("pixel_size_angstrom", "camera_px", "voltage_kv", "magnification",
                     "exposure_s", "dose_per_angstrom2"):  # fmt: skip
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is not positive", key=name, got=getattr(self, name))
        if not self.defocus_um:
            raise ConfigError("defocus_um is empty", key="defocus_um")


def check_types(settings: Any) -> None:
    """Refuse values of another type than the default's; a whole number is a number, too."""
    for f in fields(settings):
        value, default = getattr(settings, f.name), f.default
        if f.name == "instrument":
            fits, wanted = isinstance(value, Instrument), "an Instrument"
        elif isinstance(default, tuple):
            free = f.name == "defocus_um"  # as many as one likes
            fits = isinstance(value, tuple) and (free or len(value) == len(default))
            fits = fits and all(_is_number(v) for v in value)
            wanted = "a list of numbers" if free else f"a list of {len(default)} numbers"
        else:
            fits = _is_number(value) if isinstance(default, float) else type(value) is type(default)
            wanted = _WORDS[type(default)]
        if not fits:
            raise ConfigError(f"{f.name} = {value!r}: expected {wanted}", key=f.name, got=value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_WORDS = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
