"""The real EPU session: one number against the matrix, and what else fits.

    python validation/epu.py [--update docs/epu.md]

Needs the set ``epu-afis``. Tables in Markdown; with ``--update`` also the pictures of the page, in
``pictures`` beside it.
"""

from __future__ import annotations

import io
import sys
import tempfile
from functools import cache
from pathlib import Path

from pages import run, table
from PIL import Image

from refimpl import data, hooks
from refimpl.clustering.beam_shift import cluster, levels
from refimpl.epu.affine import affine
from refimpl.epu.calibrate import calibrate
from refimpl.epu.calibration import Calibration
from refimpl.epu.duplicates import find_duplicates
from refimpl.epu.session import Session, read_session
from refimpl.io.atomic import atomic_path
from refimpl.report import style
from refimpl.report.epu import EpuView, comparison
from refimpl.units import DEG

SET = "epu-afis"
RADII_UM = (0.1, 0.2, 0.3, 0.4, 0.5)
SCALARS = (24.4, 24.5, 25.0)
SHOWN_K = 24.5
"""2.5 um over 0.1020, the mean distance of nearest clusters: what a reader of the README takes."""


@cache
def session() -> Session:
    """The real session."""
    return read_session(data.path(f"{SET}/SHA256SUMS").parent)


@cache
def calibration() -> Calibration:
    """Its calibration, of the XML files alone."""
    return calibrate(session())


def view() -> EpuView:
    """What the report shows, with the published k beside it."""
    found = find_duplicates(session(), calibration())
    return EpuView(found, cluster(session().beam_shift), "EPU session", SHOWN_K)


def duplicates() -> str:
    """Bad exposures by radius, one number against the matrix."""
    rows = []
    for name, one in (
        *((f"k = {k:g}", affine(k)) for k in SCALARS), ("matrix", calibration())
    ):  # fmt: skip
        bad = [find_duplicates(session(), one, f"fixed:{r}").n_duplicates for r in RADII_UM]
        rows.append((name, *bad))
    return table(("bad exposures of 189, by radius", *(f"{r} µm" for r in RADII_UM)), rows)


def answers() -> str:
    """The calibration and the next best ones."""
    c = calibration()
    rows: list[tuple[object, ...]] = []
    for one, ratio, again in (
        (c, 1.0, c.coincidences),
        *((a, a.misfit_ratio, a.coincidences) for a in c.alternatives),
    ):
        pitch = one.pitch_um or (float("nan"), float("nan"))
        rows.append(
            (f"{one.k_um:.3f}", f"{one.rotation_rad / DEG:.1f}°",
             "yes" if one.is_mirrored else "no", f"{one.anisotropy:.3f}",
             f"{pitch[0]:.3f}, {pitch[1]:.3f}", f"{1e3 * (one.rms_um or 0.0):.0f}", f"{ratio:.2f}",
             again)
        )  # fmt: skip
    head = ("k [µm]", "turn", "mirror", "stretch", "apart [µm]", "rms [nm]", "misfit",
            "met again")  # fmt: skip
    return table(head, rows)


def groups() -> str:
    """Levels of the beam shifts."""
    found = levels(session().beam_shift)
    rows = [(lv.n, 189 // lv.n, f"{lv.height:.4f}", f"{lv.gap:.2f}") for lv in found]
    return table(("groups", "exposures in each", "longest step inside", "gap"), rows)


def parts() -> list[str]:
    """Everything between the markers."""
    return [
        "![The session with one number, and with the matrix](pictures/epu_two_maps.png)",
        duplicates(), answers(), groups(),
    ]  # fmt: skip


def write_pictures(folder: Path) -> None:
    """Pictures of the page, in few colours or as JPEG: they lie in the repository."""
    with Image.open(io.BytesIO(style.png(comparison(view())))) as picture:
        few = picture.convert("RGB").quantize(
            128, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
    with atomic_path(folder / "epu_two_maps.png") as path:
        few.save(path, optimize=True)
    with (
        tempfile.TemporaryDirectory() as name,
        atomic_path(folder / "epu_montage.jpg") as path,
        Image.open(montage(Path(name))) as picture,
    ):
        picture.save(path, quality=55, optimize=True)


def montage(folder: Path) -> Path:
    """Two cases of a simulated session: there are no pictures in the real one."""
    from refimpl.epu.simulate import SimulationSettings, simulate
    from refimpl.epu.simulate_files import write_session

    made = simulate(SimulationSettings(squares=1, revisits=0, overlaps=1, missed=0), seed=0)
    write_session(made, folder / "session", image_px=256)
    read = read_session(folder / "session")
    found = find_duplicates(read, calibrate(read))
    rows = found.pairs[found.pairs["cause"] == "neighbour"].iloc[:2]
    path = folder / "montage.png"
    hooks.call("epu.montage", read, rows, path)
    return path


def main() -> int:
    """Print the tables; with ``--update`` write them and the pictures."""
    status = run("epu", __doc__.split("\n\n")[0], f"{SET}/SHA256SUMS", parts)
    if status == 0 and "--update" in sys.argv:
        page = Path(sys.argv[sys.argv.index("--update") + 1])
        write_pictures(page.parent / "pictures")
    return status


if __name__ == "__main__":
    sys.exit(main())
