"""Pictures of the frames of refimpl and other codes, from what the package's functions answer.

``python docs/frames.py`` writes ``docs/pictures/frames``; a test holds the files to the code.
Nothing here says where an axis points: a code's own functions are asked, where need be by moving
one number of its geometry and looking where the detector goes. The only freedom is how a frame of
XDS, which may be any, is turned about the beam: rows downwards.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from refimpl.detector.hierarchy import Hierarchy, Module
from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel import Panel
from refimpl.forward.experiment import Beam, Experiment, Goniometer
from refimpl.forward.nearfield_projection import met
from refimpl.frames import BEAM, F64, PIXEL_CENTRE, eta_of_lab, lab_from_midas, nearfield_from_raw
from refimpl.interop.crystfel import (
    crystfel_frame,
    crystfel_from_experiment,
    experiment_from_crystfel,
)
from refimpl.interop.hexrd import HexrdInstrument, HexrdPanel, detector_from_hexrd
from refimpl.interop.imaged11 import axis_of_par, panel_of_par
from refimpl.interop.midas import tilted_flat_from_midas
from refimpl.interop.nexus import detector_from_nexus
from refimpl.interop.nexus_write import write_nxmx
from refimpl.interop.plane import panel_of_tilted_flat
from refimpl.interop.pyfai import Poni, tilted_flat_from_poni
from refimpl.interop.xds import experiment_from_xparm
from refimpl.interop.xparm_file import Segment, Xparm
from refimpl.rotations import rz

FOLDER = Path(__file__).parent / "pictures" / "frames"
SHAPE = 6, 8  # rows, columns: few, so that one pixel can be seen
PIXEL, DISTANCE = 15.0, 160.0  # mm
MIDDLE = SHAPE[1] / 2.0, SHAPE[0] / 2.0  # fast, slow of the beam [px]


@dataclass(frozen=True, eq=False)
class Frame:
    """What is drawn; every vector in the lab frame of refimpl.

    Attributes
    ----------
    title
        Of the picture.
    axes
        Unit vectors of the code's own frame, by label.
    panel
        The image as stored: first pixel, fast and slow.
    first
        What the code calls the centre of the first pixel.
    words
        Labels of fast and slow.
    counted
        Corner [mm] and vectors of coordinates that begin elsewhere, by label; may be empty.
    turning
        Label, axis or None (the beam), and a first and a second direction of a rotation's sense.
    """

    title: str
    axes: Mapping[str, F64]
    panel: Panel
    first: str
    words: tuple[str, str]
    counted: Mapping[str, tuple[F64, F64]] = field(default_factory=dict)
    turning: tuple[str, F64 | None, F64, F64] | None = None


def _rows(*vectors: F64, labels: str = "XYZ") -> dict[str, F64]:
    """Vectors by the letters of their axes."""
    return {label: np.asarray(v, dtype=float) for label, v in zip(labels, vectors, strict=True)}


def _moved(at: Callable[[F64], F64], start: F64) -> list[F64]:
    """Unit directions in which a point goes when each number grows by itself."""
    steps = [at(start + step) - at(start) for step in 1e-3 * np.eye(len(start))]
    return [step / np.linalg.norm(step) for step in steps]


def _pair(fast: float, slow: float) -> str:
    return f"({fast:g}, {slow:g})".replace("-", "−")


def _eta() -> tuple[str, None, F64, F64]:
    """Directions across the beam where eta is 0 and 60 degrees."""
    angle = np.deg2rad(np.arange(0.0, 360.0, 15.0))
    around = np.stack([np.cos(angle), np.sin(angle), 0.0 * angle], axis=1)
    eta = np.rad2deg(eta_of_lab(around))
    zero, sixty = (around[np.argmin(np.abs(eta - wanted))] for wanted in (0.0, 60.0))
    return "η", None, zero, sixty


def refimpl_lab() -> Frame:
    """Our own, with the default image transform."""
    model = TiltedFlat(SHAPE, (PIXEL, PIXEL), DISTANCE, MIDDLE)
    seen = panel_of_tilted_flat(model.replace(image_transform=()))
    corner, fast, slow = (np.array(v) for v in (seen.origin_mm, seen.fast_axis, seen.slow_axis))
    return Frame(
        "refimpl, lab frame", _rows(*np.eye(3)), panel_of_tilted_flat(model),
        _pair(PIXEL_CENTRE, PIXEL_CENTRE), ("fast", "slow"),
        {"fast, model": (corner, fast), "slow, model": (corner, slow)}, _eta(),
    )  # fmt: skip


def midas() -> Frame:
    """Far field, the image after ImTransOpt."""
    centre = np.subtract(MIDDLE, 0.5)
    values = {"Lsd": DISTANCE * 1e3, "BC": tuple(centre), "px": PIXEL * 1e3}
    model = tilted_flat_from_midas(values, SHAPE)
    first = PIXEL_CENTRE - (np.array(model.beam_centre_px) - centre)
    return Frame(
        "MIDAS, far field", _rows(*lab_from_midas(np.eye(3))), panel_of_tilted_flat(model),
        _pair(*first), ("Y", "Z"), turning=_eta(),
    )  # fmt: skip


def nearfield() -> Frame:
    """Near field: raw image, pixels counted from its other end, rotation."""
    ny, nz = SHAPE[::-1]

    def pixel(ray: F64) -> F64:
        at = met(
            (ray[0], ray[1]), np.zeros((1, 3)), np.eye(3), DISTANCE, np.array(MIDDLE), 1 / PIXEL
        )
        return np.ravel(at)

    slope = np.stack([pixel(step) - pixel(np.zeros(2)) for step in np.eye(2)], axis=1)

    def place(y: float, z: float) -> F64:
        ray = np.linalg.solve(slope, np.array([y, z]) - pixel(np.zeros(2)))
        return np.asarray(lab_from_midas(DISTANCE * np.array([1.0, *ray])))

    y0, z0 = nearfield_from_raw(np.array(0), np.array(0), (ny, nz))
    y1, z1 = nearfield_from_raw(np.array(1), np.array(1), (ny, nz))  # one row, one column on
    step = int(y1 - y0), int(z1 - z0)
    corner = place(y0 + (step[0] < 0), z0 + (step[1] < 0))
    fast, slow = place(step[0], 0) - place(0, 0), place(0, step[1]) - place(0, 0)
    panel = Panel(
        "raw", tuple(corner), tuple(fast / PIXEL), tuple(slow / PIXEL), (PIXEL, PIXEL), (ny, nz)
    )
    axes = _rows(*lab_from_midas(np.eye(3)), labels="xyz")
    counted = {"Y": (place(0, 0), (place(1, 0) - place(0, 0)) / PIXEL),
               "Z": (place(0, 0), (place(0, 1) - place(0, 0)) / PIXEL)}  # fmt: skip
    turn = lab_from_midas(rz(np.deg2rad(60.0)) @ [1.0, 0.0, 0.0])
    return Frame(
        "MIDAS, near field", axes, panel, _pair(y0 + 0.5, z0 + 0.5), ("column", "row"), counted,
        ("ω", axes["z"], axes["x"], turn),
    )  # fmt: skip


def _experiment() -> Experiment:
    """A detector as DIALS files usually have it: beam along -z, rows downwards."""
    half = 0.5 * PIXEL * np.array(SHAPE[::-1])
    module = Module("p", (1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (-half[0], half[1], -DISTANCE),
                    SHAPE[::-1], (PIXEL, PIXEL))  # fmt: skip
    return Experiment("", Beam(np.array([0.0, 0.0, 1.0]), 1.0), Hierarchy((module,)),
                      Goniometer(np.array([1.0, 0.0, 0.0])))  # fmt: skip


def _panel_of(experiment: Experiment, turn: F64) -> Panel:
    """First panel of an experiment, turned."""
    assert experiment.detector is not None
    fast, slow, origin = (tuple(turn @ v) for v in experiment.detector.d[0].T)
    module = experiment.detector.modules[0]
    return Panel("p", origin, fast, slow, module.pixel_size_mm, module.size_px)


def dials() -> Frame:
    """Vectors of an experiment, brought to our lab by the beam and the file's y."""
    experiment = _experiment()
    assert experiment.beam is not None
    assert experiment.detector is not None
    turn = crystfel_frame(experiment.beam.s0)
    half = np.full(1, 0.5 * PIXEL)
    first = experiment.detector.mm_to_pixel(np.zeros(1, dtype=np.int64), half, half)
    return Frame("DIALS, the usual file", _rows(*turn.T, labels="xyz"), _panel_of(experiment, turn),
                 _pair(float(first[0][0]), float(first[1][0])), ("fast", "slow"))  # fmt: skip


