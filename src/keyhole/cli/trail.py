"""``keyhole trail``: who saw which study, when, from where, through which link, how much of it; and every refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from keyhole.access.decision import Event
from keyhole.cli import happenings, speech
from keyhole.cli.server import bars
from keyhole.cli.session import session, share_id
from keyhole.cli.shares import Json
from keyhole.errors import Refused
from keyhole.gateway.desk import Desk
from keyhole.web.shapes import Happening, TrailRow

_REFUSALS = frozenset({Event.REFUSAL, Event.FAILURE})


def trail(  # noqa: PLR0913 - what can be asked of the trail
    context: typer.Context,
    study: Annotated[str | None, typer.Option(metavar="UID", help="Only this study.")] = None,
    share: Annotated[str | None, typer.Option(metavar="SHARE", help="Only this share and its visits.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="From then on: 2026-03-01, 2026-03-01T12:00:00Z, or 7d ago.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Until then; a day is included.")] = None,
    *,
    refusals: Annotated[bool, typer.Option("--refusals", help="Only what was refused or failed, and why.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Check that no row was altered, removed or added.")] = False,
    as_json: Json = False,
) -> None:
    """Tell who saw which study.

    And when, from where, through which share, how many images and bytes; what was refused, and why.
    """
    if verify:
        if study or share or since or until or refusals:
            raise Refused("the trail is verified as a whole", "leave everything but --verify out")
        _verify(context, as_json=as_json)
        return
    from keyhole.cli import records  # noqa: PLC0415 - half a second that --help need not wait for
    from keyhole.store.trail import TrailQuery  # noqa: PLC0415 - the same

    async def read(desk: Desk) -> None:
        now = desk.now()
        query = TrailQuery(
            study=study,
            share=None if share is None else share_id(share),
            events=_REFUSALS if refusals else frozenset(),
            since=None if since is None else speech.past("--since", since, now),
            until=None if until is None else speech.past("--until", until, now, end=True),
        )
        if as_json:
            async for row in records.every(desk, query):
                speech.give_json(Happening.of(row))
            return
        _tell(*await records.newest(desk, query))

    session(context).at_desk(read)


def _tell(rows: Sequence[TrailRow], more: bool) -> None:  # noqa: FBT001 - what records.newest returns
    if rows:
        happenings.give(rows)
    else:
        speech.say("nothing of that kind is on the trail")
    if more:
        speech.say(f"only the last {len(rows)} rows are listed", hint="choose with --since, --study or --share")


def _verify(context: typer.Context, *, as_json: bool) -> None:
    from keyhole.cli import records  # noqa: PLC0415 - the same
    from keyhole.store.verify import Broken, Intact  # noqa: PLC0415 - the same

    async def check(desk: Desk) -> tuple[Intact | Broken, int | None]:
        with bars() as bar:
            found = await records.records(desk).verify(bar("verifying the trail"))
        return found, await records.restored(desk, found)

    found, restored = session(context).at_desk(check)
    if as_json:
        speech.give_json(records.verdict(found))
    else:
        speech.give(records.said(found))
    if restored is not None:
        speech.say(
            f"a backup was restored before row {restored}, maybe from another node",
            hint="if trail.head and trail.heads here are from before that, rename them, and verify again",
        )
    if isinstance(found, Broken):
        raise typer.Exit(1)
    if found.outside is None:
        speech.say("nothing outside the database knows its last row, so an end that was cut off cannot be told")
