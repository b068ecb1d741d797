"""EPU's plan of a session: the holes of a square and the grid."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from epu_files import BOMB, write_session

from refimpl.epu import read_session
from refimpl.epu.file_cache import FileCache
from refimpl.errors import FormatError
from refimpl.io.epu_dm import Grid, Target, read_grid, read_targets

EPU = "http://schemas.datacontract.org/2004/07/Applications.Epu.Persistence"
KIND = "KeyValuePairOfintTargetLocationXmlBpEWF4JT"


def hole(key: str, x: str, y: str, prefix: str = "c") -> str:
    """One target as EPU writes it, with other positions beside the one on the stage."""
    c = prefix
    return (
        f"<b:{KIND}><b:key>{key}</b:key><b:value><Id>99</Id>"
        f'<PixelCenter xmlns:{c}="draw"><{c}:x>11</{c}:x><{c}:y>12</{c}:y></PixelCenter>'
        f'<StagePosition xmlns:{c}="shared"><{c}:A>0</{c}:A><{c}:X>{x}</{c}:X><{c}:Y>{y}</{c}:Y>'
        f"<{c}:Z>7</{c}:Z></StagePosition><CorrectedStagePosition><X>5</X><Y>6</Y>"
        f"</CorrectedStagePosition></b:value></b:{KIND}>"
    )


def square(*holes: str, regular: bool = True) -> bytes:
    inner = "TargetLocationsEfficient" if regular else "TargetLocations"
    return (
        f'<GridSquareXml xmlns="{EPU}"><key>1</key><Position><X>8</X><Y>9</Y></Position>'
        f'<TargetLocations><{inner} xmlns:a="x" xmlns:b="y">'
        f"<a:m_serializationArray>{''.join(holes)}</a:m_serializationArray>"
        f"</{inner}></TargetLocations></GridSquareXml>"
    ).encode()


def grid(spacing: str = "2.51E-06", size: str = "1.2E-06", first: str = "") -> bytes:
    settings = f"<HoleSize>{size}</HoleSize><HoleSpacing>{spacing}</HoleSpacing>"
    return (
        f'<EpuSessionXml xmlns="{EPU}"><HoleSpacing>9E-06</HoleSpacing><Samples><_items>{first}'
        f"<SampleXml><FilterHolesSettings>{settings}</FilterHolesSettings></SampleXml>"
        "<SampleXml><FilterHolesSettings><HoleSpacing>8E-06</HoleSpacing></FilterHolesSettings>"
        "</SampleXml></_items></Samples></EpuSessionXml>"
    ).encode()


@pytest.mark.parametrize("regular", [True, False])
def test_targets(regular: bool) -> None:
    data = square(
        hole("5330585", "-2E-4", "1.5E-4"), hole("25330586", "3E-4", "4E-4", "q"), regular=regular
    )
    assert read_targets(data) == (
        Target(5330585, -2e-4 * 1e6, 1.5e-4 * 1e6),
        Target(25330586, 3e-4 * 1e6, 4e-4 * 1e6),
    )
    assert read_targets(data.decode().encode("utf-16")) == read_targets(data)


def test_targets_without_a_position_are_left_out() -> None:
    bare = re.sub(
        "<StagePosition.*</StagePosition>",
        '<StagePosition i:nil="true" xmlns:i="z"/>',
        hole("3", "1", "2"),
    )
    data = square(
        hole("1", "", "2"), hole("2", "nan", "2"), bare, hole("", "1", "2"), hole("4", "1", "2")
    )
    assert [target.hole for target in read_targets(data)] == [4]
    assert read_targets(square()) == ()
    elsewhere = square(hole("1", "1", "2")).replace(b"m_serializationArray", b"another")
    assert read_targets(elsewhere) == ()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (grid(), Grid(2.51e-6 * 1e6, 1.2e-6 * 1e6)),
        (grid("0", "0"), Grid(None, None)),
        (grid("", "x"), Grid(None, None)),
        (grid("2.5", "-1E-6"), Grid(None, None)),  # 2.5 m: another unit, or nonsense
        (b"<EpuSessionXml/>", Grid(None, None)),
    ],
)
def test_grid(data: bytes, expected: Grid) -> None:
    assert read_grid(data) == expected


@pytest.mark.parametrize(
    ("read", "data", "reason"),
    [
        (read_targets, grid(), "the root is EpuSessionXml, not GridSquareXml"),
        (read_grid, square(), "the root is GridSquareXml, not EpuSessionXml"),
        (read_targets, square()[:-5], "not well-formed XML"),
        (read_grid, BOMB.encode() + grid(), "document type declaration"),
    ],
)
def test_no_such_plan(read: Any, data: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        read(data)


@pytest.mark.parametrize("inner", ["", "Images-Disc1", "Images-Disc1/GridSquare_5324661/Data"])
def test_plan_of_a_session(tmp_path: Path, inner: str) -> None:
    """Also where only an inner folder is given: EPU keeps the plan beside the images."""
    write_session(tmp_path, 3)
    (tmp_path / "EpuSession.dm").write_bytes(grid())
    (tmp_path / "Metadata").mkdir()
    (tmp_path / "Metadata" / "GridSquare_25324662.dm").write_bytes(
        square(hole("2", "3E-6", "4E-6"))
    )
    (tmp_path / "Metadata" / "GridSquare_5324661.dm").write_bytes(
        square(hole("5330586", "1E-6", "2E-6"), hole("5330585", "5E-6", "6E-6"))
    )
    session = read_session(tmp_path / inner)
    assert (session.hole_spacing_um, session.hole_size_um) == pytest.approx((2.51, 1.2), rel=1e-15)
    assert session.holes is not None
    assert session.holes.columns.tolist() == ["square", "hole", "stage_x_um", "stage_y_um"]
    np_rows = session.holes.to_numpy().tolist()
    assert np_rows == [[5324661, 5330585, 5, 6], [5324661, 5330586, 1, 2], [25324662, 2, 3, 4]]
    assert session.errors.empty


def test_plans_that_are_broken_or_differ(tmp_path: Path) -> None:
    for folder, spacing in (("a", "2.5E-06"), ("b", "4E-06")):
        write_session(tmp_path / folder, 3, square=ord(folder))
        (tmp_path / folder / "EpuSession.dm").write_bytes(grid(spacing))
    (tmp_path / "a" / "GridSquare_97.dm").write_bytes(square()[:-9])
    session = read_session(tmp_path)
    assert session.hole_spacing_um is None
    assert session.holes is None
    told = session.errors[~session.errors["reason"].str.startswith("copy of")]
    names = [Path(path).name for path in told["path"]]
    assert names == ["EpuSession.dm", "GridSquare_97.dm", "EpuSession.dm"]
    assert told["used"].tolist() == [True, False, True]
    (tmp_path / "b" / "EpuSession.dm").write_bytes(grid("2.5E-06"))
    assert read_session(tmp_path).hole_spacing_um == pytest.approx(2.5, rel=1e-15)


def test_a_plan_that_did_not_change_is_not_read_again(tmp_path: Path) -> None:
    write_session(tmp_path, 3)
    path = tmp_path / "GridSquare_7.dm"
    path.write_bytes(square(hole("1", "1E-6", "2E-6")))
    cache = FileCache()
    first = read_session(tmp_path, cache=cache).holes
    status = path.stat()
    path.write_bytes(square(hole("2", "1E-6", "2E-6")))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    second = read_session(tmp_path, cache=cache).holes
    os.utime(path, ns=(1, 1))
    third = read_session(tmp_path, cache=cache).holes
    assert [int(holes["hole"].iloc[0]) for holes in (first, second, third)] == [1, 1, 2]


def test_elements_where_a_text_should_be() -> None:
    assert read_grid(grid("<x>2.5E-06</x>")).hole_spacing_um is None
    assert read_targets(square(hole("1", "<x/>1", "2"), hole("2", "1", "2")))[0].hole == 2
