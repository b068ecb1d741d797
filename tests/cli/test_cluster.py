"""``refimpl cluster``: the file, the words, the exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from refimpl.cli.main import main

SLURM = ["cluster", "slurm", "--nodes", "2", "--cpus-per-node", "8", "--walltime", "01:00:00"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_file_is_written(capsys) -> None:
    assert main([*SLURM, "--account", "a", "--queue", "q", "--worker-init", "module load m",
                 "-o", "site.py"]) == 0  # fmt: skip
    assert capsys.readouterr().out == "wrote site.py: use it with --engine site.py\n"
    text = Path("site.py").read_text()
    for line in ('account="a",', 'partition="q",', "module load m\n", '"NODES", 2)', '"CPUS", 8)'):
        assert line in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "site.txt"], "refimpl: site.txt: expected a name that ends in .py\n"),
        (["-o", "site.py", "--nodes", "0"], "refimpl: nodes 0: expected 1 or more\n"),
        (["-o", "none/site.py"],
         "refimpl: none/site.py: cannot write: the folder none does not exist\n"),
        ([], "refimpl: Missing option '-o' / '--out'; see 'refimpl cluster --help'\n"),
    ],
)  # fmt: skip
def test_bad_input_is_exit_2(arguments: list[str], message: str, capsys) -> None:
    assert main([*SLURM, *arguments]) == 2
    assert capsys.readouterr().err == message
    assert not list(Path().iterdir())


def test_a_file_that_is_there_needs_a_word(capsys) -> None:
    assert main([*SLURM, "-o", "site.py"]) == 0
    assert main([*SLURM, "-o", "site.py"]) == 2
    assert "there is such a file already" in capsys.readouterr().err
    assert main([*SLURM, "-o", "site.py", "--replace"]) == 0


def test_without_parsl(capsys, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main([*SLURM, "-o", "site.py"]) == 2
    assert "pip install 'refimpl[cluster]'" in capsys.readouterr().err
