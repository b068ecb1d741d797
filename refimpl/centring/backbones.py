"""A known backbone for comparison: the residual net of 18 layers.

K. He, X. Zhang, S. Ren and J. Sun, Deep residual learning for image recognition, CVPR 2016, Table 1
and Figure 5, with one neuron at the end. ``resnet18`` is as published; ``resnet18_slim`` has a
quarter of its filters, a sixteenth of its work, and trains on a CPU.
"""

from __future__ import annotations

from refimpl.errors import MissingExtra

try:
    import torch
    from torch import nn
except ImportError as error:
    raise MissingExtra("centring", "a net") from error

__all__ = ["BACKBONES", "Residual", "ResidualNet"]

BACKBONES = {"resnet18": 64, "resnet18_slim": 16}
"""Filters of the first layer."""


class Residual(nn.Module):
    """Two convolutions beside a short cut, which has a convolution of 1 x 1 where shapes differ."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip
        same = stride == 1 and before == after
        self.short = (
            nn.Identity() if same
            else nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, before, h, w) to (n, after, h / stride, w / stride)."""
        return torch.relu(self.body(x) + self.short(x))


class ResidualNet(nn.Module):
    """The net of 18 layers, in four stages of two blocks each.

    Parameters
    ----------
    channels
        Of the pictures.
    width
        Filters of the first stage; each further one has twice as many.
    outputs
        Neurons at the end.
    """

    def __init__(self, channels: int = 1, width: int = 64, outputs: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(channels, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        ]  # fmt: skip
        before = width
        for stage in range(4):
            after = width * 2**stage
            layers += [Residual(before, after, 1 if stage == 0 else 2), Residual(after, after, 1)]
            before = after
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, outputs)]
        self.layers = nn.Sequential(*layers)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):  # as the paper begins: for what ReLU lets through
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, channels, size, size) to (n,), or (n, outputs) of several neurons."""
        answer: torch.Tensor = self.layers(images)
        return answer.squeeze(1) if answer.shape[1] == 1 else answer
