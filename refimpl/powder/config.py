"""Every setting of a powder calibration: type, unit, default, range and help, in one place.

The fields are the registry for the TOML reader and writer, the library call, the command line and
the documentation. An unknown name is an error that names the nearest known one.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from refimpl.errors import ConfigError

__all__ = ["PowderConfig", "config_from", "config_toml", "read_config", "setting_names"]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BeamTable(_Table):
    """The beam."""

    wavelength_angstrom: float = Field(gt=0.001, lt=20.0, description="Wavelength [angstrom].")
    polarisation: float | None = Field(
        default=None, ge=-1.0, le=1.0,
        description="Degree of linear polarisation in the horizontal plane; none: not corrected.",
    )  # fmt: skip


class CalibrantTable(_Table):
    """The calibrant."""

    calibrant: str = Field(default="CeO2", description="Name of the calibrant.")
    lattice_parameter_angstrom: float | None = Field(
        default=None, gt=0.5, lt=1000.0, description="Lattice parameter a; none: the certified one."
    )
    exclude_rings: tuple[int, ...] = Field(
        default=(), description="Ring numbers to leave out, from 1."
    )


class DetectorTable(_Table):
    """The detector, as far as it is known beforehand."""

    pixel_size_mm: tuple[float, float] = Field(description="Pixel size along (fast, slow) [mm].")
    image_transform: tuple[Literal[0, 1, 2, 3], ...] = Field(
        default=(2,),
        description="ImTransOpt codes that take the stored image to the model frame; the default "
        "is for files whose first row is the top of the picture seen along the beam.",
    )
    panels: Literal["auto", "none"] = Field(
        default="auto",
        description="Find panels from fully masked rows and columns, or take one surface.",
    )
    tx_deg: float = Field(default=0.0, description="Turn about the beam; carried, never refined.")
    rho_d_mm: float | None = Field(
        default=None,
        gt=0.0,
        description="Radius that normalises the distortion; none: farthest corner.",
    )
    gain: float = Field(
        default=1.0, gt=0.0, description="Variance of a pixel per unit of its value."
    )
    variance_floor: float = Field(
        default=0.0, ge=0.0, description="Variance at zero (read-out noise)."
    )

    @field_validator("pixel_size_mm")
    @classmethod
    def _plausible(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(1e-4 <= v <= 10.0 for v in value):
            raise ValueError("expected 0.0001 to 10 mm")
        return value


class StartTable(_Table):
    """Start values; whatever is not given is found."""

    lsd_mm: float | None = Field(default=None, gt=0.0, description="Guess of the distance [mm].")
    beam_centre_px: tuple[float, float] | None = Field(
        default=None,
        description="Guess of the beam centre (fast, slow) in the file's pixel order [px].",
    )
    tilt_deg: tuple[float, float] = Field(
        default=(0.0, 0.0), description="Start of ty, tz [degrees]."
    )
    p: tuple[float, ...] = Field(
        default=(0.0,) * 15,
        min_length=15,
        max_length=15,
        description="Start of p0..p14, as published.",
    )
    parallax_mm: float = Field(default=0.0, description="Parallax length [mm].")


class CalibrateTable(_Table):
    """What is refined, and how."""

    refine: tuple[str, ...] = Field(
        default=("distance", "beam_centre", "tilt"),
        description="What to refine: distance, beam_centre, tilt, parallax, p0..p14.",
    )
    tolerances: dict[str, float] = Field(
        default_factory=dict,
        description="Half width of the search range by the same names (mm, px, rad; phases deg).",
    )
    eta_bin_deg: float | None = Field(
        default=None,
        ge=0.1,
        le=45.0,
        description="Size of an azimuthal bin; none: 2 degrees, wider where rings are weak.",
    )
    solver: Literal["lm", "simplex"] = Field(
        default="lm", description="Levenberg-Marquardt, or Nelder-Mead on the same objective."
    )
    objective: Literal["strain", "published"] = Field(
        default="strain",
        description="Weighted squares of the pseudo-strain, or its published L1 sum.",
    )
    ring_multiplier: float = Field(
        default=2.5, ge=0.0,
        description="MultFactor: leave out rings whose mean |strain|, in units of what their "
        "points should scatter, exceeds this many times the median ring's; 0: never.",
    )  # fmt: skip
    clip_sigma: float = Field(default=5.0, gt=1.0, description="Outlier rule for points, iterated.")
    max_iterations: int = Field(
        default=20, ge=1, le=1000, description="Passes of extraction and fit."
    )
    stopping_strain: float | None = Field(
        default=None, gt=0.0, description="Also stop once the mean strain is below this."
    )
    least_coverage: float = Field(
        default=0.1, ge=0.0, le=1.0, description="Least usable part of a bin that gives a point."
    )
    least_snr: float = Field(
        default=4.0, ge=0.0, description="Least height of a peak over its error."
    )
    window_fwhm: float = Field(
        default=5.0, ge=2.0, description="Half width of a window in ring widths."
    )
    doublet_separation_px: float = Field(
        default=0.0, ge=0.0,
        description="DoubletSeparation: neighbours nearer than this are fitted together [px]; 0: "
        "those nearer than five ring widths.",
    )  # fmt: skip
    normalize_ring_weights: bool = Field(
        default=False, description="NormalizeRingWeights: every ring weighs the same."
    )
    weight_by_radius: bool = Field(
        default=False, description="WeightByRadius: points weigh in proportion to their radius."
    )
    seed: int = Field(
        default=0, ge=0, description="Nothing here is random; recorded with the result."
    )

    @field_validator("tolerances")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        if bad := [k for k, v in value.items() if not v > 0.0]:
            raise ValueError(f"{', '.join(bad)}: expected numbers > 0")
        return value


class PanelsTable(_Table):
    """Panels that are refined one by one."""

    panels_grid: str = Field(
        default="none",
        description="none: one surface. auto: from the gaps. start: those of the start geometry. "
        "Else a named grid (pilatus2m, pilatus2m-half, eiger16m, ...) or a description file.",
    )
    panel_refine: tuple[str, ...] = Field(
        default=("shift", "rotation", "height", "tilt"),
        description="What to refine of every panel: shift, rotation, height, tilt, p2.",
    )
    panel_priors: dict[str, Annotated[float, Field(gt=0.0, allow_inf_nan=True)]] = Field(
        default_factory=dict,
        description="Standard deviation about 0 before anything is measured, by the same names "
        "(px, rad, mm, rad, 1; inf: none); else shift 0.5, rotation 2e-3, height 0.3, tilt 3e-3, "
        "p2 1e-4.",
    )
    panel_learn_priors: bool = Field(
        default=True, description="Estimate these widths from the spread of the panels themselves."
    )
    panel_tolerances: dict[str, float] = Field(
        default_factory=dict,
        description="Half width of a hard search range by the same names; not named: none.",
    )
    panel_expansion: Literal["zero", "free"] = Field(
        default="zero",
        description="Radial expansion of all panels together: zero, so that it cannot stand in for "
        "the distance, or free.",
    )
    min_indices: int = Field(
        default=5, ge=1, description="MinIndicesForFit: a panel with fewer ring points is held."
    )
    allow_masked_panels: bool = Field(
        default=False, description="Hold panels that are masked from end to end; false: refuse."
    )
    fix_panel: int | None = Field(
        default=None, ge=0,
        description="FixPanelID: write the result so that this panel has no correction; the fit "
        "does not depend on it.",
    )  # fmt: skip


class PowderConfig(_Table):
    """A whole powder calibration."""

    schema_version: Literal[1] = Field(
        default=1, alias="schema", description="Version of this format."
    )
    beam: BeamTable
    calibrant: CalibrantTable = CalibrantTable()
    detector: DetectorTable
    start: StartTable = StartTable()
    calibrate: CalibrateTable = CalibrateTable()
    panels: PanelsTable = PanelsTable()


_TABLES: dict[str, type[_Table]] = {
    "beam": BeamTable,
    "calibrant": CalibrantTable,
    "detector": DetectorTable,
    "start": StartTable,
    "calibrate": CalibrateTable,
    "panels": PanelsTable,
}


def setting_names() -> dict[str, str]:
    """Every setting and the table that it stands in."""
    return {name: table for table, model in _TABLES.items() for name in model.model_fields}


def config_from(settings: Mapping[str, Any], *, base: PowderConfig | None = None) -> PowderConfig:
    """Build a configuration from flat settings, over a base.

    Parameters
    ----------
    settings
        Name to value; the names are those of all tables together. ``pixel_size_mm`` may be one
        number.
    base
        Values of what is not given.

    Raises
    ------
    ConfigError
        Unknown name (the nearest one is named), a value out of range, or a missing one.
    """
    tables: dict[str, Any] = {} if base is None else base.model_dump(by_alias=True)
    _lay_over(tables, settings)
    return _validated(tables, None)


def _lay_over(tables: dict[str, Any], settings: Mapping[str, Any]) -> None:
    """Write flat settings into the tables that they belong to."""
    known = setting_names()
    for name, value in settings.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"unknown setting {name!r}{hint}", key=name, got=value)
        if name == "pixel_size_mm" and isinstance(value, int | float):
            value = (float(value), float(value))
        tables.setdefault(known[name], {})[name] = value


def read_config(path: str | Path, settings: Mapping[str, Any] | None = None) -> PowderConfig:
    """Read a TOML parameter file.

    Parameters
    ----------
    path
        The file.
    settings
        Flat settings that win over the file's, as of :func:`config_from`; what they give need
        not stand in the file.

    Raises
    ------
    ConfigError
        No such file, not TOML, a newer schema, an unknown key, a bad or missing value.
    """
    text, tables = _read_toml(path)
    known = {*_TABLES, "schema"}
    for table, content in tables.items():
        if table in _TABLES and not isinstance(content, dict):
            raise ConfigError(
                f"{table}: expected a table, [{table}] and its settings below (got {content!r})",
                path=path, line=_line(text, table), key=table,
            )  # fmt: skip
        names = known if table not in _TABLES else set(_TABLES[table].model_fields)
        for key in [table] if table not in known else (content if table in _TABLES else []):
            if key not in names:
                near = difflib.get_close_matches(key, sorted(names), n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigError(
                    f"unknown key {key!r}{hint}", path=path, line=_line(text, key), key=key
                )
    _lay_over(tables, settings or {})
    return _validated(tables, path, text, settings or {})


def _read_toml(path: str | Path) -> tuple[str, dict[str, Any]]:
    """Text and tables of a file whose schema is known."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as exc:
        raise ConfigError("cannot read the parameter file: not utf-8 text", path=path) from exc
    except OSError as exc:
        raise ConfigError(f"cannot read the parameter file: {exc.strerror}", path=path) from exc
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"not a TOML file: {exc}", path=path) from exc
    schema = tables.get("schema", 1)
    if isinstance(schema, int) and schema > 1:
        raise ConfigError(f"schema {schema} is newer than this refimpl (1); upgrade", path=path)
    return text, tables


