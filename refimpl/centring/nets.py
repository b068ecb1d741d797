"""The nets: a1 to a10 and the classifier of the thesis, a fully convolutional and a known one.

Schurmann & Lindhe (2019), Tables 2.2 and 2.3 and section 2.4. Theirs were Keras models, so layers
begin as Keras's do (Glorot uniform, biases 0) and convolutions are not padded. A batch is
(n, channels, size, size), standardised picture by picture; a net answers with (n,).
"""

from __future__ import annotations

from typing import Any

from refimpl.centring.net_sizes import NETS, NetTable, output_size
from refimpl.errors import ConfigError, MissingExtra

try:
    import torch
    from torch import nn

    from refimpl.centring.backbones import BACKBONES, ResidualNet
except ImportError as error:
    raise MissingExtra("centring", "a net") from error

__all__ = ["CONVOLUTIONAL", "FullyConvolutional", "build", "parameters_of"]

CONVOLUTIONAL = "a_fcn"
_NAMES = (*NETS, CONVOLUTIONAL, *BACKBONES, "classifier")


def build(name: str, *, channels: int = 1, size: int = 128, padding: str = "valid") -> nn.Module:
    """Make a net with its first weights; torch's seed decides which.

    Parameters
    ----------
    name
        a1 to a10, ``a_fcn``, ``resnet18``, ``resnet18_slim``, or ``classifier`` (logit of an empty
        loop).
    channels
        1 (grey) or 3.
    size
        Edge of the pictures [px]; the thesis has 128.
    padding
        ``valid`` (Keras's default) or ``same``, of the thesis's nets.

    Raises
    ------
    ConfigError
        An unknown name or padding, or pictures that are too small for the layers.
    """
    if name not in _NAMES:
        raise ConfigError(
            f"net {name!r}: expected one of {', '.join(_NAMES)}", key="arch", got=name
        )
    if channels not in (1, 3):
        raise ConfigError(f"channels {channels}: expected 1 or 3", key="channels", got=channels)
    if padding not in ("valid", "same"):
        raise ConfigError(
            f"padding {padding!r}: expected valid or same", key="padding", got=padding
        )
    if name == CONVOLUTIONAL:
        return FullyConvolutional(channels)
    if name in BACKBONES:
        return ResidualNet(channels, BACKBONES[name])
    if name == "classifier":
        return _Stack(*_classifier(channels, size, padding))
    return _Stack(*_of_table(NETS[name], channels, size, padding))


def parameters_of(net: nn.Module) -> int:
    """Number of weights and biases that are trained."""
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


class _Stack(nn.Sequential):
    """Layers one after the other, begun as Keras begins them."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        for layer in self:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, channels, size, size) to (n,)."""
        return super().forward(images).squeeze(1)


class _Layers:
    """Layers so far, and the shape that they give."""

    def __init__(self, channels: int, size: int, padding: str) -> None:
        self.layers: list[nn.Module] = []
        self.channels, self.size, self.padding = channels, size, padding

    def convolve(self, filters: int, dropout: float) -> None:
        self.layers += [nn.Conv2d(self.channels, filters, 3, padding=self.padding), nn.ReLU()]
        if dropout:
            self.layers.append(nn.Dropout(dropout))
        self.channels = filters
        if self.padding == "valid":
            self.size = output_size(self.size, 3)

    def pool(self) -> None:
        self.layers.append(nn.MaxPool2d(2))
        self.size = output_size(self.size, 2, stride=2)

    def flatten(self) -> int:
        self.layers.append(nn.Flatten())
        return self.channels * self.size * self.size


def _of_table(table: NetTable, channels: int, size: int, padding: str) -> list[nn.Module]:
    """Convolutions with a dropout of 0.25 each, dense layers of 0.5, one neuron at the end."""
    made = _Layers(channels, size, padding)
    for _ in range(table.c8):
        made.convolve(8, 0.25)
    for _ in range(table.pool):
        made.pool()
    for _ in range(table.c16):
        made.convolve(16, 0.25)
    features = made.flatten()
    for neurons, count in ((256, table.f256), (128, table.f128), (64, table.f64)):
        for _ in range(count):
            made.layers += [nn.Linear(features, neurons), nn.ReLU(), nn.Dropout(0.5)]
            features = neurons
    return [*made.layers, nn.Linear(features, 1)]


def _classifier(channels: int, size: int, padding: str) -> list[nn.Module]:
    """Keras's net for little data (F. Chollet, 2016): 32, 32, 64 filters, each pooled; 64; 1."""
    made = _Layers(channels, size, padding)
    for filters in (32, 32, 64):
        made.convolve(filters, 0.0)
        made.pool()
    features = made.flatten()
    return [*made.layers, nn.Linear(features, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 1)]


class FullyConvolutional(nn.Module):
    """A small net that answers for every point of a picture: a value for each 4 x 4 px.

    Two poolings, then wider and wider convolutions: a value sees :attr:`FIELD` px. For a picture
    of a crop the answer is that at its middle.
    """

    STRIDE, FIELD = 4, 66

    def __init__(self, channels: int = 1, width: int = 16) -> None:
        super().__init__()

        def layer(before: int, after: int, dilation: int = 1) -> list[nn.Module]:
            # edges are repeated: zeros are the mean of a standardised picture, and a hard rim
            return [
                nn.Conv2d(before, after, 3, padding=dilation, dilation=dilation,
                          padding_mode="replicate"),
                nn.BatchNorm2d(after), nn.ReLU(),
            ]  # fmt: skip

        self.layers = nn.Sequential(
            *layer(channels, width), nn.MaxPool2d(2), *layer(width, 2 * width), nn.MaxPool2d(2),
            *layer(2 * width, 2 * width), *layer(2 * width, 2 * width, 2),
            *layer(2 * width, 2 * width, 4), nn.Conv2d(2 * width, 1, 1),
        )  # fmt: skip
        self.to(memory_format=torch.channels_last)  # a quarter faster on a processor

    def heat(self, images: torch.Tensor) -> torch.Tensor:
        """(n, channels, h, w) to (n, h / 4, w / 4); value (i, j) is of the point 4 (i + 1/2)."""
        answer: torch.Tensor = self.layers(images).squeeze(1)
        return answer

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, channels, size, size) to (n,), the value at the middle of each picture."""
        heat = self.heat(images)
        i, j = heat.shape[1] // 2, heat.shape[2] // 2
        lo_i, lo_j = (heat.shape[1] - 1) // 2, (heat.shape[2] - 1) // 2
        middle: torch.Tensor = heat[:, lo_i : i + 1, lo_j : j + 1].mean(dim=(1, 2))
        return middle


def describe(net: nn.Module) -> list[dict[str, Any]]:
    """Layers with weights: kind, shape of the weights, parameters."""
    return [
        {"layer": type(m).__name__, "shape": tuple(m.weight.shape), "parameters": parameters_of(m)}
        for m in net.modules()
        if isinstance(m, nn.Conv2d | nn.Linear | nn.BatchNorm2d)
    ]
