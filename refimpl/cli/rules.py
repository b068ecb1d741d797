"""Options that act only beside others: what would be ignored is refused.

A rule is declared at the command, so that one test can go through all commands and their rules.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import typer

from refimpl.errors import ConfigError

__all__ = ["Rule", "flag", "given", "goes_with", "goes_without", "refuse"]

Command = Callable[..., int]


@dataclass(frozen=True)
class Rule:
    """Some options of a command act only with, or only without, some others.

    Attributes
    ----------
    names
        Parameters of the command that the rule is about.
    others
        Those that one of must be there; or, if not `wanted`, none of.
    wanted
        Which of the two.
    """

    names: tuple[str, ...]
    others: tuple[str, ...]
    wanted: bool


def goes_with(others: str | tuple[str, ...], *names: str) -> Callable[[Command], Command]:
    """Decorator of a command: options that are refused where none of the others is given."""
    return _declare(Rule(names, (others,) if isinstance(others, str) else others, True))


def goes_without(others: str | tuple[str, ...], *names: str) -> Callable[[Command], Command]:
    """Decorator of a command: options that are refused where one of the others is given."""
    return _declare(Rule(names, (others,) if isinstance(others, str) else others, False))


def _declare(rule: Rule) -> Callable[[Command], Command]:
    def decorate(run: Command) -> Command:
        parameters = inspect.signature(run, eval_str=True).parameters
        unknown = [name for name in (*rule.names, *rule.others) if name not in parameters]
        if unknown:
            raise TypeError(f"{run.__name__} has no {', '.join(unknown)}")
        flags = {name: flag(parameter) for name, parameter in parameters.items()}

        @wraps(run)
        def command(*args: Any, **named: Any) -> int:
            values = inspect.signature(command).bind(*args, **named).arguments
            named_now = given(values, parameters)
            beside = [name for name in rule.others if _is_there(name, named_now, values)]
            asked = [flags[name] for name in rule.names if name in named_now]
            if asked and rule.wanted and not beside:
                others = " or ".join(flags[name] for name in rule.others)
                raise ConfigError(f"{asked[0]} does not act without {others}", got=asked[0])
            if asked and not rule.wanted and beside:
                raise ConfigError(f"{asked[0]} does not act with {flags[beside[0]]}", got=asked[0])
            return run(*args, **named)

        command.rules = (rule, *getattr(run, "rules", ()))  # type: ignore[attr-defined]
        return command

    return decorate


def _is_there(name: str, named_now: frozenset[str], values: Mapping[str, Any]) -> bool:
    """Whether an option is in force; a flag that is named ``--no-...`` is not."""
    return name in named_now and values.get(name) is not False


def flag(parameter: inspect.Parameter) -> str:
    """Name of a parameter on the command line: its first long one; of an argument the metavar."""
    for note in getattr(parameter.annotation, "__metadata__", ()):
        words = (getattr(note, "default", None), *(getattr(note, "param_decls", None) or ()))
        names = [word for word in words if isinstance(word, str) and word.startswith("--")]
        if names:
            return names[0].partition("/")[0]
        if not hasattr(note, "prompt"):  # an argument
            return str(getattr(note, "metavar", None) or parameter.name.upper())
    return f"--{parameter.name.replace('_', '-')}"


def given(values: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]) -> frozenset[str]:
    """Names of what the command line names; of what is no default, where there is no such line."""
    context = _context()
    if context is None:
        return frozenset(
            name for name, value in values.items() if value != parameters[name].default
        )
    source = context.get_parameter_source
    return frozenset(
        name
        for name in values
        if getattr(source(name), "name", "") in ("COMMANDLINE", "ENVIRONMENT")
    )


def refuse(command: Command, values: Mapping[str, Any], names: Sequence[str], why: str) -> None:
    """Refuse options that turn out not to act once a file is read.

    Parameters
    ----------
    command
        Whose options they are.
    values
        Of its parameters, by name.
    names
        Those that do not act.
    why
        Ends the sentence "--NAME does not act ...".

    Raises
    ------
    ConfigError
        One of them is given.
    """
    parameters = inspect.signature(command, eval_str=True).parameters
    now = given({name: values[name] for name in names}, parameters)
    for name in names:
        if name in now:
            raise ConfigError(f"{flag(parameters[name])} does not act {why}", got=name)


def _context() -> Any:
    """Context of the command that runs; newer versions of typer carry their own copy of click."""
    package = typer.BadParameter.__mro__[1].__module__.rpartition(".")[0]
    return importlib.import_module(f"{package}.globals").get_current_context(silent=True)
