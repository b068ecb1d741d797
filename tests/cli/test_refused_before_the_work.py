"""What is refused before anything is computed, and what is never taken for something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from refimpl.cli.main import main

MIDAS = "Lsd 1000000\nBC 50 40\npx 200\nNrPixels 100\nWavelength 0.5\n"


@pytest.fixture
def parameters(tmp_path: Path) -> Path:
    path = tmp_path / "geometry.txt"
    path.write_text(MIDAS)
    return path


def test_a_shape_that_the_file_contradicts(
    parameters: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    assert main(["convert", str(parameters), str(out), "--shape", "10,10"]) == 2
    assert "states (100, 100) px: --shape (10, 10) differs" in capsys.readouterr().err
    assert not out.exists()
    assert main(["convert", str(parameters), str(out), "--shape", "100,100"]) == 0


def test_images_of_other_sizes_are_not_taken_for_equal(parameters: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.txt"
    small.write_text(MIDAS.replace("NrPixels 100", "NrPixels 60"))
    assert main(["compare", str(parameters), str(parameters)]) == 0
    assert main(["compare", str(parameters), str(small)]) == 1


@pytest.mark.parametrize("text", ["def (:", "1 / 0"])
def test_an_object_whose_module_is_broken(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_subject.py").write_text(text)
    assert main(["conform", "--object", "broken_subject"]) == 2
    assert "--object 'broken_subject': " in capsys.readouterr().err


def test_outputs_of_the_kit(parameters: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--write-vectors", str(parameters)]) == 2
    assert "cannot make the folder" in capsys.readouterr().err
    assert main(["conform", "--junit", "all.xml"]) == 2
    assert "--junit: name one code" in capsys.readouterr().err
