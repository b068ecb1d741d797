"""No option is ignored in silence: all commands, their rules, and what nothing seems to read."""

from __future__ import annotations

import inspect
import types
import typing
from pathlib import Path

import pytest
from option_reads import commands, parameters, reads

from refimpl.cli.main import main
from refimpl.cli.rules import Rule, flag, goes_with, refuse
from refimpl.errors import ConfigError

COMMANDS = dict(commands())

READ_IN_A_BRANCH = {
    # name of the command, parameter: why it is read only where another one is, or is not, given
    ("conform", "only"): "--show has its own case, and refuses it",
    ("conform", "out"): "read in every branch",
    ("metrology find-spots", "threads"): "all was done already: nothing is computed",
    ("metrology find-spots", "as_json"): "read where all was done already, too",
    ("metrology index", "threads"): "all was done already: nothing is computed",
    ("metrology index", "as_json"): "read where all was done already, too",
    ("nearfield reconstruct", "as_json"): "read by --estimate, and without it",
    ("nearfield seeds", "spacing_deg"): "refused in the branch, by the value of --from",
}


def _rules() -> list[tuple[str, Rule, str]]:
    return [
        (name, rule, option)
        for name, command in COMMANDS.items()
        for rule in getattr(command, "rules", ())
        for option in rule.names
    ]


def _words(command: object, name: str) -> list[str]:
    """An option, or an argument, with a value that its type takes."""
    parameter = parameters(command)[name]  # type: ignore[arg-type]
    kind = typing.get_args(parameter.annotation)[0]
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    kind = next(k for k in kinds if k is not type(None))
    if kind is bool:
        return [flag(parameter)]
    value = "1" if kind in (int, float) else "x"
    return [flag(parameter), value]


def test_all_commands_are_looked_at() -> None:
    assert len(COMMANDS) > 50
    assert {name.split()[0] for name in COMMANDS} >= {
        "powder", "metrology", "nearfield", "epu", "centring", "convert", "compare", "conform",
        "validate", "demo", "info", "cluster",
    }  # fmt: skip


def _told(rules: tuple[Rule, ...], option: str) -> set[str]:
    """Options beside which, or without which, one is refused, be it for one of these."""
    told: set[str] = set()
    while True:
        more = {other for r in rules if {option, *told} & set(r.names) for other in r.others}
        more |= {name for r in rules if not r.wanted and option in r.others for name in r.names}
        if more <= told:
            return told
        told |= more


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_read(name: str) -> None:
    command = COMMANDS[name]
    found = reads(command)
    rules = getattr(command, "rules", ())
    for option in parameters(command):
        under = [guards for read, guards in found if read == option]
        assert under, f"refimpl {name}: nothing reads {option}"
        if not all(under) or (name, option) in READ_IN_A_BRANCH:
            continue
        others = frozenset.intersection(*under)
        told = _told(rules, option)
        if name == "epu duplicates" and others == {"compat"}:
            continue  # everything beside --compat is refused by name
        assert told, f"refimpl {name}: {option} acts only by {sorted(others)}; refuse it elsewhere"
        assert others <= told, f"refimpl {name}: {option}: no rule for {sorted(others - told)}"


def test_reasons_are_still_needed() -> None:
    for name, option in READ_IN_A_BRANCH:
        under = [guards for read, guards in reads(COMMANDS[name]) if read == option]
        assert under
        assert all(under), f"refimpl {name}: {option} is read everywhere by now"


@pytest.mark.parametrize(
    ("name", "rule", "option"),
    [pytest.param(*row, id=f"{row[0]}-{row[2]}") for row in _rules()],
)
def test_every_rule_refuses(
    name: str, rule: Rule, option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    command = COMMANDS[name]
    words = name.split()
    for needed, parameter in parameters(command).items():
        if parameter.default is inspect.Parameter.empty:
            given = _words(command, needed)
            words += given if given[0].startswith("--") else ["x"]
    words += _words(command, option)
    if not rule.wanted:
        words += _words(command, rule.others[0])
    assert main(words) == 2
    said = capsys.readouterr().err
    assert f"{flag(parameters(command)[option])} does not act with" in said
    assert list(tmp_path.iterdir()) == []


def _made(first: int = 1, second: bool = False, third: int = 2) -> int:
    if second:
        return third
    return first


def test_what_is_read_in_a_branch_is_seen() -> None:
    assert [g for name, g in reads(_made) if name == "third"] == [frozenset({"second"})]
    assert [g for name, g in reads(_made) if name == "first"] == [frozenset({"second"})]
    assert frozenset() in [g for name, g in reads(_made) if name == "second"]


def test_a_rule_without_a_command_line() -> None:
    ruled = goes_with("second", "third")(_made)
    assert ruled(third=5, second=True) == 5
    assert ruled(4) == 4
    with pytest.raises(ConfigError, match=r"^--third does not act without --second$"):
        ruled(third=5)
    with pytest.raises(ConfigError, match=r"^--third does not act on Sundays$"):
        refuse(_made, {"third": 3}, ("third",), "on Sundays")
    with pytest.raises(TypeError, match="_made has no fourth"):
        goes_with("second", "fourth")(_made)


def test_a_default_that_is_named_is_refused_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--timeout", "300"]) == 2
    assert "--timeout does not act without --command" in capsys.readouterr().err
