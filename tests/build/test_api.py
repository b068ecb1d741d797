"""Every public name exists, is typed and documented; every module says what it is."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any

import pytest

import refimpl
from refimpl.errors import MissingExtra

NAMES = [
    found.name
    for found in pkgutil.walk_packages(refimpl.__path__, "refimpl.")
    if found.name.split(".")[1] != "_ext"  # compiled code, described by its definitions
]
SLOW = [pytest.param(n, marks=pytest.mark.slow) if ".centring." in n else n for n in NAMES]
"""Modules of centring import torch."""


def public(module: ModuleType) -> list[tuple[str, Any]]:
    names = getattr(module, "__all__", None)
    if names is None:
        names = [n for n in vars(module) if not n.startswith("_")]
    members = [(n, getattr(module, n)) for n in names]
    return [
        (n, m)
        for n, m in members
        if (inspect.isfunction(m) or inspect.isclass(m)) and m.__module__ == module.__name__
    ]


def untyped(function: Any) -> list[str]:
    signature = inspect.signature(function)
    missing = [
        p.name
        for p in signature.parameters.values()
        if p.annotation is p.empty and p.name not in ("self", "cls")
    ]
    return missing + (["return"] if signature.return_annotation is signature.empty else [])


def test_the_walk_finds_the_rooms() -> None:
    assert {"refimpl.dispatch", "refimpl.detector.tilted_flat", "refimpl.cli.info"} <= set(NAMES)


@pytest.mark.parametrize("name", SLOW)
def test_public_names(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except MissingExtra as exc:
        pytest.skip(str(exc))
    assert module.__doc__, f"{name} has no docstring"
    if "." in name.removeprefix("refimpl."):
        package = not hasattr(module, "__path__")
        assert hasattr(module, "__all__") or not package, f"{name} has no __all__"
    for missing in getattr(module, "__all__", ()):
        assert hasattr(module, missing), f"{name}.__all__ names {missing}, which does not exist"
    faults = []
    for label, member in public(module):
        where = f"{name}.{label}"
        if not inspect.getdoc(member):
            faults.append(f"{where} has no docstring")
        if inspect.isfunction(member):
            faults += [f"{where}: {p} has no type" for p in untyped(member)]
            continue
        fields = inspect.get_annotations(member)  # the default of a field may be a function
        for method_name, method in vars(member).items():
            function = getattr(method, "fget", None) or getattr(method, "__func__", method)
            skip = method_name.startswith("_") or method_name in fields
            if skip or not inspect.isfunction(function):
                continue
            if not inspect.getdoc(getattr(member, method_name)):
                faults.append(f"{where}.{method_name} has no docstring")
            faults += [f"{where}.{method_name}: {p} has no type" for p in untyped(function)]
    assert not faults, "\n".join(faults)


def test_the_checker_sees_what_is_missing() -> None:
    def bare(a, b: int):  # type: ignore[no-untyped-def]
        return a

    assert untyped(bare) == ["a", "return"]
    assert untyped(refimpl.dispatch.resolve_threads) == []
