"""Reports of the conformance kit: a table for people, JSON, and JUnit for a build server."""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree

from refimpl.testing.conform import Report
from refimpl.testing.conform_judge import QuantityVerdict

__all__ = ["as_dict", "junit_text", "table_text"]

_LISTED = 5


def table_text(report: Report) -> str:
    """Lines for people: one an output, the failing cases below."""
    offered = [q for q in report.quantities if q.is_offered]
    names = [q.name for q in offered] + [o.name for q in offered for o in q.worst()]
    wide = max([len("quantity"), *(len(n) + 2 for n in names)])
    lines = [
        f"code under test: {report.subject}",
        f"{'quantity':{wide}}  {'cases':>5}  {'worst error':>24}  {'ulp':>9}  {'of tolerance':>12}",
    ]
    for q in offered:
        lines.append(f"{q.name:{wide}}  {len(q.cases):5d}  {_verdict(q)}")
        for o in q.worst() if not q.trouble else ():
            error = f"{_short(o.error)} {o.unit}"
            lines.append(
                f"  {o.name:{wide - 2}}  {'':5}  {error:>24}  {_short(o.ulp):>9}  "
                f"{_short(o.multiple):>12}"
            )
        if q.trouble:
            continue  # said already, and the same of every case
        lines += [f"    {c.id}: {c.words}" for c in q.failing[:_LISTED]]
        if len(q.failing) > _LISTED:
            lines.append(f"    and {len(q.failing) - _LISTED} more cases")
        lines += [f"    {c.id}: known to fail, and does not" for c in q.mended]
    absent = [q.name for q in report.quantities if not q.is_offered]
    if absent:
        lines.append(f"not offered: {', '.join(absent)}")
    met = sum(q.is_met for q in offered)
    known = sum(len(q.known) for q in offered)
    tail = f", {known} cases known to fail" if known else ""
    lines.append(f"{met} of {len(offered)} quantities met{tail}")
    return "\n".join(lines)


def _verdict(q: QuantityVerdict) -> str:
    if q.trouble:
        return f"FAILED: {q.trouble}"
    return "met" if q.is_met else f"FAILED in {len(q.failing)} of {len(q.cases)} cases"


def _short(value: float) -> str:
    return "none" if math.isinf(value) else f"{value:.3g}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def as_dict(report: Report) -> dict[str, Any]:
    """Everything, for JSON; an error that has no number is null."""
    return {
        "subject": report.subject,
        "met": report.is_met,
        "quantities": {
            q.name: {
                "offered": q.is_offered,
                "met": q.is_met if q.is_offered else None,
                "trouble": q.trouble or None,
                "cases": len(q.cases),
                "worst": {
                    o.name: {
                        "unit": o.unit,
                        "error": _finite(o.error),
                        "ulp": _finite(o.ulp),
                        "multiple_of_tolerance": _finite(o.multiple),
                    }
                    for o in q.worst()
                },
                "failing": {c.id: c.words for c in q.failing},
                "known_failures": {c.id: c.words for c in q.known},
                "known_failures_that_pass": [c.id for c in q.mended],
            }
            for q in report.quantities
        },
    }


def junit_text(report: Report) -> str:
    """JUnit XML: a suite a quantity, a test a case; known failures are skipped tests."""
    top = ElementTree.Element("testsuites", name=_xml(f"refimpl conform: {report.subject}"))
    for q in report.quantities:
        suite = ElementTree.SubElement(
            top, "testsuite", name=q.name, tests=str(max(len(q.cases), 1)),
            failures=str(len(q.failing) or int(bool(q.trouble))),
            skipped=str(len(q.known) or int(not q.is_offered)),
        )  # fmt: skip
        for case in q.cases:
            test = ElementTree.SubElement(suite, "testcase", classname=q.name, name=case.id)
            if not case.is_met:
                tag = "skipped" if case.is_known else "failure"
                ElementTree.SubElement(test, tag, message=_xml(case.words))
        if not q.cases:
            test = ElementTree.SubElement(suite, "testcase", classname=q.name, name=q.name)
            tag, words = ("failure", q.trouble) if q.trouble else ("skipped", "not offered")
            ElementTree.SubElement(test, tag, message=_xml(words))
    ElementTree.indent(top)
    return ElementTree.tostring(top, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return "".join(c for c in text if c in "\t\n" or ord(c) >= 32)
