"""``import refimpl`` is light, and finds its rooms on first use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import refimpl

HEAVY = {"scipy", "torch", "matplotlib", "gemmi", "pandas", "pydantic", "sklearn", "skimage"}
HEAVY |= {"h5py", "fabio", "zarr", "plotly", "pooch", "typer", "rich", "Cython", "setuptools"}


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_nothing_heavy() -> None:
    loaded = json.loads(run("import json, sys, refimpl; print(json.dumps(sorted(sys.modules)))"))
    assert "refimpl" in loaded
    assert "numpy" in loaded
    assert not HEAVY & {name.split(".")[0] for name in loaded}


def test_import_costs_little_beyond_numpy() -> None:
    code = (
        "import numpy; from time import process_time as now; start = now();"
        "import refimpl; print(now() - start)"
    )
    best = min(float(run(code)) for _ in range(3))
    # measured 0.004 s of CPU; ten times that still leaves no room for scipy (0.1 s)
    assert best < 0.05


def test_rooms_load_on_first_use() -> None:
    out = run(
        "import sys, refimpl; a = 'refimpl.crystal' in sys.modules; refimpl.crystal;"
        "print(a, 'refimpl.crystal' in sys.modules)"
    )
    assert out.split() == ["False", "True"]


def test_every_listed_room_can_be_had() -> None:
    assert {"metrology", "powder", "use_backend", "available_backends", "__version__"} <= set(
        dir(refimpl)
    )
    for name in ("crystal", "detector", "frames", "units"):
        assert getattr(refimpl, name).__name__ == f"refimpl.{name}"


def test_every_package_is_listed_but_the_command_line_and_what_is_private() -> None:
    folders = {p.parent.name for p in Path(refimpl.__path__[0]).glob("*/__init__.py")}
    hidden = {"cli"} | {name for name in folders if name.startswith("_")}
    assert folders - hidden - set(dir(refimpl)) == set()


def test_an_unknown_attribute_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="module 'refimpl' has no attribute 'powders'"):
        refimpl.powders  # noqa: B018


@pytest.mark.parametrize(("system", "name"), [("powder", "calibrate"), ("metrology", "refine")])
def test_a_function_wins_over_the_module_of_its_name(system: str, name: str) -> None:
    """Whoever imports either first."""
    module, function = f"refimpl.{system}.{name}", f"refimpl.{system}.{name}.__name__"
    early = run(f"import {module}; print({function})")
    late = run(
        f"import refimpl.{system}; refimpl.{system}.{name}; import {module}; print({function})"
    )
    assert early.split() == late.split() == [name]
    with pytest.raises(AttributeError, match=f"module 'refimpl.{system}' has no attribute 'kalib'"):
        getattr(refimpl, system).kalib  # noqa: B018
