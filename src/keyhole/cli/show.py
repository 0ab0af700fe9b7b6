"""The command that shows a share: what it is, each of its openings, and what happened with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import typer

from keyhole.access.mail import Mail
from keyhole.access.share import Priors, Share
from keyhole.cli import happenings, speech
from keyhole.cli.session import operator, session, share_id
from keyhole.cli.shares import Json, ShareArgument, asked_for, asks, named
from keyhole.gateway.desk import Desk
from keyhole.web.shapes import Happening
from keyhole.web.share_openings import Amount, Opened, OpeningList, opened
from keyhole.web.share_shapes import SentMail, ShownShare, state

_PRIORS: Mapping[Priors, str] = {
    Priors.NONE: "",
    Priors.PRESENT: "all the patient had when it was made",
    Priors.FUTURE: "all of the patient, later ones as well",
}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a share."""

    share: Share
    rows: Sequence[Any]
    mails: Sequence[Mail]
    at: datetime


def show(
    context: typer.Context,
    share: ShareArgument,
    *,
    link: Annotated[bool, typer.Option("--link", help="Print the link again, and nothing else.")] = False,
    as_json: Json = False,
) -> None:
    """Show a share and what happened with it.

    Each opening with what was looked at and downloaded; mail that could not be sent. That a link was shown again is on
    the trail.
    """
    name = share_id(share)
    if link:
        speech.give(session(context).at_desk(lambda desk: desk.show_link(operator(), name)))
        return

    async def find(desk: Desk) -> Known:
        one = await desk.share(operator(), name)
        rows, mails = await desk.timeline(operator(), name), await desk.mails(operator(), name)
        return Known(one, rows, mails, desk.now())

    known = session(context).at_desk(find)
    if as_json:
        speech.give_json(_content(known))
        return
    speech.give_table(("SHARE", known.share.id), _facts(known))
    visits = opened(known.rows)
    if visits:
        speech.give("")
        speech.give_table(("OPENED (UTC)", "FROM", "LOOKED AT", "DOWNLOADED"), map(_opening, visits.values()))
    if known.rows:
        speech.give("")
        happenings.give(known.rows)


def _content(known: Known) -> dict[str, object]:
    return {
        **ShownShare.of(known.share, known.at).model_dump(mode="json"),
        "timeline": [Happening.of(row).model_dump(mode="json") for row in known.rows],
        **OpeningList.of(known.rows, known.share).model_dump(mode="json"),
        "mails": [SentMail.of(mail).model_dump(mode="json") for mail in known.mails],
    }


def _facts(known: Known) -> list[tuple[str, str]]:
    one = known.share
    limit = "" if one.max_visits is None else f" of {one.max_visits}"
    last = f", last {speech.time(one.last_opened_at)}" if one.last_opened_at else ""
    facts = [
        ("state", state(one, known.at)),
        ("studies", "\n".join(named(resource.path) for resource in one.resources)),
        ("priors", _PRIORS[one.priors]),
        ("archive", one.archive),
        ("allows", one.kind.value),
        ("asks", asks(one).removeprefix("asks ")),
        ("wrong", _wrong(one)),
        ("made", f"{speech.time(one.created_at)} by {one.creator}"),
        ("through", asked_for(one)),
        ("from", speech.time(one.not_before, "")),
        ("ends", speech.time(one.expires_at)),
        ("withdrawn", speech.time(one.withdrawn_at, "")),
        ("opened", f"{speech.plural(one.visits, 'time')}{limit}{last}"),
        ("recipient", one.recipient or ""),
        ("mail to", one.mail_to or ""),
        ("language", one.language or ""),
        ("paper", "a code to type" if one.paper else ""),
        ("told", one.notify or ""),
        ("not mailed", "\n".join(_failed(mail) for mail in known.mails if mail.failed_at is not None)),
        ("note", one.note or ""),
    ]
    return [(name, text) for name, text in facts if text]


def _wrong(one: Share) -> str:
    """How often what it asks was answered wrongly, since the link was made."""
    wrong = one.attempts - one.passed
    locked = (
        "" if one.locked_at is None else f", locked {speech.time(one.locked_at)}: keyhole renew {one.id} --new-link"
    )
    return f"{speech.plural(wrong, 'answer')}{locked}" if wrong or locked else ""


def _failed(mail: Mail) -> str:
    return f"{mail.kind} to {mail.to} ({speech.time(mail.failed_at)}): {mail.problem or 'unknown'}"


def _opening(one: Opened) -> tuple[str, ...]:
    address = one.begun.personal.get("address") or ("an erased address" if one.erased else "local")
    return speech.time(one.begun.at), address, _amounts(one.saw), _amounts(one.downloaded)


def _amounts(studies: Mapping[str, Amount]) -> str:
    """Each study with how much of it left; a study of which nothing was counted yet by its name alone."""
    return "\n".join(f"{study} {_amount(each)}".rstrip() for study, each in studies.items())


def _amount(each: Amount) -> str:
    images = speech.plural(each.images, "image") if each.images else ""
    return ", ".join(filter(None, (images, speech.size(each.bytes) if each.bytes else "")))
