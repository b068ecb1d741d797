"""``refimpl conform``: commands, objects, reports and refusals."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from refimpl.cli.main import main

C_CODE = Path(__file__).parents[2] / "validation/conformance/examples/two_theta_eta.c"
SLOW_START = "import json, sys\n"


def _script(folder: Path, body: str) -> str:
    path = folder / "code.py"
    path.write_text(SLOW_START + body)
    return f"{sys.executable} {path} {{input}} {{output}}"


def test_the_c_example_meets_its_quantity(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    program = tmp_path / "mycode"
    subprocess.run(
        [compiler, "-O2", "-Wall", "-Werror", str(C_CODE), "-lm", "-o", program], check=True
    )
    command = f"{program} {{input}} {{output}}"
    only = ["--only", "two_theta_eta", "--only", "d_spaci*"]
    assert main(["conform", "--command", command, "--format", "txt", *only]) == 0
    text = capsys.readouterr().out
    assert "1 of 1 quantities met" in text
    assert "not offered: d_spacing" in text
    # a quantity that is asked for by its name must be there
    only = ["--only", "d_spacing"]
    assert main(["conform", "--command", command, "--format", "txt", *only]) == 1
    assert "FAILED: asked for by name and not offered" in capsys.readouterr().out


def test_a_python_command_by_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = """
import math
given = json.load(open(sys.argv[1]))
out = {}
for name, case in given["cases"].items():
    x = case["inputs"]
    out[name] = {"outputs": {"strain": [1 - a / b for a, b in zip(x["radius_mm"],
                                        x["ideal_radius_mm"])]}}
