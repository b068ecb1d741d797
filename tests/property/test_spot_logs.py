"""Whatever a log holds, its reader gives records or says in one line what is wrong."""

from __future__ import annotations

import contextlib

import pytest
from distl_listing import APPENDIX_B, LISTING, NOTES
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errors import FormatError
from refimpl.io.dials_spot_log import parse_dials_spot_log
from refimpl.io.distl_log import parse_distl_log
from refimpl.io.time_stamps import seconds_of, stamp_in

COUNT = st.integers(0, 99999)


@given(st.lists(COUNT, min_size=1, max_size=6), st.booleans())
def test_every_image_of_a_log_has_its_own_numbers(totals: list[int], first_all: bool) -> None:
    listings = [
        LISTING.replace("000137", f"{k:06d}").replace("1707", str(n))
        for k, n in enumerate(totals, start=1)
    ]
    notes = [NOTES.replace("#137", f"#{k}") for k in range(1, len(totals) + 1)]
    pairs = zip(listings, notes, strict=True)
    text = "".join(listings + notes) if first_all else "".join(a + b for a, b in pairs)
    records = parse_distl_log(text)
    assert [r.spot_total for r in records] == totals
    assert [r.image_number for r in records] == [r.frame for r in records]
    assert [r.frame for r in records] == list(range(1, len(totals) + 1))


@given(st.integers(0, len(APPENDIX_B)), st.integers(0, 40), st.text(max_size=8))
def test_a_damaged_listing_is_read_or_refused(at: int, cut: int, put: str) -> None:
    text = APPENDIX_B[:at] + put + APPENDIX_B[at + cut :]
    with contextlib.suppress(FormatError):
        assert all(isinstance(r.spot_total, int) for r in parse_distl_log(text))


@given(st.text(st.sampled_from("|+-# \n0123456789.imagespots_()"), max_size=200))
def test_any_text_is_a_table_or_refused(text: str) -> None:
    for head in ("", "| image | #spots |\n"):
        with contextlib.suppress(FormatError):
            assert all(isinstance(r.image, int) for r in parse_dials_spot_log(head + text))


@given(st.text(max_size=30) | st.from_regex(r"\d{4}-?\d\d-?\d\d[T _]\d\d:?\d\d:?\d\d([.,]\d+)?"))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    stamp_in(text)
    with contextlib.suppress(FormatError):
        assert seconds_of(text) == seconds_of(f" {text} ")


@given(st.integers(0, 4_000_000_000), st.integers(0, 999))
def test_a_time_is_the_same_in_every_form(second: int, ms: int) -> None:
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(second, UTC)
    for form in ("%Y-%m-%dT%H:%M:%S.{}Z", "%Y%m%d_%H%M%S_{}", "%Y-%m-%d %H:%M:%S,{}+00:00"):
        text = moment.strftime(form).format(f"{ms:03d}")
        assert seconds_of(text) == pytest.approx(second + ms / 1000.0, abs=1e-6)
