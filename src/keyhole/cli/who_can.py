"""``keyhole who-can``: everybody who can reach a study at this moment, and through what."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import typer

from keyhole.access.resource import Action, Resource, is_uid
from keyhole.cli import speech
from keyhole.cli.session import operator, session
from keyhole.cli.shares import Json
from keyhole.errors import Refused
from keyhole.gateway.desk import Desk
from keyhole.web.who_can import Reaching, ReachingShare, RunningVisit


def who_can(
    context: typer.Context,
    study: Annotated[str, typer.Argument(metavar="STUDY", help="StudyInstanceUID.")],
    action: Annotated[
        str, typer.Option(metavar="ACTION", help="Who can do that: retrieve, download, share, delete, …")
    ] = "retrieve",
    archive: Annotated[str | None, typer.Option(metavar="NAME", help="The archive, if not the default one.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """List who can reach a study now.

    Every share with its recipient and running visits, images that staff have open, and API keys. That it was asked is
    on the trail. People at this command line can always: they hold the database and the keys.
    """
    wanted = _action(action)
    if not is_uid(study):
        raise Refused(f"not a StudyInstanceUID: {study!r}", "it is made of digits and dots")

    async def look(desk: Desk) -> Reaching:
        resource = Resource.of(archive or desk.archives[0], study)
        return Reaching.of(await desk.who_can(operator(), resource, wanted))

    found = session(context).at_desk(look)
    if as_json:
        speech.give_json(found)
        return
    rows = list(_rows(found))
    if rows:
        speech.give_table(("WHO", "ENDS (UTC)", "HOW OFTEN", "THROUGH"), rows)
    else:
        speech.say(f"nobody can {wanted} {found.archive}:{found.study}")


def _action(text: str) -> Action:
    try:
        return Action(text)
    except ValueError:
        raise Refused(f"not an action: {text!r}", f"actions are {', '.join(Action)}") from None


def _rows(found: Reaching) -> Iterator[tuple[str, ...]]:
    for share in found.shares:
        yield f"share:{share.id}", speech.time(share.expires_at), _openings(share), _share(share)
        yield from (_visit(visit) for visit in share.visits)
    yield from (_visit(visit) for visit in found.visits)
    for key in found.keys:
        yield f"key:{key.id}", speech.time(key.expires_at, "never"), "", f"role {', '.join(key.roles)}: {key.name}"


def _openings(share: ReachingShare) -> str:
    return "no limit" if share.visits_left is None else f"{share.visits_left} more"


def _share(share: ReachingShare) -> str:
    series = f"series {' '.join(share.series)}" if share.series else ""
    whom = f"for {share.recipient}" if share.recipient else ""
    return ", ".join(filter(None, (f"made by {share.creator}", whom, share.note or "", series)))


def _visit(visit: RunningVisit) -> tuple[str, ...]:
    last: datetime | None = visit.seen_at
    return f"visit:{visit.id}", speech.time(visit.ends_at), "running", f"{visit.subject}, last seen {speech.time(last)}"
