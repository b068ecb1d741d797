"""EPU's XML by its places: what may differ between two files, and what must not."""

from __future__ import annotations

import pytest
from epu_files import exposure_xml, xml_of

from refimpl.errors import FormatError
from refimpl.io.epu_templates import EpuReader
from refimpl.io.epu_xml import read_strict


def taught(n: int = 3) -> EpuReader:
    """A reader that has seen ``n`` files."""
    reader = EpuReader()
    for i in range(n):
        reader.read(xml_of(i, defocus=f"-{i}E-07").encode())
    return reader


def test_values_that_differ_are_read_fast() -> None:
    reader = taught(4)
    assert reader.strict == 3  # the first, what differs, and the time of a whole minute
    for i in range(4, 50):
        data = xml_of(i, defocus=f"{i}", y=f"{i}").encode()
        assert reader.read(data) == read_strict(data)
    assert reader.strict <= 5


def test_layouts_do_not_grow_without_end() -> None:
    reader = EpuReader()
    for i in range(60):
        data = exposure_xml().replace("<optics>", f"<optics><n{i}/>").encode()
        assert reader.read(data) == read_strict(data)
    assert len(reader._layouts) == 16


def test_a_key_says_what_its_value_is() -> None:
    """Keys never count as text that may differ: the value would be another quantity."""
    reader = EpuReader()
    for key in ("DoseOnCamera", "Other", "Dose2", "Dose"):
        text = exposure_xml().replace("<a:Key>Dose<", f"<a:Key>{key}<")
        text = text.replace("<a:Key>DoseOnCamera<", "<a:Key>Camera<", 1)
        assert reader.read(text.encode()) == read_strict(text.encode())


def test_text_that_ends_like_a_comment() -> None:
    """The place of a text must not be taken for the end of a comment before it."""
    reader = EpuReader()
    for i in range(4):
        data = exposure_xml(camera=f"--><!-- >-->{i}").encode()
        assert reader.read(data) == read_strict(data)
        assert reader.read(data).camera == f"-->{i}"
    with pytest.raises(FormatError, match="not well-formed"):
        reader.read(exposure_xml(camera="--><!-- >no end").encode())


@pytest.mark.parametrize(
    "changed",
    [
        {"time": "noon"},
        {"camera": "a &amp; b"},
        {"camera": "a > b"},
        {"bsx": "&#49;"},
        {"diameter": "x"},
    ],
)
def test_odd_texts_where_texts_differ(changed: dict[str, str]) -> None:
    """Each of these was seen to differ before, and now holds what only the strict reader may."""
    reader = EpuReader()
    for i in range(3):
        reader.read(xml_of(i, camera=f"K{i}", diameter=f"{i}E-7", bsx=f"{i}").encode())
    data = xml_of(0, **changed).encode()
    assert reader.read_fast(data) is None
    assert reader.read(data) == read_strict(data)


def test_a_blank_is_no_text_that_may_differ() -> None:
    reader = EpuReader()
    for _ in range(2):
        assert reader.read(exposure_xml(diameter=" ").encode()).missing == (
            "no optics/BeamDiameter",
        )
    for diameter in ("1E-6", "2E-6", "3E-6"):
        fields = reader.read(exposure_xml(diameter=diameter).encode())
        assert (fields.beam_diameter_um, fields.missing) == (float(diameter) * 1e6, ())
    assert reader.read(exposure_xml(diameter="  ").encode()).missing == ("no optics/BeamDiameter",)


def test_an_entity_is_no_text_that_may_differ() -> None:
    reader = EpuReader()
    for code in (49, 48, 47, 46):
        assert reader.read(exposure_xml(camera=f"a&#{code};").encode()).camera == f"a{chr(code)}"


def test_the_end_of_the_file_counts() -> None:
    reader, data = taught(), xml_of(1).encode()
    assert reader.read_fast(data) is not None
    assert reader.read_fast(data + b" ") is None
    assert reader.read_fast(data + b"<x/>") is None
    assert reader.read_fast(data[:-1]) is None
