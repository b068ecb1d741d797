"""The published panel runs on the Pilatus 2M frame: geometry, points, and their own objective."""

from __future__ import annotations

import gzip
import io
import re
from dataclasses import dataclass

import numpy as np
import tifffile

from refimpl import data
from refimpl.crystal.calibrants import calibrant
from refimpl.crystal.rings import Rings, rings
from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import GEOMETRY_FIELDS, JACOBIAN_FIELDS, ring_jacobian
from refimpl.frames import F64, I64, PIXEL_CENTRE
from refimpl.io.midas_outputs import read_corr, read_mean_values, read_panel_shifts
from refimpl.io.panel_files import read_corrections
from refimpl.powder.observations import RingPoints
from refimpl.powder.refine import point_strain
from refimpl.units import DEG

__all__ = ["PublishedPanels", "read_run"]

DETECTOR = ("lsd_mm", "beam_fast_px", "beam_slow_px", "ty_rad", "tz_rad")
SHIFTS = ("d_fast_px", "d_slow_px")


@dataclass(frozen=True, eq=False)
class PublishedPanels:
    """One run: what it found, the raw points it wrote, and its weights (one ring, one vote)."""

    name: str
    model: TiltedFlat
    points: RingPoints
    rings: Rings
    weights: F64
    fixed: int = 20

    def objective(self, model: TiltedFlat) -> float:
        """Weighted mean of the absolute strain, which the program minimised."""
        strain = point_strain(self.points, self.rings, model.geometry, model.corrections)
        return float(np.sum(self.weights * np.abs(strain)))

    def strain_of(self, model: TiltedFlat, panel: int) -> float:
        """Mean absolute strain of a panel's points."""
        strain = point_strain(self.points, self.rings, model.geometry, model.corrections)
        return float(np.mean(np.abs(strain[self.points.panel == panel])))

    def minimum(self, start: TiltedFlat, panels: list[int], fields: tuple[str, ...]) -> TiltedFlat:
        """Minimum of the objective over the shifts of some panels and fields of the detector.

        Reweighted least squares with a floor that falls to 1e-9; a step that does not lower the
        objective is halved. The problem is convex but for the curvature of the model.
        """
        model, now, floor = start, self.objective(start), 1e-5
        for _ in range(150):
            step = self._step(model, panels, fields, floor)
            factor, after, moved = 1.0, np.inf, model
            while factor > 1e-3 and not after < now:
                moved = _moved(model, factor * step, panels, fields)
                after, factor = self.objective(moved), 0.5 * factor
            if after < now:
                gain, model, now = now - after, moved, after
                if floor < 1e-8 and gain < 1e-7 * now:
                    break
            elif floor <= 1e-9:
                break
            floor = max(0.7 * floor, 1e-9)
        return model

    def _step(
        self, model: TiltedFlat, panels: list[int], fields: tuple[str, ...], floor: float
    ) -> F64:
        lsd, panel = model.lsd_mm, self.points.panel
        radius, _, full = ring_jacobian(
            self.points.fast_px, self.points.slow_px, panel.astype(np.int32), model.geometry,
            model.corrections,
        )  # fmt: skip
        ideal = lsd * np.tan(self.rings.two_theta_rad[self.points.ring])
        strain = 1.0 - radius / ideal
        own = [full[:, [JACOBIAN_FIELDS.index(f)]] for f in fields]
        own = [
            c - (radius / lsd)[:, None] * (f == "lsd_mm") for f, c in zip(fields, own, strict=True)
        ]
        both = full[:, [JACOBIAN_FIELDS.index(f) for f in SHIFTS]]
        wide = [*own, *(both * (panel == i)[:, None] for i in panels)]
        root = np.sqrt(self.weights / np.maximum(np.abs(strain), floor))
        jacobian = -np.hstack(wide) * (root / ideal)[:, None]
        size = np.sqrt(np.sum(jacobian**2, axis=0))
        jacobian /= size
        normal = np.linalg.pinv(jacobian.T @ jacobian, 1e-11, hermitian=True)
        return -(normal @ (jacobian.T @ (root * strain))) / size

    def lengths_of_repetition(self) -> F64 | None:
        """(p,) [px] lengths of the shifts in the map that a repetition of the run left."""
        name = f"powder-golden/{self.name}/panelshifts.txt.shifts.tif.gz"
        if not data.is_here(name):
            return None
        image = tifffile.imread(io.BytesIO(gzip.decompress(data.path(name).read_bytes())))
        assert self.model.panel_boxes is not None
        return np.array([image[s, f] for f, s, _, _ in self.model.panel_boxes], dtype=np.float64)

    def iteration_of_points(self) -> tuple[int, float]:
        """Iteration that the points were extracted in, and their distance from its bins [deg].

        A point lies at the middle of its bin about the beam centre that the iteration before it
        ended with.
        """
        text = data.path(f"powder-golden/{self.name}/out.txt").read_text(errors="replace")
        centres = re.findall(r"^BC (\S+) (\S+)$", text.split("Mean Values")[0], re.MULTILINE)
        found = []
        for number, centre in enumerate(centres[:-1], start=2):  # the last one is of the best
            y, z = (float(c) + PIXEL_CENTRE for c in centre)
            eta = np.arctan2(self.points.fast_px - y, self.points.slow_px - z) / DEG
            off = np.abs((eta - 0.5) - np.round(eta - 0.5))
            found.append((float(np.max(off)), number))
        off, number = min(found)
        return number, off


