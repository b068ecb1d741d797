"""XML from strangers: namespaces resolved, no document type, so no entity of any kind.

A few hundred bytes of entity declarations expand to gigabytes, and an external entity reads files
of the machine. Both need a document type declaration, which no microscope writes: it is refused
before anything is expanded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn
from xml.parsers import expat

from refimpl.errors import FormatError

__all__ = ["SEPARATOR", "parse"]

SEPARATOR = " "
"""Between the namespace and the local name of an element; a namespace cannot contain it."""


def parse(data: bytes, attach: Callable[[Any], None]) -> None:
    """Parse a whole document with expat.

    Parameters
    ----------
    data
        The file, in any encoding that XML declares.
    attach
        Sets the handlers of the parser it is given. Element names are ``namespace local``.

    Raises
    ------
    FormatError
        Not well-formed (cut short, for instance), with the line; an encoding nobody knows; or a
        document type declaration. Errors that the handlers raise pass through.
    """
    parser = expat.ParserCreate(namespace_separator=SEPARATOR)
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    attach(parser)
    if not data.strip():
        raise FormatError("the file is empty")
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise FormatError(f"not well-formed XML: {error}", line=error.lineno) from error
    except LookupError as error:
        raise FormatError(f"not well-formed XML: {error}") from error


def _refuse(*_: object) -> NoReturn:
    raise FormatError("has a document type declaration, which may define entities: refused")
