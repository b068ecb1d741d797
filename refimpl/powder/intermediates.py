"""All intermediate arrays of a calibration in one HDF5 file, for inspection.

Groups and names follow the published SavePlotsHDF file where it has a counterpart; what the
published file got wrong (ring numbers stored as 2-theta, columns shifted by one) is right here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from refimpl.hdf5.writing import new_hdf5
from refimpl.io.atomic import atomic_path
from refimpl.powder.result import PowderResult
from refimpl.powder.start import reduce_image
from refimpl.units import DEG

__all__ = ["write_intermediates"]


def write_intermediates(path: str | Path, result: PowderResult) -> Path:
    """Write the file; return its path."""
    frame = result.prepared.frame
    with atomic_path(path) as temporary, new_hdf5(temporary) as file:
        meta = file.create_group("metadata")
        meta.attrs["file_name"] = str(result.provenance()["inputs"])
        meta.attrs["date_created"] = result.made
        counts = np.where(frame.usable != 0, frame.counts / result.prepared.scale, np.nan)
        _image(file, "raw_image_data/raw_image", counts, "image, model frame, NaN where masked")
        reduced = reduce_image(frame.counts, frame.usable)
        _image(file, "threshold_data/signal", reduced.signal, "asinh of excess over background")
        panels = frame.panel_map.astype(np.int16)
        _image(file, "panel_data/panel_map", panels, "panel of each pixel, -1 in gaps")
        for i in result.iterations:
            group = file.create_group(f"strain_tth_data_iter{i.number}")
            group.attrs["iteration"] = i.number
            group["two_theta"] = i.ring_two_theta_rad / DEG
            group["mean_strain"] = i.ring_strain
            group["signed_mean_strain"] = i.ring_mean
        final = file.create_group("final_strain_data")
        final["results_tth"] = result.points.two_theta_rad / DEG
        final["results_strain"] = result.strain
        final["unique_tth"] = result.rings.two_theta_rad / DEG
        final["mean_strain_per_ring"] = result.ring_table()["mean_abs_strain"].to_numpy()
        table = result.point_table()
        data = file.create_group("results_data")
        for column in table.columns:
            data[column] = table[column].to_numpy()
        _parameters(file, result)
    return Path(path)


def _image(file: Any, name: str, values: Any, description: str) -> None:
    made = file.create_dataset(name, data=values, compression="gzip", compression_opts=1)
    made.parent.attrs["description"] = description


def _parameters(file: Any, result: PowderResult) -> None:
    group = file.create_group("parameters")
    for p in result.parameters:
        group.attrs[p.name] = p.value
        group.attrs[f"{p.name}_sigma"] = p.sigma
        group.attrs[f"{p.name}_unit"] = p.unit
    group.attrs["mean_strain"] = result.summary.clip_mean
    group.attrs["wavelength"] = result.config.beam.wavelength_angstrom
    group.attrs["pixel_size"] = result.config.detector.pixel_size_mm
    group.attrs["rings_excluded"] = np.array(result.excluded_rings, dtype=np.int64)
