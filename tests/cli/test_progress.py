"""The progress line: the time that a step still takes, and silence where nobody looks."""

from __future__ import annotations

import pytest

from refimpl.cli import parse


def test_the_time_left_is_that_of_the_step() -> None:
    left = parse.TimeLeft()
    assert left.text("loop 0", 0.0, 100.0) == ""
    assert left.text("loop 0", 0.1, 101.0) == ""  # too early to say
    assert left.text("loop 0", 0.1, 110.0) == "90 s left"
    assert left.text("loop 0", 0.5, 700.0) == "10 min left"
    assert left.text("loop 0", 0.1, 9100.0) == ""  # back: begun anew
    assert left.text("loop 0", 0.2, 12700.0) == "8.0 h left"
    assert left.text("loop 0", 1.0, 12800.0) == ""


def test_what_an_earlier_run_did_counts_for_nothing() -> None:
    left = parse.TimeLeft()
    left.text("loop 0", 0.0, 0.0)
    assert left.text("loop 1", 0.8, 1000.0) == ""
    assert left.text("loop 1", 0.9, 1010.0) == "10 s left"


def test_the_line_is_for_terminals_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> str:
        with parse.progress() as tell:
            tell("loop 0", 0.25)
            tell("loop 0", 1.0)
        return capsys.readouterr().err

    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert work() == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    assert "loop 0" in work()
