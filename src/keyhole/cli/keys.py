"""Commands about API keys: key create, key list, key revoke."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from keyhole.access.resource import Action
from keyhole.access.share import ApiKey
from keyhole.access.subject import MAY_EVER, Kind
from keyhole.cli import speech
from keyhole.cli.session import operator, session
from keyhole.cli.shares import Json
from keyhole.errors import Refused
from keyhole.gateway.desk import Desk
from keyhole.web.when import written

keys = typer.Typer(no_args_is_help=False, help="Make, list and revoke the API keys of programs.")

_ROLES = "reader, sharer, uploader, enforcer, auditor or administrator"


@keys.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for, in your words.")],
    *,
    role: Annotated[list[str] | None, typer.Option(metavar="ROLE", help=f"{_ROLES}.")] = None,
    may: Annotated[
        str | None, typer.Option(metavar="ACTIONS", help="At most these of the role's actions: search,retrieve.")
    ] = None,
    lasts: Annotated[str | None, typer.Option("--for", metavar="TIME", help="How long it lasts: 365d.")] = None,
    as_json: Json = False,
) -> None:
    """Make an API key, and print it. It cannot be shown again."""
    if not role:
        raise Refused("a key needs a role", f"add --role {_ROLES}")
    ceiling, length = _ceiling(may), lasts and speech.duration("--for", lasts)

    async def make(desk: Desk) -> tuple[ApiKey, str]:
        ends = desk.now() + length if length else None
        return await desk.create_key(operator(), name, frozenset(role), ceiling, ends)

    key, text = session(context).at_desk(make)
    if as_json:
        speech.give_json({**_content(key), "key": text})
        return
    speech.give(text)
    speech.say(f"this is the only time that key {key.id} is shown; end it with: keyhole key revoke {key.id}")


def _ceiling(may: str | None) -> frozenset[Action]:
    if may is None:
        return MAY_EVER[Kind.API_KEY]
    try:
        named = frozenset(Action(word.strip()) for word in may.split(","))
    except ValueError:
        raise Refused(
            f"--may is not a list of actions: {may!r}", f"actions are {_names(MAY_EVER[Kind.API_KEY])}"
        ) from None
    beyond = named - MAY_EVER[Kind.API_KEY]
    if beyond:
        raise Refused(f"no key may ever {_names(beyond)}", "that takes a person at the command line")
    return named


def _names(actions: frozenset[Action]) -> str:
    return ", ".join(action.value for action in Action if action in actions)


@keys.command("list")
def list_keys(context: typer.Context, *, as_json: Json = False) -> None:
    """List the API keys, oldest first."""

    async def find(desk: Desk) -> tuple[Sequence[ApiKey], datetime]:
        return await desk.keys(operator()), desk.now()

    held, now = session(context).at_desk(find)
    if as_json:
        speech.give_json(*map(_content, held))
        return
    if not held:
        speech.say("there are no keys yet", hint="make one with: keyhole key create NAME --role reader")
        return
    titles = ("KEY", "STATE", "ENDS (UTC)", "ROLES", "AT MOST", "NAME")
    speech.give_table(titles, (_row(key, now) for key in held))


def _row(key: ApiKey, now: datetime) -> tuple[str, ...]:
    state = "live" if key.live(now) else "revoked" if key.revoked_at else "expired"
    narrowed = "" if key.ceiling >= MAY_EVER[Kind.API_KEY] else _names(key.ceiling)
    return key.id, state, speech.time(key.expires_at, "never"), ", ".join(sorted(key.roles)), narrowed, key.name


def _content(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "roles": sorted(key.roles),
        "may": [action.value for action in Action if action in key.ceiling],
        "creator": key.creator,
        "created_at": written(key.created_at),
        "expires_at": key.expires_at and written(key.expires_at),
        "revoked_at": key.revoked_at and written(key.revoked_at),
    }


@keys.command()
def revoke(context: typer.Context, key: Annotated[str, typer.Argument(metavar="KEY", help="Id of the key.")]) -> None:
    """End an API key, and the visits that it made."""
    if key.startswith("khk_"):
        name = key[4:20]
        raise Refused("keys are secrets, and the shell remembers what is typed", f"give the key's id: {name}")
    session(context).at_desk(lambda desk: desk.revoke_key(operator(), key))
    speech.say(f"key {key} is revoked")
