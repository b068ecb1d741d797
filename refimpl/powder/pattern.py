"""What an integration returns: a pattern or a cake, frozen, able to write and show itself."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from refimpl import hooks
from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.hdf5.writing import new_hdf5
from refimpl.io.atomic import atomic_path, json_text

__all__ = ["SUFFIXES", "Pattern"]

SUFFIXES = (".csv", ".npz", ".h5", ".hdf5")
"""File formats that a pattern is written in."""

_COLUMNS = ("intensity", "sigma", "counts", "pixels", "normalisation")


@dataclass(frozen=True, eq=False)
class Pattern:
    """Intensity against the radial axis, and against azimuth if it is a cake.

    Attributes
    ----------
    unit
        Of the radial axis; see :data:`refimpl.powder.integrate.UNITS`.
    axis, edges
        (r,) centres and (r + 1,) edges of the radial bins.
    intensity
        (r,) or (a, r): counts over normalisation; NaN where no pixel is.
    sigma
        Standard uncertainty of the intensity; 0 where Poisson counts are 0, NaN where unknown.
    counts
        Sum of the image over the pixels of the bin, nothing divided out.
    pixels
        Number of pixels in the bin; with splitting the sum of their parts.
    normalisation
        Sum of relative solid angle times polarisation factor over those pixels; their number
        where neither was corrected for.
    variance
        Of `counts`; NaN where unknown.
    azimuth_deg, azimuth_edges_deg
        (a,) and (a + 1,) [deg] for a cake, else None; 0 is up, 90 is -X, to the right seen along
        the beam.
    meta
        What went in: geometry, image, range, corrections, splitting, version, backend.
    """

    unit: str
    axis: F64
    edges: F64
    intensity: F64
    sigma: F64
    counts: F64
    pixels: F64
    normalisation: F64
    variance: F64
    azimuth_deg: F64 | None = None
    azimuth_edges_deg: F64 | None = None
    meta: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        unit: str,
        edges: F64,
        azimuth_edges_deg: F64 | None,
        sums: tuple[F64, F64, F64, F64],
        meta: Mapping[str, Any],
    ) -> Pattern:
        """Pattern from sums of counts, variance, normalisation and pixels, flat by bin."""
        n_radial = len(edges) - 1
        shape = (n_radial,) if azimuth_edges_deg is None else (-1, n_radial)
        counts, variance, norm, pixels = (s.reshape(shape) for s in sums)
        with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 is NaN: an empty bin
            intensity = counts / norm
            sigma = np.sqrt(np.maximum(variance, 0.0)) / norm
        azimuth = None if azimuth_edges_deg is None else _centres(azimuth_edges_deg)
        return cls(
            unit, _centres(edges), edges, intensity, sigma, counts, pixels, norm, variance,
            azimuth, azimuth_edges_deg, meta,
        )  # fmt: skip

    def over_azimuth(self) -> Pattern:
        """Pattern of all azimuths of a cake together; a pattern itself is returned as it is."""
        if self.azimuth_edges_deg is None:
            return self
        sums = (self.counts, self.variance, self.normalisation, self.pixels)
        counts, variance, norm, pixels = (s.sum(axis=0) for s in sums)
        return Pattern.of(self.unit, self.edges, None, (counts, variance, norm, pixels), self.meta)

    def with_meta(self, **more: Any) -> Pattern:
        """Copy that knows more about its origin."""
        return replace(self, meta={**self.meta, **more})

    def save(self, path: str | Path) -> Path:
        """Write as .csv, .npz or .h5, by the suffix; the file appears whole or not at all.

        A csv begins with one comment line, the ``meta`` as JSON, and has one row a bin, azimuth by
        azimuth. An HDF5 file is NeXus: an ``NXdata`` group with errors, which plots itself in the
        usual viewers.

        Raises
        ------
        ConfigError
            Another suffix, or the folder cannot be written to.
        """
        target = Path(path)
        suffix = target.suffix.lower()
        if suffix not in SUFFIXES:
            raise ConfigError(
                f"a pattern is not written as {suffix or 'a file without suffix'!s}: "
                f"expected one of {', '.join(SUFFIXES)}",
                path=target,
            )
        write = {".csv": self._write_csv, ".npz": self._write_npz}.get(suffix, self._write_hdf5)
        with atomic_path(target) as temporary:
            write(temporary)
        return target

    def columns(self) -> dict[str, F64]:
        """Columns of a table with one row a bin, by name with unit."""
        n_azimuth = 1 if self.azimuth_deg is None else len(self.azimuth_deg)
        out = {self.unit: np.tile(self.axis, n_azimuth)}
        if self.azimuth_deg is not None:
            out = {"azimuth_deg": np.repeat(self.azimuth_deg, len(self.axis)), **out}
        return {**out, **{name: getattr(self, name).ravel() for name in _COLUMNS}}

    def _write_csv(self, path: Path) -> None:
        columns = self.columns()
        with open(path, "w", newline="", encoding="utf-8") as file:
            file.write(f"# {json.dumps(json.loads(json_text(self.meta)), ensure_ascii=False)}\n")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*(c.tolist() for c in columns.values()), strict=True))

    def _arrays(self) -> dict[str, F64]:
        arrays = {self.unit: self.axis, f"{self.unit}_edges": self.edges}
        if self.azimuth_deg is not None and self.azimuth_edges_deg is not None:
            arrays["azimuth_deg"] = self.azimuth_deg
            arrays["azimuth_edges_deg"] = self.azimuth_edges_deg
        return {**arrays, **{name: getattr(self, name) for name in _COLUMNS}}

    def _write_npz(self, path: Path) -> None:
        arrays: dict[str, Any] = dict(self._arrays())
        arrays["meta"] = np.array(json_text({**self.meta, "unit": self.unit}))
        with open(path, "wb") as file:
            np.savez_compressed(file, **arrays)

    def _write_hdf5(self, path: Path) -> None:
        with new_hdf5(path) as file:
            file.attrs["default"] = "entry"
            entry = file.create_group("entry")
            entry.attrs.update(NX_class="NXentry", default="pattern")
            entry["configuration"] = json_text({**self.meta, "unit": self.unit})
            group = entry.create_group("pattern")
            axes = [self.unit] if self.azimuth_deg is None else ["azimuth_deg", self.unit]
            group.attrs.update(NX_class="NXdata", signal="intensity", axes=axes)
            for name, array in self._arrays().items():
                group.create_dataset("intensity_errors" if name == "sigma" else name, data=array)

    def plot(self) -> Any:
        """Draw the pattern or the cake (a matplotlib figure)."""
        return hooks.call("powder.pattern", self)

    def __repr__(self) -> str:
        what = f"{len(self.axis)} bins"
        if self.azimuth_deg is not None:
            what = f"{len(self.azimuth_deg)} x {what}"
        return (
            f"<Pattern {what}, {self.unit} {self.edges[0]:.6g} to {self.edges[-1]:.6g}, "
            f"{self.pixels.sum():.0f} pixels, {self.counts.sum():.6g} counts>"
        )


def _centres(edges: F64) -> F64:
    return 0.5 * (edges[:-1] + edges[1:])
