"""``refimpl info``: the values and how they print."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import refimpl
from refimpl import dispatch
from refimpl.cli import info as module

ROOT = Path(__file__).parents[2]


def test_values_are_what_runs_here() -> None:
    values = module.info()
    assert values["refimpl"] == refimpl.__version__
    assert values["backends"] == list(dispatch.available_backends())
    assert values["packages"]["numpy"] == metadata.version("numpy")
    assert set(values["packages"].values()).isdisjoint({None}), "a dependency is not installed"
    if "cython" in values["backends"]:
        assert isinstance(values["openmp"], bool)
        assert values["openmp_max_threads"] >= 1
    json.dumps(values)


def test_the_list_of_packages_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = tuple(re.split(r"[<>=!~\[]", spec)[0] for spec in project["dependencies"])
    assert names == module.REQUIRED


def test_the_version_is_the_same_wherever_it_is_written() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == refimpl.__version__
    assert f"\nversion: {refimpl.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_without_twins_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "available_backends", lambda: ("python",))
    monkeypatch.delenv("REFIMPL_BACKEND", raising=False)
    values = module.info()
    assert (values["backend"], values["openmp"], values["openmp_max_threads"]) == (
        "python",
        None,
        None,
    )
    text = module.format_info(values)
    assert re.search(r"^OpenMP +-$", text, re.MULTILINE)
    assert "The compiled twins are missing" in text


def test_a_bad_environment_is_printed_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFIMPL_BACKEND", "cuda")
    monkeypatch.setenv("OMP_NUM_THREADS", "0")
    values = module.info()
    assert values["backend"].startswith("invalid: REFIMPL_BACKEND: unknown backend 'cuda'")
    assert values["threads"].startswith("invalid: OMP_NUM_THREADS='0'")
    assert values["environment"] == {**values["environment"], "OMP_NUM_THREADS": "0"}


def test_text_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    module.main()
    assert re.match(
        rf"refimpl +{re.escape(refimpl.__version__)}\npython +3\.", capsys.readouterr()[0]
    )
    module.main(as_json=True)
    assert json.loads(capsys.readouterr()[0])["refimpl"] == refimpl.__version__


def test_it_imports_no_heavy_package() -> None:
    code = "import sys, refimpl.cli.info as i; i.info(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"scipy", "matplotlib", "torch", "pandas"} & set(done.stdout.split())
