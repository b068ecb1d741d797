"""The commands of the how-to on centring run as they are; its tables are what the scripts make.

Numbers of trained nets are free: they follow the machine. Those of lucid on its snapshots are not.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from doc_pages import DOCS, check_faults, commands, replay
from PIL import Image

from refimpl import data

PAGE, THEORY = DOCS / "centring.md", DOCS / "theory/centring.md"


@pytest.fixture(scope="module")
def script() -> Any:
    """The script that makes the tables and pictures of the page."""
    pytest.importorskip("torch", reason="needs the extra centring (torch)")
    pytest.importorskip("cv2", reason="needs the extra centring (OpenCV)")
    sys.path.insert(0, str(DOCS.parent / "validation"))
    try:
        import centring
    finally:
        sys.path.pop(0)
    return centring


def between(page: Path, name: str) -> str:
    """What stands between the markers of a name."""
    return page.read_text().split(f"<!-- begin {name} -->")[1].split(f"<!-- end {name} -->")[0]


def test_the_nets_have_as_many_parameters_as_the_theory_says(script) -> None:
    assert between(THEORY, "nets").strip() == script.nets()


@pytest.mark.skipif(not data.is_here("lucid3-snapshots/golden.json"), reason="no lucid3-snapshots")
def test_lucid_says_of_its_snapshots_what_the_page_says(script) -> None:
    assert script.snapshots() in between(PAGE, "centring")


@pytest.mark.slow
def test_who_aims_where_is_what_the_script_makes(script) -> None:
    held = between(PAGE, "centring")
    for table in script.comparators():
        assert table in held


def test_pictures_are_there_and_small() -> None:
    pictures = DOCS / "pictures"
    named = set(re.findall(r"\(pictures/([^)]+)\)", PAGE.read_text()))
    assert named == {p.name for p in pictures.iterdir() if p.name.startswith("centring")}
    assert all((pictures / name).stat().st_size < 200_000 for name in named)
    with Image.open(pictures / "centring_scenes.jpg") as picture:
        assert picture.size == (6 * 300, 4 * 240)  # four scenes, three rotations, a map beside each


def test_every_fault_has_the_test_that_the_theory_names() -> None:
    check_faults(THEORY, "centring|lucid", 14)


def test_the_page_has_the_commands() -> None:
    shown = {command.split()[2] for command, _ in commands(PAGE) if command.startswith("refimpl ")}
    wanted = {"simulate", "match", "train", "evaluate", "heatmap", "fuse", "mesh", "loop", "export"}
    assert wanted <= shown


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    pytest.importorskip("torch", reason="needs the extra centring (torch)")
    monkeypatch.chdir(tmp_path)
    replay(PAGE, capsys)
