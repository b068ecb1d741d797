"""Verdicts on claims as text, JSON and JUnit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from refimpl import __version__
from refimpl.testing.claims import Source
from refimpl.testing.claims_run import Verdict, count

__all__ = ["as_dict", "junit", "shown", "shown_difference", "table", "totals"]

_MOST = 4
"""Numbers of a list that are shown."""


def shown(value: Any, tolerance: Any = 0.0) -> str:
    """Figure for a reader: as many digits as its tolerance makes sense of; long lists are cut.

    Examples
    --------
    >>> shown(739.7751234, 0.015)
    '739.775'
    >>> shown([1.0, 2.5, 3.0, 4.0, 5.0])
    '1, 2.5, 3, 4 ... (5 numbers)'
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value or "none"
    numbers = np.asarray(value, dtype=float)
    if numbers.ndim == 0:
        return _number(float(numbers), float(np.max(tolerance)))
    bounds = np.broadcast_to(np.asarray(tolerance, dtype=float), numbers.shape).ravel()
    some = ", ".join(_number(v, t) for v, t in zip(numbers.ravel()[:_MOST], bounds, strict=False))
    return some if numbers.size <= _MOST else f"{some} ... ({numbers.size} numbers)"


def _number(value: float, tolerance: float) -> str:
    if not np.isfinite(value):
        return str(value)
    if value != 0.0 and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.4g}"
    if tolerance > 0:
        decimals = max(0, 1 - int(np.floor(np.log10(tolerance))))
        return f"{value:.{min(decimals, 12)}f}"
    return f"{value:.10g}"


def shown_difference(verdict: Verdict) -> str:
    """Difference in units and in multiples of the tolerance."""
    if verdict.difference is None:
        return ""
    said = f"{verdict.difference:+.3g}"
    if verdict.claim.unit and np.ndim(verdict.claim.value) == 0:
        said += f" {verdict.claim.unit}"
    if verdict.multiple is not None:
        said += f" ({verdict.multiple:.2g} of the tolerance)"
    return said


def totals(verdicts: Sequence[Verdict]) -> str:
    """One line of counts."""
    found = ", ".join(f"{n} {status}" for status, n in count(verdicts).items() if n)
    other = sum(not v.is_expected for v in verdicts)
    tail = f"; {other} other than its row says" if other else ""
    return f"{len(verdicts)} claims: {found}{tail}"


def table(verdicts: Sequence[Verdict]) -> str:
    """Everything as aligned text, a line a claim; what is missed has its reading below it."""
    wide = max((len(v.claim.id) for v in verdicts), default=0)
    lines = []
    for v in verdicts:
        c = v.claim
        tail = v.remark
        if v.status in ("met", "not met"):
            unit = f" {c.unit}" if c.unit else ""
            relation = "" if c.relation == "equal" else f"{c.relation} "
            tail = f"{shown(v.ours, c.tolerance)} for {relation}{shown(c.value)}{unit}"
            if difference := shown_difference(v):
                tail += f"; {difference}"
        lines.append(f"{v.status:<17}  {c.id:<{wide}}  {tail}")
        pad = " " * 19
        if v.status == "not met":
            lines.append(f"{pad}{c.reading or 'NEW: the row knows of no difference'}")
        elif v.status == "met" and c.reading:
            lines.append(f"{pad}NEW: met, while its row explains a difference: {c.reading}")
    return "\n".join([*lines, totals(verdicts)])


def as_dict(verdicts: Sequence[Verdict], sources: Mapping[str, Source]) -> dict[str, Any]:
    """Everything, for machines."""
    used = {v.claim.source for v in verdicts}
    return {
        "refimpl": __version__,
        "counts": count(verdicts),
        "as_recorded": all(v.is_expected for v in verdicts),
        "sources": {k: s for k, s in sources.items() if k in used},
        "claims": [
            {
                "id": v.claim.id, "source": v.claim.source, "place": v.claim.place,
                "quantity": v.claim.quantity, "unit": v.claim.unit, "stated": v.claim.value,
                "relation": v.claim.relation, "tolerance": v.claim.tolerance, "why": v.claim.why,
                "basis": v.claim.basis, "computed_by": v.claim.compute,
                "data_public": v.claim.public, "status": v.status, "as_recorded": v.is_expected,
                "ours": v.ours, "difference": v.difference, "multiple_of_tolerance": v.multiple,
                "reading": v.claim.reading, "remark": v.remark, "seconds": round(v.seconds, 3),
            }
            for v in verdicts
        ],
    }  # fmt: skip


def junit(verdicts: Sequence[Verdict]) -> str:
    """JUnit's XML: known differences and what cannot be checked are skipped, with their words."""
    suite = Element("testsuite", name="refimpl validate", tests=str(len(verdicts)))
    failures = errors = skipped = 0
    for v in verdicts:
        case = SubElement(
            suite, "testcase", classname=v.claim.source, name=v.claim.id, time=f"{v.seconds:.3f}"
        )
        said = v.remark or f"ours {shown(v.ours, v.claim.tolerance)}, {shown_difference(v)}"
        if v.status == "failed":
            errors += 1
            SubElement(case, "error", message=said)
        elif not v.is_expected:
            failures += 1
            words = said if v.status == "not met" else f"met, though not expected: {said}"
            SubElement(case, "failure", message=words)
        elif v.status != "met":
            skipped += 1
            reading = f"{v.status}: {said}. {v.claim.reading}".strip()
            SubElement(case, "skipped", message=reading)
    for name, n in (("failures", failures), ("errors", errors), ("skipped", skipped)):
        suite.set(name, str(n))
    suite.set("time", f"{sum(v.seconds for v in verdicts):.3f}")
    whole = Element("testsuites")
    whole.append(suite)
    indent(whole)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(whole, encoding="unicode") + "\n"
