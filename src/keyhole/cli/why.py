"""``keyhole why``: may somebody do something, and what says so. It asks the same decision point and changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Annotated, TypeVar, assert_never

import typer

from keyhole.access.decision import Allow, Ask, Decision, Deny, Reason
from keyhole.access.grant import Grant, Target
from keyhole.access.pdp import decide
from keyhole.access.resource import Level, Resource
from keyhole.access.share import Share
from keyhole.access.subject import Kind, Subject, is_principal
from keyhole.cli import speech
from keyhole.cli.session import session
from keyhole.cli.shares import Json
from keyhole.dicom import dicomweb
from keyhole.dicom.query import SEARCHES, parse_retrieve, parse_search
from keyhole.dicom.route import Match, Refusal
from keyhole.errors import Refused
from keyhole.gateway import identify
from keyhole.gateway.desk import Desk, NotFound
from keyhole.gateway.identify import below_grants, roles_of
from keyhole.gateway.incoming import MOUNT
from keyhole.identity.role import role_grants
from keyhole.sharing.link import parse_link, verify
from keyhole.sharing.visit import closed, over
from keyhole.web.when import written

T = TypeVar("T")

_READING = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who is asked about: what they hold, and why even that would open nothing now."""

    subject: Subject
    grants: tuple[Grant, ...]
    ended: Reason | None = None
    archive: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked, what was decided, and the grants that had a say."""

    asked: str
    decision: Decision
    grants: tuple[Grant, ...]
    note: str = ""


def why(
    context: typer.Context,
    method: Annotated[str, typer.Argument(metavar="METHOD", help="GET, HEAD or POST.")],
    path: Annotated[str, typer.Argument(metavar="PATH", help="As in the request: /dicom-web/studies/1.2.3/metadata.")],
    principal: Annotated[
        str | None,
        typer.Option("--as", metavar="PRINCIPAL", help="share:ID, visit:ID, key:ID, role:NAME or user:NAME."),
    ] = None,
    link: Annotated[
        str | None, typer.Option("--link", metavar="-", help="As the holder of the link on standard input.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Tell whether a request would be allowed, and why.

    Nothing is asked of the archive, and nothing is recorded: this is what the grants say, not whether the study exists.
    """
    if (principal is None) is (link is None):
        raise Refused("whose request would it be?", "add either --as share:ID or --link - (the link on standard input)")
    if link not in (None, "-"):
        raise Refused("links are secrets, and the shell remembers what is typed", "write --link - and pipe the link in")
    shown = None if link is None else sys.stdin.readline()

    async def judge(desk: Desk) -> Answer:
        holder = await _holder(desk, principal or "", shown)
        return _judge(method, path, holder, desk.archives[0], desk.now())

    answer = session(context).at_desk(judge)
    (_tell_json if as_json else _tell)(answer)


async def _holder(desk: Desk, principal: str, link: str | None) -> Holder:
    if link is not None:
        return await _of_link(desk, link)
    kind, _, name = principal.partition(":")
    match kind:
        case "share":
            return _of_share(await _found(desk.store.share(name), principal), desk.now())
        case "visit":
            return await _of_visit(desk, name)
        case "key":
            return await _of_key(desk, name)
        case "role" | "user" | "group" if is_principal(principal):
            subject = Subject(Kind.SESSION, principal, frozenset({principal}))
            return Holder(subject, role_grants(roles_of(subject), desk.archives))
        case _:
            raise Refused(f"not a principal: {principal!r}", "for example share:ID, visit:ID, key:ID or role:reader")


async def _found(row: Awaitable[T | None], principal: str) -> T:
    found = await row
    if found is None:
        raise NotFound(f"there is no {principal.replace(':', ' ')}")
    return found


async def _of_link(desk: Desk, text: str) -> Holder:
    parsed = parse_link(text)
    if parsed is None:
        raise Refused("standard input holds no complete link", "copy it from its first to its last character")
    name, secret = parsed
    share = await desk.store.share(name)
    if share is None or not verify(share, secret, desk.ring):
        nobody = Subject(Kind.VISIT, "nobody", frozenset())
        return Holder(nobody, (), Reason.WRONG_SECRET)
    return _of_share(share, desk.now())


