"""Predictions of prepared pictures, and how good they are on a part of the crystals."""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.centring.samples import Samples
from refimpl.centring.scores import Scores, scores_of
from refimpl.errors import ConfigError, MissingExtra
from refimpl.frames import F64

try:
    import torch
except ImportError as error:
    raise MissingExtra("centring", "prediction") from error

__all__ = ["predict", "scores_on"]


def predict(net: Any, samples: Samples, *, batch: int = 256, threads: int = 1) -> F64:
    """(n,) targets that a net predicts.

    Parameters
    ----------
    net
        A regressor, or a net of :func:`refimpl.centring.nets.build`.
    samples
        Pictures of the size and channels that it was taught.
    batch
        Pictures at once.
    threads
        Of torch.

    Raises
    ------
    ConfigError
        Pictures of another size or number of channels.
    """
    wanted = getattr(net, "hparams", {})
    own = {"size": samples.size, "channels": samples.channels}
    for name, value in own.items():
        if wanted.get(name, value) != value:
            raise ConfigError(
                f"pictures of {name} {value}: the net was taught {wanted[name]}", key=name
            )
    torch.set_num_threads(threads)
    net.eval()
    place = next(net.parameters()).device
    found = np.empty(len(samples))
    with torch.no_grad():
        for i in range(0, len(samples), batch):
            images = torch.from_numpy(samples.images[i : i + batch]).to(place)
            found[i : i + len(images)] = net(images).double().cpu().numpy()
    return found


def scores_on(net: Any, part: Samples, taught: Samples, *, threads: int = 1) -> Scores:
    """Scores of a regressor on some pictures, beside the baseline of those that it was taught.

    Raises
    ------
    ConfigError
        No pictures in either.
    """
    if not len(part) or not len(taught):
        raise ConfigError("scores: no pictures")
    target = net.target
    found = predict(net, part, threads=threads)
    return scores_of(found, part.targets(target), taught.targets(target))
