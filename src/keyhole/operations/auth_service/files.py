"""What is written: ``keyhole.toml``, ``roles.json`` and a file for each secret. Their owner alone reads them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from keyhole.errors import Misconfigured, Refused
from keyhole.operations.auth_service.outcome import Outcome
from keyhole.settings import load_settings

TOML, ROLES = "keyhole.toml", "roles.json"
_HEAD = "# Written by keyhole import-auth-service. Give it to keyhole serve: --config, or KEYHOLE_CONFIG."


def write(outcome: Outcome, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write all that *outcome* has into *folder*, which is made; the paths.

    Refused when a file is there already and not to be overwritten; then, and on any other failure before the first
    file has its name, nothing is changed. Misconfigured when the settings would not be taken.
    """
    folder = folder.absolute()
    contents = dict(_contents(outcome, folder))
    there = [name for name in contents if os.path.lexists(folder / name)]
    if there and not overwrite:
        raise Refused(f"there already: {', '.join(there)} in {folder}", "give another folder, or --overwrite")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".import-", dir=folder) as draft:
            _put(Path(draft), dict(_contents(outcome, Path(draft))))
            _check(Path(draft), folder)
            _put(Path(draft), contents)
            for name in contents:
                (Path(draft) / name).replace(folder / name)
    except OSError as error:
        raise Refused(f"{folder} cannot be written: {error.strerror}", "give another folder") from None
    return [folder / name for name in contents]


def _contents(outcome: Outcome, folder: Path) -> Iterator[tuple[str, str]]:
    """The name and the text of each file, as it is in *folder*."""
    for setting, secret in outcome.secrets.items():
        yield _file_of(setting), secret
    for name, caller in outcome.callers.items():
        yield _file_of(_password_of(name)), caller.password
    if outcome.roles is not None:
        yield ROLES, json.dumps(json.loads(outcome.roles), indent=2, ensure_ascii=False) + "\n"
    yield TOML, "\n".join(_lines(outcome, folder)) + "\n"


def _password_of(caller: str) -> str:
    return f"plugin_callers.{caller}.password"


def _lines(outcome: Outcome, folder: Path) -> Iterator[str]:
    yield _HEAD
    for setting, value in outcome.settings.items():
        yield f"{setting} = {_quoted(value)}"
    for setting in outcome.secrets:
        yield f"{setting}_file = {_quoted(str(folder / _file_of(setting)))}"
    for name, caller in outcome.callers.items():
        yield f"\n[plugin_callers.{name}]"
        yield f"user = {_quoted(caller.user)}"
        yield f"password_file = {_quoted(str(folder / _file_of(_password_of(name))))}"
        if caller.server_id is not None:
            yield f"server_id = {_quoted(caller.server_id)}"


def _quoted(value: str | int) -> str:
    """A TOML value; JSON's strings, numbers and booleans are TOML's as well, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _file_of(setting: str) -> str:
    return setting.replace(".", "-").replace("_", "-")


def _put(folder: Path, contents: Mapping[str, str]) -> None:
    for name, text in contents.items():
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


def _check(draft: Path, folder: Path) -> None:
    """Load the settings in *draft* as they are, with stand-ins for what the service before did not know."""
    rest = {"KEYHOLE_ARCHIVE": str(draft), "KEYHOLE_DATA": str(draft), "KEYHOLE_PUBLIC_URL": "http://127.0.0.1:8000"}
    try:
        load_settings(rest, draft / TOML)
    except Misconfigured as error:
        raise Misconfigured(*(problem.replace(str(draft), str(folder)) for problem in error.problems)) from None
