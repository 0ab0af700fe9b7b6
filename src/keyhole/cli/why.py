"""``keyhole why``: may somebody do something, and what says so. The gateway's own judgement; it changes nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Annotated

import typer

from keyhole.access.decision import Deny, Reason
from keyhole.access.grant import Grant, Target
from keyhole.access.resource import Level, Resource
from keyhole.access.share import Share
from keyhole.access.subject import Kind, Subject, is_principal
from keyhole.cli import speech
from keyhole.cli.advice import MEANING, next_step
from keyhole.cli.session import session
from keyhole.cli.shares import Json
from keyhole.errors import Refused
from keyhole.gateway.desk import Desk, NotFound
from keyhole.gateway.identify import Holder, roles_of
from keyhole.gateway.judge import Judge, Judgement, Named, Sent, Shown
from keyhole.identity import credential
from keyhole.identity.role import role_grants
from keyhole.sharing.link import parse_link, verify
from keyhole.web.share_shapes import state
from keyhole.web.when import written

_OF_VISIT = re.compile(r"/v/([a-z2-7]{16})/")
_BEARER = re.compile(r"(?:authorization: *)?(?:bearer +)?(\S*)", re.IGNORECASE)
_ENDED = (Reason.VISIT_ENDED, Reason.WITHDRAWN, Reason.EXPIRED, Reason.NOT_YET)
_NAMES = {Kind.VISIT: "visit", Kind.API_KEY: "key"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked and judged; ``link`` says how the share stands whose link was shown."""

    asked: str
    found: Judgement
    link: str | None = None

    @property
    def reason(self) -> Reason | None:
        """Why it is refused."""
        return self.found.decision.reason if isinstance(self.found.decision, Deny) else None

    @property
    def because(self) -> str | None:
        """That in plain words."""
        return None if self.reason is None else self.found.detail or MEANING.get(self.reason)

    @property
    def next(self) -> str | None:
        """What to do about it."""
        return None if self.reason is None else next_step(self.reason, self.found)

    @property
    def within(self) -> tuple[Target, ...] | None:
        """What the answer is cut to, maybe nothing; None when it is whole."""
        ask, decision = self.found.ask, self.found.decision
        if ask is None or isinstance(decision, Deny) or decision.scope.covers(ask.resource):
            return None
        return tuple(sorted(decision.scope.targets, key=str))

    @property
    def grants(self) -> tuple[Grant, ...]:
        """The grants of the action that was asked for; all of them when that was not understood."""
        ask, holder = self.found.ask, self.found.holder
        return tuple(
            grant
            for grant in holder.grants
            if grant.principal in holder.subject.principals and (ask is None or ask.action in grant.actions)
        )


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
    bearer: Annotated[
        str | None, typer.Option("--bearer", metavar="-", help="As the holder of the bearer on standard input.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Tell whether a request would be allowed, and why.

    Below /v/<visit>/ it is that visit's request, if nobody else is named. Nothing is recorded, and no link is opened:
    this is what the grants say, not whether the study exists.
    """
    _check("link", link)
    _check("bearer", bearer)
    if not (principal or link or bearer):
        principal = _visit_of(path)
    if [principal, link, bearer].count(None) != 2:  # noqa: PLR2004 - one of three
        hint = "add one of --as share:ID, --link - and --bearer - (the link or bearer on standard input)"
        raise Refused("whose request would it be?", hint)
    shown = "" if principal else sys.stdin.readline().strip()
    sent = Sent(method, path)

    async def judge(desk: Desk, judge: Judge) -> Answer:
        if link:
            return await _of_link(desk, judge, sent, shown)
        if bearer:
            return Answer(_asked(sent), await _of_bearer(judge, sent, shown))
        return Answer(_asked(sent), await judge.judge(await _named(desk, judge, principal or ""), sent))

    answer = session(context).before_judge(judge)
    (_tell_json if as_json else _tell)(answer)


def _check(what: str, given: str | None) -> None:
    if given not in (None, "-"):
        hint = f"write --{what} - and pipe the {what} in"
        raise Refused(f"{what}s are secrets, and the shell remembers what is typed", hint)


def _visit_of(path: str) -> str | None:
    found = _OF_VISIT.match(path)
    return f"visit:{found[1]}" if found else None


def _asked(sent: Sent) -> str:
    return f"{sent.method} {sent.target.partition('?')[0]}"


async def _named(desk: Desk, judge: Judge, principal: str) -> Named | Holder:
    kind, _, name = principal.partition(":")
    match kind:
        case "share" | "visit" | "key":
            if await judge.identity.standing(principal) is None:
                raise NotFound(f"there is no {kind} {name}")
            return Named(principal)
        case "role" | "user" | "group" if is_principal(principal):
            subject = Subject(Kind.SESSION, principal, frozenset({principal}))
            return Holder(subject, role_grants(roles_of(subject), desk.archives))
        case _:
            raise Refused(f"not a principal: {principal!r}", "for example share:ID, visit:ID, key:ID or role:reader")


async def _of_link(desk: Desk, judge: Judge, sent: Sent, text: str) -> Answer:
    parsed = parse_link(text)
    if parsed is None:
        raise Refused("standard input holds no complete link", "copy it from its first to its last character")
    name, secret = parsed
    share = await desk.store.share(name)
    if share is None or not verify(share, secret, desk.ring):
        return Answer(_asked(sent), Judgement(Deny(Reason.WRONG_SECRET), "nobody"))
    return Answer(_asked(sent), await judge.judge(Named(share.principal), sent), _standing(share, desk.now()))


def _standing(share: Share, now: datetime) -> str:
    """How *share* stands for whoever holds its link."""
    left = None if share.max_visits is None else share.max_visits - share.visits
    openings = "" if left is None else f", {speech.plural(left, 'opening')} left"
    words = state(share, now).replace("-", " ")
    asks = f", asks for {', '.join(share.conditions.names)}" if share.conditions else ""
    told = f"share:{share.id} is {words}, ends {speech.time(share.expires_at)} UTC{openings}{asks}"
    if share.locked_at is None:
        return told
    return f"{told}; too many answers were wrong: keyhole renew {share.id} --new-link"


async def _of_bearer(judge: Judge, sent: Sent, text: str) -> Judgement:
    """Whoever holds the right secret of what has ended is told of whom and what it was, too."""
    bearer = _BEARER.fullmatch(text)
    headers = ((b"authorization", f"Bearer {bearer[1] if bearer else text}".encode()),)
    found = await judge.judge(Shown(headers), sent)
    shown = credential.read(headers, None)
    ended = isinstance(found.decision, Deny) and found.decision.reason in _ENDED
    if not ended or not isinstance(shown, credential.Shown):
        return found
    return await judge.judge(Named(f"{_NAMES[shown.kind]}:{shown.id}"), sent)


def _tell(answer: Answer) -> None:
    for line in _lines(answer):
        speech.give(line)


def _lines(answer: Answer) -> Iterator[str]:
    found = answer.found
    verdict = "allowed" if answer.reason is None else f"refused ({answer.reason})"
    understood = answer.asked if found.ask is None else f"{found.ask.action} {_target(found.ask.resource)}"
    yield f"{verdict}: {understood}"
    yield f"as {_who(found)}"
    if answer.link:
        yield answer.link
    if answer.because:
        yield f"because {answer.because}"
    if answer.next:
        yield f"next: {answer.next}"
    if answer.within is not None:
        yield "the answer is cut to" if answer.within else "the answer is empty: nothing was granted that it could hold"
        yield from (f"  {_target(target)}" for target in answer.within)
    for said, grants in groupby(answer.grants, _said):
        yield said
        yield from (f"  {_target(grant.target)}" for grant in grants)


def _who(found: Judgement) -> str:
    visit = found.holder.visit
    if visit is not None:
        return f"{found.about}, " + (f"of share:{visit.share}" if visit.share else f"made by {visit.subject}")
    return f"whoever has opened {found.about}" if found.about.startswith("share:") else found.about


def _said(grant: Grant) -> str:
    """What a grant says, but for its target."""
    times = (("from", grant.not_before), ("until", grant.expires_at), ("withdrawn", grant.withdrawn_at))
    when = "".join(f", {word} {speech.time(moment)} UTC" for word, moment in times if moment)
    return f"{grant.cause} grants {', '.join(sorted(grant.actions))}{when}, on"


def _target(target: Target) -> str:
    whole = isinstance(target, Resource) and target.level is Level.ARCHIVE
    return f"all of {target.archive}" if whole else str(target)


def _tell_json(answer: Answer) -> None:
    ask = answer.found.ask
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
    speech.give_json(
        {
            "allowed": answer.reason is None,
            "reason": answer.reason,
            "because": answer.because,
            "next": answer.next,
            "as": answer.found.about,
            "link": answer.link,
            "asked": answer.asked,
            "action": ask and ask.action,
            "resource": ask and str(ask.resource),
            "within": [str(target) for target in answer.within or ()],
            "grants": grants,
        }
    )
