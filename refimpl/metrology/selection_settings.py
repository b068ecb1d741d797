"""Settings of the selection of reflections and of the rejection of outliers, and named sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, Literal

from refimpl.errors import ConfigError

__all__ = ["PRESETS", "OutlierChoice", "SelectionSettings", "preset"]

OutlierChoice = Literal["auto", "tukey", "mcd", "sauter_poon", "null"]


@dataclass(frozen=True)
class SelectionSettings:
    """What to accept, reject and sample. The defaults are those of :data:`PRESETS` ``current``.

    Attributes
    ----------
    close_to_spindle_cutoff
        Least abs((s1 x s0) . axis) [1/Å^2]; scales with 1/wavelength^2.
    scan_margin_deg
        Rejects angles nearer than this to the centre of the first and the last image; 0 none.
    outlier
        Rule of :mod:`refimpl.objective.outliers`; ``auto`` is ``mcd`` for scans and
        ``sauter_poon`` for stills.
    iqr_multiplier, mcd_alpha
        Of the rules ``tukey`` and ``mcd``.
    separate_experiments, separate_panels, separate_blocks
        Split the data into jobs of one experiment, one panel, one block of rotation angle. None:
        experiments are split, as published, but not stills whose panels are: a panel sees too few
        reflections of one still to be judged by.
    block_width_deg
        Width of a block; None is 18 degrees, or more where that leaves few reflections a block.
    minimum_job_size
        Jobs of fewer reflections are rejected whole.
    reflections_per_degree
        Size of the random subset. None uses all; ``auto`` uses all but of scans of more than a
        turn, where it is what one turn gives, and 100 per degree at least.
    minimum_sample_size
        Least size of the subset of an experiment.
    seed
        Of the subset, and of each job.
    """

    close_to_spindle_cutoff: float = 0.02
    scan_margin_deg: float = 0.0
    outlier: OutlierChoice = "auto"
    iqr_multiplier: float = 1.5
    mcd_alpha: float = 0.5
    separate_experiments: bool | None = None
    separate_panels: bool = False
    separate_blocks: bool = True
    block_width_deg: float | None = None
    minimum_job_size: int = 20
    reflections_per_degree: float | Literal["auto"] | None = "auto"
    minimum_sample_size: int = 1000
    seed: int = 42


PRESETS: Final[Mapping[str, SelectionSettings]] = MappingProxyType(
    {
        "tutorial": SelectionSettings(
            close_to_spindle_cutoff=0.01,
            outlier="tukey",
            separate_panels=True,
            separate_blocks=False,
            reflections_per_degree=None,
        ),
        "current": SelectionSettings(),
    }
)
"""``tutorial``: the commands of the metrology tutorial with the defaults of their day; that each
panel was a job shows in its listings, where accepted residuals reach beyond the fences of the whole
detector and panel 55, with one reflection, is gone. ``current``: the defaults of today."""


def preset(name: str, **changes: Any) -> SelectionSettings:
    """One of :data:`PRESETS`, with some fields changed.

    Raises
    ------
    ConfigError
        The preset or a field is unknown.
    """
    if name not in PRESETS:
        raise ConfigError(
            f"selection preset {name!r} is unknown: expected one of {', '.join(PRESETS)}", got=name
        )
    fields = SelectionSettings.__dataclass_fields__
    if unknown := [key for key in changes if key not in fields]:
        raise ConfigError(
            f"selection: {unknown[0]!r} is unknown: expected one of {', '.join(fields)}",
            key=unknown[0],
        )
    return replace(PRESETS[name], **changes)
