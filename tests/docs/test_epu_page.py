"""The commands of the how-to on EPU run as they are; its tables are what the session says.

Numbers of the simulated session are free: they follow the simulator. Those of the real one are not.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from doc_pages import DOCS, check_faults, commands, replay, same
from PIL import Image

PAGE, THEORY = DOCS / "epu.md", DOCS / "theory/epu.md"


@pytest.fixture(scope="module")
def script(real_data) -> Any:
    """The script that makes the tables and pictures of the page."""
    real_data("epu-afis/SHA256SUMS")
    sys.path.insert(0, str(DOCS.parent / "validation"))
    try:
        import epu
    finally:
        sys.path.pop(0)
    return epu


def test_lines_are_compared() -> None:
    assert same("a 1.00 b", "a 7 b")
    assert same("a 1 ...", "a 2 c")
    assert not same("a 1.00 b", "a 1.00 c")
    assert len(commands(PAGE)) > 6


def test_tables_of_the_real_session_are_what_the_script_makes(script) -> None:
    held = PAGE.read_text().split("<!-- begin epu -->")[1].split("<!-- end epu -->")[0].strip()
    assert held == "\n\n".join(script.parts())


def test_pictures_are_there_small_and_of_the_size_that_is_drawn(script) -> None:
    pictures = DOCS / "pictures"
    named = re.findall(r"\(pictures/([^)]+)\)", PAGE.read_text())
    assert sorted(named) == sorted(p.name for p in pictures.iterdir() if p.name.startswith("epu"))
    assert all((pictures / name).stat().st_size < 200_000 for name in named)
    figure = script.comparison(script.view())
    with Image.open(pictures / "epu_two_maps.png") as picture:
        drawn = [round(float(v) * figure.dpi) for v in figure.get_size_inches()]
        assert max(abs(a - b) for a, b in zip(picture.size, drawn, strict=True)) <= 1
        colours = {tuple(c) for _, c in picture.convert("RGB").getcolors(1000)}
    # the red of holes on one another, which few colours might drown
    assert min(abs(r - 0xD5) + abs(g - 0x5E) + b for r, g, b in colours) < 10


def test_every_fault_has_the_test_that_the_theory_names() -> None:
    check_faults(THEORY, "epu|beam_shift", 17)


def test_the_rules_of_the_scalar_give_what_the_theory_says(real_data) -> None:
    from refimpl.clustering.beam_shift import cluster, spacings
    from refimpl.epu.session import read_session

    published = (Path(__file__).parents[2] / "docs/theory/epu.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| .* \| (\S+) \| (\S+) \|$", published, re.MULTILINE)
    upper = [0.219, 0.365, 0.327, 0.163, 0.163, 0.216, 0.145, 0.161, 0.231, 0.163]
    example = np.zeros((5, 5))
    example[np.triu_indices(5, 1)] = upper  # the matrix of the published README
    real = cluster(read_session(real_data("epu-afis")).beam_shift).centres
    assert len(rows) == 5
    for name, first, second in rows:
        for text, um, centres in ((first, 4.0, example + example.T), (second, 2.5, real)):
            assert float(text) == pytest.approx(um / getattr(spacings(centres), name), abs=0.006)


def test_the_names_of_the_page_are_there() -> None:
    from refimpl import epu

    for name in re.findall(r"(?<![./\w])epu\.(\w+)\(", PAGE.read_text()):
        assert callable(getattr(epu, name)), name


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    replay(PAGE, capsys)
    assert (tmp_path / "page" / "report.html").exists()
