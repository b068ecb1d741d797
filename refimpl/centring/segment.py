"""Segment first: where a picture shows crystal, then the middle of the largest piece.

The net of :class:`refimpl.centring.nets.FullyConvolutional` is taught, for each 4 x 4 px of a crop,
whether there is crystal; simulated crystals have that truth for nothing. Unlike a regressor it
needs no reflection counts, and does not know how well a crystal diffracts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.centring.crops import CropRule
from refimpl.centring.samples import Samples
from refimpl.centring.simulate_samples import samples
from refimpl.centring.simulate_view import crop_rule
from refimpl.centring.splits import Split
from refimpl.centring.targets import Target
from refimpl.centring.training_settings import TrainingSettings
from refimpl.errors import ConfigError, MissingExtra
from refimpl.frames import F64

try:
    import torch

    from refimpl.centring.heatmap import heat_map
    from refimpl.centring.modules import SCHEMA, Taught, load_module
    from refimpl.centring.nets import FullyConvolutional
    from refimpl.centring.training import Trained, fit_module
    from refimpl.centring.turned_data import TurnedData, loader
except ImportError as error:
    raise MissingExtra("centring", "segmentation") from error

__all__ = [
    "Masked",
    "Piece",
    "Segmenter",
    "load_segmenter",
    "mask_samples",
    "segment",
    "train_segmenter",
]

_PLAIN = Target("vanilla", 0.0, 1.0, 0.0)  # a heat map of the logits themselves


@dataclass(frozen=True, eq=False)
class Masked:
    """Crops with where they show crystal.

    Attributes
    ----------
    samples
        Standardised crops with their counts.
    mask
        (n, size / 4, size / 4) float32 part of each cell that is crystal.
    """

    samples: Samples
    mask: NDArray[np.float32]

    def loader(self, rows: NDArray[Any], batch: int, seed: int, *, shuffle: bool) -> Any:
        """Batches of some of the rows, in an order that the seed and the epoch tell."""
        data = TurnedData(self.samples.some(rows), self.mask[rows], seed=seed)
        return loader(data, batch, shuffle=shuffle)


@dataclass(frozen=True)
class Piece:
    """One piece of crystal in a picture.

    Attributes
    ----------
    x_px, y_px
        Centre of mass of the probabilities.
    left_px, top_px, right_px, bottom_px
        Box about it.
    area_px2
        Of it.
    probability
        Mean over the piece: how sure the net is.
    """

    x_px: float
    y_px: float
    left_px: float
    top_px: float
    right_px: float
    bottom_px: float
    area_px2: float
    probability: float


class Segmenter(Taught):
    """A net that tells for each 4 x 4 px of a picture whether there is crystal (logits)."""

    def __init__(
        self, crop: dict[str, Any] | None = None, *, size: int = 64, channels: int = 1,
        lr: float = 1e-3, kind: str = "segmenter", schema: int = SCHEMA,
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.net = FullyConvolutional(channels)
        self.loss_of = torch.nn.functional.binary_cross_entropy_with_logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, channels, size, size) to (n, size / 4, size / 4)."""
        return self.net.heat(images)

    @property
    def crop(self) -> CropRule | None:
        """How pictures were cropped."""
        content = self.hparams["crop"]
        return None if content is None else CropRule(**content)

    def on_validation_epoch_end(self) -> None:
        """Loss, and the overlap of what is found with what there is: intersection over union."""
        answer, wanted = (torch.cat(part) for part in zip(*self.seen, strict=True))
        self.log("val_loss", self.loss_of(answer, wanted), prog_bar=True)
        told, true = answer > 0.0, wanted > 0.5
        both, either = (told & true).sum(), (told | true).sum()
        self.log("val_overlap", both / either.clamp(min=1))


def mask_samples(
    n_crystals: int, views: int = 2, crops: int = 6, size: int = 64, seed: int = 0, *,
    progress: Callable[[int, int], None] | None = None,
) -> Masked:  # fmt: skip
    """Crops of simulated crystals with their masks.

    Raises
    ------
    ConfigError
        A number below 1, or a size that is no multiple of 4.
    """
    if size % FullyConvolutional.STRIDE:
        raise ConfigError(f"size {size} px: expected a multiple of 4", key="size", got=size)
    made = samples(
        n_crystals, views, crops, size, seed, mask_px=size // FullyConvolutional.STRIDE,
        progress=progress,
    )  # fmt: skip
    names = [f"{k:04d}" for k in made.crystal]
    taken = Samples.of(made.image, made.rc, names, zoom=made.zoom, omega_rad=made.omega_rad)
    return Masked(taken, (made.mask / 255.0).astype(np.float32))


