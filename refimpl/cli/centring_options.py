"""Option values that commands of ``refimpl centring`` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.centring.crops import CropRule

__all__ = ["PinSide", "crop_rule"]

PinSide = Annotated[
    str,
    typer.Option(metavar="SIDE", help="Where the pin enters: left, right, top or bottom."),
]
"""Side of a picture that the pin comes in from."""


def crop_rule(text: str | None) -> CropRule | None:
    """Crop rule from ``A,B``: A + B zoom px; None where none is given.

    Raises
    ------
    ConfigError
        Not two numbers.
    """
    from refimpl.centring.crops import CropRule

    if text is None:
        return None
    try:
        offset, slope = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--crop {text}: expected A,B", key="crop", got=text) from None
    return CropRule(offset, slope)
