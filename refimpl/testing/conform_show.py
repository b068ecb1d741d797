"""The kit shown to people: its quantities with their arrays, and single cases."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from refimpl.testing.conform import chosen
from refimpl.testing.conform_files import one_case_text
from refimpl.testing.conform_records import Array, Case, Output, Quantity

__all__ = ["case_text", "list_text"]


def list_text(only: Sequence[str] = ()) -> str:
    """Quantities with their inputs, outputs and tolerances."""
    return "\n\n".join(_record(q) for q, _ in chosen(only))


def case_text(quantity: Quantity, case: Case) -> str:
    """One case as JSON, as it stands in the vectors."""
    return one_case_text(quantity, case)


def _record(q: Quantity) -> str:
    lines = [f"{q.name}: {q.title}", f"  definition  {q.definition}"]
    lines += [f"  in   {_array(a)}" for a in q.inputs]
    lines += [f"  out  {_array(o)}; {_bound(o)}" for o in q.outputs]
    lines += textwrap.wrap(q.note, 94, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(lines)


def _array(a: Array) -> str:
    kind = "" if a.dtype == "f8" else f", {a.dtype}"
    return f"{a.name} ({a.shape}) [{a.unit}{kind}] {a.meaning}"


def _bound(o: Output) -> str:
    if o.compare == "labels":
        return "the same groups, whatever their numbers"
    if o.compare == "exact" or not (o.atol or o.ulp):
        return "exact"
    parts = [f"{o.atol:g} {o.unit}"] if o.atol else []
    parts += [f"{o.ulp} ulp"] if o.ulp else []
    turn = ", modulo a turn" if o.compare == "angle" else ""
    return f"to {' or '.join(parts)}{turn}: {o.why}"
