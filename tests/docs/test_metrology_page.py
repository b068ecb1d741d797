"""The commands of the how-to on metrology run as they are, and print what the page says."""

from __future__ import annotations

import glob
import os
import re
import shlex
from pathlib import Path

import pytest

from refimpl.cli.main import main

PAGE = Path(__file__).parents[2] / "docs/howto/metrology.md"
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def commands() -> list[tuple[str, list[str]]]:
    """Commands of the page in their order, each with what it prints there."""
    out: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL):
        if "####" in block:  # takes the 540 images of a whole scan
            continue
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                out.append((line[2:], []))
            else:
                out[-1][1].append(line)
    return out


def arguments(command: str) -> list[str]:
    """Words of a command as a shell makes them."""
    words: list[str] = []
    for word in shlex.split(os.path.expandvars(command)):
        words += sorted(glob.glob(word)) if "[" in word and glob.glob(word) else [word]
    return words


def same(expected: str, found: str) -> bool:
    """Whether two lines are alike, their numbers within 2 %; ``...`` stands for any end."""
    open_end = expected.endswith("...")
    wanted, got = NUMBER.split(expected.removesuffix("...")), NUMBER.split(found)
    numbers, values = NUMBER.findall(expected), NUMBER.findall(found)
    if open_end:
        got, values = got[: len(wanted)], values[: len(numbers)]
        if got and wanted:
            got[-1] = got[-1][: len(wanted[-1])]
    if wanted != got or len(numbers) != len(values):
        return False
    # the last digit of small numbers is free
    return all(
        abs(float(a) - float(b)) <= max(0.02 * abs(float(a)), 1e-3)
        for a, b in zip(numbers, values, strict=True)
    )


def test_lines_are_compared() -> None:
    assert same("a 1.00 b", "a 1.01 b")
    assert not same("a 1.00 b", "a 1.10 b")
    assert not same("a 1.00 b", "c 1.00 b")
    assert same("mode 1 (0.5): so ...", "mode 1 (0.5): so and so 7")
    assert len(commands()) > 15


@pytest.mark.slow
def test_the_page_runs(real_data, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("REFIMPL_DATA", str(real_data("metrology").parent))
    monkeypatch.chdir(tmp_path)
    for command, expected in commands():
        if (given := re.fullmatch(r"(\w+)=(\S+)", command)) is not None:
            monkeypatch.setenv(given[1], os.path.expandvars(given[2]))
            continue
        program, *words = arguments(command)
        assert program == "refimpl"
        assert main(words) == 0, command
        lines = capsys.readouterr().out.splitlines()
        start = 0
        for line in expected:
            if line.strip() == "...":
                continue
            hits = [k for k, found in enumerate(lines[start:], start) if same(line, found)]
            assert hits, f"{command}\nprints no line like\n{line}\nbut\n" + "\n".join(lines)
            start = hits[0] + 1
