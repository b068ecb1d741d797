"""Every symbol of an equation stands in the notation, every name and word there is in use."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
from doc_equations import DOCS, displayed, split

ROOT = Path(__file__).parents[2]
GREEK = re.compile(
    "(?:var)?(?:epsilon|theta|rho|sigma|phi)|alpha|beta|gamma|delta|zeta|eta|kappa|lambda|mu|nu|xi"
    "|tau|chi|psi|omega|ell|Gamma|Delta|Theta|Lambda|Sigma|Phi|Psi|Omega"  # pi is pi
)

# section of the notation: pages whose symbols it explains, rooms whose names it gives
SECTIONS = {
    "Powder and panels": (
        ["powder", "panels"], ["detector", "powder", "imaging", "objective", "forward", "crystal"],
    ),
    "Metrology": (
        ["metrology"], ["metrology", "forward", "detector", "objective", "crystal"],
    ),
    "Near field": (["nearfield"], ["nearfield", "forward", "objective", "crystal", "."]),
    "EPU": (["epu"], ["epu", "clustering"]),
    "Crystal centring": (["centring"], ["centring"]),
}  # fmt: skip


def section(title: str) -> str:
    """Text of a section of the page, to the next one."""
    parts = (DOCS / "notation.md").read_text().split("\n## ")[1:]
    return next(part for part in parts if part.split("\n")[0] == title)


def rows(title: str) -> list[tuple[str, str]]:
    """Symbols and names in code of a table."""
    return re.findall(r"^\| (\$.*?) \| (.*?) \|", section(title), re.MULTILINE)


def symbols(tex: str) -> set[str]:
    """Letters and Greek letters of an equation: no words, no operators, no transposition."""
    tex = re.sub(r"\\(?:begin|end)\{\w+\}", " ", tex)
    tex = re.sub(r"\\(?:text|operatorname|mathrm)\{[^}]*\}", " ", tex)
    tex = re.sub(r"\^(?:T\b|\{T\})", " ", tex)
    found = set()
    for command, letter in re.findall(r"\\([A-Za-z]+)|([A-Za-z])", tex):
        if letter or GREEK.fullmatch(command):
            found.add(letter or command)
    return found


def everywhere(page: str) -> str:
    """Displayed equations and those within the text."""
    within = re.findall(r"\$([^$]+)\$", "\n".join(split(f"theory/{page}")[0::2]))
    return " ".join(displayed(f"theory/{page}") + within)


@functools.cache
def identifiers(room: str) -> frozenset[str]:
    """Names in the code of a room; docstrings and comments do not count."""
    found: set[str] = set()
    for file in (ROOT / "refimpl" / room).glob("*.py" if room == "." else "**/*.py"):
        code = re.sub(r'""".*?"""', "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        found.update(re.findall(r"\b[A-Za-z_]\w*", re.sub(r"#.*", "", code)))
    return frozenset(found)


@pytest.mark.parametrize(("title", "page"), [(t, p) for t in SECTIONS for p in SECTIONS[t][0]])
def test_symbols_of_equations_are_explained(title: str, page: str) -> None:
    known = set().union(*(symbols(tex) for tex, _ in rows(title)))
    for equation in displayed(f"theory/{page}"):
        assert symbols(equation) <= known, f"{symbols(equation) - known} of{equation}"


def test_every_page_with_equations_has_a_section() -> None:
    pages = {p.stem for p in (DOCS / "theory").glob("*.md") if displayed(f"theory/{p.stem}")}
    assert pages == {page for pages, _ in SECTIONS.values() for page in pages}
    titles = re.findall(r"^## (.*)$", (DOCS / "notation.md").read_text(), re.MULTILINE)
    assert titles == list(SECTIONS)


@pytest.mark.parametrize("title", SECTIONS)
def test_symbols_of_the_notation_are_used(title: str) -> None:
    used = symbols(" ".join(everywhere(page) for page in SECTIONS[title][0]))
    for tex, _ in rows(title):
        assert symbols(tex) <= used, tex


@pytest.mark.parametrize("title", SECTIONS)
def test_names_of_the_notation_are_in_the_code(title: str) -> None:
    known = frozenset[str]().union(*(identifiers(room) for room in SECTIONS[title][1]))
    named = [name for _, cell in rows(title) for name in re.findall(r"`(\w+)`", cell)]
    assert named
    assert [name for name in named if name not in known] == []


def glossary() -> list[str]:
    return re.findall(r"^(?![ #`])(\S.*)$", (DOCS / "glossary.md").read_text(), re.MULTILINE)


def test_words_of_the_glossary_are_used_on_other_pages() -> None:
    pages = [p for p in DOCS.glob("**/*.md") if p.name != "glossary.md" and "_" not in p.parts[-2]]
    text = re.sub(r"\s+", " ", " ".join(p.read_text() for p in pages)).lower()
    # a term of two names counts by either; plurals and capitals count
    unused = [term for term in glossary()
              if not any(re.search(rf"\b{re.escape(name.lower())}(s|es|ed|ing)?\b", text)
                         for name in term.split(", "))]  # fmt: skip
    assert unused == [], unused


def test_what_is_wrong_is_seen() -> None:
    assert symbols(r"\varepsilon_i = 1 - \frac{R_c^T}{\operatorname{atan2}(x)}\,\pi") == {
        "varepsilon", "i", "R", "c", "x",
    }  # fmt: skip
    assert "no_such_name" not in identifiers("detector")
    assert "lsd_mm" in identifiers("detector")
