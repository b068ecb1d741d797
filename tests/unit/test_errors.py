"""One base class, the standard parents, and where the trouble is."""

from __future__ import annotations

from pathlib import Path

import pytest

from refimpl import errors

PARENTS = {
    errors.ConfigError: ValueError,
    errors.GeometryError: ValueError,
    errors.FormatError: ValueError,
    errors.NoRingsError: errors.FormatError,
    errors.ConvergenceError: RuntimeError,
    errors.BackendUnavailable: ImportError,
}


@pytest.mark.parametrize(("kind", "parent"), PARENTS.items())
def test_both_parents_catch_it(kind: type[errors.RefimplError], parent: type[Exception]) -> None:
    for caught in (errors.RefimplError, parent):
        with pytest.raises(caught, match=r"^too small$"):
            raise kind("too small")


def test_message_starts_with_the_place() -> None:
    error = errors.FormatError("truncated", path="a/b.tif")
    assert str(error) == "a/b.tif: truncated"
    error = errors.ConfigError("unknown key 'Lsdd'", path=Path("p.txt"), line=7, key="Lsdd", got=1)
    assert str(error) == "p.txt:7: unknown key 'Lsdd'"
    assert (error.path, error.line, error.key, error.got) == (Path("p.txt"), 7, "Lsdd", 1)


def test_names_and_messages_of_a_file_are_not_quoted_without_end() -> None:
    error = errors.FormatError("x" * 10_000, path="a/" * 5000 + "frame.cbf", line=7)
    assert len(str(error)) < 2000
    assert "a/a/frame.cbf:7: xxx" in str(error)
    assert str(error).endswith("x ... (8500 characters left out)")


def test_details_default_to_unknown() -> None:
    error = errors.RefimplError("plain")
    assert str(error) == "plain"
    assert (error.path, error.line, error.key, error.got) == (None, None, None, None)


def test_missing_extra_says_how_to_get_it() -> None:
    error = errors.MissingExtra("centring", "training a model")
    assert error.extra == "centring"
    assert str(error) == (
        "training a model needs the extra 'centring': pip install 'refimpl[centring]'"
    )
    assert isinstance(error, ImportError)


def test_every_error_class_is_exported_and_derived() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.RefimplError)
