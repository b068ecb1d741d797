"""What the thesis printed of its nets: Tables 2.3 and 2.5.

J. Schurmann and I. Lindhé, Crystal Centering Using Deep Learning, Lund University 2019, LU-CS-EX
2019-25. The pictures and reflection counts behind these numbers were never published, nor any
baseline: the variance of what was predicted is not known.
"""

from __future__ import annotations

__all__ = ["PICTURES", "TABLE_2_3", "TABLE_2_5", "TARGETS"]

TARGETS = ("vanilla", "log", "tanh")
"""Columns of Table 2.3."""

TABLE_2_3 = {
    "a1": (0.5789, 0.3207, 0.3638),
    "a2": (0.5241, 0.5729, 0.4886),
    "a3": (0.923, 0.5539, 0.4789),
    "a4": (0.7803, 0.3789, 0.3572),
    "a5": (0.8812, 0.4141, 0.4467),
    "a6": (0.4279, 0.3539, 0.3585),
    "a7": (0.6095, 0.3794, 0.4088),
    "a8": (0.3775, 0.2931, 0.2291),
    "a9": (0.442, 0.3036, 0.2188),
    "a10": (0.4292, 0.2076, 0.2869),
}
"""Mean square error of each net, a column a target of :data:`TARGETS`."""

TABLE_2_5 = {"loss": 0.2604, "accuracy": 0.891}
"""Binary cross-entropy and share of right answers of the classifier."""

PICTURES = {"regression": 12_000, "classification": 4468}
"""About so many pictures; of the regression, before each was turned eight ways."""
