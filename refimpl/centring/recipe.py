"""The shipped recipe: what to train on, how, and how to aim with the outcome.

``a_fcn`` with the target ``tanh`` on simulated crystals: many crystals with few pictures of each
teach more than many pictures of few. The numbers were chosen on one training and on views of
:mod:`refimpl.centring.judge` that no published figure is made of (seed 99); docs/benchmarks.md has
what the recipe reaches. A net of its own data is trained by :mod:`refimpl.centring.training`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refimpl.centring.training_settings import TrainingSettings

if TYPE_CHECKING:
    from refimpl.centring.datamodule import CrystalDataModule
    from refimpl.centring.judge import PointOf
    from refimpl.centring.training import Trained

__all__ = ["RECIPE", "Recipe", "aim_of_recipe", "data_of", "train_recipe"]


@dataclass(frozen=True)
class Recipe:
    """How the shipped net is made and used.

    Attributes
    ----------
    crystals, views, crops
        Simulated crystals, pictures of each, crops of each picture.
    size_px
        Edge of the crops that the net sees; they are 240 um wide.
    shares
        Of the crystals, for training, validation and test: what it is judged on is other crystals.
    settings
        Of the training.
    step_um, smooth_um, turns
        Of the heat map: its grid, the Gaussian that it is smoothed with (12 um; the beam's is
        8.5 um), and over how many turns of the picture it is averaged.
    """

    crystals: int = 3000
    views: int = 1
    crops: int = 4
    size_px: int = 64
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    settings: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(
            "a_fcn", "tanh", epochs=20, batch=32, lr=4e-3, patience=20, schedule="one-cycle"
        )
    )
    step_um: float = 8.0
    smooth_um: float = 12.0
    turns: int = 8

    @property
    def source(self) -> str:
        """Of the pictures, as :func:`refimpl.centring.datasets.open_samples` takes it."""
        return f"simulated:{self.crystals}x{self.views}x{self.crops}"


RECIPE = Recipe()
"""The shipped one: ten minutes on two cores at most."""


def data_of(
    seed: int = 0, recipe: Recipe = RECIPE, *, keep: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None, **settings: Any,
) -> CrystalDataModule:  # fmt: skip
    """Simulated crystals of a seed, in parts.

    Parameters
    ----------
    seed, recipe
        Of the crystals, the split and the training; what to do.
    keep
        Where to write the ids of the parts.
    progress
        Called with the crystals that are simulated.
    settings
        Settings that change no result: threads, workers.

    Raises
    ------
    MissingExtra
        torch is not installed.
    """
    from refimpl.centring.datamodule import CrystalDataModule

    r = recipe
    return CrystalDataModule(
        r.source, None, replace(r.settings, seed=seed, **settings), size=r.size_px,
        shares=r.shares, keep=keep, progress=progress,
    )  # fmt: skip


def train_recipe(
    seed: int = 0,
    *,
    recipe: Recipe = RECIPE,
    folder: str | Path | None = None,
    resume: bool = False,
    progress: Callable[[int, dict[str, float]], None] | None = None,
    made: Callable[[int, int], None] | None = None,
) -> Trained:
    """Simulate and train.

    Parameters
    ----------
    seed
        Of the crystals, the split and the training.
    recipe
        What to do.
    folder, resume, progress
        As of :func:`refimpl.centring.training.fit`.
    made
        Called with the crystals that are simulated.

    Raises
    ------
    MissingExtra, ConfigError, FormatError
        As of :func:`refimpl.centring.training.fit`.
    """
    data = data_of(seed, recipe, progress=made)
    from refimpl.centring.training import fit

    return fit(data, folder=folder, resume=resume, progress=progress)


def aim_of_recipe(net: Any, recipe: Recipe = RECIPE, **options: Any) -> PointOf:
    """Aim as the recipe does; `options` are of :func:`refimpl.centring.judge.of_net`."""
    from refimpl.centring.judge import of_net

    r = recipe
    how: dict[str, Any] = {"step_um": r.step_um, "smooth_um": r.smooth_um, "turns": r.turns}
    return of_net(net, **how | options)
