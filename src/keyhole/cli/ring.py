"""Commands about the key ring: keys list, keys rotate, keys prepare, keys prune."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from keyhole.cli import speech
from keyhole.cli.session import operator, session
from keyhole.cli.shares import Json

ring = typer.Typer(no_args_is_help=False, help="List, rotate and prune the keys of links.")

_COPY = "copy keys.json to every node"


@ring.command("list")
def list_keys(context: typer.Context, *, as_json: Json = False) -> None:
    """List the keys of links, oldest first, with how many live links need each."""
    from keyhole.operations.ring import listed  # noqa: PLC0415 - half a second that --help need not wait for

    keys = asyncio.run(listed(session(context).settings()))
    if as_json:
        speech.give_json(*({"id": key.id, "state": key.state, "links": key.links} for key in keys))
    else:
        speech.give_table(("KEY", "STATE", "LIVE LINKS"), ((key.id, key.state, str(key.links)) for key in keys))
    missing = [key for key in keys if key.state == "missing"]
    if missing:
        links = speech.plural(sum(key.links for key in missing), "live link")
        speech.say(f"{links} cannot be opened here: their key is not in the ring", hint="see keyhole doctor")


@ring.command()
def rotate(context: typer.Context) -> None:
    """Derive new links from another key from now on.

    The oldest prepared key, or a new one. Links that were given out go on to open; running servers follow within a
    second.
    """
    from keyhole.operations import ring as keys  # noqa: PLC0415 - the same

    after = asyncio.run(keys.rotate(session(context).settings(), operator()))
    speech.give(after.current)
    speech.say("new links have this key now; links given out go on to open", hint=_COPY)


@ring.command()
def prepare(context: typer.Context) -> None:
    """Add a key that is not used yet, to be given to every node before `keyhole keys rotate` uses it."""
    from keyhole.operations import ring as keys  # noqa: PLC0415 - the same

    after = asyncio.run(keys.add(session(context).settings(), operator()))
    speech.give(after.prepared[-1])
    speech.say("the key is prepared", hint=f"{_COPY}, then run: keyhole keys rotate")


@ring.command()
def prune(
    context: typer.Context,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Drop them; without, only say which would be dropped.")] = False,
) -> None:
    """Drop former keys that no live link needs.

    The trail stays verifiable: what verifies it is kept, and makes no links.
    """
    from keyhole.operations import ring as keys  # noqa: PLC0415 - the same

    settings = session(context).settings()
    dropped = asyncio.run(keys.prune(settings, operator()) if yes else keys.prunable(settings))
    for name in dropped:
        speech.give(name)
    if not dropped:
        speech.say("every former key is needed by live links, or there is none")
    elif yes:
        speech.say(f"{speech.plural(len(dropped), 'key')} dropped", hint=_COPY)
    else:
        speech.say("these would be dropped", hint="drop them with: keyhole keys prune --yes")
