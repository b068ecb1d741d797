"""``refimpl centring mesh``: what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refimpl.cli.main import main


def run(*arguments: object) -> int:
    return main(["centring", "mesh", *(str(a) for a in arguments)])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """One crystal face on and edge on, and an empty loop."""
    rows = ["crystal,omega_deg,s_um,t_um,rc"]
    for name, degrees, place in (("a", 0, (1, 2)), ("a", 90, (1, 3)), ("b", 0, None)):
        for i in range(5):
            for j in range(5):
                rc = 400 if (j, i) == place else 80 if place and abs(i - place[1]) == 1 == j else 1
                rows.append(f"{name},{degrees},{20 * j},{20 * i},{rc}")
    path = tmp_path / "mesh.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_it_prints_islands_and_the_place_in_space(table: Path, capsys) -> None:
    assert run(table) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a at 0 degrees: 5 x 5 points, most 400 at s 20.0, t 40.0 um, background 1"
    assert lines[1].startswith("  island 1: s 20.0 +- 0.0, t 40.0")
    assert lines[-2] == "  no crystal here"
    assert lines[-1] == "a: in space at s 20.0, y 40.0, z 60.0 um"
    assert run(table, "--crystal", "b", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["meshes"][0]["islands"] == []
    assert found["centres"] == {}


def test_a_grid_scan(tmp_path: Path, capsys) -> None:
    path = tmp_path / "counts.csv"
    path.write_text("frame,rc\n" + "".join(f"{k},{90 * (k == 5)}\n" for k in range(1, 13)))
    assert run(path, "--grid", "3x4", "--step-um", "10,20", "--order", "snake", "--json") == 0
    mesh = json.loads(capsys.readouterr().out)["meshes"][0]
    assert mesh["best_um"] == [15.0, 0.0]
    assert mesh["step_um"] == [10.0, 20.0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--grid", "3"), "--grid 3: expected ROWSxCOLUMNS"),
        (("--grid", "3x4"), "the distance of the points is needed: --step-um"),
        (("--grid", "3x4", "--step-um", "a"), "--step-um a: expected numbers"),
        (("--crystal", "c"), "no mesh of 'c' in the table"),
        (("--picture", "p.png"), "--picture: needs --net, --zoom and --um-per-px too"),
    ],
)
def test_refusals(options: tuple[str, ...], text: str, table: Path, capsys) -> None:
    assert run(table, *options) == 2
    assert text in capsys.readouterr().err
