"""Configuration of the documentation; the tables of settings are generated from the code."""

from __future__ import annotations

import importlib.util
import logging
import pkgutil
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import refimpl  # noqa: E402
from refimpl.io.key_files import KeyTable  # noqa: E402
from refimpl.io.midas_keys import KEYS  # noqa: E402
from refimpl.io.nearfield_keys import NEARFIELD_KEYS  # noqa: E402
from refimpl.nearfield.settings import NearfieldConfig  # noqa: E402
from refimpl.powder.config import PowderConfig  # noqa: E402

project = "refimpl"
author = "The refimpl developers"
project_copyright = "The refimpl developers, BSD 3-Clause"
version = release = refimpl.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinxcontrib.bibtex",
    "sphinx_gallery.gen_gallery",
    "equations",
]
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "unsrt"
numpydoc_show_class_members = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
# without the extra centring the pages of its modules are made from stand-ins for torch and others
EXTRA = ("cv2", "onnx", "pytorch_lightning", "torch", "torchmetrics")
autodoc_mock_imports = [name for name in EXTRA if importlib.util.find_spec(name) is None]
exclude_patterns = ["_build", "_generated", "gallery/**.ipynb"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
}
html_static_path = ["_static"]
html_css_files = ["refimpl.css"]
html_short_title = "refimpl"
html_title = "refimpl"
# one file of MathJax beside the pages, so that equations show without a network, where the
# dependency group docs brings it
if mathjax := importlib.util.find_spec("sphinx-mathjax-offline"):
    html_static_path.append(str(Path(str(mathjax.origin)).parent / "static/mathjax/tex-svg.js"))
    mathjax_path = "tex-svg.js"
# numpydoc entries such as "fast_px, slow_px" or "(n,) [rad]." are prose, not cross references
suppress_warnings = ["myst.xref_missing", "ref.python"]
# autodoc cannot print the defaults of some frozen dataclasses; a module that fails to import counts
logging.getLogger("sphinx.sphinx.ext.autodoc").addFilter(
    lambda record: not str(record.msg).startswith("error while formatting signature for")
)

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "ignore_pattern": r"^(?!plot_)",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "abort_on_example_error": True,
}


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _settings(config: type) -> str:
    """One Markdown table for each table of the TOML file."""
    parts = []
    for table, field in config.model_fields.items():
        model = field.annotation
        if not hasattr(model, "model_fields"):
            continue
        parts += [f"### `[{table}]`", "", "| setting | default | meaning |", "|---|---|---|"]
        for name, setting in model.model_fields.items():
            default = (
                "required"
                if setting.is_required()
                else f"`{setting.get_default(call_default_factory=True)}`"
            )
            parts.append(f"| `{name}` | {_cell(default)} | {_cell(setting.description)} |")
        parts.append("")
    return "\n".join(parts)


def _keys(table: KeyTable) -> str:
    """Every key of a kind of published parameter file."""
    rows = ["| key | default | unit | meaning |", "|---|---|---|---|"]
    for key in table.values():
        if key.refused:
            continue
        default = "" if key.default is None else f"`{key.default}`"
        default = f"that of `{key.default_key}`" if key.default_key else default
        text = f"{key.help}; nothing acts on it: {key.unused}" if key.unused else key.help
        rows.append(f"| `{key.name}` | {_cell(default)} | {key.unit} | {_cell(text)} |")
    return "\n".join(rows) + "\n"


generated = HERE / "_generated"
generated.mkdir(exist_ok=True)
(generated / "settings.md").write_text(_settings(PowderConfig))
(generated / "midas_keys.md").write_text(_keys(KEYS))
(generated / "nearfield_settings.md").write_text(_settings(NearfieldConfig))
(generated / "nearfield_keys.md").write_text(_keys(NEARFIELD_KEYS))


def _modules() -> None:
    """One page for each module, with everything public on it, and the list of them."""
    folder = HERE / "api"
    folder.mkdir(exist_ok=True)
    names = {
        m.name: m.ispkg
        for m in pkgutil.walk_packages(refimpl.__path__, "refimpl.")
        if "._ext" not in m.name and "strategies_" not in m.name
    }
    for old in folder.glob("*.rst"):
        if old.stem not in (*names, "index"):
            old.unlink()
    for name, is_room in names.items():
        members = "" if is_room else "   :members:\n"  # a room only passes its modules' names on
        text = f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n{members}"
        page = folder / f"{name}.rst"
        if not page.exists() or page.read_text() != text:
            page.write_text(text)
    listing = "\n".join(f"   {name}" for name in names)
    (folder / "index.rst").write_text(
        f"Modules\n=======\n\n.. toctree::\n   :maxdepth: 1\n\n{listing}\n"
    )


_modules()


def _escape_bars(app, what, name, obj, options, lines) -> None:
    """An absolute value in a docstring is not a substitution."""
    for i, line in enumerate(lines):
        if line.lstrip().startswith(("|", "+")):  # a table or a line block
            continue
        parts = re.split(r"(``.*?``|`[^`]*`)", line)  # literals and roles stay
        parts[::2] = [re.sub(r"\|([^|]+)\|", r"\\|\1\\|", part) for part in parts[::2]]
        lines[i] = "".join(parts)


def setup(app) -> None:
    app.connect("autodoc-process-docstring", _escape_bars)
