"""Where a command reads its options, from its source: which are read only in a branch on others.

Followed: names, ``options["name"]``, ``locals()``, and these into functions of the same module. Not
followed: what a value that was computed from an option goes on to do, and other modules.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import typer

from refimpl.cli.main import app

Reads = list[tuple[str, frozenset[str]]]
"""Parameters that are read, each with those that a branch it is read in depends on."""

_MAPPING = "*"


def commands(of: typer.Typer = app, before: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """All commands: what is typed for them, and the function."""
    for info in of.registered_commands:
        name = info.name or info.callback.__name__.replace("_", "-")
        yield " ".join((*before, name)), info.callback
    for group in of.registered_groups:
        yield from commands(group.typer_instance, (*before, str(group.name)))


def parameters(command: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Parameters as the command line has them."""
    return inspect.signature(command, eval_str=True).parameters


def reads(command: Callable[..., Any]) -> Reads:
    """Where a command reads its parameters."""
    inner = inspect.unwrap(command)
    functions = _functions(inner.__module__)
    node = functions[inner.__name__]
    known = frozenset(parameters(command))
    own = {a.arg: a.arg for a in (*node.args.args, *node.args.kwonlyargs) if a.arg in known}
    if "options" not in known and "options" in inspect.signature(inner).parameters:
        own["options"] = _MAPPING
    if node.args.kwarg is not None:
        own[node.args.kwarg.arg] = _MAPPING
    found: Reads = []
    _Visitor(functions, own, known, found, (inner.__name__,)).of(node.body, frozenset())
    return found


@cache
def _functions(module: str) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


class _Visitor:
    """One function: `names` says which parameter of the command a local name stands for."""

    def __init__(
        self, functions: dict[str, ast.FunctionDef], names: dict[str, str], known: frozenset[str],
        found: Reads, calls: tuple[str, ...],
    ) -> None:  # fmt: skip
        self.functions, self.names, self.known = functions, names, known
        self.found, self.calls = found, calls

    def of(self, nodes: Any, guards: frozenset[str]) -> None:
        for node in nodes if isinstance(nodes, list) else [nodes]:
            self._one(node, guards)
            if isinstance(node, ast.If) and isinstance(node.body[-1], ast.Return):
                guards = guards | self._roots(node.test)

    def _one(self, node: ast.AST, guards: frozenset[str]) -> None:
        if isinstance(node, ast.If | ast.IfExp):
            self._one(node.test, guards)
            inside = guards | self._roots(node.test)
            ways = [self._apart(part, inside) for part in (node.body, node.orelse)]
            both = {name for name, under in ways[0] if under == inside - {name}}
            both &= {name for name, under in ways[1] if under == inside - {name}}
            self.found.extend((*ways[0], *ways[1], *((name, guards - {name}) for name in both)))
        elif isinstance(node, ast.Assign) and ast.unparse(node.value) == "locals()":
            self.names |= {t.id: _MAPPING for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.Call) and self._into(node, guards):
            pass
        elif (root := self._root(node)) is not None:
            self.found.append((root, guards - {root}))
        elif isinstance(node, ast.Name) and self.names.get(node.id) == _MAPPING:
            self.found.extend((name, guards - {name}) for name in self.known)
        else:
            for child in ast.iter_child_nodes(node):
                self._one(child, guards)

    def _apart(self, nodes: Any, guards: frozenset[str]) -> Reads:
        """Reads of one way of a branch."""
        kept, self.found = self.found, []
        self.of(nodes, guards)
        made, self.found = self.found, kept
        return made

    def _root(self, node: ast.AST) -> str | None:
        """Parameter that a name or ``options["name"]`` stands for."""
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            root = self.names.get(node.id)
            return None if root == _MAPPING else root
        if isinstance(node, ast.Constant) and _MAPPING in self.names.values():
            return node.value if node.value in self.known else None
        return None

    def _roots(self, node: ast.AST) -> frozenset[str]:
        return frozenset(root for n in ast.walk(node) if (root := self._root(n)) is not None)

    def _into(self, node: ast.Call, guards: frozenset[str]) -> bool:
        """Go into a function of this module; False: it is none."""
        target = self.functions.get(node.func.id) if isinstance(node.func, ast.Name) else None
        if target is None or target.name in self.calls:
            return False
        places = [a.arg for a in target.args.args]
        pairs = [*zip(places, node.args, strict=False), *((k.arg, k.value) for k in node.keywords)]
        own = {*places, *(a.arg for a in target.args.kwonlyargs)}
        names: dict[str, str] = {}
        for place, value in pairs:
            whole = isinstance(value, ast.Name) and self.names.get(value.id) == _MAPPING
            root = _MAPPING if whole else self._root(value)
            if root is not None and place in own:
                names[place] = root
            else:
                self._one(value, guards)
        for value in node.args[len(places) :]:
            self._one(value, guards)
        inner = _Visitor(self.functions, names, self.known, self.found, (*self.calls, target.name))
        inner.of(target.body, guards)
        return True
