"""EPU's XML of an exposure, read the strict way.

The file is a ``MicroscopeImage`` of Fei.SharedObjects. The XML beside it that is called
``_Fractions`` has the root ``Acquisition`` and no optics: it is refused by its root.
:mod:`refimpl.io.epu_templates` reads the same values a hundred times faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from refimpl.errors import FormatError
from refimpl.io.epu_fields import CUSTOM, LABEL, PATHS, URI, Fields, fields_of
from refimpl.io.safe_xml import SEPARATOR, parse

__all__ = ["Leaf", "Parsed", "is_plain", "parse_strict", "read_strict"]

_Node = dict[str, Any]
_PAIR, _KEY, _VALUE = "CustomData pair", "CustomData key", "CustomData value"


def _tree() -> tuple[str, _Node, _Node]:
    """Name of the root, nested names of the elements (leaves: field), the node of a custom pair."""
    tree: _Node = {}
    for name, (path, _) in PATHS.items():
        *inner, last = (_qualified(part) for part in path.split("/"))
        node = tree
        for part in inner:
            node = node.setdefault(part, {})
        node[last] = name
    pair: _Node = {_qualified("A:Key"): _KEY, _qualified("A:Value"): _VALUE}
    tree[_qualified("S:CustomData")] = {_qualified("A:KeyValueOfstringanyType"): pair}
    return _qualified("S:MicroscopeImage"), tree, pair


def _qualified(part: str) -> str:
    prefix, _, local = part.partition(":")
    return f"{URI[prefix]}{SEPARATOR}{local}"


_ROOT, _TREE, _PAIR_NODE = _tree()
_FIELD_OF_KEY: Final = {key: name for name, (key, _) in CUSTOM.items()}
# Encodings in which every byte below 128 is its ASCII letter.
_ASCII_LIKE: Final = {None, "utf-8", "us-ascii", "iso-8859-1"}


class Leaf(NamedTuple):
    """Text of an element in plain ASCII: data[start:end], and the field that it is, if any."""

    start: int
    end: int
    field: str | None


class Parsed(NamedTuple):
    """Fields of a file, where its texts stand, and whether these can be read by their places.

    ``leaves`` leaves out the keys of CustomData: they say what the values beside them are.
    """

    fields: Fields
    leaves: tuple[Leaf, ...]
    is_plain: bool


def read_strict(data: bytes) -> Fields:
    """Read the XML of one exposure with a whole XML parser.

    Parameters
    ----------
    data
        Content of the file.

    Raises
    ------
    FormatError
        Not XML, a document type declaration, another root, an element twice, or one of
        :data:`~refimpl.io.epu_fields.REQUIRED` absent or not a finite number.
    """
    return parse_strict(data).fields


def parse_strict(data: bytes) -> Parsed:
    """Read as :func:`read_strict` does, and keep where the texts stand."""
    walk = _Walk(data)
    parse(data, walk.attach)
    fields, is_readable = fields_of(walk.texts)
    return Parsed(fields, tuple(walk.leaves), is_readable and walk.is_ascii_like)


class _Walk:
    """Handlers of the parser: follow the tree of names, keep the texts of its leaves."""

    def __init__(self, data: bytes) -> None:
        self.texts: dict[str, str] = {}
        self.leaves: list[Leaf] = []
        self.is_ascii_like = b"\0" not in data[:4]
        self._data = data
        self._nodes: list[Any] = []
        self._text: list[str] = []
        self._is_leaf = False
        self._seen: set[str] = set()
        self._pair: dict[str, Any] = {}
        self._index: Callable[[], int] = int

    def attach(self, parser: Any) -> None:
        """Set the handlers."""
        parser.XmlDeclHandler = self._declaration
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        self._index = lambda: int(parser.CurrentByteIndex)

    def _declaration(self, _: str, encoding: str | None, __: int) -> None:
        self.is_ascii_like &= (encoding.lower() if encoding else None) in _ASCII_LIKE

    def _start(self, name: str, _: object) -> None:
        node: Any = None
        if not self._nodes:
            if name != _ROOT:
                raise FormatError(
                    f"the root is {_words(name)}, not MicroscopeImage of EPU", got=name
                )
            node = _TREE
        elif isinstance(parent := self._nodes[-1], dict):
            node = parent.get(name)
        if node is _PAIR_NODE:
            self._pair = {}
        self._nodes.append(node)
        self._text.clear()
        self._is_leaf = True

    def _end(self, _: str) -> None:
        node = self._nodes.pop()
        text = "".join(self._text) if self._is_leaf else ""
        if node is _PAIR_NODE:
            self._end_pair()
        elif node in (_KEY, _VALUE):
            self._keep_in_pair(node, text)
        elif isinstance(node, str):
            self._keep(node, text)
            self._keep_place(text, node)
        elif self._is_leaf:
            self._keep_place(text, None)
        self._is_leaf = False

    def _keep(self, field: str, text: str) -> None:
        if field in self._seen:
            raise FormatError(f"{LABEL[field]} stands there twice", key=field)
        self._seen.add(field)
        if text.strip():
            self.texts[field] = text

    def _keep_in_pair(self, kind: str, text: str) -> None:
        if kind in self._pair:
            raise FormatError(f"two {kind}s together")
        self._pair[kind] = text
        if kind == _VALUE:
            self._pair["place"] = self._keep_place(text, None)

    def _end_pair(self) -> None:
        """Only now is it known what the value is, in whichever order key and value stand."""
        field = _FIELD_OF_KEY.get(self._pair.get(_KEY, "").strip())
        if field is None:
            return
        self._keep(field, self._pair.get(_VALUE, ""))
        place = self._pair.get("place")
        if place is not None:
            self.leaves[place] = self.leaves[place]._replace(field=field)

    def _keep_place(self, text: str, field: str | None) -> int | None:
        """Add the leaf that ends here, if its bytes are its text; return its number."""
        if not text.strip() or not is_plain(text):
            return None
        end = self._index()
        start = end - len(text)
        # a comment or an entity in it would put a > or ; where the text has another letter
        if self._data[start:end] != text.encode():
            return None
        self.leaves.append(Leaf(start, end, field))
        return len(self.leaves) - 1


def is_plain(text: str) -> bool:
    """Whether a text is printable ASCII without markup: in the file it reads the same."""
    return text.isascii() and text.isprintable() and not ("<" in text or "&" in text or ">" in text)


def _words(name: str) -> str:
    """Name of a root that is none: with its namespace only where that is what differs."""
    uri, _, local = name.rpartition(SEPARATOR)
    if local != _ROOT.rpartition(SEPARATOR)[2]:
        return local
    return f"{local} of {uri}" if uri else f"{local} without a namespace"