def _line(text: str, key: str) -> int | None:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip().strip("[]").split("=")[0].strip().strip('"') == key:
            return number
    return None


def _validated(
    tables: Mapping[str, Any],
    path: str | Path | None,
    text: str = "",
    settings: Mapping[str, Any] | None = None,
) -> PowderConfig:
    """Check all tables; of what `settings` laid over a file the file is not to blame."""
    try:
        return PowderConfig.model_validate(tables)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        got = "" if first["type"] == "missing" else f" (got {first['input']!r})"
        if first["type"] == "missing" and first["loc"][-1] in _TABLES:
            required = [
                n for n, f in _TABLES[str(first["loc"][-1])].model_fields.items() if f.is_required()
            ]
            where = ", ".join(required)
        message = "missing: give it" if first["type"] == "missing" else first["msg"]
        name = str(first["loc"][1]) if len(first["loc"]) > 1 else ""
        if name in (settings or {}):
            path = None
        line = _line(text, name) if path is not None else None
        raise ConfigError(f"{where}: {message}{got}", path=path, line=line, key=where) from exc


def config_toml(config: PowderConfig) -> str:
    """Write a configuration as TOML, every value stated, with its help as a comment."""
    lines = ["schema = 1"]
    for table, model in _TABLES.items():
        lines += ["", f"[{table}]"]
        for name, field in model.model_fields.items():
            value = getattr(getattr(config, table), name)
            lines.append(f"# {field.description}")
            lines.append(
                f"{name} = {_toml(value)}" if value is not None else f"# {name} is not set"
            )
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return repr(value)
