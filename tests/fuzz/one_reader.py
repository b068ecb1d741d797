"""What the campaign knows of a reader of files from outside."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["Kind", "Reader", "get"]

Kind = Literal["bytes", "text", "json", "hdf5", "msgpack", "zip", "gzip", "folder"]


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes
    ----------
    name
        Of the reader in the campaign and of its stored corpus.
    file
        Name that the file is given; readers choose by the suffix.
    call
        Reads the file, and all of it: a reader that puts work off must do it in here.
    kind
        What the content is made of, for mutations that know its structure.
    target
        ``module:function`` that tests of refimpl call with the path as the first argument; files
        that they wrote are where the corpus began. Empty: ``seeds.py`` has them.
    takes
        Whether the first argument of ``target`` is a path, text or bytes.
    traced
        Packages whose lines count as coverage.
    """

    name: str
    file: str
    call: Callable[[Path], object]
    kind: Kind = "text"
    target: str = ""
    takes: Literal["path", "text", "bytes"] = "path"
    traced: tuple[str, ...] = ("refimpl",)


def get(target: str) -> Callable[..., Any]:
    """Function of refimpl by ``module:name``."""
    module, name = target.split(":")
    return getattr(importlib.import_module(f"refimpl.{module}"), name)
