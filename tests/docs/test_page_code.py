"""Code and commands of pages that have no test of their own, run on small frames."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import tifffile

from refimpl import use_backend
from refimpl.cli.main import main
from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.forward.powder_image import simulate

ROOT = Path(__file__).parents[2]
HOWTO = ROOT / "docs" / "howto"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def command(block: str, **names: str) -> list[str]:
    """Words of the first command of a block, with the reader's files in place of the page's."""
    (line,) = (x for x in block.replace("\\\n", " ").split("\n")[:1] if x.startswith("$ refimpl "))
    words = shlex.split(line, comments=True)[2:]
    return [names.get(word, word) for word in words]


def frame(path: str, wavelength: float, pixel_mm: float, lsd_mm: float = 250.0, *,
          calibrant: str = "CeO2", seed: int = 0, boxes: Any = None) -> None:  # fmt: skip
    """Write the frame of a calibrant, as a reader would have it."""
    true = TiltedFlat((240, 260), (pixel_mm, pixel_mm), lsd_mm, (128.3, 111.6), (0.0, 0.01, -0.02),
                      panel_boxes=boxes)  # fmt: skip
    made = simulate(true, rings(calibrant, wavelength, 0.4), wavelength_angstrom=wavelength,
                    fwhm_rad=3e-3, peak_counts=3000.0, seed=seed)  # fmt: skip
    image = made.image.astype("int32")
    image[made.mask] = -1
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, image)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(code: str, **names: Any) -> dict[str, Any]:
    """Run a block with the names that its page takes for granted."""
    space: dict[str, Any] = {"__name__": "page", **names}
    exec(compile(code, "page", "exec"), space)
    return space


def test_data_sets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks(HOWTO / "data.md", "python")
    run(code)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] in ("True", "False")
    assert any(line.startswith("pilatus2m-ceria-hexrd | ") for line in lines)


def test_the_backend_of_the_readme() -> None:
    from refimpl.dispatch import current_backend

    code = next(c for c in blocks(ROOT / "README.md", "python") if "use_backend" in c)
    seen: list[str] = []
    run(code.replace("...", "seen.append(current_backend())"), seen=seen,
        current_backend=current_backend)  # fmt: skip
    assert seen == ["python"]
    assert callable(use_backend)


@pytest.mark.slow
def test_a_configuration_of_a_cluster(here: Path) -> None:
    written = [b for b in blocks(HOWTO / "cluster.md", "console") if "refimpl cluster slurm" in b]
    assert main(command(written[0])) == 0
    assert "beam7" in Path("site.py").read_text()


@pytest.mark.slow
def test_blocks_and_shared_arrays(here: Path) -> None:
    import numpy as np

    from refimpl.scaleout import Block, run_blocks

    first, second = blocks(HOWTO / "cluster.md", "python")
    assert main(["cluster", "local", "-o", "site.py", "--cpus-per-node", "1"]) == 0
    Path("out").mkdir()
    many = [Block(f"b{k}", float(k), f"f{k}") for k in range(3)]
    found = run(first, work=abs, blocks=many)["run"]
    assert [outcome.value for outcome in found.outcomes] == [0.0, 1.0, 2.0]
    images = np.arange(6.0)
    space = run(
        second, images=images, seeds=images, run_blocks=run_blocks, work=len,
        blocks_that_name=lambda path: [Block("one", str(path), "f")],
    )  # fmt: skip
    assert {"read_shared", "shared_file"} <= set(space)
    assert not list(Path("out/shared").glob("layer1*"))  # gone with its block


@pytest.mark.slow
def test_a_folder_of_frames(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = HOWTO / "batch.md"
    for n in (1, 2):
        frame(f"frames/scan_{n}.tif", 0.25, 0.3, seed=n)
    tifffile.imwrite("frames/scan_3.tif", tifffile.imread("frames/scan_1.tif") * 0)
    assert main(command(blocks(page, "console")[0])) == 4  # one failed
    printed = capsys.readouterr()
    assert "2 of 3 frames converged" in printed.out
    assert "all dark: every unmasked pixel holds 0" in printed.err
    for n in (1, 2):
        frame(f"frames/scan_{n}.tif", 0.20215155543, 0.172, 150.0, seed=n)
    Path("frames/scan_3.tif").unlink()
    (code,) = blocks(page, "python")
    run(code.replace('"DIR"', '"DIR2"'))
    converged, lsd, sigma = capsys.readouterr().out.split()
    assert converged == "True"
    assert abs(float(lsd) - 150.0) < 5.0 * float(sigma)


@pytest.mark.slow
def test_the_readme_calibrates_maps_and_integrates(here: Path) -> None:
    frame("own.tif", 0.20215155543, 0.172, 150.0)
    block = next(b for b in blocks(ROOT / "README.md", "console") if "powder calibrate" in b)
    assert main(command(block, IMAGE="own.tif")) == 0
    assert main(command(block.split("\n", 2)[2])) == 0
    assert Path("DIR2/two_theta.npy").exists()
    maps, integrate = (
        command(b, IMAGE="own.tif") for b in blocks(HOWTO / "integrate.md", "console")
    )
    assert main([*maps[:-1], "DIR4"]) == 0
    assert main(integrate) == 0
    code = next(c for c in blocks(ROOT / "README.md", "python") if "powder.calibrate" in c)
    result = run(code, image=tifffile.imread("own.tif"))["result"]
    assert abs(result["Lsd"].value - 150.0) < 5.0 * result["Lsd"].sigma


@pytest.mark.slow
def test_several_frames_together(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    boxes = np.array([[f, s, f + 127, s + 117] for s in (0, 123) for f in (0, 133)])
    frame("near.tif", 0.25, 0.2, 200.0, boxes=boxes)
    frame("far.tif", 0.25, 0.2, 320.0, calibrant="LaB6", seed=1, boxes=boxes)
    (code,) = blocks(HOWTO / "joint.md", "python")
    run(code)
    size, sigma, status = capsys.readouterr().out.splitlines()[0].split()
    assert status == "refined"
    assert abs(float(size) - 0.2) < 5.0 * float(sigma)
