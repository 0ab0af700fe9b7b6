"""Where settings come from. From strongest to weakest: options, environment, TOML file, default."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from keyhole.errors import Misconfigured
from keyhole.settings.model import ArchiveSettings, Settings
from keyhole.settings.plugin import PluginCaller
from keyhole.settings.values import Conflict

PREFIX = "KEYHOLE_"
_FILE = "_file"
TABLES: Mapping[str, type[BaseModel]] = MappingProxyType({"archives": ArchiveSettings, "plugin_callers": PluginCaller})
"""The settings that are tables of tables, which only a file can hold, and what each of those is."""

_LONGEST_SECRET = 64 * 1024
_WORDS = {
    "bool_parsing": "is neither yes nor no",
    "bool_type": "is neither yes nor no",
    "int_parsing": "is not a whole number",
    "int_type": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_parsing": "is not a number",
    "float_type": "is not a number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "mapping_type": "is not a table",
    "model_type": "is not a table",
}
"""What pydantic's kinds of error are called here; the rest is called "is not what it should be"."""


def is_secret(model: type[BaseModel], name: str) -> bool:
    """Whether the setting *name* of *model* is never shown, and may be given as a file."""
    extra = model.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("secret"))


@dataclass
class _Given:
    """The values that were given, how whoever gave them spells their names, and what is wrong so far."""

    values: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unread: set[tuple[str, ...]] = field(default_factory=set)
    """Secrets whose file could not be read: that is told, and what follows from it is not."""

    def take(self, table: Mapping[str, Any], names: Mapping[str, str]) -> None:
        """Put *table* above what is there."""
        self.values.update(table)
        self.names.update({key: names.get(key, key) for key in table})

    def read_secrets(
        self, model: type[BaseModel], table: dict[str, Any], names: dict[str, str], *within: str
    ) -> dict[str, Any]:
        """*table*, which lies *within* others, with each ``…_file`` replaced by what that file holds."""
        for key in [name for name in model.model_fields if is_secret(model, name) and name + _FILE in table]:
            path = Path(str(table.pop(key + _FILE))).expanduser()
            if key in table:
                self.problems.append(f"{names[key]} and {names[key + _FILE]} are both set: which one holds?")
                continue
            names[key] = names[key + _FILE]
            try:
                table[key] = _content(path)
            except _Unreadable as error:
                self.problems.append(f"{names[key]} cannot be read: {str(path)!r} ({error})")
                self.unread.add((*within, key))
        return table


class _Unreadable(Exception):
    """Why a file cannot be read."""


def _content(path: Path) -> str:
    """What a secret's file holds, without the line end that editors put there."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_LONGEST_SECRET).rstrip("\r\n")
    except OSError as error:
        raise _Unreadable(error.strerror) from None
    except ValueError:
        raise _Unreadable("not UTF-8") from None


def load_settings(
    env: Mapping[str, str], toml: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """The settings that *env*, the file *toml* (or ``KEYHOLE_CONFIG`` in *env*) and *overrides* give together.

    *overrides* are options of the command line by field name; None is an option that was not given, and so is an empty
    variable. Raises :class:`keyhole.errors.Misconfigured` with every problem there is, a line each.
    """
    given = _Given()
    if toml is None and env.get("KEYHOLE_CONFIG"):
        toml = Path(env["KEYHOLE_CONFIG"]).expanduser()
    if toml is not None:
        _take_file(given, toml)
    _take_environment(given, env)
    options = {key: value for key, value in (overrides or {}).items() if value is not None}
    given.take(options, {key: "--" + key.replace("_", "-") for key in options})
    return _build(given)


def _take_file(given: _Given, path: Path) -> None:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise Misconfigured(f"{path} is not TOML: {error}") from None
    names = {key: f"{key} in {path}" for name in (*table, *Settings.model_fields) for key in (name, name + _FILE)}
    given.take(given.read_secrets(Settings, table, names), names)
    for kind in TABLES:
        inner = table.get(kind)
        for name, content in inner.items() if isinstance(inner, dict) else ():
            if isinstance(content, dict):
                _read_inner_secrets(given, path, (kind, name), content)


def _read_inner_secrets(given: _Given, path: Path, within: tuple[str, str], content: dict[str, Any]) -> None:
    model = TABLES[within[0]]
    keys = [key for known in model.model_fields for key in (known, known + _FILE)]
    names = {key: f"{'.'.join(within)}.{key} in {path}" for key in keys}
    given.read_secrets(model, content, names, *within)


def _take_environment(given: _Given, env: Mapping[str, str]) -> None:
    """Take what is known. Other variables may begin so too: container platforms set KEYHOLE_PORT and the like."""
    secrets = [name + _FILE for name in Settings.model_fields if is_secret(Settings, name)]
    names = {key: PREFIX + key.upper() for key in (*Settings.model_fields, *secrets) if key not in TABLES}
    table: dict[str, Any] = {key: env[name] for key, name in names.items() if env.get(name)}
    given.take(given.read_secrets(Settings, table, names), names)


def _build(given: _Given) -> Settings:
    problems = list(given.problems)
    try:
        settings = Settings.model_validate(given.values)
        if not problems:
            return settings
    except ValidationError as error:
        problems += [
            _told(detail, given.names)
            for detail in error.errors(include_url=False)
            if tuple(map(str, detail["loc"])) not in given.unread
        ]
    raise Misconfigured(*dict.fromkeys(problems))


def _told(detail: ErrorDetails, names: Mapping[str, str]) -> str:
    """One problem as a sentence that begins with the setting's name, as whoever set it spells it."""
    location = tuple(map(str, detail["loc"]))
    context = detail.get("ctx", {})
    error = context.get("error")
    name = _name(location, names)
    model, key = _setting(location)
    if isinstance(error, Conflict):
        return f"{_name((error.about,), names) if error.about else name} {error}"
    if detail["type"] == "extra_forbidden":
        return f"{name} is not a setting{_instead(model, key)}"
    if detail["type"] == "missing":
        return f"{name} is not set: {model.model_fields[key].description}"
    words = str(error) if error else _WORDS.get(detail["type"], "is not what it should be").format_map(context)
    return f"{name} {words}" + ("" if is_secret(model, key) else _shown(detail["input"]))


def _setting(location: tuple[str, ...]) -> tuple[type[BaseModel], str]:
    """The model and the field in it that a problem at *location* is about."""
    match location:
        case (kind, _, key, *_) if kind in TABLES and key != "[key]":
            return TABLES[kind], key
        case (key, *_):
            return Settings, key
    raise AssertionError(location)


def _name(location: tuple[str, ...], names: Mapping[str, str]) -> str:
    name = names.get(location[0], PREFIX + location[0].upper())
    if location[0] not in TABLES:
        return name
    return ".".join(part for part in location if part != "[key]") + name.removeprefix(location[0])


def _instead(model: type[BaseModel], key: str) -> str:
    near = get_close_matches(key, model.model_fields, n=1)
    return f": did you mean {near[0]}?" if near else ""


def _shown(value: object) -> str:
    """The value, where it says something; what stands before an @ may be a password."""
    if not isinstance(value, str | int | float | Path):
        return ""
    return f": {value!r}" if isinstance(value, int | float) else ": " + repr(re.sub(r"(?s)^.*@", "***@", str(value)))