def train_segmenter(
    masked: Masked, split: Split, settings: TrainingSettings | None = None, *,
    folder: str | Path | None = None, rule: CropRule | None = None, resume: bool = False,
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> Trained:  # fmt: skip
    """Train as nets for counts are trained: see :func:`refimpl.centring.training.fit_module`.

    Pictures are not turned: simulated ones can be made in any number.

    Parameters
    ----------
    masked, split
        Crops, and which crystals are for what.
    settings
        Epochs, batch, step, patience, seed, threads.
    rule
        Of the crops; None: that of the simulator, 240 um.

    Raises
    ------
    ConfigError
        No crops of the crystals of training or validation.
    """
    s, own = settings or TrainingSettings(), rule or crop_rule()
    part = split.part_of(masked.samples.crystal.tolist())
    loaders = []
    for name, batch in (("train", s.batch), ("val", 256)):
        rows = np.flatnonzero(part == name)
        if not len(rows):
            raise ConfigError(f"no pictures of the crystals of {name}", key=name)
        loaders.append(masked.loader(rows, batch, s.seed, shuffle=name == "train"))

    def make() -> Segmenter:
        return Segmenter(own.as_dict(), size=masked.samples.size, lr=s.lr)

    return fit_module(
        make, s, (loaders[0], loaders[1]), folder=folder, resume=resume, progress=progress
    )


def segment(
    net: Segmenter, picture: NDArray[Any], zoom: float, *, rule: CropRule | None = None,
    step_px: float = 4.0, probability: float = 0.3, least_px2: float = 0.0, **options: Any,
) -> tuple[Piece, ...]:  # fmt: skip
    """Pieces of crystal in a picture, the surest and largest first; none: no crystal here.

    Parameters
    ----------
    net, picture, zoom
        The net, a photograph, and the zoom of the camera.
    rule
        Of the crops; None: the net's.
    step_px
        Of the grid on which pieces are told apart.
    probability
        From which a point is crystal.
    least_px2
        Area of the smallest piece.
    options
        Of :func:`refimpl.centring.heatmap.heat_map`.

    Raises
    ------
    ConfigError
        A probability that is not between 0 and 1, an area below 0, or no crop rule.
    """
    from scipy.ndimage import label

    if not 0.0 < probability < 1.0:
        raise ConfigError(f"probability {probability:g}: expected between 0 and 1")
    if not 0.0 <= least_px2 < np.inf:
        raise ConfigError(f"least {least_px2:g} px2: expected 0 or more", key="least")
    own = rule or net.crop
    if own is None:
        raise ConfigError("the net has no crop rule", key="crop")
    heat = heat_map(
        net, picture, own, zoom, _PLAIN, mode="dense", size=int(net.hparams["size"]),
        step_px=step_px, **options,
    )  # fmt: skip
    likely = 1.0 / (1.0 + np.exp(-heat.value))
    number, n = label(likely >= probability)
    made = [_piece(heat.x_px, heat.y_px, likely, number == k, step_px) for k in range(1, n + 1)]
    kept = [piece for piece in made if piece.area_px2 >= least_px2]
    return tuple(sorted(kept, key=lambda piece: -piece.area_px2 * piece.probability))


def _piece(x: F64, y: F64, likely: F64, rows: NDArray[np.bool_], step: float) -> Piece:
    i, j = np.nonzero(rows)
    weights = likely[rows] / likely[rows].sum()
    half = step / 2.0
    return Piece(
        float(x[j] @ weights), float(y[i] @ weights), float(x[j].min()) - half,
        float(y[i].min()) - half, float(x[j].max()) + half, float(y[i].max()) + half,
        len(i) * step * step, float(likely[rows].mean()),
    )  # fmt: skip


def load_segmenter(path: str | Path) -> Segmenter:
    """Read a checkpoint.

    Raises
    ------
    FormatError
        The file is missing, no checkpoint of a segmenter, or of another schema.
    """
    return load_module(Segmenter, path, "a segmenter")
