"""The list of shares, and what the other commands about shares have in common."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from keyhole.access.share import Origin, Share, ShareKind
from keyhole.cli import speech
from keyhole.cli.session import operator, session
from keyhole.gateway.desk import Desk
from keyhole.web.share_shapes import ShownShare, state

ShareArgument = Annotated[str, typer.Argument(metavar="SHARE", help="Id of the share, as `keyhole shares` lists it.")]
Json = Annotated[bool, typer.Option("--json", help="For programs: JSON, one value to a line.")]
For = Annotated[str | None, typer.Option("--for", metavar="TIME", help="How long it lasts from now on: 7d, 12h, 30m.")]

_ROOM_FOR_LINES = 140
_LISTED = frozenset({"open", "not-yet", "locked"})
"""What is not over: a locked link waits for its sender."""


def shares(
    context: typer.Context,
    study: Annotated[str | None, typer.Option(metavar="UID", help="Only shares of this study.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    as_json: Json = False,
) -> None:
    """List shares, newest first.

    Those that have ended are left out.
    """

    async def find(desk: Desk) -> tuple[list[Share], datetime]:
        held: list[Share] = []
        page: Sequence[Share] = await desk.shares(operator(), study=study)
        while page:
            held.extend(page)
            page = await desk.shares(operator(), study=study, after=page[-1].id)
        return held, desk.now()

    held, now = session(context).at_desk(find)
    shown = [one for one in held if everything or state(one, now) in _LISTED]
    if as_json:
        speech.give_json(*(ShownShare.of(one, now) for one in shown))
        return
    if shown:
        _give(shown, now)
    _say_what_is_not_listed(len(held), len(shown))


def _say_what_is_not_listed(held: int, shown: int) -> None:
    if not held:
        speech.say("nothing is shared yet", hint="share a study with: keyhole share STUDY --for 7d")
    elif held > shown:
        speech.say(f"{speech.plural(held - shown, 'share')} that ended: list with --all")


def _give(shown: Sequence[Share], now: datetime) -> None:
    """Write *shown*: a line for each where there is room, so that ids and UIDs can be copied from any terminal."""
    if speech.width() >= _ROOM_FOR_LINES:
        titles = ("SHARE", "STATE", "ALLOWS", "ENDS (UTC)", "OPENED", "STUDIES", "FOR")
        speech.give_table(titles, (_row(one, now) for one in shown), right=("OPENED",))
    else:
        speech.give_table(("SHARE", "STATE", "STUDIES, AND MORE"), (_block(one, now) for one in shown))


def _row(one: Share, now: datetime) -> tuple[str, ...]:
    ends = speech.time(one.expires_at)
    allows = "\n".join(filter(None, (one.kind.value, asks(one))))
    return (one.id, state(one, now), allows, ends, _opened(one), _studies(one), _for(one))


def _block(one: Share, now: datetime) -> tuple[str, ...]:
    keeps = "" if one.kind is ShareKind.VIEW else f", allows {one.kind.value}"
    asked = f", {asks(one)}" if one.conditions else ""
    until = f"ends {speech.time(one.expires_at)} UTC, opened {_opened(one)}{keeps}{asked}"
    return one.id, state(one, now), "\n".join(filter(None, (_studies(one), until, _for(one))))


def asks(one: Share) -> str:
    """What a share asks of its recipient, in words; empty for nothing."""
    return f"asks {', '.join(one.conditions.names)}" if one.conditions else ""


def _opened(one: Share) -> str:
    return str(one.visits) if one.max_visits is None else f"{one.visits} of {one.max_visits}"


def _studies(one: Share) -> str:
    return "\n".join(named(resource.path) for resource in one.resources)


def named(path: Sequence[str]) -> str:
    """A study, or a series below its study."""
    return path[0] if len(path) == 1 else f"{path[0]}\n  series {path[1]}"


def _for(one: Share) -> str:
    return "\n".join(filter(None, (one.recipient, one.note, asked_for(one))))


def asked_for(one: Share) -> str:
    """What Orthanc's plugin asked for, when the share was made through it."""
    return "" if one.origin is Origin.KEYHOLE else f"{one.origin}: {one.token_type}"
