"""Commands about what roles may do in Orthanc: roles list, roles show, roles put."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from keyhole.access.role_book import RoleBook
from keyhole.cli import speech
from keyhole.cli.session import operator, session
from keyhole.cli.shares import Json
from keyhole.errors import Refused
from keyhole.gateway.desk import Desk
from keyhole.gateway.role_desk import RoleVersion
from keyhole.web.when import written

roles = typer.Typer(no_args_is_help=False, help="Say what roles may do in Orthanc and its Explorer 2.")

_SHOWN = 10
_LONGEST = 1 << 20


@roles.command("list")
def list_roles(context: typer.Context, *, as_json: Json = False) -> None:
    """List the roles in force, and who changed them when."""

    async def find(desk: Desk) -> tuple[Sequence[RoleVersion], frozenset[str] | None]:
        return await desk.role_versions(operator(), _SHOWN), await desk.known_roles()

    versions, known = session(context).at_desk(find)
    in_force = versions[0].roles
    missing = in_force.unknown_to(known)
    if as_json:
        speech.give_json({**_content(versions), "unknown_to_provider": None if known is None else missing})
        return
    rows = (
        (
            name,
            ", ".join(role.permissions),
            ", ".join(role.authorized_labels),
            "" if known is None else "not known" if name in missing else "known",
        )
        for name, role in sorted(in_force.roles.items())
    )
    speech.give_table(("ROLE", "MAY", "LABELS", "PROVIDER"), rows)
    speech.give("")
    speech.give_table(("VERSION", "SINCE (UTC)", "BY", "CHANGED"), map(_row, versions))
    if known is None and session(context).settings().keycloak_admin_url is not None:
        speech.say("the identity provider does not answer: which roles it knows is not known")
    if missing:
        count = speech.plural(len(missing), "role is", "roles are")
        speech.say(f"{count} not known to the identity provider: nobody has them now; they are kept")


def _row(version: RoleVersion) -> tuple[str, ...]:
    changed = "; ".join(f"{what}: {how}" for what, how in version.changed.items())
    book = version.book
    if book is None:
        return "0", "-", "-", "the roles that Keyhole comes with"
    return str(book.version), speech.time(book.changed_at), book.changed_by, changed


def _content(versions: Sequence[RoleVersion]) -> dict[str, object]:
    in_force = versions[0]
    return {
        "version": in_force.number,
        "roles": {
            name: {"permissions": role.permissions, "authorized-labels": role.authorized_labels}
            for name, role in sorted(in_force.roles.roles.items())
        },
        "available_labels": in_force.roles.available_labels,
        "versions": [_told(version.book, version.changed) for version in versions if version.book is not None],
    }


def _told(book: RoleBook, changed: dict[str, str]) -> dict[str, object]:
    return {
        "version": book.version,
        "changed_at": written(book.changed_at),
        "changed_by": book.changed_by,
        "changed": changed,
    }


@roles.command()
def show(
    context: typer.Context,
    *,
    version: Annotated[
        int | None, typer.Option(metavar="N", help="An earlier version; 0 is what Keyhole comes with.")
    ] = None,
) -> None:
    """Print the roles in force as JSON, as `keyhole roles put` takes it."""
    found = session(context).at_desk(lambda desk: desk.role_version(operator(), version))
    speech.give(json.dumps(json.loads(found.dump()), ensure_ascii=False, indent=2))  # to be read, and changed


@roles.command()
def put(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON of all roles; - reads standard input.")],
) -> None:
    """Put a whole document of roles in force, as the next version."""
    document = _read(file)
    book = session(context).at_desk(lambda desk: desk.put_roles(operator(), document))
    if book is None:
        speech.say("these roles are in force already")
    else:
        speech.say(f"version {book.version} of the roles is in force")


def _read(file: str) -> bytes:
    try:
        if file == "-":
            document = sys.stdin.read(_LONGEST + 1).encode()
        else:
            with Path(file).open("rb") as opened:
                document = opened.read(_LONGEST + 1)
    except OSError as error:
        raise Refused(
            f"{file} cannot be read: {error.strerror}", "begin with: keyhole roles show > roles.json"
        ) from None
    if len(document) > _LONGEST:
        raise Refused("that is too long for a document of roles")
    return document
