"""Options of ``refimpl metrology refine`` and ``validate``: what they are called and mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from refimpl.cli import metrology_files as files
from refimpl.cli import parse
from refimpl.cli.with_options import Options, with_options
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.metrology import CellTarget, Gauge, RefineSettings, SelectionSettings

__all__ = ["NOT_SETTINGS", "Options", "settings_of", "with_shared_options"]

MOVES, CHOICE, SEARCH = "What moves", "Which reflections count", "How it is done"
GAUGES: Final = {"published": "published", "anchored": "anchor", "zero-sum": "zero_sum"}
NOT_SETTINGS: Final = ("experiments", "reflections", "out", "threads", "again", "as_json")
"""Parameters that do not change the result."""

Models = Annotated[Path, typer.Argument(metavar="EXPT", help="Experiments, .expt.")]
Reflections = Annotated[Path, typer.Argument(
    metavar="REFL", help="Indexed reflections, .refl (or .npz, one array a column).")]  # fmt: skip
Out = Annotated[Path, typer.Option(
    "-o", "--out", metavar="DIR", help="Folder for the results; made if missing.")]  # fmt: skip
Threads = Annotated[int | None, typer.Option(
    metavar="N", help="Threads; the result does not depend on it.")]  # fmt: skip

HierarchyLevel = Annotated[int, typer.Option(
    metavar="N", min=0, rich_help_panel=MOVES,
    help="Level of the detector's tree whose groups move: 0 the whole, 1 its groups or panels, "
         "and so on.")]  # fmt: skip
Fix = Annotated[list[str] | None, typer.Option(
    metavar="NAMES", rich_help_panel=MOVES,
    help="What is held: detector.distance, beam.all, crystal.cell, ..., or ends of parameter "
         "names. Default beam: in_spindle_plane and wavelength; beam.none frees it.")]  # fmt: skip
Constraint = Annotated[list[str] | None, typer.Option(
    metavar="NAME", rich_help_panel=MOVES,
    help="Parameters that shift together, by a part of their names: Dist, Tau1. May be "
         "repeated.")]  # fmt: skip
RestrainCell = Annotated[list[str] | None, typer.Option(
    metavar="CELL:WIDTHS", rich_help_panel=MOVES,
    help="Draw the crystals' cell to a,b,c,alpha,beta,gamma [A, degrees] with six standard "
         "deviations, 0 for what is free: 57.8,57.8,150,90,90,90:0.1,0.1,0.3,0,0,0. With :0,2 at "
         "the end only crystals 0 and 2. May be repeated.")]  # fmt: skip
GaugeName = Annotated[str, typer.Option(
    "--gauge", metavar="NAME", rich_help_panel=MOVES,
    help="Terms in which the panels' moves are told; no prediction depends on it. published, "
         "anchored (one group has no move of its own) or zero-sum.")]  # fmt: skip
Anchor = Annotated[int | None, typer.Option(
    metavar="N", min=1, rich_help_panel=MOVES,
    help="Of --gauge anchored: number of the group, from 1 as in the parameters' names.",
)]  # fmt: skip
OutOfPlane = Annotated[bool, typer.Option(
    "--out-of-plane", rich_help_panel=MOVES,
    help="Of --gauge zero-sum: shifts along the normal and tilts sum to 0, too.")]  # fmt: skip

Preset = Annotated[str, typer.Option(
    metavar="NAME", rich_help_panel=CHOICE,
    help="Selection and outlier rejection: tutorial (each panel by itself, Tukey) or current "
         "(blocks of angle, FAST-MCD).")]  # fmt: skip
Outlier = Annotated[str | None, typer.Option(
    metavar="NAME", rich_help_panel=CHOICE,
    help="auto, tukey, mcd, sauter_poon or null; default: the preset's.")]  # fmt: skip
IqrMultiplier = Annotated[float | None, typer.Option(
    metavar="X", rich_help_panel=CHOICE,
    help="Of tukey: fences this many interquartile ranges out; default 1.5.")]  # fmt: skip
SeparateExperiments = Annotated[bool | None, typer.Option(
    "--separate-experiments/--no-separate-experiments", rich_help_panel=CHOICE,
    help="Reject outliers experiment by experiment.")]  # fmt: skip
SeparatePanels = Annotated[bool | None, typer.Option(
    "--separate-panels/--no-separate-panels", rich_help_panel=CHOICE,
    help="Reject outliers panel by panel.")]  # fmt: skip
CloseToSpindle = Annotated[float | None, typer.Option(
    metavar="X", rich_help_panel=CHOICE,
    help="Least speed through the Ewald sphere [1/A^2].")]  # fmt: skip
PerDegree = Annotated[str | None, typer.Option(
    metavar="N", rich_help_panel=CHOICE,
    help="Random subset of N reflections a degree (1000 an experiment at least), all, or auto (one "
         "turn's worth of longer scans).")]  # fmt: skip
AutoReduction = Annotated[str, typer.Option(
    metavar="NAME", rich_help_panel=CHOICE,
    help="Models with too few reflections: fix (hold), fail or remove.")]  # fmt: skip
MinReflections = Annotated[int, typer.Option(
    metavar="N", min=1, rich_help_panel=CHOICE,
    help="A detector group, beam, orientation or cell that fewer reflections depend on has too "
         "few.")]  # fmt: skip
Set = Annotated[list[str] | None, typer.Option(
    "--set", metavar="NAME=VALUE", rich_help_panel=CHOICE,
    help="Any other setting, value as in TOML: seed=7, mcd_alpha=0.75, delpsi_constant=1e4.",
)]  # fmt: skip

Engine = Annotated[str, typer.Option(
    metavar="NAME", rich_help_panel=SEARCH,
    help="arrow (ours, to the optimum), levmar or gauss_newton (as published).")]  # fmt: skip
Loss = Annotated[str, typer.Option(
    metavar="NAME", rich_help_panel=SEARCH,
    help="Robust weights beside the rejection of outliers: none, huber or biweight.")]  # fmt: skip
MaxSteps = Annotated[int | None, typer.Option(
    metavar="N", min=1, rich_help_panel=SEARCH,
    help="Most steps; default: the engine's own.")]  # fmt: skip
BinSize = Annotated[float, typer.Option(
    "--bin-size-fraction", metavar="X", min=0.0, rich_help_panel=SEARCH,
    help="Of the published engines: stop at RMSDs below this part of a pixel and of an image; 0: "
         "never.")]  # fmt: skip
Parallax = Annotated[bool, typer.Option(
    "--parallax", rich_help_panel=SEARCH,
    help="Make the observed millimetres again from the pixels as panels tilt, and refine again, "
         "until they settle.")]  # fmt: skip


def _shared(
    hierarchy_level: HierarchyLevel = 0,
    fix: Fix = None,
    constraint: Constraint = None,
    restrain_cell: RestrainCell = None,
    preset: Preset = "tutorial",
    outlier: Outlier = None,
    iqr_multiplier: IqrMultiplier = None,
    separate_experiments: SeparateExperiments = None,
    separate_panels: SeparatePanels = None,
    close_to_spindle_cutoff: CloseToSpindle = None,
    reflections_per_degree: PerDegree = None,
    auto_reduction: AutoReduction = "fix",
    min_reflections_per_parameter: MinReflections = 5,
    set_: Set = None,
    engine: Engine = "arrow",
    loss: Loss = "none",
    max_steps: MaxSteps = None,
    bin_size_fraction: BinSize = 0.0,
) -> None:
    """Options of every command that refines."""


with_shared_options = with_options(_shared)
"""Command that takes the options of every refinement beside its own; see :func:`.with_options`."""


def settings_of(options: Mapping[str, Any]) -> RefineSettings:
    """Settings that the options say.

    Raises
    ------
    ConfigError
        A word or a number is not what the option takes, or it would not act.
    """
    from refimpl.metrology import RefineSettings
    from refimpl.metrology.outputs import fix_of

    more = parse.settings(options["set_"] or ())
    others = {key: more.pop(key) for key in ("delpsi_constant",) if key in more}
    if options["max_steps"] is not None:
        others["max_steps"] = options["max_steps"]
    return RefineSettings(
        selection=_selection(options, more),
        fix=fix_of(files.words(options["fix"]), options["hierarchy_level"]),
        engine=options["engine"],
        auto_reduction=options["auto_reduction"],
        min_reflections_per_parameter=options["min_reflections_per_parameter"],
        bin_size_fraction=options["bin_size_fraction"],
        gauge=_gauge(
            options.get("gauge", "published"),
            options.get("anchor"),
            options.get("out_of_plane", False),
        ),
        loss=options["loss"],
        constraints=files.words(options["constraint"]),
        cell_targets=tuple(_target(text) for text in options["restrain_cell"] or ()),
        **others,
    )


def _selection(options: Mapping[str, Any], more: Mapping[str, Any]) -> SelectionSettings:
    from refimpl.metrology import preset

    names = (
        "outlier", "iqr_multiplier", "separate_experiments", "separate_panels",
        "close_to_spindle_cutoff",
    )  # fmt: skip
    changes = dict(more) | {name: options[name] for name in names if options[name] is not None}
    if options["reflections_per_degree"] is not None:
        changes["reflections_per_degree"] = _per_degree(options["reflections_per_degree"])
    made = preset(options["preset"], **changes)
    for name, rule in (("iqr_multiplier", "tukey"), ("mcd_alpha", "mcd")):
        if name in changes and made.outlier not in (rule, "auto"):
            raise ConfigError(
                f"{name} = {changes[name]} with outlier {made.outlier}: it is of {rule} alone",
                key=name,
            )
    return made


def _per_degree(text: str) -> float | str | None:
    if text in ("all", "auto"):
        return None if text == "all" else "auto"
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < float("inf"):
        raise ConfigError(
            f"--reflections-per-degree {text!r}: expected a positive number, all or auto"
        )
    return number


def _gauge(name: str, anchor: int | None, out_of_plane: bool) -> Gauge:
    from refimpl.metrology import Gauge

    if name not in GAUGES:
        raise ConfigError(f"--gauge {name!r}: expected one of {', '.join(GAUGES)}")
    if name == "anchored" and anchor is None:
        raise ConfigError("--gauge anchored: say which group with --anchor N, from 1")
    if name != "anchored" and anchor is not None:
        raise ConfigError(f"--anchor {anchor} with --gauge {name}: it is of --gauge anchored alone")
    if name != "zero-sum" and out_of_plane:
        raise ConfigError(f"--out-of-plane with --gauge {name}: it is of --gauge zero-sum alone")
    return Gauge(GAUGES[name], anchor, out_of_plane)  # type: ignore[arg-type]


def _target(text: str) -> CellTarget:
    """``CELL:WIDTHS[:CRYSTALS]``."""
    from refimpl.metrology import CellTarget

    parts = text.split(":")
    try:
        if len(parts) not in (2, 3):
            raise ValueError
        values, sigmas = (_numbers(part) for part in parts[:2])
        crystals = tuple(int(k) for k in parts[2].split(",")) if len(parts) == 3 else None
    except ValueError as exc:
        raise ConfigError(
            f"--restrain-cell {text!r}: expected CELL:WIDTHS, six numbers with commas each, and "
            "after a second colon the numbers of crystals, from 0"
        ) from exc
    return CellTarget(values, sigmas, crystals)


def _numbers(text: str) -> tuple[float, ...]:
    numbers: Sequence[float] = [float(v) for v in text.split(",")]
    if len(numbers) != 6:
        raise ValueError
    return tuple(numbers)
