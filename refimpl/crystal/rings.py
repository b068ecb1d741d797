r"""Debye-Scherrer rings of a powder: where they are and how strong.

Reflections whose d-spacings cannot be told apart form one ring. Rings are numbered from 1 by
falling d, as in the published programs, whether or not the atoms leave them any intensity.
*Not* modelled: line widths, texture, absorption, extinction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.calibrants import Calibrant, calibrant, calibrant_from_cell
from refimpl.crystal.cell import d_spacing
from refimpl.crystal.reflections import structure_factor_squared, unique_reflections
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["Rings", "lorentz_factor", "rings", "two_theta_of_d"]


@dataclass(frozen=True, eq=False)
class Rings:
    """Rings of one powder at one wavelength, by falling d.

    Attributes
    ----------
    number
        (h,) 1-based, over all rings of the powder: a lower limit in 2-theta does not renumber.
    hkl
        (h, 3) strongest member; zeros for a list of d-spacings without indices.
    d_angstrom
        (h,) mean over the members, weighted by their intensity.
    two_theta_rad
        (h,).
    multiplicity
        (h,) planes in the ring.
    intensity
        (h,) relative to the strongest ring: weight of a profile of unit area in 2-theta, per unit
        solid angle, see :func:`rings`. Polarisation is left out.
    wavelength_angstrom
        Wavelength.
    """

    number: I64
    hkl: I64
    d_angstrom: F64
    two_theta_rad: F64
    multiplicity: I64
    intensity: F64
    wavelength_angstrom: float

    def __len__(self) -> int:
        return len(self.number)

    def select(self, keep: I64 | NDArray[np.bool_] | Sequence[bool]) -> Rings:
        """Copy with some rings only, by a mask or by positions; numbers stay."""
        k = np.asarray(keep)
        return Rings(
            self.number[k],
            self.hkl[k],
            self.d_angstrom[k],
            self.two_theta_rad[k],
            self.multiplicity[k],
            self.intensity[k],
            self.wavelength_angstrom,
        )

    def without(self, numbers: Sequence[int]) -> Rings:
        """Copy without the rings of these numbers (the published RingsToExclude)."""
        return self.select(~np.isin(self.number, np.asarray(numbers, dtype=np.int64)))

    def radius_mm(self, lsd_mm: float) -> F64:
        """(h,) [mm] radius on a plane across the beam at `lsd_mm`; NaN from 90 degrees on."""
        forward = self.two_theta_rad < 0.5 * np.pi
        return lsd_mm * np.tan(np.where(forward, self.two_theta_rad, np.nan))


def two_theta_of_d(d_angstrom: F64, wavelength_angstrom: float) -> F64:
    """Bragg's law, 2 asin(lambda / 2d) [rad]; NaN where the wavelength is longer than 2d."""
    ratio = wavelength_angstrom / (2.0 * np.asarray(d_angstrom, dtype=np.float64))
    return 2.0 * np.arcsin(np.where(ratio <= 1.0, ratio, np.nan))


def lorentz_factor(two_theta_rad: F64) -> F64:
    r"""Lorentz factor of a powder ring per unit solid angle, :math:`1/(\sin\theta\sin2\theta)`.

    The power in a whole ring goes with :math:`1/\sin\theta`; spread over the :math:`2\pi
    \sin2\theta` of solid angle per radian in 2-theta, this is what one pixel sees.
    Source: Warren (1969), X-ray Diffraction, section 4.2.
    """
    return np.asarray(1.0 / (np.sin(0.5 * two_theta_rad) * np.sin(two_theta_rad)))


