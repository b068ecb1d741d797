"""Help with options in groups, without the frames and colours of rich."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

__all__ = ["GroupedCommand"]


class GroupedCommand(TyperCommand):
    """Command whose help has a section for each ``rich_help_panel``.

    The plain help of typer knows no panels, and writes the Python type of an argument behind its
    metavar, ``IMAGES <list[str]>``, which says nothing to those who read it.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, section by section, in the order of the declarations."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            name, text = record
            if parameter.param_type_name == "argument":
                section, name = "Arguments", re.sub(r" <.*>$", "", name)
            else:
                section = getattr(parameter, "rich_help_panel", None) or "Options"
            sections.setdefault(section, []).append((name, text))
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
