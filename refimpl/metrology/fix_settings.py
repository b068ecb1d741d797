"""What a refinement holds: by the words of the published program, or by names of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refimpl.errors import ConfigError

__all__ = ["BEAM_FIX", "CRYSTAL_FIX", "DETECTOR_FIX", "FixSettings"]

DETECTOR_FIX = {
    "position": ("Dist", "Shift1", "Shift2"), "orientation": ("Tau1", "Tau2", "Tau3"),
    "distance": ("Dist",), "all": ("Dist", "Shift1", "Shift2", "Tau1", "Tau2", "Tau3"), "none": (),
}  # fmt: skip
BEAM_FIX = {
    "in_spindle_plane": ("Mu1",), "out_spindle_plane": ("Mu2",), "wavelength": ("nu",),
    "all": ("Mu1", "Mu2", "nu"), "none": (),
}  # fmt: skip
CRYSTAL_FIX = {"orientation": ("Phi",), "cell": ("g_param",), "all": ("Phi", "g_param"), "none": ()}


@dataclass(frozen=True)
class FixSettings:
    """What is held.

    Attributes
    ----------
    detector, beam, crystal
        Names of :data:`DETECTOR_FIX`, :data:`BEAM_FIX`, :data:`CRYSTAL_FIX`, any number of each.
    fix_list
        Ends or wholes of parameter names, such as ``Group1Tau1`` or ``Tau2``.
    hierarchy_level
        Level of the detector's tree whose nodes move.
    """

    detector: tuple[str, ...] = ()
    beam: tuple[str, ...] = ("in_spindle_plane", "wavelength")
    crystal: tuple[str, ...] = ()
    fix_list: tuple[str, ...] = ()
    hierarchy_level: int = 0

    def __post_init__(self) -> None:
        for key, known in (
            ("detector", DETECTOR_FIX),
            ("beam", BEAM_FIX),
            ("crystal", CRYSTAL_FIX),
        ):
            for name in getattr(self, key):
                if name not in known:
                    raise ConfigError(
                        f"{key}.fix: unknown {name!r}: expected some of {', '.join(known)}",
                        key=f"{key}.fix", got=name,
                    )  # fmt: skip

    def check(self, names: Sequence[str]) -> None:
        """Refuse entries of the list that match none of the names.

        Raises
        ------
        ConfigError
            Names the first.
        """
        for given in self.fix_list:
            if not given or not any(name.endswith(given) for name in names):
                shown = f"{', '.join(names[:2])}, ..., {names[-1]}"
                raise ConfigError(
                    f"fix: {given!r} matches no parameter: expected the end or the whole of one of "
                    f"{shown}, or detector., beam. or crystal. with what of it, such as "
                    "detector.distance",
                    key="fix", got=given,
                )  # fmt: skip

    def fixed(self, name: str) -> bool:
        """Whether a parameter is held."""
        tables: Sequence[tuple[str, Mapping[str, Any], Sequence[str]]] = (
            ("Detector", DETECTOR_FIX, self.detector), ("Beam", BEAM_FIX, self.beam),
        )  # fmt: skip
        for model, table, wanted in tables:
            if name.startswith(model) and any(name.endswith(e) for w in wanted for e in table[w]):
                return True
        parts = [part for w in self.crystal for part in CRYSTAL_FIX[w]]
        if name.startswith("Crystal") and any(part in name for part in parts):
            return True
        return any(name.endswith(given) for given in self.fix_list)
