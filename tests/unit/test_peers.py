"""The peers' runner: what does not install is a row, what does is compared; nothing is copied."""

from __future__ import annotations

import importlib
import json
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from refimpl.testing.claims import choose, claims_root, read_claims
from refimpl.testing.conform_records import quantities

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "validation" / "peers"
ADAPTERS = ROOT / "validation" / "conformance" / "adapters"

pytestmark = pytest.mark.skipif(not PEERS.is_dir(), reason="no checkout")


@pytest.fixture
def module(monkeypatch):
    """Import a module of the peers, which is no part of the package, and forget it again."""
    monkeypatch.setattr(sys, "path", [str(PEERS), str(ROOT / "benchmarks"), *sys.path])
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(PEERS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_every_requirement_is_pinned(module) -> None:
    install = module("install")
    lines = install.wanted(install.REQUIREMENTS.read_text(encoding="utf-8"))
    assert len(lines) > 12
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), lines


def test_what_pip_says_of_a_failure_is_kept(module, monkeypatch, tmp_path) -> None:
    install = module("install")

    def pip(command, **_):
        bad = "unheard-of==1.0" in command
        said = (
            "WARNING: odd\nERROR: needs nothing\nERROR: No matching distribution\n" if bad else ""
        )
        return type("Done", (), {"returncode": int(bad), "stderr": said})()

    wanted = tmp_path / "requirements.txt"
    wanted.write_text("# two\nnumpy==2.0.0\n\nunheard-of==1.0\n", encoding="utf-8")
    monkeypatch.setattr(install.subprocess, "run", pip)
    monkeypatch.setattr(install, "REQUIREMENTS", wanted)
    monkeypatch.setattr(install.sys, "prefix", str(tmp_path))
    assert install.main() == 0
    absent = json.loads((tmp_path / install.ABSENT).read_text(encoding="utf-8"))
    assert absent == {"unheard-of==1.0": "No matching distribution"}


def test_a_code_that_was_not_installed_is_a_row(module, tmp_path) -> None:
    asking, tasks = module("asking"), module("kit_tasks")
    (tmp_path / "bin").mkdir()
    (tmp_path / "absent.json").write_text('{"Gemmi==0.7.5": "no wheel"}', encoding="utf-8")
    asker = asking.Asker(str(tmp_path / "bin" / "python"))
    got = asker.ask("gemmi", "d_spacing", {}, module="gemmi_code", packages=("gemmi",))
    assert got.error == "not installed: no wheel"
    work = tasks.Work("d", "d_spacing", "planes", 1, {}, ("gemmi",))
    table = tasks.Table("d", *"abcdefg")
    tasks.add(table, asker, work, got, got, "", "")
    assert table.rows == [("gemmi", "", "not installed: no wheel", "", "", "", "")]


def test_a_code_is_asked_compared_and_timed(module, monkeypatch) -> None:
    """As in a run: ours and gemmi in processes of their own; a changed value is seen."""
    asking, tasks = module("asking"), module("kit_tasks")
    asker = asking.Asker(sys.executable, repeats=1, attempts=1)
    given = {"hkl": np.array([[1, 2, 3], [0, 0, 2]]), "cell": np.array([5.0, 6, 7, 81, 92, 103])}
    options = {"packages": ("gemmi",), "window_s": 0.0, "warm_up": False}
    got = asker.ask("gemmi", "d_spacing", given, module="gemmi_code", **options)
    assert not got.error
    assert got.code.startswith("gemmi 0.")
    assert got.timing.repeats == 1
    record = quantities()["d_spacing"]
    case = tasks.Case("d_spacing/x", given, record.expected(given))
    far, multiple = tasks._far(record, case, got)
    assert float(multiple) < 1.0
    got.arrays["0"][1] += 1e-3
    far, multiple = tasks._far(record, case, got)
    assert far == "d_angstrom 1.0e-03 angstrom"
    assert float(multiple) > 1e3


def test_the_worst_of_several_outputs_is_named(module) -> None:
    tasks = module("kit_tasks")
    record = quantities()["pixel_to_lab"]
    case = next(c for c in tasks.load(record) if c.name == "ordinary-0")
    arrays = {k: np.array(v) for k, v in case.outputs.items()}
    arrays["y_mm"][2] += 0.5
    far, _ = tasks._far(record, case, module("asking").Answer("a code", arrays))
    assert far == "y_mm 5.0e-01 mm"


def test_a_code_that_breaks_says_why_without_folders_of_this_machine(module) -> None:
    asking = module("asking")
    assert asking._why("ModuleNotFoundError: No module named 'dials'") == (
        "not installed: no module dials"
    )
    assert asking._why("NotImplementedError: 6/mmm") == "not offered"
    late = "Command '['/opt/python', 'worker.py']' timed out after 600.0 seconds"
    assert asking._why(late) == "no result after 600 s"
    assert asking._why("OSError: /opt/some/place/lib.so: none") == "OSError: lib.so: none"


def test_adapters_and_codes_of_the_tasks_are_there(module) -> None:
    tasks = module("kit_tasks")
    works = list(tasks.works(0.001))
    for name, (adapter, _) in tasks.CODES.items():
        text = (ADAPTERS / f"{adapter}.py").read_text(encoding="utf-8")
        asked = [w for w in works if name in w.codes]
        assert asked
        for work in asked:
            found = re.search(rf"^def {work.quantity}\b|\b{work.quantity} = ", text, re.MULTILINE)
            assert found, (name, work.quantity)


def test_the_page_has_a_place_for_every_part(module) -> None:
    run = module("run")
    page = (ROOT / "docs" / "validation" / "peers.md").read_text(encoding="utf-8")
    marked = re.findall(r"<!-- begin peers-(\w+) -->.*?<!-- end peers-\1 -->", page, re.DOTALL)
    assert sorted(marked) == sorted(run.PARTS)
    for part, name in run.PARTS.items():
        text = (PEERS / f"{name}.py").read_text(encoding="utf-8")
        assert f"def {part}_tables(" in text


def test_stored_rows_are_claims_of_their_source() -> None:
    programs = tomllib.loads((PEERS / "stored.toml").read_text(encoding="utf-8"))["program"]
    every = read_claims(claims_root(ROOT / "validation"))
    for program in programs:
        for pattern in program["claims"]:
            rows = [c for c in choose(every, [pattern]) if c.source == program["source"]]
            assert rows, (program["name"], pattern)


def test_a_strained_and_turned_lattice_is_found_again(module) -> None:
    tasks = module("indexing_tasks")
    true = np.linalg.inv(tasks.bases(1)[0])
    turn = tasks.expmap(np.array([0.0, 0.0, 1e-3]))
    other = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]])
    found = tasks._nearest(true, [3.0 * true, turn @ (true * 1.0002) @ other])
    assert found is not None
    assert found[0] == pytest.approx(1.0, abs=1e-6)
    assert found[1] == pytest.approx(200.0, abs=1e-6)
    assert tasks._nearest(true, [2.0 * true]) is None
