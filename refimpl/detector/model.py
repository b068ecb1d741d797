"""The parametrised detector: published names of a calibration, and the vectors they stand for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.detector import distortion
from refimpl.detector.orientation import model_from_file, transformed_shape
from refimpl.detector.panel import Detector, Panel, PolarDistortion
from refimpl.detector.tilted_flat import pixel_position, ring_coordinates
from refimpl.errors import GeometryError
from refimpl.frames import F64, I64, lab_from_midas
from refimpl.rotations import midas_tilt

__all__ = ["TiltedFlat"]


@dataclass(frozen=True, eq=False)
class TiltedFlat:
    """One tilted plane of pixels, possibly cut into corrected panels.

    Attributes
    ----------
    shape
        (n_slow, n_fast) of the image in the model frame.
    pixel_size_mm
        Along (fast, slow).
    lsd_mm
        Distance from the sample to the plane along the beam.
    beam_centre_px
        (fast, slow) of the direct beam, corner origin (published BC + 0.5).
    tilts_rad
        tx, ty, tz; tx turns the picture about the beam and is carried, not refined.
    rho_d_mm
        Radius that the distortion is normalised by (published RhoD).
    p
        The 15 published distortion numbers; phases in degrees.
    parallax_mm
        See :class:`~refimpl.detector.panel.PolarDistortion`.
    panel_boxes
        (p, 4) fast0, slow0, fast1, slow1 of each panel, half open [px], model frame; None for a
        single surface.
    panel_corrections
        (p, 7) numbers of each panel, named by
        :data:`~refimpl.detector.tilted_flat.PANEL_FIELDS`; the two tilts may be left out, (p, 5).
        None for none.
    image_transform
        Codes that take the stored image to the model frame
        (:mod:`refimpl.detector.orientation`).
    """

    shape: tuple[int, int]
    pixel_size_mm: tuple[float, float]
    lsd_mm: float
    beam_centre_px: tuple[float, float]
    tilts_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rho_d_mm: float = 0.0
    p: tuple[float, ...] = (0.0,) * 15
    parallax_mm: float = 0.0
    panel_boxes: I64 | None = None
    panel_corrections: F64 | None = None
    image_transform: tuple[int, ...] = (2,)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.lsd_mm) and self.lsd_mm > 0.0):
            raise GeometryError(f"lsd_mm = {self.lsd_mm!r}: expected a positive distance")
        if min(self.pixel_size_mm) <= 0.0:
            raise GeometryError(f"pixel_size_mm = {self.pixel_size_mm!r}: expected positive sizes")
        if self.rho_d_mm == 0.0:
            object.__setattr__(self, "rho_d_mm", self.farthest_corner_mm())
        if self.panel_corrections is not None and self.panel_boxes is None:
            raise GeometryError("panel_corrections without panel_boxes: the panels are unknown")
        if self.panel_corrections is not None and self.panel_boxes is not None:
            object.__setattr__(self, "panel_corrections", self._checked_corrections())

    def _checked_corrections(self) -> F64:
        moves = np.asarray(self.panel_corrections, dtype=np.float64)
        n = len(self.panel_boxes)  # type: ignore[arg-type]
        if moves.ndim != 2 or len(moves) != n or moves.shape[1] not in (5, 7):
            raise GeometryError(
                f"panel_corrections has shape {moves.shape}: expected ({n}, 7), one row a panel"
            )
        return np.hstack([moves, np.zeros((n, 7 - moves.shape[1]))])

    def replace(self, **changes: Any) -> TiltedFlat:
        """Copy with other values; RhoD stays as it is unless named."""
        return dataclasses.replace(self, **changes)

    def farthest_corner_mm(self) -> float:
        """Distance from the beam centre to the farthest corner of the image, in its plane."""
        bf, bs = self.beam_centre_px
        fast = max(abs(bf), abs(self.shape[1] - bf)) * self.pixel_size_mm[0]
        slow = max(abs(bs), abs(self.shape[0] - bs)) * self.pixel_size_mm[1]
        return float(np.hypot(fast, slow))

    @property
    def geometry(self) -> F64:
        """(25,) vector named by :data:`~refimpl.detector.tilted_flat.GEOMETRY_FIELDS`."""
        head = [self.lsd_mm, *self.beam_centre_px, *self.tilts_rad, *self.pixel_size_mm]
        tail = distortion.pairs_from_published(self.p)
        return np.array([*head, self.rho_d_mm, self.parallax_mm, *tail])

    def with_geometry(self, geometry: F64) -> TiltedFlat:
        """Copy with the numbers of a geometry vector."""
        g = [float(v) for v in geometry]
        return self.replace(
            lsd_mm=g[0],
            beam_centre_px=(g[1], g[2]),
            tilts_rad=(g[3], g[4], g[5]),
            pixel_size_mm=(g[6], g[7]),
            rho_d_mm=g[8],
            parallax_mm=g[9],
            p=distortion.published_from_pairs(np.asarray(geometry[10:]), self.p),
        )

    @property
    def corrections(self) -> F64:
        """(p, 9) table named by :data:`~refimpl.detector.tilted_flat.CORRECTION_FIELDS`."""
        if self.panel_boxes is None:
            return np.zeros((0, 9))
        boxes = np.asarray(self.panel_boxes, dtype=np.float64)
        centres = 0.5 * (boxes[:, :2] + boxes[:, 2:])
        moves = (
            np.zeros((len(boxes), 7)) if self.panel_corrections is None else self.panel_corrections
        )
        return np.hstack([centres, moves])

    def panel_index(self, fast_px: F64, slow_px: F64) -> NDArray[np.int32]:
        """(n,) panel of each raw position; -1 in a gap, and everywhere on a single surface."""
        f, s = np.atleast_1d(fast_px), np.atleast_1d(slow_px)
        index = np.full(f.shape, -1, dtype=np.int32)
        for i, (f0, s0, f1, s1) in enumerate(() if self.panel_boxes is None else self.panel_boxes):
            index[(f >= f0) & (f < f1) & (s >= s0) & (s < s1)] = i
        return index

    def panel_map(self) -> NDArray[np.int32]:
        """(n_slow, n_fast) panel of each pixel, model frame; -1 in gaps and on a single surface."""
        index = np.full(self.shape, -1, dtype=np.int32)
        for i, (f0, s0, f1, s1) in enumerate(() if self.panel_boxes is None else self.panel_boxes):
            index[max(s0, 0) : s1, max(f0, 0) : f1] = i
        return index

    def ring_coordinates(
        self, fast_px: F64, slow_px: F64, panel: NDArray[np.int32] | None = None
    ) -> tuple[F64, F64]:
        """Ring radius [mm] and eta [rad] of (n,) points; the panel is looked up if not given."""
        panel = self.panel_index(fast_px, slow_px) if panel is None else panel
        return ring_coordinates(fast_px, slow_px, panel, self.geometry, self.corrections)[:2]

    def two_theta_eta(
        self, fast_px: F64, slow_px: F64, panel: NDArray[np.int32] | None = None
    ) -> tuple[F64, F64]:
        """Scattering angle and azimuth [rad] of (n,) points."""
        radius, eta = self.ring_coordinates(fast_px, slow_px, panel)
        return np.arctan(radius / self.lsd_mm), eta

    def pixel_position(
        self, radius_mm: F64, eta_rad: F64, panel: NDArray[np.int32] | None = None
    ) -> tuple[F64, F64]:
        """Inverse of :meth:`ring_coordinates`, on the given panels (default: uncorrected)."""
        panel = np.full(np.shape(radius_mm), -1, dtype=np.int32) if panel is None else panel
        return pixel_position(radius_mm, eta_rad, panel, self.geometry, self.corrections)

    def maps(self) -> tuple[F64, F64]:
        """2-theta and eta [rad] of every pixel centre, model frame; NaN in gaps between panels."""
        n_slow, n_fast = self.shape
        two_theta, eta = np.empty(self.shape), np.empty(self.shape)
        fast, panels = np.arange(n_fast) + 0.5, self.panel_map()
        for row in range(0, n_slow, 256):
            slow = np.arange(row, min(row + 256, n_slow)) + 0.5
            f, s = (a.ravel() for a in np.meshgrid(fast, slow))
            panel = panels[row : row + len(slow)].ravel()
            t, e = self.two_theta_eta(f, s, panel)
            if self.panel_boxes is not None:
                t[panel < 0] = e[panel < 0] = np.nan
            two_theta[row : row + len(slow)] = t.reshape(len(slow), n_fast)
            eta[row : row + len(slow)] = e.reshape(len(slow), n_fast)
        return two_theta, eta

    def detector(self) -> Detector:
        """Return the same detector as vectors, in the pixel order of the image as stored."""
        boxes = [(0, 0, self.shape[1], self.shape[0])]
        moves = np.zeros((1, 7))
        if self.panel_boxes is not None:
            boxes = [tuple(int(v) for v in box) for box in self.panel_boxes]  # type: ignore[misc]
            moves = self.corrections[:, 2:]
        panels = tuple(
            self._panel(f"p{i}", box, move)
            for i, (box, move) in enumerate(zip(boxes, moves, strict=True))
        )
        flat = PolarDistortion(
            p=tuple(self.p),
            rho_d_mm=self.rho_d_mm,
            lsd_mm=self.lsd_mm,
            parallax_mm=self.parallax_mm,
            panel_lsd_mm=tuple(float(self.lsd_mm + move[3]) for move in moves),
            panel_d_p2=tuple(float(move[4]) for move in moves),
        )
        return Detector(panels, self.file_shape, flat)

    @property
    def file_shape(self) -> tuple[int, int]:
        """(n_slow, n_fast) of the image as stored."""
        return transformed_shape(self.image_transform, self.shape)

    def _turned(self, model_px: F64, move: F64) -> F64:
        """(3,) lab vector [mm] of a difference of two positions on one panel."""
        c, s = np.cos(move[2]), np.sin(move[2])
        px = np.array([[c, -s], [s, c]]) @ model_px * self.pixel_size_mm
        on_plane = midas_tilt(0.0, move[5], move[6]) @ np.array([0.0, -px[0], px[1]])
        return lab_from_midas(midas_tilt(*self.tilts_rad) @ on_plane)

    def _lab(self, model_px: F64, box: tuple[int, ...], move: F64) -> F64:
        """(3,) lab position [mm] of one raw model-frame position on one panel."""
        centre = 0.5 * (np.array(box[:2], dtype=float) + np.array(box[2:], dtype=float))
        from_beam = self._turned(centre + move[:2] - self.beam_centre_px, np.zeros(7))
        down_beam = np.array([0.0, 0.0, self.lsd_mm + move[3]])
        return np.asarray(from_beam + self._turned(model_px - centre, move) + down_beam)

    def _panel(self, name: str, box: tuple[int, ...], move: F64) -> Panel:
        """One panel as vectors in the file's pixel order."""
        matrix, offset = model_from_file(self.image_transform, self.file_shape)
        corners = np.array([box[:2], box[2:]], dtype=float)
        stored = (corners - offset) @ matrix  # the inverse of a signed permutation is its transpose
        low, high = stored.min(axis=0), stored.max(axis=0)
        origin = self._lab(matrix @ low + offset, box, move)
        fast, slow = (self._turned(matrix @ step, move) for step in np.eye(2))
        size = (float(np.sqrt(fast @ fast)), float(np.sqrt(slow @ slow)))
        return Panel(
            name=name,
            origin_mm=_triple(origin),
            fast_axis=_triple(fast / size[0]),
            slow_axis=_triple(slow / size[1]),
            pixel_size_mm=size,
            size_px=(round(high[0] - low[0]), round(high[1] - low[1])),
            image_origin_px=(round(low[0]), round(low[1])),
        )


def _triple(v: F64) -> tuple[float, float, float]:
    return float(v[0]), float(v[1]), float(v[2])
