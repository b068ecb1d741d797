"""Panels of the Pilatus 2M frame: ours against published ones, panel by panel, with error bars.

    python validation/panels.py [--update docs/validation/panels.md]

48 half-modules against two runs of the published program and a robust least-squares reference on
its points (set ``powder-golden``), 24 modules against HEXRD's composite. Tables in Markdown.
"""

from __future__ import annotations

from pages import run
from panel_halves import halves_tables
from panel_modules import modules_tables
from panel_tables import FRAME


def parts() -> list[str]:
    """Everything on the page."""
    return [*halves_tables(), *modules_tables()]


if __name__ == "__main__":
    raise SystemExit(run("panels", __doc__.splitlines()[0], FRAME, parts))
