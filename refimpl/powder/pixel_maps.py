"""Where the pixels of an image look, block of rows by block of rows, in the file's own order.

Memory is a few blocks whatever the size of the image. A parametrised model is used where there
is one, because its twin is fast; any other detector goes by its panels' vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.model import TiltedFlat
from refimpl.detector.orientation import model_from_file
from refimpl.detector.panel import Detector, Panel
from refimpl.detector.tilted_flat import ring_coordinates
from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.io.geometry_json import read_geometry
from refimpl.io.transforms import undo_transforms

__all__ = ["PixelMaps", "pixel_maps"]

_ROWS = 128
"""Rows worked on at once: some 20 MB of temporaries for 1500 columns."""


@dataclass(frozen=True, eq=False)
class PixelMaps:
    """Scattering angle, azimuth and solid angle of the pixels of one detector.

    Attributes
    ----------
    detector
        Panels, in the file's pixel order.
    model
        The parametrised detector that they came from; None if there is none.
    panel
        (n_slow, n_fast) panel of each pixel of the model, file order; -1 in gaps, and everywhere
        on a single surface. None without a model.
    wavelength_angstrom
        If the geometry states it.
    source
        Where the geometry came from, in words.
    """

    detector: Detector
    model: TiltedFlat | None
    panel: NDArray[np.int32] | None
    wavelength_angstrom: float | None
    source: str

    @property
    def shape(self) -> tuple[int, int]:
        """(n_slow, n_fast) of the image as stored."""
        return self.detector.image_shape

    @property
    def lsd_mm(self) -> float:
        """Distance of the plane that ring radii are counted on."""
        return self.detector.distortion.lsd_mm if self.model is None else self.model.lsd_mm

    def blocks(self) -> Iterator[slice]:
        """Rows of each block, in order."""
        n_slow = self.shape[0]
        return (slice(row, min(row + _ROWS, n_slow)) for row in range(0, n_slow, _ROWS))

    def two_theta_eta(
        self,
        rows: slice,
        at: tuple[float, float] = (0.5, 0.5),
        *,
        threads: int | None = None,
    ) -> tuple[F64, F64]:
        """Scattering angle and azimuth [rad] of one point of each pixel of a block.

        Parameters
        ----------
        rows
            Of :meth:`blocks`.
        at
            (fast, slow) place within the pixel, 0..1; the default is its centre.
        threads
            See :func:`refimpl.dispatch.resolve_threads`.

        Returns
        -------
        two_theta, eta
            (rows, n_fast); NaN in gaps between panels and behind the sample.
        """
        fast = np.arange(self.shape[1]) + at[0]
        slow = np.arange(rows.start, rows.stop) + at[1]
        if self.model is None or self.panel is None:
            return self._by_panels(rows, at)
        m, offset = model_from_file(self.model.image_transform, self.shape)
        shape = (len(slow), len(fast))
        f = m[0, 0] * fast + m[0, 1] * slow[:, None] + offset[0]
        s = m[1, 0] * fast + m[1, 1] * slow[:, None] + offset[1]
        panel = self.panel[rows].ravel()
        radius, eta, _ = ring_coordinates(
            f.ravel(),
            s.ravel(),
            panel,
            self.model.geometry,
            self.model.corrections,
            threads=threads,  # type: ignore[call-arg]
        )
        two_theta = np.arctan(radius / self.model.lsd_mm)
        if self.model.panel_boxes is not None:
            two_theta[panel < 0] = eta[panel < 0] = np.nan
        return two_theta.reshape(shape), eta.reshape(shape)

    def _by_panels(self, rows: slice, at: tuple[float, float]) -> tuple[F64, F64]:
        two_theta = np.full((rows.stop - rows.start, self.shape[1]), np.nan)
        eta = two_theta.copy()
        for index, panel in enumerate(self.detector.panels):
            where, fast, slow = _part(panel, rows, at)
            if len(slow):
                two_theta[where], eta[where] = self.detector.two_theta_eta(fast, slow, index)
        return two_theta, eta

    def relative_solid_angle(self, rows: slice) -> F64:
        r"""(rows, n_fast) solid angle of each pixel; NaN in gaps.

        Relative to a pixel on the beam that faces it: :math:`A\,L^2 D / d^3` with d the distance
        of the pixel, D that of its panel's plane, L the nominal distance and A the pixel's area
        over that of the first panel's pixels. Distortion is left out.
        """
        out = np.full((rows.stop - rows.start, self.shape[1]), np.nan)
        area = float(np.prod(self.detector.panels[0].pixel_size_mm))
        for panel in self.detector.panels:
            where, fast, slow = _part(panel, rows, (0.5, 0.5))
            if not len(slow):
                continue
            # d^2 from the foot of the perpendicular: two squares a pixel, no vectors
            origin = np.asarray(panel.origin_mm)
            along = [float(origin @ np.asarray(a)) for a in (panel.fast_axis, panel.slow_axis)]
            plane2 = float(origin @ origin) - along[0] ** 2 - along[1] ** 2
            f = (fast * panel.pixel_size_mm[0] + along[0]) ** 2
            s = (slow * panel.pixel_size_mm[1] + along[1]) ** 2
            d2 = (f + s + plane2) / self.lsd_mm**2
            scale = float(np.prod(panel.pixel_size_mm)) / area * np.sqrt(plane2) / self.lsd_mm
            out[where] = scale / (d2 * np.sqrt(d2))
        return out


def _part(
    panel: Panel, rows: slice, at: tuple[float, float]
) -> tuple[tuple[slice, slice], F64, F64]:
    """Where a panel lies in a block, and the panel's own coordinates (1, f) and (s, 1) there."""
    fast0, slow0 = panel.image_origin_px
    n_fast, n_slow = panel.size_px
    first, last = max(rows.start, slow0), min(rows.stop, slow0 + n_slow)
    where = (slice(first - rows.start, max(last, first) - rows.start), slice(fast0, fast0 + n_fast))
    fast: F64 = np.arange(n_fast, dtype=np.float64) + at[0]
    slow: F64 = np.arange(first, last, dtype=np.float64) - slow0 + at[1]
    return where, fast[None, :], slow[:, None]


