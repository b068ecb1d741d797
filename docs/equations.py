"""The role ``{defined}`` under a displayed equation: the functions that define it in the code.

Names are dotted, separated by commas. A name that does not exist, or has no page, is a warning;
a private one leads to the class or module that documents it. Pairs of a definition and a compiled
twin are marked.
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from refimpl.dispatch import REGISTRY


def has_twin(thing: Any) -> bool:
    """Whether it is a definition with a compiled twin."""
    return any(pair.definition is getattr(thing, "__wrapped__", None) for pair in REGISTRY.values())


def documented(name: str) -> str:
    """Longest beginning of a name without a private part: what has a place on a page."""
    parts = name.split(".")
    first = next((i for i, part in enumerate(parts) if part.startswith("_")), len(parts))
    return ".".join(parts[:first])


class Defined(SphinxRole):
    """``In code: detector.tilted_flat.ring_coordinates (twin)``, each name a link."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Nodes of the line, and what was wrong."""
        out = nodes.inline(classes=["defined-in"])
        out += nodes.Text("In code: ")
        messages = []
        for i, name in enumerate(n.strip() for n in self.text.split(",")):
            try:
                twin = has_twin(resolve_name(name))
            except (ImportError, AttributeError, ValueError) as exc:
                messages.append(self.inliner.reporter.warning(f"{name}: {exc}", line=self.lineno))
                continue
            link = addnodes.pending_xref(
                "", refdomain="py", reftype="obj", reftarget=documented(name), refexplicit=True,
                refwarn=True, refdoc=self.env.docname,
            )  # fmt: skip
            link += nodes.literal("", name.removeprefix("refimpl."))
            self.set_source_info(link)
            out += [nodes.Text(", "), link] if i else [link]
            out += [nodes.Text(" (with a twin)")] if twin else []
        return [out], messages


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the role known."""
    app.add_role("defined", Defined())
    return {"parallel_read_safe": True}
