"""Settings of a refinement."""

from __future__ import annotations

from dataclasses import dataclass, field

from refimpl.errors import ConfigError
from refimpl.metrology.engines import ENGINES, MOST_STEPS
from refimpl.metrology.parameters import FixSettings
from refimpl.metrology.reduction import Action
from refimpl.metrology.restraints import CellTarget
from refimpl.metrology.robust import check_loss
from refimpl.metrology.selection import PRESETS, STILLS_ANGLE_WEIGHT, SelectionSettings
from refimpl.metrology.siblings import Gauge

__all__ = ["RefineSettings"]


@dataclass(frozen=True)
class RefineSettings:
    """Settings of a refinement.

    Attributes
    ----------
    selection
        Acceptance, outliers, subset.
    fix
        What is held, and the level of the detector's tree that moves.
    engine
        ``arrow`` (ours), ``levmar`` or ``gauss_newton`` (published).
    auto_reduction
        What to do with a model that has too few reflections: ``fix`` it, ``fail``, or ``remove``
        its reflections.
    min_reflections_per_parameter
        That depend on it; all parameters of a model (a detector group, a beam, an orientation, a
        cell) are seen by the same reflections.
    bin_size_fraction
        Part of a pixel and of an image that the RMSDs need not go below; 0: never enough. Of the
        published engines; ours goes to the minimum and takes no other.
    max_steps
        Most steps; None: the engine's own, :data:`refimpl.metrology.engines.MOST_STEPS`.
    delpsi_constant
        Weight of the angle off the Ewald sphere of stills [rad^-2].
    gauge
        In which terms the answer is told (:attr:`RefinementResult.gauge`); it does not change it.
    loss
        ``none``, ``huber`` or ``biweight``: robust weights beside the rejection of outliers.
    constraints
        Parts of names of parameters that shift together, such as ``Dist``. Not beside a loss.
    cell_targets
        Cells that those of the crystals are drawn to.

    Raises
    ------
    ConfigError
        A word is unknown, a number out of range, or one setting would not be heard beside another.
    """

    selection: SelectionSettings = field(default_factory=lambda: PRESETS["tutorial"])
    fix: FixSettings = field(default_factory=FixSettings)
    engine: str = "arrow"
    auto_reduction: Action = "fix"
    min_reflections_per_parameter: int = 5
    bin_size_fraction: float = 0.0
    max_steps: int | None = None
    delpsi_constant: float = STILLS_ANGLE_WEIGHT
    gauge: Gauge = field(default_factory=Gauge)
    loss: str = "none"
    constraints: tuple[str, ...] = ()
    cell_targets: tuple[CellTarget, ...] = ()

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ConfigError(
                f"engine {self.engine!r}: expected one of {', '.join(ENGINES)}", key="engine"
            )
        if self.auto_reduction not in ("fix", "fail", "remove"):
            raise ConfigError(
                f"auto_reduction {self.auto_reduction!r}: expected fix, fail or remove",
                key="auto_reduction",
            )
        check_loss(self.loss)
        self._check_numbers()
        if self.constraints and self.loss != "none":
            raise ConfigError(
                f"loss {self.loss} and constraints {', '.join(self.constraints)}: choose one",
                key="constraints",
            )

    def _check_numbers(self) -> None:
        if self.max_steps is not None and self.max_steps < 1:
            raise ConfigError(f"max_steps = {self.max_steps}: expected at least 1", key="max_steps")
        if not self.bin_size_fraction >= 0.0:
            raise ConfigError(
                f"bin_size_fraction = {self.bin_size_fraction}: expected 0 or more",
                key="bin_size_fraction",
            )
        if self.bin_size_fraction > 0.0 and self.engine == "arrow":
            raise ConfigError(
                f"bin_size_fraction = {self.bin_size_fraction} with engine arrow, which goes to "
                "the minimum: expected 0, or engine levmar or gauss_newton",
                key="bin_size_fraction",
            )
        if not self.delpsi_constant > 0.0:
            raise ConfigError(
                f"delpsi_constant = {self.delpsi_constant}: expected a positive number",
                key="delpsi_constant",
            )

    @property
    def step_limit(self) -> int:
        """Most steps that the engine takes."""
        return MOST_STEPS[self.engine] if self.max_steps is None else self.max_steps
