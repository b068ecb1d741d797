"""EPU's XML of an exposure: every quantity from its own place, and whatever is no such file."""

from __future__ import annotations

import math
import os
import re
from typing import Any

import pytest
from epu_files import BOMB, FRACTIONS, SHARED, VALUES, exposure_xml, pair, vector, xml_of

from refimpl.errors import FormatError
from refimpl.io.epu_fields import Fields, convert
from refimpl.io.epu_templates import EpuReader
from refimpl.io.epu_xml import read_strict

READERS = [read_strict, lambda data: EpuReader().read(data)]


def strict(text: str) -> Fields:
    return read_strict(text.encode())


def taught(n: int = 3) -> EpuReader:
    """A reader that has seen ``n`` files."""
    reader = EpuReader()
    for i in range(n):
        reader.read(xml_of(i, defocus=f"-{i}E-07").encode())
    return reader


def test_every_quantity_from_its_own_place() -> None:
    fields = strict(exposure_xml())
    assert fields == Fields(
        uid=VALUES["uid"], time=VALUES["time"], time_s=1616885999.123456,
        beam_shift_x=0.0123456789012345, beam_shift_y=-0.23456789012345678,
        stage_x_um=-0.00022280296949999997 * 1e6, stage_y_um=0.000150706592 * 1e6,
        stage_z_um=-2.22e-05 * 1e6, alpha_rad=0.000174, beta_rad=0.0176,
        beam_diameter_um=9.499999999999999e-07 * 1e6, beam_tilt_x=0.0056, beam_tilt_y=0.0263,
        image_shift_x=0.001, image_shift_y=-0.002, pixel_size_angstrom=8.5e-11 * 1e10,
        image_to_stage_11=-8.7e-11 * 1e6, image_to_stage_12=-6.8e-12 * 1e6,
        image_to_stage_21=-6.9e-12 * 1e6, image_to_stage_22=8.6e-11 * 1e6, voltage_kv=300.0,
        magnification=96000.0, camera="BM-Falcon", exposure_s=33.4, epu_version="2.6.0.59",
        instrument="TITAN1", dose_per_angstrom2=3.04e21 * 1e-20, applied_defocus_um=-1.2,
        phase_plate=0, missing=(),
    )  # fmt: skip


def test_phase_plate() -> None:
    assert strict(exposure_xml(phase_plate="true")).phase_plate == 1
    assert strict(exposure_xml(phase_plate=" 1 ")).phase_plate == 1
    assert strict(exposure_xml().replace("PhasePlateUsed", "Another")).phase_plate == -1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f'xmlns="{SHARED}"', f'xmlns="{SHARED}" xmlns:s="{SHARED}"'),
        ("a:_x", "b:_x"),  # with its declaration, below
        ("<optics>", "<optics>\r\n\t<!-- BeamShift of another -->\n"),
        (VALUES["bsx"], f" {VALUES['bsx']}\n"),
        (VALUES["bsx"], "0.&#48;123456789012345"),
        (VALUES["bsx"], "0.0<!-- - -->123456789012345"),
        (VALUES["bsx"], "<![CDATA[0.0123456789012345]]>"),
        ("<BeamDiameter>", '<BeamDiameter unit="m">'),
        ("</BeamDiameter>", "</BeamDiameter\n>"),
    ],
)
def test_other_ways_to_write_the_same(old: str, new: str) -> None:
    text = exposure_xml().replace(old, new)
    if old == "a:_x":
        text = text.replace("a:_y", "b:_y").replace("xmlns:a=", "xmlns:b=", 10)
        text = re.sub(r"(<(CustomData|matrix) xmlns:)b", r"\1a", text)
    assert strict(text) == strict(exposure_xml())
    assert taught().read(text.encode()) == strict(exposure_xml())


def test_order_plays_no_part() -> None:
    text = exposure_xml()
    shift = vector("BeamShift", VALUES["bsx"], VALUES["bsy"])
    tilt = vector("BeamTilt", "0.0056", "0.0263")
    swapped = text.replace(shift + tilt, tilt + shift)
    assert swapped != text
    turned = swapped.replace(
        f"<a:_x>{VALUES['bsx']}</a:_x><a:_y>{VALUES['bsy']}</a:_y>",
        f"<a:_y>{VALUES['bsy']}</a:_y><a:_x>{VALUES['bsx']}</a:_x>",
    )
    assert turned != swapped
    custom = pair("Dose", "3.04E+21")
    key, value = custom.split("</a:Key>")
    value = value.removesuffix("</a:KeyValueOfstringanyType>")
    key = key.removeprefix("<a:KeyValueOfstringanyType>") + "</a:Key>"
    last = turned.replace(
        custom, f"<a:KeyValueOfstringanyType>{value}{key}</a:KeyValueOfstringanyType>"
    )
    assert last != turned
    for other in (swapped, turned, last):
        assert strict(other) == strict(text)
        assert taught().read(other.encode()) == strict(text)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "iso-8859-1"])
