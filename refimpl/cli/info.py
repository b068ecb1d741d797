"""What runs here: versions, backends, OpenMP, threads. The function behind ``refimpl info``.

Versions are read from package metadata, so nothing heavy is imported to print them.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
import warnings
from importlib import metadata
from typing import Any

import refimpl
from refimpl import dispatch
from refimpl.errors import ConfigError

__all__ = ["OPTIONAL", "REQUIRED", "format_info", "info", "main"]

REQUIRED = (
    "numpy", "scipy", "pandas", "scikit-learn", "scikit-image", "gemmi", "tifffile", "fabio",
    "h5py", "hdf5plugin", "zarr", "msgpack", "pydantic", "typer", "rich", "pooch",
    "matplotlib", "plotly", "pillow",
)  # fmt: skip
"""Distributions that refimpl depends on."""

OPTIONAL = ("torch", "pytorch-lightning", "parsl", "pyFAI")
"""Distributions of the extras."""


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _openmp() -> tuple[bool | None, int | None]:
    """Whether the twins have OpenMP and how many threads it would use; None without twins."""
    if "cython" not in dispatch.available_backends():
        return None, None
    build = importlib.import_module("refimpl._ext.build_info")
    return bool(build.openmp_enabled()), int(build.max_threads())


def _backend() -> str:
    with warnings.catch_warnings():  # the fallback is printed, a warning would say it twice
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            return dispatch.current_backend()
        except ConfigError as error:
            return f"invalid: {error}"


def _threads() -> int | str:
    try:
        return dispatch.resolve_threads()
    except ConfigError as error:
        return f"invalid: {error}"


def info() -> dict[str, Any]:
    """Describe this installation.

    Returns
    -------
    Plain values, ready for JSON. ``refimpl``, ``python``, ``platform``: versions.
    ``backends``: those that can run; ``backend``: the one that a call would use now.
    ``openmp``: whether the twins were compiled with it, None without twins.
    ``openmp_max_threads``: what the OpenMP library would use by itself.
    ``threads``: what refimpl uses by default; with an invalid OMP_NUM_THREADS or REFIMPL_BACKEND
    the text of the error stands in its place. ``environment``: the variables that matter, if set.
    ``packages``, ``optional``: versions, None if not installed.
    """
    openmp, openmp_threads = _openmp()
    watched = ("REFIMPL_BACKEND", "REFIMPL_DATA", "REFIMPL_REQUIRE_DATA", "OMP_NUM_THREADS")
    return {
        "refimpl": refimpl.__version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "backends": list(dispatch.available_backends()),
        "backend": _backend(),
        "openmp": openmp,
        "openmp_max_threads": openmp_threads,
        "threads": _threads(),
        "environment": {name: os.environ[name] for name in watched if name in os.environ},
        "packages": {name: _version(name) for name in REQUIRED},
        "optional": {name: _version(name) for name in OPTIONAL},
    }


def format_info(values: dict[str, Any]) -> str:
    """Lay out the result of :func:`info` for reading, one ``name value`` a line."""
    said = {True: "yes", False: "no, one thread only", None: "-"}
    lines = [
        ("refimpl", values["refimpl"]),
        ("python", f"{values['python']} ({values['executable']})"),
        ("platform", values["platform"]),
        ("backends", ", ".join(values["backends"])),
        ("backend", values["backend"]),
        ("OpenMP", said[values["openmp"]]),
        ("threads", values["threads"]),
        *values["environment"].items(),
    ]
    for group in ("packages", "optional"):
        lines += [(name, version or "not installed") for name, version in values[group].items()]
    width = max(len(name) for name, _ in lines)
    text = "\n".join(f"{name:<{width}}  {value}" for name, value in lines)
    if "cython" not in values["backends"]:
        text += (
            "\n\nThe compiled twins are missing: results are the same, 10 to 1000 times slower. "
            "Install a C compiler and reinstall refimpl."
        )
    return text


def main(as_json: bool = False) -> None:
    """Print versions, backends, OpenMP and threads to standard output."""
    values = info()
    sys.stdout.write((json.dumps(values, indent=2) if as_json else format_info(values)) + "\n")