def pixel_maps(geometry: Any) -> PixelMaps:
    """Accept a geometry in any of its forms.

    Parameters
    ----------
    geometry
        Path of a ``geometry.json``, what :func:`refimpl.io.geometry_json.read_geometry` gives, a
        :class:`~refimpl.powder.result.PowderResult`, a
        :class:`~refimpl.detector.model.TiltedFlat` or a
        :class:`~refimpl.detector.panel.Detector`.

    Raises
    ------
    ConfigError
        It is none of these.
    FormatError
        The file is no geometry.
    """
    if isinstance(geometry, PixelMaps):
        return geometry
    source = f"a {type(geometry).__name__}"
    if isinstance(geometry, str | Path):
        source = str(geometry)
        geometry = read_geometry(geometry)
    wavelength = getattr(geometry, "wavelength_angstrom", None)
    if hasattr(geometry, "config"):
        wavelength = geometry.config.beam.wavelength_angstrom
    model = geometry if isinstance(geometry, TiltedFlat) else getattr(geometry, "model", None)
    if isinstance(model, TiltedFlat):
        return PixelMaps(model.detector(), model, _panel_map(model), wavelength, source)
    detector = geometry if isinstance(geometry, Detector) else getattr(geometry, "detector", None)
    if not isinstance(detector, Detector):
        raise ConfigError(
            f"geometry: got {source}: expected the path of a geometry.json, a calibration's "
            "result, a TiltedFlat or a Detector"
        )
    return PixelMaps(detector, None, None, wavelength, source)


def _panel_map(model: TiltedFlat) -> NDArray[np.int32]:
    """(n_slow, n_fast) panel of each pixel, file order; -1 in gaps."""
    panel = model.panel_map()
    return undo_transforms(panel, model.image_transform)
