"""The page on the conformance kit: its code runs, outputs are those shown, its table is whole."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from refimpl.cli.main import main
from refimpl.testing.conform_records import quantities

PAGE = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text()


def _block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.S)
    assert found is not None
    return found[1]


def test_the_python_code_is_held_as_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mycode.py").write_text(_block("python"))
    (tmp_path / "known.txt").write_text(_block("text"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["conform", "--object", "mycode"]) == 1
    printed = capsys.readouterr().out.splitlines()
    console = re.findall(r"```console\n(.*?)```", PAGE, re.S)
    shown = next(c for c in console if "code under test: mycode" in c).splitlines()[1:]
    for line in shown:
        if line.strip() != "...":
            start = line.removesuffix(" ...")
            assert any(p.startswith(start) for p in printed), line
    words = ["conform", "--object", "mycode", "--known-failures", "known.txt"]
    assert main([*words, "--junit", "report.xml"]) == 0
    assert "10 cases known to fail" in capsys.readouterr().out
    assert (tmp_path / "report.xml").is_file()


def _starts(shown: str, printed: str) -> None:
    """Every line that is shown begins one that is printed."""
    lines = printed.splitlines()
    for line in shown.splitlines():
        start = line.removesuffix(" ...")
        if "d_angstrom" in line:  # rounding is that of the machine's sin and cos
            start = start[:28]
        if line.strip() != "...":
            assert any(p.startswith(start) for p in lines), line


@pytest.mark.skipif(shutil.which("perl") is None, reason="no perl")
def test_the_perl_code_is_held_as_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mycode.pl").write_text(_block("perl"))
    monkeypatch.chdir(tmp_path)
    command = ["conform", "--format", "txt", "--command"]
    assert main([*command, "perl mycode.pl {input} {output}"]) == 0
    console = re.findall(r"```console\n(.*?)```", PAGE, re.S)
    shown = next(c for c in console if "code under test: perl" in c)
    _starts(shown.partition("\n")[2], capsys.readouterr().out)
    # the files of the page are those that it is given and writes
    (given,) = re.findall(r'--command ("sh .*?")', PAGE)
    assert main([*command, given.strip('"'), "--only", "d_spacing"]) == 1
    run = "sh -c 'perl mycode.pl {input} answer.txt; cp answer.txt {output}'"
    assert main([*command, run, "--only", "d_spacing"]) == 0
    texts = re.findall(r"```text\n(.*?)```", PAGE, re.S)
    asked = next(t for t in texts if t.startswith("refimpl-conformance"))
    answered = next(t for t in texts if t.startswith("case"))
    _starts(asked, (tmp_path / "given.txt").read_text())
    _starts(answered, (tmp_path / "answer.txt").read_text())


def test_the_table_has_all_quantities() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (`.*`) \|$", PAGE, re.M)
    table = {name: (title, outputs) for name, title, outputs in rows}
    known = quantities()
    assert list(table) == list(known)
    for name, record in known.items():
        assert table[name] == (record.title, ", ".join(f"`{o.name}`" for o in record.outputs))
    assert f"prints the {len(known)} quantities" in PAGE
