"""Pictures and targets for torch, turned by the seed and the epoch alone.

What an epoch shows is drawn from its number: a run that goes on sees what it would have seen, and
so do any number of processes that prepare the pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refimpl.centring.samples import Samples
from refimpl.errors import MissingExtra

try:
    import torch
    from torch.utils.data import DataLoader, Dataset, Sampler
except ImportError as error:
    raise MissingExtra("centring", "training") from error

__all__ = ["TurnedData", "loader"]

_Row = tuple[int, int]
"""Epoch, and number of the picture in it."""


class TurnedData(Dataset[Any]):
    """Pictures with their targets.

    Parameters
    ----------
    samples, wanted
        Pictures and their targets.
    turns
        ``random``: one of eight ways for each picture and epoch; ``all``: every picture in all
        eight, one after the other; ``none``.
    seed
        Of the ways and of the order.
    """

    def __init__(
        self, samples: Samples, wanted: ArrayLike, *, turns: str = "none", seed: int = 0
    ) -> None:
        self.images = torch.from_numpy(samples.images)
        self.wanted = torch.from_numpy(np.asarray(wanted, dtype=np.float32))
        self.turns, self.seed = turns, seed
        self._drawn: tuple[int, Any] = (-1, None)

    def __len__(self) -> int:
        return len(self.images) * (8 if self.turns == "all" else 1)

    def __getitem__(self, row: int | _Row) -> tuple[torch.Tensor, torch.Tensor]:
        images, wanted = self.__getitems__([row])
        return images[0], wanted[0]

    def __getitems__(self, rows: Sequence[int | _Row]) -> tuple[torch.Tensor, torch.Tensor]:
        """One batch; a plain number is a picture of epoch 0."""
        pairs = [(0, row) if isinstance(row, int) else row for row in rows]
        number = np.array([row for _, row in pairs])
        if self.turns == "all":
            which, number = number % 8, number // 8
        elif self.turns == "random":
            which = np.array([self._way(epoch)[row] for epoch, row in pairs])
        else:
            which = np.zeros(len(number), dtype=np.int64)
        images = self.images[torch.from_numpy(number)]
        for way in np.unique(which[which > 0]).tolist():
            own = torch.from_numpy(np.flatnonzero(which == way))
            part = images[own]
            part = torch.flip(part, (-1,)) if way >= 4 else part
            images[own] = torch.rot90(part, way % 4, (-2, -1))
        return images, self.wanted[torch.from_numpy(number)]

    def _way(self, epoch: int) -> Any:
        if self._drawn[0] != epoch:
            ways = np.random.default_rng([self.seed, epoch, 1]).integers(8, size=len(self.images))
            self._drawn = (epoch, ways)
        return self._drawn[1]


class _Shuffled(Sampler[_Row]):
    """An order for each epoch, by the seed and the epoch."""

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.seed, self.epoch = n, seed, 0

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[_Row]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.n).tolist()
        yield from ((self.epoch, row) for row in order)

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls it before each epoch."""
        self.epoch = epoch


def loader(
    data: TurnedData, batch: int, *, shuffle: bool = False, workers: int = 0
) -> DataLoader[Any]:
    """Batches; with `shuffle` in a new order each epoch.

    Worker processes start from a clean one: a forked child of a process that ran OpenMP hangs.
    """
    return DataLoader(
        data, batch, sampler=_Shuffled(len(data), data.seed) if shuffle else None,
        collate_fn=_whole, num_workers=workers, persistent_workers=workers > 0,
        multiprocessing_context="forkserver" if workers else None,
        # of its own, so that the random numbers of the dropout are left alone
        generator=torch.Generator().manual_seed(data.seed),
    )  # fmt: skip


def _whole(batch: Any) -> Any:
    return batch
