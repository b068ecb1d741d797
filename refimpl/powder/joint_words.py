"""What frames taken together determine, in numbers and in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from refimpl.powder.joint_border import FramePoints, Sharing
from refimpl.powder.joint_fit import LEAST_KNOWN, JointFit, forecast

__all__ = ["SharedValue", "shared_values"]


@dataclass(frozen=True)
class SharedValue:
    """A pixel size or a wavelength, and what the frames say of it.

    Attributes
    ----------
    name
        ``pixel_size`` or ``wavelength[1]``.
    frames
        Numbers of the frames that it belongs to, from 1.
    unit
        mm or angstrom.
    given
        What was given (the pixel size along fast).
    value, sigma
        Result and standard uncertainty; sigma 0 if it is held.
    status
        ``refined``, ``not determined`` (wanted, but held) or ``held``.
    possible
        Relative standard uncertainty that it has or would have if it were refined as well; inf:
        not determined at all.
    sentence
        All this in words.
    """

    name: str
    frames: tuple[int, ...]
    unit: str
    given: float
    value: float
    sigma: float
    status: str
    possible: float
    sentence: str


def shared_values(
    frames: Sequence[FramePoints], fit: JointFit, labels: Sequence[str]
) -> tuple[SharedValue, ...]:
    """Pixel size and wavelengths of a fit.

    Parameters
    ----------
    frames
        Those of the fit, started where it ended.
    fit
        What came out.
    labels
        (f,) names of the frames.
    """
    return tuple(_shared(name, frames, fit, labels) for name in fit.sharing.candidates)


def _shared(
    name: str, frames: Sequence[FramePoints], fit: JointFit, labels: Sequence[str]
) -> SharedValue:
    groups = fit.sharing.groups
    if name == "pixel_size":
        own, unit = list(range(len(frames))), "mm"
        given = frames[0].free.model.pixel_size_mm[0]
    else:
        own = [i for i, k in enumerate(groups) if name == f"wavelength[{k + 1}]"]
        unit, given = "angstrom", frames[own[0]].rings.wavelength_angstrom
    others = [n for n in fit.active if n != name]
    refined = name in fit.active
    possible = fit.uncertainty(name) if refined else forecast(frames, fit, [*others, name])[name]
    value = given * float(np.exp(fit.logarithms[name]))
    sigma = value * fit.uncertainty(name)
    status = "refined" if refined else "not determined" if name in fit.dropped else "held"
    alone = np.inf
    if fit.sharing.travel_mm is not None:
        alone = forecast(frames, fit, [*others, name], travel=False)[name]
    facts = _Facts(
        fit.sharing, given, unit, value, sigma, status, possible, alone,
        known=name != "pixel_size" and _group(name) in fit.sharing.known,
        clash=_clash(name, frames, fit, others),
    )  # fmt: skip
    if name == "pixel_size":
        sentence = facts.of_pixel()
    else:
        where = "" if len(own) == len(frames) else f" of {', '.join(labels[i] for i in own)}"
        sentence = facts.of_wavelength(where)
    numbers = tuple(i + 1 for i in own)
    return SharedValue(name, numbers, unit, given, value, sigma, status, possible, sentence)


def _group(name: str) -> int:
    return int(name[len("wavelength[") : -1]) - 1


def _clash(name: str, frames: Sequence[FramePoints], fit: JointFit, others: list[str]) -> bool:
    """Whether only the other candidates that are refined stand in the way of this one."""
    if name in fit.active or not others:
        return False
    return forecast(frames, fit, [name])[name] < LEAST_KNOWN


@dataclass(frozen=True)
class _Facts:
    sharing: Sharing
    given: float
    unit: str
    value: float
    sigma: float
    status: str
    possible: float
    alone: float
    known: bool
    clash: bool

    @property
    def travelled(self) -> bool:
        """Whether the known travel is what determines it."""
        return self.sharing.travel_mm is not None and not self.alone < 3.0 * self.possible

    @property
    def by_travel(self) -> str:
        travel = self.sharing.travel_mm or (0.0,)
        span = max(travel) - min(travel)
        return f"the known travel of {span:g} mm" if span else "the distance that they share"

    def of_pixel(self) -> str:
        held = f"held at {self.given:.8g} mm"
        if self.status == "refined":
            basis, also = "the parallax as given", ""
            if self.travelled:
                basis, also = self.by_travel, " A relative error of the travel is one of it."
            return (
                f"Pixel size {self._with_sigma()} mm (given {self.given:.8g}): determined by "
                f"{basis}.{also}"
            )
        if self.status == "held":
            return f"Pixel size: {held}; {self._could('pixel_size')}."
        if self.clash:
            return f"Pixel size: not determined together with the wavelength; {held}."
        if self.sharing.travel_mm is None:
            return (
                f"Pixel size: not determined: it scales with all distances; {held}. The known "
                "travel between the frames (travel_mm) would determine it."
            )
        return f"Pixel size: not determined: {self._only()}; {held}."

    def of_wavelength(self, where: str) -> str:
        held = f"held at {self.given:.8g} angstrom"
        head = f"Wavelength{where}"
        if self.status == "refined":
            basis = "the angles of the rings (tan 2 theta is not in proportion to it)"
            if self.travelled:
                basis = self.by_travel
            return (
                f"{head} {self._with_sigma()} angstrom (given {self.given:.8g}): determined by "
                f"{basis}. A relative error of the lattice parameter is one of it."
            )
        if self.known:
            return f"{head}: {held}, as known."
        if self.status == "held":
            return f"{head}: {held}; {self._could('wavelength')}. {self._against()}"
        if self.clash:
            return f"{head}: not determined together with what else is refined; {held}."
        return f"{head}: not determined: {self._only()}; {held}. {self._against()}"

    def _against(self) -> str:
        if self.sharing.travel_mm is None:
            return "A relative error of it is nearly an equal and opposite error of the distances."
        return "A relative error of it is nearly an equal and opposite error of the travel."

    def _could(self, name: str) -> str:
        if self.possible < LEAST_KNOWN:
            source = self.by_travel if self.travelled else "these frames"
            return (
                f"{source} would determine it to {_percent(self.possible)} (refine_shared {name})"
            )
        return f"these frames do not determine it ({self._only()})"

    def _only(self) -> str:
        if not np.isfinite(self.possible):
            return "the frames say nothing of it"
        return (
            f"the frames say it to {_percent(self.possible)} only, {_percent(LEAST_KNOWN)} is "
            "the least"
        )

    def _with_sigma(self) -> str:
        if not self.sigma > 0.0:
            return f"{self.value:.8g}"
        digits = max(0, 1 - int(np.floor(np.log10(self.sigma))))
        return f"{self.value:.{digits}f} +- {self.sigma:.{digits}f}"


def _percent(part: float) -> str:
    return f"{100.0 * part:.2g} %"
