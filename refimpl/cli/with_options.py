"""Options that several commands share, written down once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

__all__ = ["Options", "with_options"]

Options = Mapping[str, Any]
"""Values of all parameters of a command by name; see :func:`with_options`."""

Command = Callable[..., int]


def with_options(shared: Callable[..., None]) -> Callable[[Command], Command]:
    """Decorator of commands that take shared options beside their own.

    The parameter ``options`` of the command stands for them in its signature; it is handed the
    values of all parameters, its own too.

    Parameters
    ----------
    shared
        Function whose parameters are the shared options; it is never called.
    """

    def decorate(run: Command) -> Command:
        own = inspect.signature(run, eval_str=True).parameters
        more = inspect.signature(shared, eval_str=True).parameters
        places: list[inspect.Parameter] = []
        for name, parameter in own.items():
            places += more.values() if name == "options" else (parameter,)
        taken = [name for name in own if name != "options"]
        keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in places]
        signature = inspect.Signature(keywords, return_annotation=int)

        @wraps(run)
        def command(**given: Any) -> int:
            bound = signature.bind(**given)
            bound.apply_defaults()
            values = bound.arguments
            return run(options=values, **{name: values[name] for name in taken})

        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in places} | {"return": int}
        return command

    return decorate
