"""Settings of a system as TOML: pydantic models whose fields are the registry for all of it.

A system has one frozen model, whose fields are tables, whose fields are settings with type, unit in
the name, default, range and help. Here is what every system does with them: build from flat
settings, read a file, write one, name what is unknown or out of range.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from refimpl.errors import ConfigError
from refimpl.reading import check_numbers, read_text

__all__ = ["SettingsFile", "SettingsTable"]


class SettingsTable(BaseModel):
    """Base of every table of settings, and of the model of all tables."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


M = TypeVar("M", bound=SettingsTable)


def _as_it_is(name: str, value: Any) -> Any:
    return value


class SettingsFile(Generic[M]):
    """Reader and writer of one system's settings.

    Parameters
    ----------
    model
        The model of all tables; besides tables it has ``schema_version``, called ``schema``.
    schema
        Newest version that is understood.
    widen
        What to make of a flat setting's value before it is checked, by its name.
    """

    def __init__(
        self,
        model: type[M],
        schema: int = 1,
        widen: Callable[[str, Any], Any] = _as_it_is,
    ) -> None:
        self.model = model
        self.schema = schema
        self.tables: dict[str, type[SettingsTable]] = {
            name: field.annotation
            for name, field in model.model_fields.items()
            if isinstance(field.annotation, type) and issubclass(field.annotation, SettingsTable)
        }
        self._widen = widen

    def names(self) -> dict[str, str]:
        """Every setting and the table that it stands in."""
        return {n: table for table, model in self.tables.items() for n in model.model_fields}

    def of(self, settings: Mapping[str, Any], *, base: M | None = None) -> M:
        """Build from flat settings, over a base.

        Raises
        ------
        ConfigError
            Unknown name (the nearest one is named), a value out of range, or a missing one.
        """
        tables: dict[str, Any] = {} if base is None else base.model_dump(by_alias=True)
        self._lay_over(tables, settings)
        return self._validated(tables, None)

    def read(self, path: str | Path, settings: Mapping[str, Any] | None = None) -> M:
        """Read a TOML file; flat settings win over what it says.

        Raises
        ------
        ConfigError
            No such file, not TOML, a newer schema, an unknown key, a bad or missing value.
        """
        text, tables = self._read_toml(path)
        known = {*self.tables, "schema"}
        for table, content in tables.items():
            if table in self.tables and not isinstance(content, dict):
                raise ConfigError(
                    f"{table}: expected a table, [{table}] and its settings below "
                    f"(got {content!r})",
                    path=path, line=_line(text, table), key=table,
                )  # fmt: skip
            names = known if table not in self.tables else set(self.tables[table].model_fields)
            for key in [table] if table not in known else (content if table in self.tables else []):
                if key not in names:
                    raise ConfigError(
                        f"unknown key {key!r}{_near(key, names)}",
                        path=path, line=_line(text, key), key=key,
                    )  # fmt: skip
        self._lay_over(tables, settings or {})
        return self._validated(tables, path, text, settings or {})

    def toml(self, config: M) -> str:
        """Text of a configuration, every value stated, with its help as a comment."""
        lines = [f"schema = {self.schema}"]
        for table, model in self.tables.items():
            lines += ["", f"[{table}]"]
            for name, field in model.model_fields.items():
                value = getattr(getattr(config, table), name)
                lines.append(f"# {field.description}")
                stated = f"{name} = {_toml(value)}" if value is not None else f"# {name} is not set"
                lines.append(stated)
        return "\n".join(lines) + "\n"

    def _lay_over(self, tables: dict[str, Any], settings: Mapping[str, Any]) -> None:
        """Write flat settings into the tables that they belong to."""
        known = self.names()
        for name, value in settings.items():
            if name not in known:
                raise ConfigError(
                    f"unknown setting {name!r}{_near(name, known)}", key=name, got=value
                )
            tables.setdefault(known[name], {})[name] = self._widen(name, value)

    def _read_toml(self, path: str | Path) -> tuple[str, dict[str, Any]]:
        """Text and tables of a file whose schema is known."""
        try:
            text = read_text(path)
        except UnicodeDecodeError as exc:
            raise ConfigError("cannot read the parameter file: not utf-8 text", path=path) from exc
        except OSError as exc:
            raise ConfigError(f"cannot read the parameter file: {exc.strerror}", path=path) from exc
        try:
            tables = check_numbers(tomllib.loads(text))
        except (ValueError, RecursionError) as exc:  # TOML's own is one; 5000 digits, 1000 brackets
            raise ConfigError(f"not a TOML file: {exc}", path=path) from exc
        schema = tables.get("schema", self.schema)
        if isinstance(schema, int) and schema > self.schema:
            raise ConfigError(
                f"schema {schema} is newer than this refimpl ({self.schema}); upgrade", path=path
            )
        return text, tables

    def _validated(
        self,
        tables: Mapping[str, Any],
        path: str | Path | None,
        text: str = "",
        settings: Mapping[str, Any] | None = None,
    ) -> M:
        """Check all tables; of what `settings` laid over a file the file is not to blame."""
        try:
            return self.model.model_validate(tables)
        except ValidationError as exc:
            first = exc.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            got = "" if first["type"] == "missing" else f" (got {first['input']!r})"
            if first["type"] == "missing" and first["loc"][-1] in self.tables:
                model = self.tables[str(first["loc"][-1])]
                required = [n for n, f in model.model_fields.items() if f.is_required()]
                where = ", ".join(required)
            message = "missing: give it" if first["type"] == "missing" else first["msg"]
            name = str(first["loc"][1]) if len(first["loc"]) > 1 else ""
            if name in (settings or {}):
                path = None
            line = _line(text, name) if path is not None else None
            raise ConfigError(f"{where}: {message}{got}", path=path, line=line, key=where) from exc


def _near(name: str, known: Mapping[str, Any] | set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _line(text: str, key: str) -> int | None:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip().strip("[]").split("=")[0].strip().strip('"') == key:
            return number
    return None


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return repr(value)
