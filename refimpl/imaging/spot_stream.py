"""Spots that images come to one by one: what is open, what is measured of those that are over.

Memory goes with the spots that are open, and with the table of those found, not with the images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import F64, I64
from refimpl.imaging.spot_labels import join_frame, measure_spots
from refimpl.imaging.spot_table import SpotSettings, SpotTable

__all__ = ["Stream", "as_table", "joined"]

I32 = NDArray[np.int32]


@dataclass
class Stream:
    """Pixels of the open spots of one panel, and what was measured of the closed ones.

    Attributes
    ----------
    panel
        Number of the panel.
    n_fast
        Pixels in its rows.
    is_still
        Spots end with their image.
    settings
        The filters.
    n_open
        Number of open spots.
    previous, previous_label
        Strong pixels of the newest image (flat index) and the open spot of each.
    held
        (4, n) label, flat index, image and counts of the pixels of the open spots.
    full
        (n_open,) spots that have too many pixels already: those are no longer held.
    closed
        Spots that are over and passed the filters, in parts.
    counts
        Spots that are over, and those of them too small, too large, too far.
    """

    panel: int
    n_fast: int
    is_still: bool
    settings: SpotSettings
    n_open: int = 0
    previous: I64 = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    previous_label: I64 = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    held: I64 = field(default_factory=lambda: np.empty((4, 0), dtype=np.int64))
    full: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    closed: list[dict[str, NDArray[Any]]] = field(default_factory=list)
    counts: I64 = field(default_factory=lambda: np.zeros(4, dtype=np.int64))

    def add(self, index: I64, counts: I32, frame: int, number: int) -> None:
        """Take in the strong pixels of the next image; close what it does not go on with."""
        if self.is_still:
            self.close(np.ones(self.n_open, dtype=bool), number - 1)
        label, became = join_frame(
            index, self.previous, self.previous_label, self.n_open, self.n_fast
        )
        n_labels = max(int(label.max(initial=-1)), int(became.max(initial=-1))) + 1
        newest = np.stack([label, index, np.full_like(index, frame), counts.astype(np.int64)])
        held = self.held.copy()
        held[0] = became[held[0]]
        held = np.concatenate([held, newest], axis=1)
        full = np.bincount(held[0], minlength=n_labels) > self.settings.max_spot_size
        full[became[self.full]] = True
        self.held, self.full = (held[:, ~full[held[0]]] if full.any() else held), full
        self.n_open = n_labels
        self.previous, self.previous_label = index, label
        if not self.is_still:
            over = np.ones(n_labels, dtype=bool)
            over[label] = False
            self.close(over, 0)

    def close(self, over: NDArray[np.bool_], number: int) -> None:
        """Measure the open spots that are over, and number those that stay from 0."""
        if not over.any():
            return
        done = over[self.held[0]]
        if done.any():
            pixels = self.held[:, done]
            # by spot; within a spot the pixels keep the order in which they came
            self._measure(pixels[:, np.argsort(pixels[0], kind="stable")], number)
        too_large = int((over & self.full).sum())
        self.counts += [too_large, 0, too_large, 0]
        self.full = self.full[~over]
        stays = np.cumsum(~over) - 1
        self.held = self.held[:, ~done]
        self.held[0] = stays[self.held[0]]
        if self.is_still:
            self.previous = self.previous_label = np.empty(0, dtype=np.int64)
        else:
            self.previous_label = stays[self.previous_label]
        self.n_open = int((~over).sum())

    def _measure(self, pixels: I64, number: int) -> None:
        label, index, frame, counts = pixels
        first = np.flatnonzero(np.r_[True, label[1:] != label[:-1]])
        size = np.diff(np.append(first, len(label)))
        small = size < self.settings.min_spot_size
        keep = ~small
        chosen = np.repeat(keep, size)
        place = np.stack([index % self.n_fast, index // self.n_fast, frame], axis=1)[chosen]
        offsets = np.append(0, np.cumsum(size[keep])).astype(np.int64)
        box, total, centroid, variance, peak = measure_spots(place, counts[chosen], offsets)
        far = _too_far(peak, centroid, self.settings.max_separation)
        self.counts += [len(size), small.sum(), 0, far.sum()]
        near = ~far
        self.closed.append(
            {
                "box": box[near],
                "image": np.full(int(near.sum()), number, dtype=np.int32),
                "panel": np.full(int(near.sum()), self.panel, dtype=np.int32),
                "n_pixels": size[keep][near].astype(np.int32),
                "intensity": total[near],
                "position": centroid[near],
                "variance": variance[near],
                "frame": frame[first][keep][near],
                "index": index[first][keep][near],
            }
        )

    def state(self) -> dict[str, NDArray[Any]]:
        """The open spots and the counts, as arrays that :meth:`restore` takes."""
        return {
            "n_open": np.array(self.n_open), "previous": self.previous,
            "previous_label": self.previous_label, "held": self.held, "full": self.full,
            "counts": self.counts.copy(),
        }  # fmt: skip

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state."""
        self.n_open = int(state["n_open"])
        self.previous, self.previous_label = state["previous"], state["previous_label"]
        self.held, self.full = state["held"], state["full"]
        self.counts = state["counts"].copy()


def _too_far(peak: I32, centroid: F64, limit: float | None) -> NDArray[np.bool_]:
    if limit is None:
        return np.zeros(len(peak), dtype=bool)
    away = peak + 0.5 - centroid
    return np.asarray(np.sqrt((away * away).sum(axis=1)) > limit)


def joined(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Parts of closed spots, one after the other."""
    return {name: np.concatenate([p[name] for p in (_nothing(), *parts)]) for name in _nothing()}


def as_table(streams: Sequence[Stream], strong: I64, first_frame: int) -> SpotTable:
    """Close all open spots, and put the closed ones in order.

    Parameters
    ----------
    streams
        One a panel.
    strong
        (images,) strong pixels of each image.
    first_frame
        Index of the first image along the image axis.
    """
    for stream in streams:
        stream.close(np.ones(stream.n_open, dtype=bool), len(strong) - 1 if stream.is_still else 0)
    parts = [part for stream in streams for part in stream.closed]
    counts = sum((stream.counts for stream in streams), np.zeros(4, dtype=np.int64))
    columns = joined(parts)
    order = np.lexsort(
        (columns.pop("index"), columns.pop("frame"), columns["panel"], columns["image"])
    )
    return SpotTable(
        **{name: column[order] for name, column in columns.items()},
        strong_per_image=strong,
        first_frame=first_frame,
        extracted=int(counts[0]),
        too_small=int(counts[1]),
        too_large=int(counts[2]),
        too_far=int(counts[3]),
    )


def _nothing() -> dict[str, NDArray[Any]]:
    whole, real = np.empty(0, dtype=np.int32), np.empty(0)
    return {
        "box": whole.reshape(0, 6),
        "image": whole,
        "panel": whole,
        "n_pixels": whole,
        "intensity": real,
        "position": real.reshape(0, 3),
        "variance": real.reshape(0, 3),
        "frame": np.empty(0, dtype=np.int64),
        "index": np.empty(0, dtype=np.int64),
    }
