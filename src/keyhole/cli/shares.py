"""Commands about shares: share, shares, show, renew, revoke."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from keyhole.access.share import Origin, Share, ShareChange, ShareKind
from keyhole.cli import happenings, speech
from keyhole.cli.session import operator, session, share_id
from keyhole.errors import Refused
from keyhole.gateway.desk import Desk, ShareOrder
from keyhole.web.shapes import Happening
from keyhole.web.share_shapes import SentShare, ShownShare, state

ShareArgument = Annotated[str, typer.Argument(metavar="SHARE", help="Id of the share, as `keyhole shares` lists it.")]
Json = Annotated[bool, typer.Option("--json", help="For programs: JSON, one value to a line.")]
For = Annotated[str | None, typer.Option("--for", metavar="TIME", help="How long it lasts from now on: 7d, 12h, 30m.")]

_ROOM_FOR_LINES = 140
_MORE = re.compile(r"\+?([1-9][0-9]{0,3})")
_NO_END = ("a share needs an end", "add --for DAYS, for example --for 7d")


def share(  # noqa: PLR0913, PLR0917 - what can be said about a share
    context: typer.Context,
    studies: Annotated[list[str], typer.Argument(metavar="STUDY", help="StudyInstanceUIDs.")],
    lasts: For = None,
    series: Annotated[str | None, typer.Option(metavar="UID", help="Only this series of the one study.")] = None,
    visits: Annotated[int | None, typer.Option(metavar="N", help="How often it can be opened.")] = None,
    not_before: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it can be opened first: 2026-03-01T12:00:00Z.")
    ] = None,
    note: Annotated[str | None, typer.Option(metavar="TEXT", help="For your own eyes.")] = None,
    recipient: Annotated[str | None, typer.Option(metavar="TEXT", help="Whom the link is for.")] = None,
    archive: Annotated[str | None, typer.Option(metavar="NAME", help="The archive, if not the default one.")] = None,
    *,
    download: Annotated[bool, typer.Option("--download", help="The files may be downloaded, too.")] = False,
    as_json: Json = False,
) -> None:
    """Share studies, and print the link.

    The link is all that is printed: whoever has it can open the studies until the share ends.
    """
    if lasts is None:
        raise Refused(*_NO_END)
    length = speech.duration("--for", lasts)
    first = None if not_before is None else speech.instant("--not-before", not_before)
    if series is not None and len(studies) != 1:
        raise Refused("a series is of one study", "name that study alone")
    if visits is not None and visits < 1:
        raise Refused("a share needs at least one visit", "leave --visits out for no limit")

    async def make(desk: Desk) -> tuple[Share, str, datetime]:
        order = ShareOrder(
            archive=archive or desk.archives[0],
            resources=tuple((study,) for study in studies) if series is None else ((studies[0], series),),
            expires_at=desk.now() + length,
            kind=ShareKind.DOWNLOAD if download else ShareKind.VIEW,
            not_before=first,
            max_visits=visits,
            note=note,
            recipient=recipient,
        )
        made = await desk.create_share(operator(), order)
        return made, desk.link(made), desk.now()

    made, link, now = session(context).at_desk(make)
    if as_json:
        speech.give_json(SentShare.sent(made, now, link))
        return
    speech.give(link)
    speech.say(
        f"share {made.id} ends {speech.time(made.expires_at)} UTC; end it earlier with: keyhole revoke {made.id}"
    )


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
    shown = [one for one in held if everything or state(one, now) in ("open", "not-yet")]
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
    return (one.id, state(one, now), one.kind.value, ends, _opened(one), _studies(one), _for(one))


def _block(one: Share, now: datetime) -> tuple[str, ...]:
    keeps = "" if one.kind is ShareKind.VIEW else f", allows {one.kind.value}"
    until = f"ends {speech.time(one.expires_at)} UTC, opened {_opened(one)}{keeps}"
    return one.id, state(one, now), "\n".join(filter(None, (_studies(one), until, _for(one))))


def _opened(one: Share) -> str:
    return str(one.visits) if one.max_visits is None else f"{one.visits} of {one.max_visits}"


def _studies(one: Share) -> str:
    return "\n".join(_named(resource.path) for resource in one.resources)


def _named(path: Sequence[str]) -> str:
    return path[0] if len(path) == 1 else f"{path[0]}\n  series {path[1]}"


def _for(one: Share) -> str:
    return "\n".join(filter(None, (one.recipient, one.note, _asked_for(one))))


def _asked_for(one: Share) -> str:
    """What Orthanc's plugin asked for, when the share was made through it."""
    return "" if one.origin is Origin.KEYHOLE else f"{one.origin}: {one.token_type}"


