"""The report of a coarse-to-fine reconstruction: every loop and step, and nothing from outside."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nearfield_case import GROUP, Case

from refimpl import hooks
from refimpl.nearfield.fit_settings import FitSettings, SearchSettings
from refimpl.nearfield.grid import hex_grid
from refimpl.nearfield.loops import Multires, MultiresSettings
from refimpl.nearfield.multires import multires
from refimpl.nearfield.seeds import random_seeds
from refimpl.report.nearfield_multires import MultiresView, figures, write_report


@pytest.fixture(scope="module")
def run() -> Multires:
    """Two loops on a grid that is larger than the sample."""
    case = Case()
    seeds = np.concatenate([case.seeds, random_seeds(20, GROUP, 5)])
    return multires(
        case.setup, case.lit, lambda size: hex_grid(size, 0.040), seeds,
        MultiresSettings(10e-3, 2.0, 1), SearchSettings(least=0.1, fit=FitSettings.quick()),
        engine="serial", threads=1, inputs={"parameters": "<ps>.txt"},
    )  # fmt: skip


def rows_of(text: str, caption: str) -> list[list[str]]:
    """Cells of the table whose caption begins so."""
    found = re.search(rf"<caption>{caption}.*?</table>", text, re.S)
    assert found, caption
    return [
        re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)
        for row in re.findall(r"<tr><td.*?</tr>", found[0], re.S)
    ]


def test_the_page_has_every_loop_and_loads_nothing(run: Multires, tmp_path: Path) -> None:
    page = hooks.call("nearfield.multires_report", run, tmp_path / "r", title="Gold <1>")
    text = page.read_text()
    drawn = {p.stem for p in (tmp_path / "r" / "figures").iterdir()}
    assert drawn == {"ipf_loop0", "ipf_loop1", "confidence_by_loop", "confidence", "grains",
                     "work_by_step"}  # fmt: skip
    assert set(re.findall(r'figure id="([^"]+)"', text)) == drawn
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert "Gold &lt;1&gt;" in text
    assert "&lt;ps&gt;.txt" in text


def test_the_tables_say_what_was_found(run: Multires, tmp_path: Path) -> None:
    text = write_report(run, tmp_path).read_text()
    first, second = rows_of(text, "Seeds: what the loop began with")
    loops = run.loops
    assert first[:6] == ["0", "10", f"{len(loops[0].merged):,}", "24", "–", "–"]
    assert second[:3] == ["1", "5", f"{len(loops[1].merged):,}"]
    assert second[3] == first[9] == "4"  # the grains of loop 0
    assert second[4] == f"{len(loops[1].bad):,}"
    assert loops[1].second is not None
    better = loops[1].second.confidence > loops[1].first.confidence[loops[1].bad]
    assert second[5] == f"{int(better.sum()):,}"
    assert second[9] == f"{len(run.grains.centre):,}"
    assert second[10] == f"{loops[1].evaluations:,}"
    assert loops[1].changed is not None
    assert second[8] == f"{100.0 * loops[1].changed:.2f}"
    steps = rows_of(text, "Time is that of the clock")
    stages = [stage for loop in loops for stage in loop.stages]
    assert [row[0] for row in steps] == [*(stage.name for stage in stages), "all"]
    assert steps[-1][2] == f"{run.evaluations:,}"
    grains = rows_of(text, "Grains of the final map")
    assert [int(row[1]) for row in grains] == sorted(run.grains.n_points, reverse=True)


def test_equal_runs_differ_in_their_times_alone(run: Multires, tmp_path: Path) -> None:
    slower = replace(run, loops=tuple(
        replace(loop, stages=tuple(replace(s, seconds=2.0 * s.seconds) for s in loop.stages))
        for loop in run.loops
    ))  # fmt: skip
    one, two = (write_report(r, tmp_path / n) for r, n in ((run, "one"), (slower, "two")))
    lines = [page.read_text().splitlines() for page in (one, two)]
    other = [a for a, b in zip(*lines, strict=True) if a != b]
    names = [*(s.name for loop in run.loops for s in loop.stages), "all"]
    assert len(other) <= len(names)
    assert all(any(f">{name}</td>" in line for name in names) for line in other)
    for figure in (tmp_path / "one" / "figures").iterdir():
        again = tmp_path / "two" / "figures" / figure.name
        assert figure.read_bytes() == again.read_bytes(), figure.name


def test_nothing_found(run: Multires, tmp_path: Path) -> None:
    empty = run.loops[0].merged
    empty = empty.changed(
        euler_rad=np.full_like(empty.euler_rad, np.nan),
        solutions_euler_rad=np.full_like(empty.solutions_euler_rad, np.nan),
        confidence=np.zeros(len(empty)), solutions_confidence=np.zeros((len(empty), 1)),
    )  # fmt: skip
    loop = replace(run.loops[0], first=empty, merged=empty, seeds=None)
    text = write_report(Multires((loop,), run.settings), tmp_path).read_text()
    assert "Nothing found" in text
    assert "ipf_loop" not in text
    assert rows_of(text, "Seeds: what the loop began with")[0][3] == "zone"


def test_maps_leave_out_what_is_bad(run: Multires) -> None:
    view = MultiresView(run)
    assert (view.final.shown == (run.final.confidence >= run.settings.bad_below)).all()
    assert MultiresView(run, min_confidence=0.0).final.shown.sum() > view.final.shown.sum()
    titles = [figures(view)[f"ipf_loop{k}"].axes[0].get_title("right") for k in (0, 1)]
    assert titles[0].startswith("edges of 10 µm, ")
    assert titles[1].startswith("edges of 5 µm, ")
