"""The roles and the anonymous profile of the service before, as one document of roles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from keyhole.errors import Refused
from keyhole.identity.explorer_role import ExplorerRole, ExplorerRoles
from keyhole.operations.auth_service import comments
from keyhole.operations.auth_service.outcome import Fate, Outcome
from keyhole.operations.doctor.finding import many

_LONGEST = 1 << 20
ANONYMOUS = "anonymous"
"""The role that those have who show nothing, unless there is one of that name already."""


def carry(outcome: Outcome, variables: Mapping[str, str], permissions: Path | None, anonymous: Path | None) -> None:
    """Put the roles into *outcome*. The paths are where the two files are now; None: nobody said."""
    book = _roles(outcome, variables, permissions)
    extra = _anonymous(outcome, variables, anonymous)
    if extra is not None:
        book = book or ExplorerRoles({})
        name = next(name for name in _names() if name not in book.roles)
        book = ExplorerRoles({**book.roles, name: extra}, book.available_labels)
        outcome.settings["plugin_anonymous_roles"] = name
    if book is not None:
        outcome.roles = book.dump()


def _names() -> list[str]:
    return [ANONYMOUS, *(f"{ANONYMOUS}-{number}" for number in range(2, 2000))]


def _roles(outcome: Outcome, variables: Mapping[str, str], path: Path | None) -> ExplorerRoles | None:
    variable = "PERMISSIONS_FILE_PATH"
    if path is None:
        words = (
            "its path is the container's: say with --permissions where the file is here"
            if (variables.get(variable))
            else "no file of roles was named (--permissions): Keyhole's usual roles hold"
        )
        outcome.tell(variable, Fate.LEFT, words)
        return None
    try:
        book = ExplorerRoles.parse(msgspec.json.encode(comments.loads(_text(path))))
    except Refused as problem:
        outcome.tell(variable, Fate.PROBLEM, str(problem))
    except ValueError:
        outcome.tell(variable, Fate.PROBLEM, f"{path} holds no roles as permissions.json does")
    else:
        outcome.tell(variable, Fate.CARRIED, f"{many(len(book.roles), 'role')}, in roles.json")
        return book
    return None


def _anonymous(outcome: Outcome, variables: Mapping[str, str], path: Path | None) -> ExplorerRole | None:
    """What whoever shows nothing may do; only when the variable is set, as that file is easily forgotten."""
    variable = "ANONYMOUS_PROFILE_FILE_PATH"
    if not variables.get(variable):
        outcome.tell(variable, Fate.LEFT, "is not set: whoever shows nothing may do nothing")
        return None
    if path is None:
        words = "its path is the container's: say with --anonymous-profile where the file is here, or let nobody in"
        outcome.tell(variable, Fate.LEFT, words)
        return None
    try:
        role = msgspec.json.decode(msgspec.json.encode(comments.loads(_text(path))), type=ExplorerRole)
    except Refused as problem:
        outcome.tell(variable, Fate.PROBLEM, str(problem))
        return None
    except (ValueError, msgspec.MsgspecError):
        outcome.tell(variable, Fate.PROBLEM, f"{path} is no profile: permissions and authorized-labels are lists")
        return None
    if not role.permissions:
        outcome.tell(variable, Fate.CARRIED, "it allows nothing")
        return None
    allowed = ", ".join(role.permissions)
    outcome.tell(variable, Fate.CHANGED, f"as a role, in roles.json: WHOEVER REACHES ORTHANC may {allowed}")
    return role


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from None
    if len(text) > _LONGEST:
        raise ValueError("too long")
    return text
