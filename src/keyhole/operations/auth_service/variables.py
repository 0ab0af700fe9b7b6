"""The variables of the service before: from a file of them, from a compose file, or from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from dotenv.parser import parse_stream

from keyhole.errors import Refused

SECRET_FILES = frozenset(
    [
        "SECRET_KEY",
        "SERVER_ID",
        "PUBLIC_ORTHANC_ROOT",
        "PUBLIC_OHIF_ROOT",
        "PUBLIC_LANDING_ROOT",
        "OHIF_DATA_SOURCE",
        "MEDDREAM_TOKEN_SERVICE_URL",
        "PUBLIC_MEDDREAM_ROOT",
        "KEYCLOAK_CLIENT_SECRET",
        "EMAILS_SENDER_ADDRESS",
        "EMAILS_REPLY_TO",
        "EMAILS_SMTP_SERVER_HOSTNAME",
        "EMAILS_SMTP_SERVER_PORT",
        "EMAILS_SMTP_SERVER_USER_NAME",
        "EMAILS_SMTP_SERVER_PWD",
        "EMAILS_SMTP_SERVER_USES_TLS",
    ]
)
"""Variables that a file ``/run/secrets/NAME`` overrules."""

NAMES = SECRET_FILES | frozenset(
    [
        "USERS",
        "PERMISSIONS_FILE_PATH",
        "ANONYMOUS_PROFILE_FILE_PATH",
        "ENABLE_KEYCLOAK",
        "KEYCLOAK_URI",
        "KEYCLOAK_ADMIN_URI",
        "ENABLE_KEYCLOAK_API_KEYS",
        "ENABLE_EMAILS",
        "EMAILS_TEMPLATES_ROOT",
        "EMAILS_SMTP_SERVER_TIMEOUT",
    ]
)
"""Every variable that the service before reads."""

_LONGEST = 1 << 20
_REFERENCE = re.compile(r"(?<!\$)(?:\$\$)*\$(?!\$)")
_COMPOSE = (".yml", ".yaml")


def of_file(path: Path, service: str | None = None) -> dict[str, str]:
    """The variables in *path*: ``NAME=value`` lines, or a compose file (``.yml``, ``.yaml``) with *service* in it.

    Raises Refused when it cannot be read as that. References to other variables are not followed: they are refused.
    """
    text = _text(path)
    if path.suffix.lower() in _COMPOSE:
        return _of_compose(text, path, service)
    if service is not None:
        raise Refused(f"{path} is not a compose file: it has no services", "leave --service out")
    return _of_lines(text, path)


def of_service(variables: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Those of *variables* that the service before reads; a file in *folder*, trimmed, overrules some."""
    found = {name: _text(folder / name).strip() for name in SECRET_FILES if (folder / name).is_file()}
    return {name: text for name, text in {**variables, **found}.items() if name in NAMES}


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LONGEST + 1)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise Refused(f"{path} is not UTF-8") from None
    if len(text) > _LONGEST:
        raise Refused(f"{path} is too long to be a file of settings")
    return text


def _of_lines(text: str, path: Path) -> dict[str, str]:
    found = {}
    for line in parse_stream(StringIO(text)):
        if line.error:
            raise Refused(f"{path}, line {line.original.line}: is not NAME=value")
        if line.key is not None:
            found[line.key] = line.value or ""
    return found


def _of_compose(text: str, path: Path, service: str | None) -> dict[str, str]:
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        raise Refused(f"{path} is not YAML") from None
    services = _table(_table(found).get("services"))
    name = service or _only_one(services, path)
    if name not in services:
        raise Refused(f"{path} has no service {name!r}", f"it has {', '.join(map(_scalar, services)) or 'none'}")
    variables = _environment(_table(services[name]).get("environment"))
    open_ends = sorted(name for name, value in variables.items() if _REFERENCE.search(value))
    if open_ends:
        raise Refused(
            f"{path} fills {', '.join(open_ends)} from elsewhere, which only compose knows",
            "write it out: docker compose config > whole.yml, and give that file",
        )
    return {name: value.replace("$$", "$") for name, value in variables.items()}


def _only_one(services: Mapping[Any, Any], path: Path) -> str:
    """The one service that has the variables without which the service before does not start."""
    names = [
        _scalar(name)
        for name, service in services.items()
        if "USERS" in _environment(_table(service).get("environment"))
        or "orthanc-auth" in _scalar(_table(service).get("image"))
    ]
    if len(names) != 1:
        raise Refused(f"which service of {path} is it?", "name it with --service")
    return names[0]


def _environment(value: object) -> dict[str, str]:
    """An ``environment:`` in either of its forms."""
    if isinstance(value, list):
        lines = [_scalar(line).partition("=") for line in value]
        return {name: text for name, _, text in lines}
    return {_scalar(name): _scalar(text) for name, text in _table(value).items()}


def _scalar(value: object) -> str:
    """A YAML scalar as compose hands it on; nothing for what is none, which aliases may make endless."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else ""


def _table(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
