"""Page of the published claims: every stated figure with ours beside it, and what was missed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from refimpl import __version__
from refimpl.io.atomic import write_text
from refimpl.report import page
from refimpl.testing.claims import Source
from refimpl.testing.claims_output import shown, shown_difference
from refimpl.testing.claims_run import STATUSES, Verdict, count

__all__ = ["claims_page", "write_claims_page"]

_LEVELS = dict(zip(STATUSES, ("good", "look", "plain", "bad", "plain"), strict=True))
_REMARKS = {
    "met": "within the tolerance that the row states and explains",
    "not met": "with our reading of each difference",
    "cannot be checked": "with the reason of each",
    "failed": "our computation did not come to an end",
    "left out": "only the quick ones were asked for",
}


def write_claims_page(
    path: str | os.PathLike[str], verdicts: Sequence[Verdict], sources: Mapping[str, Source]
) -> Path:
    """Write the page, whole or not at all; return its path.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    return write_text(path, claims_page(verdicts, sources))


def claims_page(verdicts: Sequence[Verdict], sources: Mapping[str, Source]) -> str:
    """Self-contained HTML.

    Parameters
    ----------
    verdicts
        Of `refimpl.testing.claims_run.run_claims`.
    sources
        By key.
    """
    found = count(verdicts)
    lead = page.tiles(
        (status, str(n), _REMARKS[status]) for status, n in found.items() if n or status == "met"
    )
    missed = [v for v in verdicts if v.status in ("not met", "failed") or not v.is_expected]
    parts = [
        ("missed", "Not met", _missed(missed)),
        *(
            (system, system.capitalize(), _table([v for v in verdicts if v.claim.system == system]))
            for system in dict.fromkeys(v.claim.system for v in verdicts)
        ),
        ("sources", "Sources", _sources(verdicts, sources)),
    ]
    return page.main(
        '<header class="top"><p class="kind">Validation</p>'
        "<h1>Published claims</h1><p>Figures that the published sources state, ours "
        "beside them. No row is left out because ours differs.</p></header>",
        lead, parts,
        f"refimpl {page.text(__version__)}; computed in {sum(v.seconds for v in verdicts):.0f} s",
        "Published claims",
    )  # fmt: skip


def _missed(verdicts: Sequence[Verdict]) -> str:
    if not verdicts:
        return ""
    rows = []
    for v in verdicts:
        words = v.claim.reading or v.remark or "The row knows of no difference: this is new."
        if v.status == "met":
            words = f"Met now, while its row explains a difference: {words}"
        rows.append((page.badge(_level(v), v.status), _what(v), _stated(v), _ours(v), words))
    head = ["verdict", "claim", "stated", "ours", "what we think of it"]
    return page.table(head, rows, caption="Differences and what we think of them", numeric="k")


def _table(verdicts: Sequence[Verdict]) -> str:
    rows = []
    for v in verdicts:
        basis = v.remark or v.claim.basis
        if v.claim.why:
            basis += f". Tolerance: {v.claim.why}"
        rows.append((page.badge(_level(v), v.status), _what(v), _stated(v), _ours(v), basis))
    head = ["verdict", "claim", "stated", "ours, and the difference", "computed from, or why not"]
    done = sum(v.status == "met" for v in verdicts)
    return page.table(head, rows, caption=f"{done} of {len(verdicts)} met", numeric="k")


def _level(verdict: Verdict) -> str:
    return _LEVELS[verdict.status] if verdict.is_expected else "bad"


def _what(verdict: Verdict) -> page.Html:
    c = verdict.claim
    return page.Html(
        f'<div style="min-width:16em">{page.text(c.quantity)}</div>'
        f"<small>{page.text(c.source)}: {page.text(c.place)}<br>"
        f"<code>{page.text(c.id)}</code></small>"
    )


def _stated(verdict: Verdict) -> str:
    c = verdict.claim
    relation = "" if c.relation == "equal" else f"{c.relation} "
    around = ""
    if not c.cannot and c.tolerance != 0 and not isinstance(c.value, str):
        around = f" ± {shown(c.tolerance)}"
    return f"{relation}{shown(c.value)}{around} {c.unit}".strip()


def _ours(verdict: Verdict) -> page.Html:
    if verdict.ours is None:
        return page.Html("")
    ours = page.text(shown(verdict.ours, verdict.claim.tolerance))
    difference = page.text(shown_difference(verdict))
    return page.Html(f"{ours}<br><small>{difference}</small>" if difference else ours)


def _sources(verdicts: Sequence[Verdict], sources: Mapping[str, Source]) -> str:
    rows = []
    for key in dict.fromkeys(v.claim.source for v in verdicts):
        source = sources[key]
        own = [v for v in verdicts if v.claim.source == key]
        rows.append((
            page.code(key), source.title, source.locator, "yes" if source.public else "no",
            source.data, f"{sum(v.status == 'met' for v in own)} of {len(own)}",
        ))  # fmt: skip
    head = ["key", "source", "where", "data public", "data", "met"]
    return page.table(head, rows, caption="Where the figures come from", numeric="k....n")
