"""Words of a command line by chance: what commands there are, and what their options may be given.

Names that an option knows stand in its help, so words are drawn from there as well.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Command", "Option", "changed", "commands", "words"]

LEFT_OUT = {"demo", "validate", "centring reproduce", "info"}
"""The network, minutes, or nothing to say."""
NEVER = {"--command", "--engine", "--help", "--watch", "--download"}
"""Programs that would be run, and what does not end."""
_NUMBERS = (
    "0", "1", "2", "3", "-1", "0.5", "1e-9", "1e9", "1e308", "1e400", "nan", "inf", "-inf", "x", "",
    "99999999999999999999", "1_0", "0x10", "1,2", "5:2", "1:3", "-0.0", "90", "0.2", "75", "172",
)  # fmt: skip
_SOUND = {"int": ("1", "2", "3", "5", "10", "0"),
          "float": ("0.5", "1", "2.5", "0.2", "30", "75", "0.001", "0")}  # fmt: skip
_THREADS = ("1", "2", "0", "-1", "x")
_TEXTS = ("", "x", "a=1", "seed=-1", "=", "a,b", "all", "none", "é", "a b", "%s", "{", "[", "1",
          "CeO2", "LaB6", "0,0", "24,20", "json", "x.csv", "*")  # fmt: skip
_OUTPUTS = ("out", "out/deep", "out.json", "out.csv", "out.html", "out.h5", "out.png", "out.star",
            "out.poni", "out.expt", "out.geom", "out.par", "out.py", "out.mic", "out.txt",
            "out.nxs", "empty", "a folder")  # fmt: skip


_WORD = re.compile(r"[A-Za-z0-9_:=/-][A-Za-z0-9_.:=/-]*[A-Za-z0-9_]")


@dataclass(frozen=True)
class Option:
    """An option or, without a name, an argument."""

    names: tuple[str, ...]
    is_flag: bool
    is_required: bool
    n: int
    kind: str
    known: tuple[str, ...]
    likely: str = ""


@dataclass(frozen=True)
class Command:
    """A command with its options."""

    name: str
    options: tuple[Option, ...]


_GEOMETRIES = "geometry.json|.poni|.expt|.par|.geom|XPARM|.yml|.nxs"
_RESULTS = "geometry.json|.poni|.mic|.refl|panelshifts|m.h5"
_LIKELY = {
    "geometry": _GEOMETRIES, "from": _GEOMETRIES, "first": _RESULTS, "second": _RESULTS,
    "expt": ".expt", "refl": ".refl", "inputs": ".expt|.refl", "image": ".tif|.cbf|.h5|.edf|.npy",
    "mic": ".mic|m.h5", "map": ".mic|m.h5", "paramfile": "ps.txt|n.toml", "mask": ".tif",
    "session": "session|s.csv", "folder": "session", "checkpoint": ".ckpt", "table": ".csv",
    "instrument": ".yml|.hexrd", "camera": ".csv", "detector": ".csv", "picture": ".png|.tif",
    "source": ".h5|.npz|.poni", "grains": "rains", "log": ".log", "split": "s.json",
    "params": "p.toml", "calibration": "cal.json", "known-failures": "k.txt", "star": ".star",
    "cache": "c.csv",
}  # fmt: skip
"""What the files of an option of that name, or described by that word, end like or hold."""


def _option(parameter: Any) -> Option:
    is_argument = parameter.param_type_name == "argument"
    metavar = parameter.metavar or ""
    name = parameter.opts[-1]
    annotation = str(parameter.type_descriptor.annotation)
    if name in ("--threads", "--ncpus", "--jobs", "--workers", "--nodes") or metavar == "NCPUS":
        kind = "threads"
    elif name in ("--out", "--o", "--picture", "--junit", "--report", "--map", "target"):
        kind = "output"
    elif "Path" in annotation or re.search("FILE|DIR|EXPT|REFL|IMAGE|PATH|MIC|MAP", metavar):
        kind = "file"
    elif "float" in annotation or "int" in annotation:
        kind = "float" if "float" in annotation else "int"
    else:
        kind = "text"
    known = _WORD.findall(parameter.help or "")
    return Option(
        () if is_argument else (*parameter.opts, *parameter.secondary_opts),
        bool(getattr(parameter, "is_flag", False)), parameter.required, parameter.nargs, kind,
        (*known, *metavar.split("|")), _likely(name, metavar),
    )  # fmt: skip


def _likely(name: str, metavar: str) -> str:
    for word in (name.lstrip("-"), metavar.lower()):
        for key, files in _LIKELY.items():
            if key in word.lower():
                return files
    return ""


def _published() -> Command:
    """The one command with a parser of its own."""
    from refimpl.cli.autocalibrate import parser

    options = []
    for action in parser()._actions:
        options.append(
            Option(
                tuple(action.option_strings), action.nargs == 0, action.required, 1,
                "threads" if "cpu" in action.dest.lower() else "file" if action.type is Path
                else action.type.__name__ if action.type in (int, float) else "text",
                tuple(_WORD.findall(action.help or "")),
            )
        )  # fmt: skip
    return Command("powder autocalibrate", tuple(options))


def commands() -> list[Command]:
    """Every command of the program."""
    import typer

    from refimpl.cli.main import app

    found = []

    def walk(node: Any, path: tuple[str, ...]) -> None:
        for name, inside in getattr(node, "commands", {}).items():
            walk(inside, (*path, name))
        name = " ".join(path)
        if not getattr(node, "commands", None) and name not in LEFT_OUT:
            options = tuple(_option(p) for p in node.params)
            found.append(Command(name, options) if options else _published())

    walk(typer.main.get_command(app), ())
    return found


def _value(option: Option, names: list[str], rng: random.Random) -> str:
    way = rng.random()
    if option.kind == "threads":
        return rng.choice(_THREADS)
    if way < 0.1:
        return rng.choice((*_NUMBERS, *_TEXTS))
    if option.kind == "file":
        likely = [n for n in names if option.likely and re.search(option.likely, n)]
        return rng.choice(likely if likely and way < 0.8 else names)
    if option.kind == "output":
        return rng.choice(_OUTPUTS)
    if option.kind in _SOUND:
        return rng.choice(_SOUND[option.kind] if way < 0.7 else _NUMBERS)
    if way < 0.75 and option.known:
        return rng.choice(option.known)
    return rng.choice((*_NUMBERS, *_TEXTS, rng.choice(names)))


def changed(line: list[str], command: Command, names: list[str], rng: random.Random) -> list[str]:
    """A command line with an option more, or another word."""
    options = [o for o in command.options if o.names and not NEVER & set(o.names)]
    start = len(command.name.split())
    if options and rng.random() < 0.6:
        option = rng.choice(options)
        values = [_value(option, names, rng) for _ in range(max(option.n, 1))]
        return [*line, rng.choice(option.names), *([] if option.is_flag else values)]
    out = list(line)
    places = [at for at in range(start, len(line)) if not line[at].startswith("--")]
    if places:
        at = rng.choice(places)
        of = [o for o in command.options if at and line[at - 1] in o.names]
        out[at] = _value(of[0], names, rng) if of else rng.choice(names)
    return out


def words(command: Command, names: list[str], rng: random.Random) -> list[str]:
    """A command line."""
    out = command.name.split()
    left = [option for option in command.options if option.names and not option.is_required]
    drawn = rng.sample(left, min(len(left), rng.choice((0, 0, 1, 1, 2, 3, 5))))
    for option in [*(o for o in command.options if o.is_required or not o.names), *drawn]:
        if NEVER & set(option.names) or (option.is_required and rng.random() < 0.02):
            continue
        times = rng.choice((1, 1, 2, 3)) if option.n == -1 else max(option.n, 1)
        values = [] if option.is_flag else [_value(option, names, rng) for _ in range(times)]
        if not option.names:
            values = [value for value in values if not value.startswith("-")] or ["x"]
        out += [rng.choice(option.names), *values] if option.names else values
    return out