def rings(
    powder: Calibrant | str | tuple[Sequence[float], str | int],
    wavelength_angstrom: float,
    two_theta_max_rad: float,
    *,
    two_theta_min_rad: float = 0.0,
    merge_angstrom: float = 1e-4,
) -> Rings:
    r"""Rings of a powder up to a scattering angle.

    .. math:: I = \frac{\sum_h m_h |F_h|^2}{\sin\theta\,\sin 2\theta}

    Parameters
    ----------
    powder
        Calibrant, its name, or (cell, space group).
    wavelength_angstrom
        Wavelength.
    two_theta_max_rad, two_theta_min_rad
        Range of scattering angles, inclusive.
    merge_angstrom
        Reflections closer than this to the first of a ring belong to it.

    Returns
    -------
    Rings
        Possibly none.

    Raises
    ------
    ConfigError
        Wavelength or range are impossible, or `powder` is unknown.

    Notes
    -----
    Without atoms, every |F| is 1. Grouping: the published programs compare a reflection with the
    one before, which chains dense lists into one ring; here with the first of the ring. The two
    agree for every named calibrant (``hkls/*``).

    Examples
    --------
    >>> ceria = rings("CeO2", 0.2, 0.15)
    >>> ceria.hkl.tolist()
    [[1, 1, 1], [2, 0, 0], [2, 2, 0], [3, 1, 1], [2, 2, 2], [4, 0, 0]]
    """
    material = _as_calibrant(powder)
    _check_range(wavelength_angstrom, two_theta_min_rad, two_theta_max_rad)
    d_min = wavelength_angstrom / (2.0 * np.sin(0.5 * two_theta_max_rad)) * (1.0 - 1e-12)
    hkl, d, multiplicity, f2 = _members(material, d_min, wavelength_angstrom)
    first = _ring_starts(d, merge_angstrom)
    if len(first) == 0:
        none = np.zeros(0)
        zero = np.zeros(0, dtype=np.int64)
        return Rings(zero, zero.reshape(0, 3), none, none, zero, none, wavelength_angstrom)
    size = np.diff([*first, len(d)])
    weight = multiplicity * f2
    per_ring = np.add.reduceat(weight, first)
    # a ring without intensity still has a place: its members weighted by how many they are
    share = np.where(np.repeat(per_ring <= 0.0, size), multiplicity, weight)
    below = share * (d - np.repeat(d[first], size))  # of the first member: equal d stay exact
    mean_d = d[first] + np.add.reduceat(below, first) / np.add.reduceat(share, first)
    strongest = [a + int(weight[a : a + n].argmax()) for a, n in zip(first, size, strict=True)]
    two_theta = two_theta_of_d(mean_d, wavelength_angstrom)
    intensity = per_ring * lorentz_factor(two_theta)
    found = Rings(
        np.arange(1, len(first) + 1),
        hkl[strongest],
        mean_d,
        two_theta,
        np.add.reduceat(multiplicity, first),
        intensity / intensity.max() if intensity.max() > 0.0 else intensity,
        wavelength_angstrom,
    )
    return found.select(two_theta >= two_theta_min_rad)


def _as_calibrant(powder: Calibrant | str | tuple[Sequence[float], str | int]) -> Calibrant:
    if isinstance(powder, Calibrant):
        return powder
    if isinstance(powder, str):
        return calibrant(powder)
    cell, group = powder
    return calibrant_from_cell(f"space group {group}", group, cell)


def _check_range(wavelength_angstrom: float, low: float, high: float) -> None:
    if not (np.isfinite(wavelength_angstrom) and wavelength_angstrom > 0.0):
        raise ConfigError(
            f"wavelength = {wavelength_angstrom!r} Å: expected a positive number",
            key="wavelength_angstrom",
            got=wavelength_angstrom,
        )
    if not 0.0 <= low < high < np.pi:
        raise ConfigError(f"two-theta range {low!r} to {high!r} rad: expected 0 <= low < high < pi")


def _members(
    material: Calibrant, d_min: float, wavelength_angstrom: float
) -> tuple[I64, F64, I64, F64]:
    """Indices, d, multiplicity and |F|^2 of every unique reflection, by falling d."""
    if material.cell is None:
        d = np.array(material.d_spacings_angstrom)
        hkl = np.array(material.d_hkl or np.zeros((len(d), 3)), dtype=np.int64)
        keep = d >= d_min
        one = np.ones(int(keep.sum()))
        return hkl[keep], d[keep], one.astype(np.int64), one
    hkl, multiplicity = unique_reflections(material.cell, material.space_group, d_min)
    if len(hkl) == 0:
        return hkl, np.zeros(0), multiplicity, np.zeros(0)
    f2 = np.ones(len(hkl))
    if material.sites:
        f2 = structure_factor_squared(
            hkl,
            material.cell,
            material.space_group,
            material.sites,
            material.b_iso_angstrom2,
            wavelength_angstrom,
        )
    return hkl, d_spacing(hkl, material.cell), multiplicity, f2


def _ring_starts(d: F64, merge_angstrom: float) -> list[int]:
    """Position of the first reflection of each ring in a falling list of d."""
    starts: list[int] = []
    for i, value in enumerate(d.tolist()):
        if not starts or d[starts[-1]] - value >= merge_angstrom:
            starts.append(i)
    return starts