def _moved(model: TiltedFlat, step: F64, panels: list[int], fields: tuple[str, ...]) -> TiltedFlat:
    geometry, moves = model.geometry, np.array(model.panel_corrections)
    geometry[[GEOMETRY_FIELDS.index(f) for f in fields]] += step[: len(fields)]
    moves[panels, :2] += step[len(fields) :].reshape(-1, 2)
    return model.with_geometry(geometry).replace(panel_corrections=moves)


def read_run(name: str, boxes: I64) -> PublishedPanels:
    """Run of the set ``powder-golden``, on the 48 half-modules of the Pilatus 2M."""
    folder = f"powder-golden/{name}"
    means = read_mean_values(data.path(f"{folder}/out.txt"))
    shifts = data.path(f"{folder}/panelshifts.txt")
    assert len(read_panel_shifts(shifts).panel_id) == len(boxes)
    p = tuple(means.p.get(f"p{k}", 0.0) for k in range(15))
    model = TiltedFlat(
        (1679, 1475), (0.172, 0.172), means.lsd_um / 1e3,
        (means.bc_px[0] + PIXEL_CENTRE, means.bc_px[1] + PIXEL_CENTRE),
        (0.0, means.ty_deg * DEG, means.tz_deg * DEG), 200.5, p,
        panel_boxes=boxes, panel_corrections=read_corrections(shifts, len(boxes)),
    )  # fmt: skip
    found = rings(calibrant("CeO2", 5.41153), 0.20215155543, 0.3)
    points = _raw_points(name, model, found)
    weights = 1.0 / np.bincount(points.ring)[points.ring]  # NormalizeRingWeights 1
    run = PublishedPanels(name, model, points, found, weights / np.sum(weights))
    table = read_corr(data.path(f"{folder}/CeO2_740mm_000005.raw.corr.csv"))
    strain = point_strain(points, found, model.geometry, model.corrections)
    apart = float(np.max(np.abs(np.abs(strain) - table.strain)))
    if apart > 1e-6:  # written with 8 decimals, angles of the rings with 6
        raise SystemExit(f"{name}: our strain of its points differs by {apart:.1e} from its own")
    return run


def _raw_points(name: str, model: TiltedFlat, found: Rings) -> RingPoints:
    """Written positions are after rotation and shift: both are undone."""
    table = read_corr(data.path(f"powder-golden/{name}/CeO2_740mm_000005.raw.corr.csv"))
    f, s = table.y_px + PIXEL_CENTRE, table.z_px + PIXEL_CENTRE
    boxes = np.asarray(model.panel_boxes, dtype=np.float64)
    beyond = [np.maximum(b[0] - f, f - b[2]).clip(0) + np.maximum(b[1] - s, s - b[3]).clip(0)
              for b in boxes]  # fmt: skip
    panel = np.argmin(beyond, axis=0)
    own = model.corrections[panel]
    x, y = f - own[:, 0] - own[:, 2], s - own[:, 1] - own[:, 3]
    c, d = np.cos(own[:, 4]), np.sin(own[:, 4])
    ring = np.argmin(np.abs(found.two_theta_rad[:, None] - table.ideal_two_theta_deg * DEG), axis=0)
    n, one = len(f), np.ones(len(f))
    eta_bin = np.floor(table.eta_deg + 180.0).astype(np.int64)
    return RingPoints(
        ring, panel, eta_bin, own[:, 0] + c * x + d * y, own[:, 1] - d * x + c * y,
        found.two_theta_rad[ring], table.eta_deg * DEG, 1e-9 * one, one, 1e-3 * one, 0.0 * one, one,
        0.0 * one, one, np.ones(n, dtype=np.int64), np.ones(n, dtype=bool),
    )  # fmt: skip