def test_encodings(encoding: str) -> None:
    bare = encoding.removesuffix("-sig").removesuffix("-be")
    reader = EpuReader()
    for i in range(4):
        text = f'<?xml version="1.0" encoding="{bare}"?>' + xml_of(i, camera="Kamera é")
        data = ("\ufeff" * (encoding == "utf-16-be") + text).encode(encoding)
        assert reader.read(data) == read_strict(data)
        assert reader.read(data).camera == "Kamera é"
    # two of the same layout teach a third one where every byte below 128 is a letter
    assert reader.strict == (8 if "16" in encoding else 3)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b" \r\n", "the file is empty"),
        (exposure_xml().encode()[:-1], "not well-formed XML: unclosed token"),
        (exposure_xml().encode()[:600], "not well-formed XML: "),
        (exposure_xml().encode()[:-200], "not well-formed XML: "),
        (b"\0" * 4096, "not well-formed XML: "),
        (exposure_xml().encode() + b"<x/>", "not well-formed XML: junk after document element"),
        (exposure_xml().replace("</optics>", "</optic>").encode(), "mismatched tag"),
        (exposure_xml().replace("a:_x", "c:_x").encode(), "unbound prefix"),
        (exposure_xml(camera="a & b").encode(), "not well-formed"),
        (exposure_xml(camera="&unknown;").encode(), "undefined entity"),
        (exposure_xml(camera="é").encode("latin-1"), "not well-formed"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "unknown encoding"),
        ((BOMB + exposure_xml(camera="&j;")).encode(), "document type declaration"),
        ((BOMB + exposure_xml()).encode("utf-16"), "document type declaration"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "document type declaration"),
        (FRACTIONS.encode(), "the root is Acquisition, not MicroscopeImage of EPU"),
        (b"<html/>", "the root is html, not MicroscopeImage of EPU"),
        (exposure_xml().replace(SHARED, SHARED + "2").encode(), "the root is MicroscopeImage of"),
        (b"<MicroscopeImage/>", "the root is MicroscopeImage without a namespace"),
    ],
)
def test_no_such_file(read: Any, data: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=re.escape(reason)):
        read(data)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("BeamShift", "BeamShaft", "no BeamShift/_x"),
        (f"<a:_y>{VALUES['bsy']}</a:_y>", "", "no BeamShift/_y"),
        (f"<a:_y>{VALUES['bsy']}</a:_y>", "<a:_y/>", "no BeamShift/_y"),
        (VALUES["bsx"], " ", "no BeamShift/_x"),
        (VALUES["bsx"], "nan", "BeamShift/_x cannot be read: 'nan'"),
        (VALUES["bsx"], "1e999", "BeamShift/_x cannot be read: '1e999'"),
        (VALUES["bsx"], "0,5", "BeamShift/_x cannot be read: '0,5'"),
        (VALUES["bsx"], "1_0", "BeamShift/_x cannot be read: '1_0'"),
        (VALUES["bsx"], "١", "BeamShift/_x cannot be read: '١'"),
        (VALUES["x"], "1e305", "Position/X cannot be read: '1e305'"),
        ("Position", "Position2", "no Position/X"),
        ("<optics>", "<optics>" + vector("BeamShift", "1", "2"), "BeamShift/_x stands there twice"),
        ("<a:Key>DoseOnCamera", "<a:Key>Dose", "CustomData/Dose stands there twice"),
        ("<a:Key>Dose<", "<a:Key>x</a:Key><a:Key>Dose<", "two CustomData keys together"),
    ],
)
def test_no_use_without(read: Any, old: str, new: str, reason: str) -> None:
    text = exposure_xml().replace(old, new)
    assert text != exposure_xml()
    with pytest.raises(FormatError, match=re.escape(reason)):
        read(text.encode())


def test_what_is_missing_and_not_needed() -> None:
    text = exposure_xml(diameter="", time="", uid="")
    fields = strict(text)
    assert fields.missing == ("no acquisition/acquisitionDateTime", "no optics/BeamDiameter")
    assert math.isnan(fields.beam_diameter_um)
    assert math.isnan(fields.time_s)
    assert fields.uid == fields.time == ""
    fields = strict(exposure_xml(diameter="wide", time="noon", phase_plate="perhaps"))
    assert fields.missing == (
        "optics/BeamDiameter cannot be read: 'wide'",
        "CustomData/PhasePlateUsed cannot be read: 'perhaps'",
        "acquisition/acquisitionDateTime cannot be read: 'noon'",
    )
    assert (fields.time, fields.phase_plate) == ("noon", -1)


def test_an_element_with_others_inside_has_no_text() -> None:
    fields = strict(exposure_xml(diameter="1<b/>2"))
    assert fields.missing == ("no optics/BeamDiameter",)
    with pytest.raises(FormatError, match="no BeamShift/_x"):
        strict(exposure_xml(bsx="<b>1</b>"))


def test_the_same_names_elsewhere_count_for_nothing() -> None:
    """The published script takes the first element of a name, wherever it stands."""
    early = "<x>" + vector("BeamShift", "9", "9") + "<Position><X>9</X><Y>9</Y></Position></x>"
    text = exposure_xml().replace("<uniqueID>", early + "<uniqueID>")
    assert strict(text) == strict(exposure_xml())


def test_large_files_are_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("refimpl.io.epu_templates._LARGEST", 1 << 20)
    path = tmp_path / "large.xml"
    path.write_bytes(exposure_xml().encode() + b" " * (1 << 20))
    with pytest.raises(FormatError, match="more than 1 MB: not the XML of an exposure"):
        EpuReader().read_file(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe.xml")
    with pytest.raises(FormatError, match="not a regular file"):
        EpuReader().read_file(tmp_path / "pipe.xml")


@pytest.mark.parametrize("text", ["", " ", "perhaps"])
def test_convert_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"is (empty|not true or false)"):
        convert("phase_plate", text)
