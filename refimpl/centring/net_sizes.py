"""The nets of the thesis as tables, and the arithmetic of their layers.

Schurmann & Lindhe (2019), section 1.5 (sizes, weights) and Table 2.2 (a1 to a10). Not here: torch
(:mod:`refimpl.centring.nets`).
"""

from __future__ import annotations

from dataclasses import dataclass

from refimpl.errors import ConfigError

__all__ = ["NETS", "NetTable", "output_size", "weights_of"]


@dataclass(frozen=True)
class NetTable:
    """Layers of a net, in their order: how many of each.

    Attributes
    ----------
    c8, pool, c16
        Convolutions of 8 filters, poolings, convolutions of 16 filters; all 3 x 3.
    f256, f128, f64
        Dense layers.
    """

    c8: int
    pool: int
    c16: int
    f256: int
    f128: int
    f64: int


NETS = {
    "a1": NetTable(2, 0, 0, 1, 1, 0),
    "a2": NetTable(2, 0, 1, 1, 1, 0),
    "a3": NetTable(2, 0, 2, 1, 1, 1),
    "a4": NetTable(2, 1, 2, 1, 1, 1),
    "a5": NetTable(2, 0, 2, 2, 2, 2),
    "a6": NetTable(2, 0, 0, 0, 1, 1),
    "a7": NetTable(1, 0, 1, 1, 1, 0),
    "a8": NetTable(1, 0, 0, 1, 1, 0),
    "a9": NetTable(1, 0, 0, 1, 0, 0),
    "a10": NetTable(1, 0, 0, 1, 1, 1),
}
"""Table 2.2 of the thesis."""


def output_size(size: int, kernel: int, padding: int = 0, stride: int = 1) -> int:
    """Edge of what a convolution or pooling gives (thesis, section 1.5): (W - F + 2 P) / S + 1.

    >>> output_size(28, 5)
    24

    Raises
    ------
    ConfigError
        The window does not fit into the image.
    """
    if kernel > size + 2 * padding:
        raise ConfigError(f"a window of {kernel} does not fit into {size} px")
    return (size - kernel + 2 * padding) // stride + 1


def weights_of(kernel: int, channels: int, filters: int = 1) -> int:
    """Parameters of a convolution, one bias for each filter (thesis, section 1.5).

    >>> weights_of(5, 3)
    76
    >>> weights_of(5, 3, 32)
    2432
    """
    return (kernel * kernel * channels + 1) * filters