def show(
    context: typer.Context,
    share: ShareArgument,
    *,
    link: Annotated[bool, typer.Option("--link", help="Print the link again, and nothing else.")] = False,
    as_json: Json = False,
) -> None:
    """Show a share and what happened with it.

    That a link was shown again is on the trail.
    """
    name = share_id(share)
    if link:
        speech.give(session(context).at_desk(lambda desk: desk.show_link(operator(), name)))
        return

    async def find(desk: Desk) -> tuple[Share, Sequence[Any], datetime]:
        return await desk.share(operator(), name), await desk.timeline(operator(), name), desk.now()

    one, rows, now = session(context).at_desk(find)
    if as_json:
        events = [Happening.of(row).model_dump(mode="json") for row in rows]
        speech.give_json({**ShownShare.of(one, now).model_dump(mode="json"), "timeline": events})
        return
    speech.give_table(("SHARE", one.id), _facts(one, now))
    if rows:
        speech.give("")
        happenings.give(rows)


def _facts(one: Share, now: datetime) -> list[tuple[str, str]]:
    limit = "" if one.max_visits is None else f" of {one.max_visits}"
    last = f", last {speech.time(one.last_opened_at)}" if one.last_opened_at else ""
    facts = [
        ("state", state(one, now)),
        ("studies", "\n".join(_named(resource.path) for resource in one.resources)),
        ("archive", one.archive),
        ("allows", one.kind.value),
        ("made", f"{speech.time(one.created_at)} by {one.creator}"),
        ("through", _asked_for(one)),
        ("from", speech.time(one.not_before, "")),
        ("ends", speech.time(one.expires_at)),
        ("withdrawn", speech.time(one.withdrawn_at, "")),
        ("opened", f"{speech.plural(one.visits, 'time')}{limit}{last}"),
        ("recipient", one.recipient or ""),
        ("note", one.note or ""),
    ]
    return [(name, text) for name, text in facts if text]


def renew(
    context: typer.Context,
    share: ShareArgument,
    lasts: For = None,
    visits: Annotated[str | None, typer.Option(metavar="+N", help="Allow so many more openings: +1.")] = None,
    *,
    new_link: Annotated[bool, typer.Option("--new-link", help="End the present link and print another.")] = False,
) -> None:
    """Renew a share, or replace its link.

    It may last longer, be opened more often, or get another link, which is printed. Visits that have begun go on.
    """
    name, length, more = share_id(share), lasts and speech.duration("--for", lasts), _more(visits)
    if not (length or more or new_link):
        raise Refused("there is nothing to change", "add --for 7d, --visits +1 or --new-link")

    async def change(desk: Desk) -> tuple[Share, str]:
        wanted = ShareChange(
            expires_at=desk.now() + length if length else None,
            more_visits=more,
            new_link_key=desk.new_link().new_link_key if new_link else None,
        )
        changed = await desk.change_share(operator(), name, wanted)
        return changed, desk.link(changed) if new_link else ""

    changed, link = session(context).at_desk(change)
    if link:
        speech.give(link)
    left = (
        "" if changed.max_visits is None else f", {speech.plural(changed.max_visits - changed.visits, 'opening')} left"
    )
    speech.say(f"share {changed.id} ends {speech.time(changed.expires_at)} UTC{left}")


def _more(text: str | None) -> int:
    found = None if text is None else _MORE.fullmatch(text)
    if text is not None and found is None:
        raise Refused(f"--visits is not a number of further openings: {text!r}", "for example --visits +1")
    return 0 if found is None else int(found[1])


def revoke(context: typer.Context, share: ShareArgument) -> None:
    """Withdraw a share for good.

    Its link opens nothing more, and running visits end within a second.
    """
    name = share_id(share)

    async def end(desk: Desk) -> bool:
        held = await desk.share(operator(), name)
        if held.withdrawn_at is None:
            await desk.change_share(operator(), name, ShareChange(withdrawn_at=desk.now()))
        return held.withdrawn_at is None

    ended = session(context).at_desk(end)
    speech.say(f"share {name} is withdrawn" if ended else f"share {name} was withdrawn before")
