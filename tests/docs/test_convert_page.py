"""The commands of the how-to on conversion run as they are; its table is that of the formats."""

from __future__ import annotations

import pytest
from doc_pages import DOCS, replay

from refimpl.cli.convert_formats import FORMATS
from refimpl.detector.model import TiltedFlat
from refimpl.io.dials_files import write_expt
from refimpl.io.geometry_json import write_geometry
from refimpl.testing.rotation_case import rotation_case

PAGE = DOCS / "howto/convert.md"


def test_commands(tmp_path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("calibrated", "level1"):
        (tmp_path / name).mkdir()
    model = TiltedFlat((195, 487), (0.172, 0.172), 200.0, (240.0, 90.0), (0.0, 0.01, -0.02))
    write_geometry("calibrated/geometry.json", model, 0.2)
    bent = model.replace(p=(1e-4, 0.0, 3e-4, *(0.0,) * 12))
    write_geometry("calibrated/bent.json", bent, 0.2)
    write_expt("level1/refined.expt", rotation_case(n=10).truth)
    replay(PAGE, capsys)


def test_table() -> None:
    rows = [s.split("|")[1:-1] for s in PAGE.read_text().splitlines() if s.startswith("| `")]
    rows = rows[1:]  # without the heading, which names an option
    assert [row[0].strip(" `") for row in rows] == list(FORMATS)
    for row, format_ in zip(rows, FORMATS.values(), strict=True):
        columns = ("panels", "distortion", "goniometer", "scan", "crystal")
        assert [bool(cell.strip()) for cell in row[2:7]] == [c in format_.holds for c in columns]
        assert row[7].strip() == format_.precision
        named = [name.strip(" `").lower() for name in row[1].split(",")]
        known = format_.suffixes or ("by name only",)
        assert all(name.endswith(known) for name in named)
