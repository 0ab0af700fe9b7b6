"""``keyhole trail``: who saw which study, when, from where, through which link, how much of it; and every refusal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Annotated, Protocol, cast

import typer
from rich.console import Console
from rich.progress import Progress

from keyhole.access.decision import Event
from keyhole.cli import happenings, speech
from keyhole.cli.session import session, share_id
from keyhole.cli.shares import Json
from keyhole.errors import Refused
from keyhole.gateway.desk import Desk
from keyhole.store.trail import TrailQuery, TrailRow
from keyhole.store.verify import Broken, Fault, Intact
from keyhole.web.shapes import Happening

_REFUSALS = frozenset({Event.REFUSAL, Event.FAILURE})
_PAGE = 5000


class Records(Protocol):
    """The store as a reader of the trail needs it."""

    async def trail(self, query: TrailQuery) -> Sequence[TrailRow]:
        """The rows that *query* asks for."""

    async def verify(self, progress: Callable[[int, int], None] | None = None) -> Intact | Broken:
        """Whether the whole trail is as it was written."""


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
    """Tell who saw which study, when, from where, through which link, and how much of it."""
    if verify:
        if study or share or since or until or refusals:
            raise Refused("the trail is verified as a whole", "leave everything but --verify out")
        _verify(context, as_json=as_json)
        return

    async def read(desk: Desk) -> list[TrailRow]:
        now = desk.now()
        query = TrailQuery(
            study=study,
            share=None if share is None else share_id(share),
            events=_REFUSALS if refusals else frozenset(),
            since=None if since is None else speech.past("--since", since, now),
            until=None if until is None else speech.past("--until", until, now, end=True),
            limit=_PAGE,
        )
        return [row async for row in _every(cast("Records", desk.store), query)]

    rows = session(context).at_desk(read)
    if as_json:
        speech.give_json(*map(Happening.of, rows))
    elif rows:
        happenings.give(rows)
    else:
        speech.say("nothing of that kind is on the trail")


async def _every(records: Records, query: TrailQuery) -> AsyncIterator[TrailRow]:
    page = await records.trail(query)
    while page:
        for row in page:
            yield row
        page = await records.trail(replace(query, after_seq=page[-1].seq))


def _verify(context: typer.Context, *, as_json: bool) -> None:
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("verifying the trail", total=None)

        async def check(desk: Desk) -> Intact | Broken:
            records = cast("Records", desk.store)
            return await records.verify(lambda done, total: bar.update(task, completed=done, total=total))

        found = session(context).at_desk(check)
    if as_json:
        speech.give_json(_verdict(found))
    match found:
        case Intact(count=count, outside=outside):
            if not as_json:
                speech.give(f"intact: {speech.plural(count, 'row')}")
            if outside is None and count:
                speech.say("nothing outside the database knows its last row, so an end that was cut off cannot be told")
        case Broken(seq=seq, fault=fault):
            if not as_json:
                speech.give(f"broken: row {seq} {_FAULTS[fault]}")
            raise typer.Exit(1)


_FAULTS = {
    Fault.REMOVED: "was removed",
    Fault.ALTERED: "was altered, or is not in its place",
    Fault.PERSONAL_ALTERED: "has an address, agent, recipient or note that was altered",
    Fault.UNKNOWN_KEY: "is signed with a key that is not in keys.json",
    Fault.REPLACED: "was replaced: another one was seen in its place",
    Fault.CUT_OFF: "was written, and is gone with all that followed",
    Fault.HEAD_MOVED: "is the last one, but the database says that it is not",
    Fault.OUTSIDE_DAMAGED: "is the last one, but the file trail.head cannot be read",
}


def _verdict(found: Intact | Broken) -> dict[str, object]:
    if isinstance(found, Intact):
        return {"intact": True, "rows": found.count, "outside": found.outside}
    return {"intact": False, "row": found.seq, "fault": found.fault.value}