def pyfai() -> Frame:
    """Axes by moving poni1, poni2 and dist: the detector goes against the first two."""

    def panel(v: F64) -> Panel:
        poni = Poni(v[2] / 1e3, v[0] / 1e3, v[1] / 1e3, 0.0, 0.0, 0.0, PIXEL / 1e3, PIXEL / 1e3,
                    shape=SHAPE)  # fmt: skip
        return panel_of_tilted_flat(tilted_flat_from_poni(poni))

    start = np.array([MIDDLE[1] * PIXEL, MIDDLE[0] * PIXEL, DISTANCE])
    one, two, three = _moved(lambda v: np.array(panel(v).origin_mm), start)
    here = panel(start)
    foot = np.array([0.0, 0.0, DISTANCE])  # of the perpendicular: poni, for a detector without tilt
    first = (here.lab_mm(np.array(0.5), np.array(0.5)) - foot) / PIXEL
    at = [start[1] / PIXEL - first @ two, start[0] / PIXEL - first @ one]
    return Frame("pyFAI", _rows(-one, -two, three, labels="123"), here, f"{_pair(*at)} pixels",
                 ("axis 2, column", "axis 1, row"))  # fmt: skip


def hexrd() -> Frame:
    """Axes by moving the translation of a panel."""

    def panel(v: F64) -> Panel:
        own = HexrdPanel("p", SHAPE, (PIXEL, PIXEL), (0.0, 0.0, 0.0), tuple(v))
        return detector_from_hexrd(HexrdInstrument(80.0, 90.0, 90.0, (own,))).panels[0]

    start = np.array([0.0, 0.0, -DISTANCE])
    axes = _moved(lambda v: np.array(panel(v).origin_mm), start)
    here = panel(start)
    away = here.lab_mm(np.array(0.5), np.array(0.5)) - here.lab_mm(*np.array(MIDDLE)[:, None])[0]
    first = [away @ axis / PIXEL for axis in axes[:2]]
    called = f"{_pair(*first)} pixels from the panel's centre"
    return Frame("HEXRD", _rows(*axes, labels="xyz"), here, called, ("column j", "row i"))