def _of_share(share: Share, now: datetime) -> Holder:
    subject = Subject(Kind.VISIT, share.principal, frozenset({share.principal}))
    ended = closed(share, now)
    # A share that is used up still serves the visits that it began.
    ended = None if ended is Reason.USED_UP else ended
    return Holder(below_grants(subject, share.grants()), share.grants(), ended, share.archive)


async def _of_visit(desk: Desk, name: str) -> Holder:
    visit = await _found(desk.store.visit(name), f"visit:{name}")
    share = await desk.store.share(visit.share) if visit.share else None
    held = identify.Holder.of_visit(visit, share)
    return Holder(held.subject, held.grants, over(visit, share, desk.now()), visit.archive)


async def _of_key(desk: Desk, name: str) -> Holder:
    key = await _found(desk.store.key(name), f"key:{name}")
    held = identify.Holder.of_key(key.as_subject(), desk.archives)
    ended = None if key.live(desk.now()) else Reason.WITHDRAWN if key.revoked_at else Reason.EXPIRED
    return Holder(held.subject, held.grants, ended)


def _judge(method: str, target: str, holder: Holder, archive: str, now: datetime) -> Answer:
    """The way of the request through the gateway, as far as it can be told without the archive."""
    path, _, query = target.partition("?")
    if holder.ended is not None:
        return Answer(f"{method} {path}", Deny(holder.ended), holder.grants)
    mount = MOUNT.fullmatch(path.encode())
    if mount is None:
        return Answer(f"{method} {path}", Deny(Reason.UNKNOWN_ROUTE), (), "images are below /dicom-web/ only")
    if holder.subject.kind is Kind.VISIT and method not in _READING:
        return Answer(f"{method} {path}", Deny(Reason.METHOD_NOT_ALLOWED), (), "a visit can only read")
    found = dicomweb.match(method, mount["below"])
    if isinstance(found, Refusal):
        return Answer(f"{method} {path}", Deny(found.reason), (), found.detail)
    ask = dicomweb.ask(found, holder.archive or archive)
    asked = f"{ask.action} {_named(ask.resource)}"
    bad = _bad_query(found, query.encode())
    if bad is not None:
        return Answer(asked, Deny(bad.reason), (), bad.detail)
    return Answer(asked, decide(ask, holder.subject, holder.grants, now), _speaking(ask, holder))


def _bad_query(found: Match, query: bytes) -> Refusal | None:
    level = SEARCHES.get(found.route.kind)
    read = parse_retrieve(query, found.route.kind) if level is None else parse_search(query, level)
    return read if isinstance(read, Refusal) else None


def _speaking(ask: Ask, holder: Holder) -> tuple[Grant, ...]:
    """The grants of the action that was asked for."""
    return tuple(
        grant for grant in holder.grants if ask.action in grant.actions and grant.principal in holder.subject.principals
    )


def _tell(answer: Answer) -> None:
    speech.give(f"{_verdict(answer.decision)}: {answer.asked}")
    if answer.note:
        speech.give(f"because {answer.note}")
    for said, grants in groupby(answer.grants, _said):
        speech.give(said)
        for grant in grants:
            speech.give(f"  {_named(grant.target)}")


def _verdict(decision: Decision) -> str:
    match decision:
        case Allow():
            return "allowed"
        case Deny(reason):
            return f"refused ({reason})"
        case never:
            assert_never(never)


def _said(grant: Grant) -> str:
    """What a grant says, but for its target."""
    times = (("from", grant.not_before), ("until", grant.expires_at), ("withdrawn", grant.withdrawn_at))
    when = "".join(f", {word} {speech.time(moment)} UTC" for word, moment in times if moment)
    return f"{grant.cause} grants {', '.join(sorted(grant.actions))}{when}, on"


def _named(target: Target) -> str:
    whole = isinstance(target, Resource) and target.level is Level.ARCHIVE
    return f"all of {target.archive}" if whole else str(target)


def _tell_json(answer: Answer) -> None:
    reason = answer.decision.reason if isinstance(answer.decision, Deny) else None
    grants = [
        {
            "cause": grant.cause,
            "actions": sorted(grant.actions),
            "target": str(grant.target),
            "expires_at": grant.expires_at and written(grant.expires_at),
            "withdrawn_at": grant.withdrawn_at and written(grant.withdrawn_at),
        }
        for grant in answer.grants
    ]
    allowed = isinstance(answer.decision, Allow)
    speech.give_json({"allowed": allowed, "reason": reason, "asked": answer.asked, "grants": grants})
