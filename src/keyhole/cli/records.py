"""Reading and verifying the trail, for :mod:`keyhole.cli.trail`, which brings this in only when it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, cast

from keyhole.access.decision import Event
from keyhole.cli.session import operator
from keyhole.gateway.desk import Desk
from keyhole.store.trail import TrailQuery, TrailRow
from keyhole.store.verify import Broken, Fault, Intact

PAGE = 5000

FAULTS: Mapping[Fault, str] = {
    Fault.REMOVED: "was removed",
    Fault.ALTERED: "was altered, or is not in its place",
    Fault.PERSONAL_ALTERED: "has an address, agent, name, recipient, note or PatientID that was altered",
    Fault.UNKNOWN_KEY: "is signed with a key that is not in keys.json",
    Fault.REPLACED: "was replaced: another one was seen in its place",
    Fault.CUT_OFF: "was written, and is gone with all that followed",
    Fault.HEAD_MOVED: "is the last one, but the database says that it is not",
    Fault.OUTSIDE_DAMAGED: "is the last one, but the file trail.head cannot be read",
}
"""What each fault is, as the rest of a sentence that begins with the row."""


class Records(Protocol):
    """The store as a reader of the trail needs it."""

    async def trail(self, query: TrailQuery) -> Sequence[TrailRow]:
        """The rows that *query* asks for."""

    async def verify(self, progress: Callable[[int, int], None] | None = None) -> Intact | Broken:
        """Whether the whole trail is as it was written."""


def records(desk: Desk) -> Records:
    """The trail behind *desk*, to verify it: that tells nothing of what is on it."""
    return cast("Records", desk.store)


async def restored(desk: Desk, found: Intact | Broken) -> int | None:
    """The row of the last restore, where that may be why another end was *found* than is known outside."""
    if isinstance(found, Intact) or found.fault not in (Fault.CUT_OFF, Fault.REPLACED):
        return None
    restores = TrailQuery(events=frozenset({Event.RESTORED}), newest_first=True, limit=1)
    rows = await records(desk).trail(restores)
    return rows[0].seq if rows and rows[0].seq <= found.seq else None


async def consulted(desk: Desk, query: TrailQuery) -> Records:
    """The trail behind *desk*, to read what *query* asks for. Whoever reads it is on it."""
    about = {name: value for name in ("study", "share") if (value := getattr(query, name)) is not None}
    return cast("Records", await desk.consult_trail(operator(), about))


async def every(desk: Desk, query: TrailQuery) -> AsyncIterator[TrailRow]:
    """All rows that *query* asks for, oldest first, a page of them in memory at a time."""
    query = replace(query, limit=PAGE, newest_first=False)
    trail = await consulted(desk, query)
    page = await trail.trail(query)
    while page:
        for row in page:
            yield row
        page = await trail.trail(replace(query, after_seq=page[-1].seq))


async def newest(desk: Desk, query: TrailQuery) -> tuple[list[TrailRow], bool]:
    """The last page of what *query* asks for, oldest first, and whether there is more before it."""
    trail = await consulted(desk, query)
    page = await trail.trail(replace(query, limit=PAGE + 1, newest_first=True))
    return list(reversed(page[:PAGE])), len(page) > PAGE


def verdict(found: Intact | Broken) -> dict[str, object]:
    """What was *found*, for programs."""
    if isinstance(found, Intact):
        return {"intact": True, "rows": found.count, "outside": found.outside}
    return {"intact": False, "row": found.seq, "fault": found.fault.value}


def said(found: Intact | Broken) -> str:
    """What was *found*, for people."""
    if isinstance(found, Intact):
        return f"intact: {found.count} row" + ("" if found.count == 1 else "s")
    return f"broken: row {found.seq} {FAULTS[found.fault]}"
