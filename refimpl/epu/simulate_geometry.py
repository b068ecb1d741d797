"""Matrices of a simulated session: beam shift to stage, hole lattice, shots, image to stage."""

from __future__ import annotations

import math

import numpy as np

from refimpl.epu.simulate_settings import Instrument, SimulationSettings
from refimpl.frames import F64

__all__ = ["image_to_stage", "lattice_of", "matrix_of", "shots_of"]


def _turn(angle_rad: float) -> F64:
    """Rotation by an angle, for row vectors."""
    c, s = math.cos(angle_rad), math.sin(angle_rad)
    return np.array([[c, s], [-s, c]])


def matrix_of(settings: SimulationSettings) -> F64:
    """(2, 2) [um], true = stage + beam_shift @ matrix: mirror (y), turn, then stretch."""
    mirror = np.diag([1.0, -1.0 if settings.mirror else 1.0])
    root = math.sqrt(settings.anisotropy)
    axes = _turn(math.radians(settings.anisotropy_deg))
    stretch = axes.T @ np.diag([root, 1.0 / root]) @ axes
    matrix = settings.k_um * mirror @ _turn(math.radians(settings.rotation_deg)) @ stretch
    return np.asarray(matrix, dtype=np.float64)


def lattice_of(settings: SimulationSettings) -> F64:
    """(2, 2) [um], rows are the vectors between holes in stage coordinates."""
    first = math.radians(settings.lattice_deg)
    second = first + math.radians(90.0 + settings.lattice_skew_deg)
    lengths = settings.pitch_um, settings.pitch_um * settings.lattice_stretch
    angles = first, second
    return np.array(
        [[r * math.cos(t), r * math.sin(t)] for r, t in zip(lengths, angles, strict=True)]
    )


def shots_of(settings: SimulationSettings) -> F64:
    """(shots, 2) [um] from the centre of the hole."""
    if settings.shots == 1:
        return np.zeros((1, 2))
    angles = math.radians(settings.ring_deg) + 2.0 * math.pi * (
        np.arange(settings.shots) / settings.shots
    )
    return settings.ring_um * np.column_stack([np.cos(angles), np.sin(angles)])


def image_to_stage(instrument: Instrument) -> F64:
    """(2, 2) [um/px], pixels (x, y) of the camera as rows to the stage: mirror (y), then turn."""
    size_um = 1e-4 * instrument.pixel_size_angstrom
    return size_um * np.diag([1.0, -1.0]) @ _turn(math.radians(instrument.image_deg))