def imaged11() -> Frame:
    """Axis x by moving the distance, z from the rotation axis."""

    def panel(v: F64) -> Panel:
        values = {"distance": v[0] * 1e3, "y_center": v[1], "z_center": v[2],
                  "y_size": PIXEL * 1e3, "z_size": PIXEL * 1e3}  # fmt: skip
        return panel_of_par(values, SHAPE)

    start = np.array([DISTANCE, MIDDLE[0] - 0.5, MIDDLE[1] - 0.5])
    x, z = _moved(lambda v: np.array(panel(v).origin_mm), start)[0], axis_of_par({})
    here, centre = panel(start), panel(start * [1.0, 0.0, 0.0])
    # with the centre at 0, 0 the beam goes through what the code calls the pixel (0, 0)
    at = np.array([0.0, 0.0, DISTANCE]) - np.array(centre.origin_mm)
    first = [0.5 - at @ np.array(v) / PIXEL for v in (centre.slow_axis, centre.fast_axis)]
    return Frame("ImageD11", _rows(x, np.cross(z, x), z, labels="xyz"), here, _pair(*first),
                 ("f", "s"))  # fmt: skip


def xds() -> Frame:
    """Of a file whose detector axes are x and y; turned about the beam so that rows go down."""

    def experiment(org: F64) -> Experiment:
        return experiment_from_xparm(
            Xparm(1, 0.0, 0.1, (1.0, 0.0, 0.0), 1.0, (0.0, 0.0, 1.0), 0, (0.0,) * 6,
                  ((0.0, 0.0, 0.0),) * 3, SHAPE[::-1], (PIXEL, PIXEL), tuple(org), DISTANCE,
                  (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (Segment((1, 1), SHAPE[::-1]),))
        )  # fmt: skip

    here, one = experiment(np.add(MIDDLE, 0.5)), experiment(np.ones(2))
    assert here.beam is not None
    z = here.beam.s0 / np.linalg.norm(here.beam.s0)
    down = np.array(_panel_of(here, np.eye(3)).slow_axis)
    turn = np.stack([np.cross(-down, z), -down, z])
    corner = _panel_of(one, turn)  # with ORG 1, 1 the beam goes through what is called (1, 1)
    axes = np.array([corner.fast_axis, corner.slow_axis])
    first = 1.5 + axes @ corner.origin_mm / PIXEL
    seen = _panel_of(here, turn)
    title = "XDS, one of many ways to lie"
    return Frame(title, _rows(*turn.T, labels="xyz"), seen, _pair(*first), ("X", "Y"))


def crystfel() -> Frame:
    """Through a geometry of CrystFEL's and back."""
    back = experiment_from_crystfel(crystfel_from_experiment(_experiment()))
    assert back.beam is not None
    turn = crystfel_frame(back.beam.s0)
    return Frame("CrystFEL", _rows(*turn.T, labels="xyz"), _panel_of(back, turn), _pair(0.5, 0.5),
                 ("fs", "ss"))  # fmt: skip


def nxmx() -> Frame:
    """Through a file and back."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "frame.nxs"
        write_nxmx(path, _experiment())
        panel = detector_from_nexus(path).panels[0]
    return Frame("NXmx", _rows(*np.eye(3), labels="xyz"), panel, _pair(0.5, 0.5), ("fast", "slow"))


FRAMES: Mapping[str, Callable[[], Frame]] = {
    "lab": refimpl_lab, "midas": midas, "nearfield": nearfield, "dials": dials, "pyfai": pyfai,
    "hexrd": hexrd, "imaged11": imaged11, "xds": xds, "crystfel": crystfel, "nxmx": nxmx,
}  # fmt: skip


def main() -> None:
    """Write the pictures."""
    sys.path.insert(0, str(Path(__file__).parent))
    from frame_svg import svg

    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, frame in FRAMES.items():
        (FOLDER / f"{name}.svg").write_text(svg(frame(), BEAM), encoding="utf-8")


if __name__ == "__main__":
    main()
