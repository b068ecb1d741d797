"""The registered hooks: how a low floor calls a high one by name, without importing it.

A result's ``.plot()`` and ``.report()`` find :mod:`refimpl.report` here. A hook is a name and a
target ``"module:function"``; the module is imported on the first call, so ``import refimpl`` stays
light and floors 0-7 never import floor 8. Register another target to replace a report by your own.
"""

from __future__ import annotations

import importlib
from typing import Any

from refimpl.errors import ConfigError

__all__ = ["DEFAULTS", "call", "names", "register", "resolve"]

DEFAULTS: dict[str, str] = {
    "powder.quantity": "refimpl.report.view:Quantity",
    "powder.panel_view": "refimpl.report.view:PanelView",
    "powder.view": "refimpl.report.view:PowderView",
    "powder.figures": "refimpl.report.powder:figures",
    "powder.plot": "refimpl.report.powder:overview",
    "powder.report": "refimpl.report.powder:write_report",
    "metrology.report": "refimpl.report.metrology:write_report",
    "nearfield.report": "refimpl.report.nearfield:write_report",
    "nearfield.multires_report": "refimpl.report.nearfield_multires:write_report",
    "centring.classes": "refimpl.report.centring_classes:write_report",
    "centring.overlay": "refimpl.report.centring:write_overlay",
    "centring.report": "refimpl.report.centring:write_report",
    "epu.map": "refimpl.report.epu:write_map",
    "epu.maps": "refimpl.report.epu:write_comparison",
    "epu.montage": "refimpl.report.epu_montage:write_montage",
    "epu.report": "refimpl.report.epu:write_report",
    "epu.scatter": "refimpl.report.epu:write_scatter",
    "powder.pattern": "refimpl.report.pattern:pattern_figure",
}
"""Hooks that refimpl itself provides; read only, :func:`register` overrides them."""

_registered: dict[str, str] = {}


def names() -> tuple[str, ...]:
    """Names of all hooks, sorted."""
    return tuple(sorted({*DEFAULTS, *_registered}))


def register(name: str, target: str | None) -> None:
    """Set the target of a hook; ``None`` returns to the default.

    Parameters
    ----------
    name
        Name of the hook, for instance ``powder.report``.
    target
        ``"package.module:function"``, imported on the first call only.

    Raises
    ------
    ConfigError
        The target is not of that form.
    """
    if target is None:
        _registered.pop(name, None)
        return
    module, colon, function = target.partition(":")
    if not (colon and function.isidentifier() and all(p.isidentifier() for p in module.split("."))):
        raise ConfigError(f"hook {name!r}: target {target!r}: expected 'module:function'", key=name)
    _registered[name] = target


def resolve(name: str) -> Any:
    """Import and return the target of a hook.

    Raises
    ------
    ConfigError
        There is no hook of that name, or its module or function does not exist.
    """
    target = _registered.get(name) or DEFAULTS.get(name)
    if target is None:
        raise ConfigError(f"no hook is called {name!r}: known are {', '.join(names())}", key=name)
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A missing dependency of the target's module is that module's own story.
        if not (error.name and f"{module_name}.".startswith(f"{error.name}.")):
            raise
        raise ConfigError(f"hook {name!r}: no module called {module_name!r}", key=name) from error
    if not hasattr(module, attribute):
        raise ConfigError(f"hook {name!r}: {module_name!r} has no {attribute!r}", key=name)
    return getattr(module, attribute)


def call(name: str, *args: Any, **kwargs: Any) -> Any:
    """Call the target of a hook with the given arguments and return what it returns."""
    return resolve(name)(*args, **kwargs)
