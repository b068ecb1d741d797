"""The fast way to read EPU's XML gives what the strict way gives, or leaves the file to it."""

from __future__ import annotations

import re

from epu_files import xml_of
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.errors import FormatError
from refimpl.io.epu_templates import EpuReader
from refimpl.io.epu_xml import read_strict

NUMBER = st.floats(-1e3, 1e3).map(repr)
ODD = (
    *("", " ", "0", " 1.5 ", "\t2\n", "1_0", "nan", "-INF", "1e400", "0x1", "&#49;", "&amp;1"),
    *("1<!-- c -->", "<!-- 2 -->2", "--><!-- >-->3", "<![CDATA[4]]>", "<b/>5", "6<b>7</b>", "]]>"),
    *("é", "١", "true", "false", "1", "2021-03-28T03:00:00+02:00", "x > y", '"', "Dose"),
    *("&undefined;", "1\x00", "a&b", "\ufeff8"),
)  # fmt: skip
TEXT = NUMBER | st.sampled_from(ODD) | st.text(max_size=5)
INNER = re.compile(r"(?<=>)(?!Dose|Phase|Applied|true|false|20)[\w.+-]+(?=<)")
TAGS = re.compile(r"<(\w[^\s/>]*)[^<>]*>[^<]*</\1>")
MARKUP = (
    *(" ", "\n", "\t", "\r\n", "<!-- x -->", "<?pi?>", "<x/>", "&#32;", "<", ">", "&", "\0", "]]>"),
    *("\u00a0", '<x xmlns="">1</x>', "<![CDATA[ ]]>", "<!DOCTYPE a>", "</optics>"),
)
INSERT = st.sampled_from(MARKUP)


@st.composite
def edited(draw: st.DrawFn) -> bytes:
    """XML of an exposure with up to three changes of any kind."""
    text = xml_of(draw(st.integers(0, 5)), defocus=draw(NUMBER), bsy=draw(NUMBER))
    for _ in range(draw(st.integers(0, 3))):
        text = draw(st.sampled_from(EDITS))(draw, text)
    data = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0 and data:
        i = draw(st.integers(0, len(data) - 1))
        data = data[:i] + draw(st.binary(max_size=2)) + data[i + draw(st.integers(0, 2)) :]
    return data


def element(draw: st.DrawFn, text: str) -> tuple[int, int]:
    """Span of an element without others inside."""
    found = [match.span() for match in TAGS.finditer(text)]
    return draw(st.sampled_from(found)) if found else (0, 0)


def change_text(draw: st.DrawFn, text: str) -> str:
    start, end = element(draw, text)
    inner = text[start:end]
    return (
        text[:start] + re.sub(r">[^<]*<", lambda _: f">{draw(TEXT)}<", inner, count=1) + text[end:]
    )


def drop(draw: st.DrawFn, text: str) -> str:
    start, end = element(draw, text)
    return text[:start] + text[end:]


def double(draw: st.DrawFn, text: str) -> str:
    start, end = element(draw, text)
    return text[:end] + text[start:end] + text[end:]


def move(draw: st.DrawFn, text: str) -> str:
    """One element to another's place, often its neighbour's: another order."""
    start, end = element(draw, text)
    rest = text[:start] + text[end:]
    at, _ = element(draw, rest)
    return rest[:at] + text[start:end] + rest[at:]


def insert(draw: st.DrawFn, text: str) -> str:
    """Something at the edge of a tag, or anywhere."""
    edges = [match.start() for match in re.finditer(r"<|(?<=>)", text)] or [0]
    at = draw(st.sampled_from(edges) | st.integers(0, len(text)))
    return text[:at] + draw(INSERT) + text[at:]


def prefix(draw: st.DrawFn, text: str) -> str:
    new = draw(st.sampled_from(["b", "q", "T", "i"]))
    return re.sub(r"(</?|xmlns:)a\b", rf"\g<1>{new}", text, count=draw(st.integers(0, 60)))


def cut(draw: st.DrawFn, text: str) -> str:
    return text[: draw(st.integers(0, len(text)))]


EDITS = [change_text, change_text, change_text, drop, double, move, insert, prefix, cut]


def taught() -> EpuReader:
    """A reader that has seen every text differ which may: the rashest that there can be."""
    reader = EpuReader()
    for day in "12":
        text = xml_of(0, time=f"2021-03-2{day}T12:00:00+01:00", phase_plate=f"{day == '1'}".lower())
        reader.read(INNER.sub(rf"\g<0>{day}", text).encode())
    assert reader.strict == 2
    return reader


def outcome(read, data: bytes) -> tuple[str, str]:
    """Values, exactly, or the words of the error."""
    try:
        return "fields", repr(read(data))
    except FormatError as error:
        return "error", str(error)


@settings(max_examples=400)
@given(st.lists(edited(), min_size=1, max_size=6))
def test_fast_and_strict_agree(files: list[bytes]) -> None:
    """Whatever was read before, broken files between good ones included."""
    reader = taught()
    for data in files:
        expected = outcome(read_strict, data)
        fast = reader.read_fast(data)
        assert fast is None or ("fields", repr(fast)) == expected
        assert outcome(reader.read, data) == expected


@given(st.lists(st.tuples(NUMBER, NUMBER, NUMBER), min_size=1, max_size=8))
def test_values_alone_do_not_need_the_strict_reader(values: list[tuple[str, str, str]]) -> None:
    reader = taught()
    for x, y, stage in values:
        data = xml_of(1, bsx=x, bsy=y, x=stage, y=stage).encode()
        fields = reader.read(data)
        assert (fields.beam_shift_x, fields.beam_shift_y) == (float(x), float(y))
        assert fields.stage_x_um == float(stage) * 1e6
    assert reader.strict == 2
