"""``refimpl metrology compare``: a detector beside another one, or beside tables of corrections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import metrology_files as files
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.detector.hierarchy import Hierarchy
    from refimpl.forward.experiment import Experiment
    from refimpl.frames import F64

__all__ = [
    "EXAMPLES",
    "Refined",
    "Weights",
    "compare",
    "detector_of",
    "first_of",
    "reference_of",
    "weights_of",
]

EXAMPLES = """\b
Examples:
  refimpl metrology compare level1/refined.expt other/refined.expt
  refimpl metrology compare level1/refined.expt --tables x_geo_corr.cbf y_geo_corr.cbf"""

Refined = Annotated[Path, typer.Argument(metavar="EXPT", help="Refined experiments, .expt.")]
Weights = Annotated[Path | None, typer.Option(
    "--reflections", metavar="REFL", help=(
        "Refined reflections, .refl: panels count by those that were used, and panels that were "
        "held not at all. Default: all alike."))]  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")]


def compare(
    experiments: Refined,
    other: Annotated[Path | None, typer.Argument(
        metavar="OTHER", help="Experiments with another detector of the same panels.")] = None,
    tables: Annotated[tuple[Path, Path] | None, typer.Option(
        metavar="X Y", help="Correction tables of a maker or of XDS, .cbf or .npy.")] = None,
    reference: Annotated[Path | None, typer.Option(
        metavar="EXPT", help="Of --tables: the detector that they belong to. Default: the flat "
                             "one that fits best.")] = None,
    reflections: Weights = None,
    as_json: Json = False,
) -> int:  # fmt: skip
    """Compare a detector with another one, or with tables of corrections."""
    if (other is None) == (tables is None):
        raise ConfigError("compare: expected either another EXPT or --tables X Y")
    if tables is None and reference is not None:
        raise ConfigError("--reference is of --tables")
    experiment = first_of(experiments)
    if other is not None:
        found = _congruence(detector_of(experiment), detector_of(first_of(other)), reflections)
    else:
        assert tables is not None  # one of the two
        found = _with_tables(experiment, tables, reference, reflections)
    if as_json:
        from refimpl.io.atomic import json_text

        found.pop("sentences")
        typer.echo(json_text(found))
    else:
        typer.echo("\n".join(found["sentences"]))
    return 0


def _congruence(first: Hierarchy, second: Hierarchy, reflections: Path | None) -> dict[str, Any]:
    from refimpl.metrology import congruence

    weight = weights_of(first, reflections)
    plain, aligned = (congruence(first, second, weight, aligned=a) for a in (False, True))
    return {
        "sentences": (plain.sentence(), f"without a common move: {aligned.sentence()}"),
        "congruence": plain.summary(),
        "aligned": aligned.summary(),
        "panels": [
            {"panel": k, "offset_mm": offset, "turn_mrad": turn}
            for k, (offset, turn) in enumerate(
                zip(plain.offset.tolist(), plain.turn.tolist(), strict=True)
            )
        ],
    }


def _with_tables(
    experiment: Experiment,
    tables: tuple[Path, Path],
    reference: Path | None,
    reflections: Path | None,
) -> dict[str, Any]:
    from refimpl.io.xds_tables import read_with_layout
    from refimpl.metrology import compare_tables, correction_tables
    from refimpl.metrology.correction_tables import image_shape, without_parallax

    detector = detector_of(experiment)
    x, y, layout = read_with_layout(*tables, image_shape(detector))
    before = reference_of(experiment, reference, reflections)
    if layout == "xds":  # has the parallax in it
        before = without_parallax(before)
    found = compare_tables(
        correction_tables(before, detector), (x, y), detector,
        weight=weights_of(detector, reflections),
    )  # fmt: skip
    return {
        "sentences": (found.sentence(),),
        "layout": layout,
        "overall_px": found.overall,
        "overall_reference_px": found.overall_reference,
        "common": dict(
            zip(("fast_px", "slow_px", "roll_rad", "scale"), found.common.tolist(), strict=True)
        ),
        "panels": [
            {"panel": k, "mean_px": mean, "rms_px": rms, "rms_reference_px": own}
            for k, (mean, rms, own) in enumerate(
                zip(found.mean.tolist(), found.rms.tolist(), found.reference.tolist(), strict=True)
            )
        ],
    }


# --- what commands on a refined detector share ---------------------------------------------------


def first_of(path: Path) -> Experiment:
    """First experiment of a list that has one detector.

    Raises
    ------
    ConfigError
        The list is empty, or has no detector or several.
    """
    from refimpl.io.dials_files import read_expt

    models = read_expt(path)
    if not models:
        raise ConfigError("no experiment in the list", path=path)
    if models[0].detector is None:
        raise ConfigError("the experiment has no detector", path=path)
    n = len({id(e.detector) for e in models})
    if n > 1:
        raise ConfigError(f"{n} detectors in {len(models)} experiments: expected one", path=path)
    return models[0]


def detector_of(experiment: Experiment) -> Hierarchy:
    """Detector of what :func:`first_of` gave."""
    assert experiment.detector is not None  # first_of demands one
    return experiment.detector


def reference_of(
    experiment: Experiment, reference: Path | None, reflections: Path | None
) -> Hierarchy:
    """What the reader of tables believes in."""
    from refimpl.metrology import flat_detector

    if reference is not None:
        return detector_of(first_of(reference))
    detector = detector_of(experiment)
    return flat_detector(detector, weights_of(detector, reflections))


def weights_of(detector: Hierarchy, reflections: Path | None) -> F64 | None:
    """(p,) reflections that were used on each panel; None without a file.

    Raises
    ------
    ConfigError
        None is marked as used, or one is on a panel that is not there.
    """
    if reflections is None:
        return None
    import numpy as np

    from refimpl.io.reflection_table import USED_IN_REFINEMENT

    table = files.read_table(reflections)
    table.require("panel", "flags")
    used = np.asarray(table["panel"])[table.has_flags(USED_IN_REFINEMENT)].astype(np.int64)
    if not len(used):
        raise ConfigError("no reflection is marked as used in refinement", path=reflections)
    if used.max() >= len(detector):
        raise ConfigError(
            f"reflections lie on panel {used.max()}: the detector has {len(detector)} panels",
            path=reflections,
        )
    return np.bincount(used, minlength=len(detector)).astype(np.float64)
