"""The stored corpus: every reader has a proper answer to every file of it, findings of old too."""

from __future__ import annotations

import io
import json
import os
import random
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import mutations
from campaign import CORPUS, FOUND, Campaign, corpus_of, judge, write_corpus
from readers import READERS, Reader
from sweeps import sweep

from refimpl.errors import FormatError
from refimpl.hdf5 import check as hdf5_check

_NEED_TORCH = {"checkpoint"}
NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if name in _NEED_TORCH else name for name in READERS
]


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that the HDF5 library does not come back from take a moment each."""
    monkeypatch.setattr(hdf5_check, "HANG_SECONDS", 0.15)


@pytest.mark.parametrize("name", NAMES)
def test_every_stored_file_has_an_answer(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    files = corpus_of(reader)
    assert files, "no corpus: python tests/fuzz/fuzz.py NAME --store"
    findings = {file: judge(reader, data, tmp_path) for file, data in files.items()}
    assert {file: f.what + f.where for file, f in findings.items() if f is not None} == {}


@pytest.mark.filterwarnings("ignore")  # of zarr, about names that a zip holds twice
@pytest.mark.parametrize("name", NAMES)
def test_the_corpus_holds_a_file_that_is_read(name: str, tmp_path: Path) -> None:
    """A corpus of refusals alone would test the first line of a reader."""
    reader = READERS[name]
    path = tmp_path / reader.file
    for data in corpus_of(reader).values():
        path.write_bytes(data)
        try:
            reader.call(path)
        except (FormatError, ValueError):
            continue
        return
    pytest.fail("no stored file is read")


def test_no_corpus_without_a_reader() -> None:
    assert {path.stem for path in CORPUS.glob("*.zip")} == set(READERS)


def _fragile(path: Path) -> object:
    """Refuse what does not begin with ab; divide by what follows a c."""
    data = path.read_bytes()
    if data[:1] != b"a":
        raise FormatError("no a", path=path)
    if data[1:2] != b"b":
        raise FormatError("no b", path=path)
    if data[2:3] != b"c":
        raise FormatError("no c", path=path)
    return 1 // (data[3] - 0x30)


@pytest.mark.slow
def test_a_campaign_finds_a_fault_behind_three_refusals(tmp_path: Path) -> None:
    reader = Reader("fragile", "a.bin", _fragile, "bytes", traced=("tests",))
    campaign = Campaign(reader, [b"aca1"], tmp_path, seed=5)
    campaign.run(runs=8000)
    assert {finding.what.split(":")[0] for finding in campaign.findings.values()} == {
        "ZeroDivisionError", "IndexError",
    }  # fmt: skip
    assert all(data[:1] == b"a" for data in campaign.smallest()[:1])


def test_every_place_is_changed_in_turn() -> None:
    """One number far in, one key deep down, one array of an archive."""
    assert b"a 1\nb = nan;\n" in set(sweep(b"a 1\nb = 2;\n", "text"))
    tree = {"a": [1, {"b": [2.5]}], "c": None}
    made = [json.loads(data) for data in sweep(json.dumps(tree).encode(), "json")]
    assert {"a": [1, {"b": [None]}], "c": None} in made
    assert {"a": [1, {}], "c": None} in made
    assert {"a": [1, {"b": []}], "c": None} in made
    packed = io.BytesIO()
    np.savez(packed, x=np.arange(3), y=np.ones(2))
    kinds = set()
    for data in sweep(packed.getvalue(), "zip"):
        with zipfile.ZipFile(io.BytesIO(data)) as file, suppress(ValueError, EOFError, KeyError):
            kinds.add(str(np.load(io.BytesIO(file.read("y.npy"))).dtype))
    assert {"float64", "int64", "bool", "complex128", "<U1"} <= kinds
    assert list(sweep(b"no json", "json")) == []


def test_a_campaign_begins_with_every_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaign.mutate", lambda *_: b'{"a": {"b": [1, 2, 3]}}')  # nothing drawn

    def late(path: Path) -> object:
        return 1 // (json.loads(path.read_bytes())["a"]["b"][2] != [[]])

    reader = Reader("late", "a.json", late, "json", traced=("tests",))
    campaign = Campaign(reader, [b'{"a": {"b": [1, 2, 3]}}'], tmp_path, seed=5)
    campaign.run(runs=4000)
    assert "ZeroDivisionError at nowhere in refimpl" in campaign.findings


def test_a_campaign_can_be_run_again(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        campaign = Campaign(READERS["io.mic.read_mic"], [b"1 2 3\n"], tmp_path, seed=5)
        campaign.run(runs=60)
        found.append((campaign.corpus, campaign.n_runs))
    assert found[0] == found[1]


def test_findings_stay_in_the_corpus(tmp_path: Path) -> None:
    reader = Reader("one", "a.bin", _fragile)
    write_corpus(reader, [b"x"], [b"found once"], folder=tmp_path)
    path = write_corpus(reader, [b"y"], folder=tmp_path)
    stored = corpus_of(reader, tmp_path)
    assert sorted(stored.values()) == [b"found once", b"y"]
    assert [name.startswith(FOUND) for name in stored] == [False, True]
    before = path.read_bytes()
    assert write_corpus(reader, [b"y"], folder=tmp_path).read_bytes() == before


def test_hangs_and_long_errors_are_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("campaign.MOST_SECONDS", 0.05)

    def endless(path: Path) -> object:
        while True:
            path.exists()

    assert "TooLong" in str(judge(Reader("e", "a", endless), b"", tmp_path))

    class Loud(FormatError):
        def __str__(self) -> str:
            return "x" * 5000

    def loud(path: Path) -> object:
        raise Loud("")

    assert "5000 characters" in str(judge(Reader("l", "a", loud), b"", tmp_path))


@pytest.mark.parametrize("spoilt", [lambda: iter(int, 1), os.abort], ids=["hang", "crash"])
def test_a_file_that_no_library_survives_ends_no_campaign(
    spoilt: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused files are in the corpus too, and are changed by the library that they spoil."""
    monkeypatch.setattr(mutations, "_MOST_SECONDS", 0.05)
    monkeypatch.setattr(mutations, "_hdf5_changed", lambda *_: bytes(spoilt()))
    with pytest.raises(ValueError, match="no answer"):
        mutations._hdf5(b"x", random.Random(1), ())
    monkeypatch.setitem(mutations._SHARE, "hdf5", 1.0)
    assert mutations.mutate(b"x", "hdf5", random.Random(1), ())
