"""Hooks: found by name, imported late, refused clearly."""

from __future__ import annotations

import subprocess
import sys

import pytest

from refimpl import hooks
from refimpl.errors import ConfigError


@pytest.fixture(autouse=True)
def _as_before():
    yield
    for name in ("powder.report", "test.hook"):
        hooks.register(name, None)


@pytest.mark.parametrize("name", sorted(hooks.DEFAULTS))
def test_every_default_exists(name):
    assert callable(hooks.resolve(name))


def test_a_registered_target_is_called_and_taken_back():
    hooks.register("test.hook", "math:hypot")
    assert hooks.call("test.hook", 3.0, 4.0) == 5.0
    assert "test.hook" in hooks.names()
    hooks.register("test.hook", None)
    assert "test.hook" not in hooks.names()


def test_a_default_can_be_replaced():
    hooks.register("powder.report", "math:floor")
    assert hooks.call("powder.report", 2.5) == 2


def test_registering_imports_nothing():
    hooks.register("test.hook", "no_such_module_at_all:function")
    with pytest.raises(
        ConfigError, match=r"hook 'test\.hook': no module called 'no_such_module_at"
    ):
        hooks.call("test.hook")


def test_a_missing_function_is_named():
    hooks.register("test.hook", "math:hypotenuse")
    with pytest.raises(ConfigError, match=r"hook 'test\.hook': 'math' has no 'hypotenuse'"):
        hooks.call("test.hook")


def test_a_missing_dependency_of_the_target_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "half_a_report.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    hooks.register("test.hook", "half_a_report:write")
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        hooks.call("test.hook")


def test_an_unknown_hook_names_the_known():
    with pytest.raises(
        ConfigError, match=r"no hook is called 'powder\.pie': known are .*powder\.plot"
    ):
        hooks.call("powder.pie")


@pytest.mark.parametrize("target", ["math", "math:", ":hypot", "math.hypot", "ma th:hypot", ""])
def test_a_malformed_target_is_refused(target):
    with pytest.raises(
        ConfigError, match=r"hook 'test\.hook': target .* expected 'module:function'"
    ):
        hooks.register("test.hook", target)


def test_the_registry_is_light():
    code = "import sys, refimpl.hooks; print('numpy' in sys.modules, 'matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "False"
