"""Every displayed equation names the function that defines it, and that function is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from pkgutil import resolve_name

import pytest
from doc_equations import DOCS, displayed, split

from refimpl.dispatch import REGISTRY

PAGES = [*sorted((DOCS / "theory").glob("*.md")), DOCS / "geometry_conversion.md"]
WITHOUT = {"index.md", "nearfield-scale.md"}  # a list of pages, and arithmetic on measured figures
ROLE = re.compile(r"\{defined\}`([^`]+)`")


def equations(page: str) -> list[tuple[str, str]]:
    """Displayed equations, and the paragraph that follows each."""
    after = [part.strip().split("\n\n")[0].strip() for part in split(page)[2::2]]
    return list(zip(displayed(page), after, strict=True))


def names(paragraph: str) -> list[str]:
    """What the role under an equation names; nothing where there is no role."""
    match = ROLE.fullmatch(paragraph)
    return [name.strip() for name in match[1].split(",")] if match else []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_equation_has_its_function(page: Path) -> None:
    text = page.read_text()
    all_of_them = equations(str(page.relative_to(DOCS).with_suffix("")))
    assert bool(all_of_them) is (page.name not in WITHOUT)
    assert text.count("$$") == 2 * len(all_of_them), "a $$ that shares its line"
    assert not re.search(r"```\{math\}|^ *\\begin\{(equation|align)\*?\}", text, re.MULTILINE)
    for equation, after in all_of_them:
        assert names(after), f"no function is named under{equation}"


def public_and_named() -> list[str]:
    return sorted({name for page in PAGES for match in ROLE.findall(page.read_text())
                   for name in names(f"{{defined}}`{match}`")})  # fmt: skip


@pytest.mark.parametrize("name", public_and_named())
def test_the_function_is_there_and_has_a_page(name: str) -> None:
    assert name.startswith("refimpl.")
    assert callable(resolve_name(name))
    module = next(m for m in [name.rsplit(".", n)[0] for n in (1, 2)] if is_module(m))
    outer = name.removeprefix(f"{module}.").split(".")[0]
    assert outer.startswith("_") or outer in importlib.import_module(module).__all__


def is_module(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return False
    return True


def test_the_twins_of_the_geometry_are_among_them() -> None:
    named = {resolve_name(name) for name in public_and_named()}
    twins = {pair.key for pair in REGISTRY.values()
             if pair.definition in {getattr(f, "__wrapped__", None) for f in named}}  # fmt: skip
    assert twins >= {"tilted_flat.ring_coordinates", "tilted_flat.ring_jacobian",
                     "rotation.predict_rotation", "misorientation.misorientation",
                     "nearfield_spots.theory_spots", "ring_peaks.fit_ring_peaks"}  # fmt: skip


def test_an_equation_without_one_is_seen() -> None:
    assert names("more $x$ of {defined}`refimpl.units`") == []
    assert names("{defined}`refimpl.units.kev`") == ["refimpl.units.kev"]
    with pytest.raises(AttributeError):
        resolve_name("refimpl.units.kev")
