"""HDF5 files are opened for reading here, and nowhere else."""

from __future__ import annotations

from refimpl.hdf5.check import check_hdf5, check_written, read_hdf5

__all__ = ["check_hdf5", "check_written", "read_hdf5"]