json.dump({"cases": out}, open(sys.argv[2], "w"))
"""
    only = ["--only", "pseudo_strain/ordinary-0", "--only", "pseudo_strain/edge-*", "--json"]
    assert main(["conform", "--command", _script(tmp_path, body), *only]) == 1
    (report,) = json.loads(capsys.readouterr().out)
    found = report["quantities"]["pseudo_strain"]
    assert found["worst"]["strain"]["multiple_of_tolerance"] <= 1.0
    assert found["worst"]["clip_n"]["error"] is None
    assert found["cases"] == 4
    assert "mean_abs is missing" in found["failing"]["pseudo_strain/ordinary-0"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("sys.exit('out of luck')", "exit status 1: out of luck"),
        ("pass", "exit status 0 and no output file"),
        ("open(sys.argv[2], 'w').write('{')", "not a file of the conformance kit"),
        ("import time; time.sleep(30)", "still running after 0.3 s"),
        ("sys.exit(77)", "not offered: it ended with 77, given a json file (--format)"),
        ("sys.exit('first ' + 100 * 'word ')", "exit status 1: ... word word"),
    ],
)
def test_a_command_that_breaks_is_its_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, words: str
) -> None:
    limit = ["--timeout", "0.3"] if "sleep" in body else []
    only = ["--only", "pseudo_strain"]
    assert main(["conform", "--command", _script(tmp_path, body), *only, *limit]) == 1
    assert words in capsys.readouterr().out


def test_a_program_in_the_working_folder_is_pointed_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here-it-is").write_text("")
    assert main(["conform", "--command", "here-it-is {input} {output}"]) == 2
    assert capsys.readouterr().err.rstrip().endswith("; ./here-it-is is here")


def test_what_is_wrong_with_all_cases_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = _script(tmp_path, "sys.exit('out of luck')")
    assert main(["conform", "--command", command, "--only", "d_spacing"]) == 1
    assert capsys.readouterr().out.count("out of luck") == 1


def test_an_object_and_its_known_failures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kitcode.py").write_text(
        "import numpy as np\n"
        "class Code:\n"
        "    @staticmethod\n"
        "    def d_spacing(hkl, cell):\n"
        "        if (cell[3:] != 90).any():\n"
        "            raise ValueError('right angles only')\n"
        "        return 1 / np.sqrt(((hkl / cell[:3])**2).sum(axis=1))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    junit = tmp_path / "out.xml"
    words = ["conform", "--object", "kitcode:Code", "--junit", str(junit)]
    assert main(words) == 1
    text = capsys.readouterr().out
    assert "d_spacing/ordinary-Al2O3: raised ValueError: right angles only" in text
    suites = {s.get("name"): s for s in ElementTree.parse(junit).getroot()}
    assert int(suites["d_spacing"].get("failures", 0)) >= 3
    assert suites["pixel_to_lab"].get("skipped") == "1"
    known = tmp_path / "known.txt"
    failing = ["Al2O3", "monoclinic", "triclinic"]
    lines = [f"d_spacing/ordinary-{name}" for name in failing]
    known.write_text("\n".join([*lines, "d_spacing/edge-*", "d_spacing/random-*"]))
    assert main([*words, "--known-failures", str(known)]) == 0
    assert "1 of 1 quantities met, 10 cases known to fail" in capsys.readouterr().out


def test_one_case_is_shown_and_quantities_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--show", "misorientation/random-003"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert list(shown["cases"]) == ["random-003"]
    assert set(shown["cases"]["random-003"]) == {"inputs", "outputs"}
    assert main(["conform", "--list", "--only", "outliers_*"]) == 0
    text = capsys.readouterr().out
    assert text.count("definition") == 3
    assert "to 1e-09 1" in text


def test_vectors_are_written_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only = ["--only", "d_spacing"]
    assert main(["conform", "--write-vectors", str(tmp_path / "v"), *only]) == 0
    assert sorted(p.name for p in (tmp_path / "v").iterdir()) == ["d_spacing.h5", "d_spacing.json"]
    path = tmp_path / "v" / "d_spacing.json"
    content = json.loads(path.read_text())
    content["cases"]["ordinary-Si"]["outputs"]["d_angstrom"][2] += 1e-9
    path.write_text(json.dumps(content))
    capsys.readouterr()
    out = tmp_path / "report.txt"
    used = ["--backend", "python", "--vectors", str(tmp_path / "v"), "-o", str(out)]
    assert main(["conform", *used, *only]) == 1
    assert capsys.readouterr().out == ""
    assert "d_spacing/ordinary-Si: d_angstrom[2] = " in out.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "nothing"], "no quantity 'nothing': expected one of pixel_to_lab"),
        (["--only", "d_spacing/none"], "no case d_spacing/none: expected one of d_spacing/ord"),
        (["--show", "d_spacing"], "'d_spacing': expected quantity/case, one of d_spacing/ordinary"),
        (["--show", "d_spacing/no"], "'d_spacing/no': expected quantity/case, one of d_spacing/"),
        (["--object", "mycode.py"], "as in an import: mycode, not mycode.py"),
        (["--command", "mycode {input}"], "expected {output} among its words"),
        (["--command", "'x {input} {output}"], "No closing quotation"),
        (["--command", "no-such-code {input} {output}"], "cannot run 'no-such-code'"),
        (["--command", "x {input} {output}", "--format", "xml"], "format 'xml': expected one of"),
        (["--object", "no_such_module"], "No module named 'no_such_module'"),
        (["--object", "json:nothing"], "json has no 'nothing'"),
        (["--object", "json", "--backend", "python"], "expected one of --command, --object"),
        (["--backend", "fortran"], "'fortran': expected one of python, cython"),
        (["--vectors", "no-such-folder"], "no such folder"),
        (["--junit", "x.xml", "--only", "d_spacing"], "--junit: name one code"),
    ],
)
def test_refusals_are_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["conform", *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_the_environment_names_vectors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REFIMPL_VECTORS", "no-such-folder")
    assert main(["conform", "--list"]) == 2
    assert "REFIMPL_VECTORS = 'no-such-folder': no such folder" in capsys.readouterr().err
