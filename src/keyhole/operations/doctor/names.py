"""Names that set nothing, and files with secrets in them that others can read."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from keyhole.operations.doctor.finding import Finding, error, ok, warning
from keyhole.settings.sources import PREFIX
from keyhole.settings.unknown import unknown_variables

_OTHERS = stat.S_IRWXO


def variables(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Variables that begin as settings do."""
    found = unknown_variables(environment)
    for name, near in found.items():
        yield warning(
            "unknown-variable",
            f"{name} is set, and is no setting",
            "it changes nothing: what it was meant to set has its default",
            f"did you mean {near}?" if near else "see docs/reference/settings.md for what there is",
        )
    if not found:
        yield ok("unknown-variable", f"every variable that begins with {PREFIX} is a setting")


def problems(told: tuple[str, ...]) -> Iterator[Finding]:
    """Settings that cannot work, as they were told when they were read."""
    for problem in told:
        yield error(
            "settings",
            problem,
            "keyhole serve does not start until that is put right",
            "see docs/reference/settings.md for what it takes",
        )


def files(environment: Mapping[str, str], config: Path | None) -> Iterator[Finding]:
    """The files that settings come from: a secret in them is everybody's who can read them."""
    named = {name: Path(path).expanduser() for name, path in environment.items() if _names_a_secret(name) and path}
    config = config or (Path(environment["KEYHOLE_CONFIG"]) if environment.get("KEYHOLE_CONFIG") else None)
    if config is not None:
        named["the file of settings"] = config.expanduser()
    readable = {name: path for name, path in named.items() if _read_by_others(path)}
    for name, path in readable.items():
        yield warning(
            "secret-file",
            f"{name} can be read by every user of this machine: {path}",
            "whatever secret is in it is theirs too",
            f"run: chmod o= {path}",
        )
    if named and not readable:
        yield ok("secret-file", "files of settings and secrets are closed to other users")


def _names_a_secret(name: str) -> bool:
    return name.startswith(PREFIX) and name.endswith("_FILE")


def _read_by_others(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & _OTHERS)
    except OSError:
        return False
