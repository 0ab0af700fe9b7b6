"""May this token do that to this study? Asked by Orthanc before every image, and answered by the same PDP.

What follows from a row of a share (who holds it, its grants, what a question about it asks for) is worked out once for
as long as it is that very row. Nothing that can change is kept with it: the token is compared, the clock is looked at,
the decision is made and the access is on record each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, assert_never

from keyhole.access.decision import Allow, Ask, Deny, Event, Reason, Record
from keyhole.access.grant import Grant
from keyhole.access.pdp import decide
from keyhole.access.resource import Action, is_uid
from keyhole.access.share import Share
from keyhole.access.subject import ANONYMOUS, Subject
from keyhole.gateway.ledger import Ledger, Repeated
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.question import Question, understand
from keyhole.gateway.plugin.tokens import Tokens
from keyhole.sharing.token import TYPES

_NO_LASTS = 1
"""Seconds for which Orthanc remembers a refusal at most: what refuses may be over then."""

_MOST_KNOWN = 10_000
_READ = Action.RETRIEVE

_Key = tuple[str, str | None, str | None, str | None, str | None, bool]


class Verdict(NamedTuple):
    """What Orthanc is told; it remembers it for ``validity`` seconds, and 0 is not at all."""

    granted: bool
    validity: int


@dataclass(frozen=True, slots=True)
class _Refused:
    """Why not, and what is known of the question by then."""

    reason: Reason
    share: Share | None = None
    ask: Ask | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """What follows from one row of a share. ``asked`` holds questions about what it names, which are few."""

    share: Share
    subject: Subject
    grants: tuple[Grant, ...]
    asked: dict[_Key, tuple[Ask, Repeated]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """One per process. ``validity``: seconds for which Orthanc may remember a yes.

    Raises StoreFailed when the answer cannot be known or cannot be written down: then it is no.
    """

    tokens: Tokens
    ledger: Ledger
    validity: int
    now: Callable[[], datetime]
    _known: dict[str, _Known] = field(default_factory=dict)

    async def answer(self, caller: Caller, question: Question) -> Verdict:
        """The answer to *question* of *caller*'s; a yes is on record before it is given."""
        share = self._shown(caller, question) or await self.tokens.share(question.token_value or "")
        now = self.now()
        found = _Refused(share) if isinstance(share, Reason) else self._decided(caller, question, share, now)
        if isinstance(found, _Refused):
            self.ledger.refuse(_refusal(found, caller, question, now))
            return Verdict(False, self._no_lasts(question))  # noqa: FBT003 - granted or not
        share, ask, access = found
        if not self.ledger.again(access):
            record = _access(share, ask, caller, now)
            await self.ledger.release(record)
            self.ledger.count(record, 0, 0)
            now = self.now()
        return Verdict(True, self._yes_lasts(share, ask, now))  # noqa: FBT003 - granted or not

    def _shown(self, caller: Caller, question: Question) -> Share | Reason | None:
        """The share whose token is shown to the Orthanc that *caller* is; None where it has to be looked for."""
        if not question.token_value:
            return Reason.NO_CREDENTIAL
        if not caller.calls_itself(question.server_id):
            return Reason.BAD_CREDENTIAL
        return self.tokens.held(question.token_value)

    def _decided(
        self, caller: Caller, question: Question, share: Share, now: datetime
    ) -> tuple[Share, Ask, Repeated] | _Refused:
        why = self.tokens.closed(share, caller, now)
        if why is not None:
            return _Refused(why, share)
        if not self.tokens.is_bearer(share):
            return _Refused(Reason.CEILING, share)
        known = self._about(share)
        asked = _asked(known, caller, question)
        if isinstance(asked, Reason):
            return _Refused(asked, share)
        ask, access = asked
        match decide(ask, known.subject, known.grants, now):
            case Allow():
                return share, ask, access
            case Deny(reason):
                return _Refused(reason, share, ask)
            case never:
                assert_never(never)

    def _about(self, share: Share) -> _Known:
        known = self._known.get(share.id)
        if known is None or known.share is not share:
            if len(self._known) >= _MOST_KNOWN:
                del self._known[next(iter(self._known))]
            known = self._known[share.id] = _Known(share, share.as_subject(), share.grants())
        return known

    def _yes_lasts(self, share: Share, ask: Ask, now: datetime) -> int:
        """Never longer than the share; the question behind a ``post`` may be another one each time."""
        if ask.action is not _READ:
            return 0
        return max(0, min(self.validity, int((share.expires_at - now).total_seconds())))

    def _no_lasts(self, question: Question) -> int:
        return 0 if question.method == "post" else min(self.validity, _NO_LASTS)


def _asked(known: _Known, caller: Caller, question: Question) -> tuple[Ask, Repeated] | Reason:
    """What *question* asks, and the access that it would be."""
    named = question.orthanc_id, question.dicom_uid
    key = (caller.name, question.method, question.level, *named, bool(question.labels))
    asked = known.asked.get(key)
    if asked is None:
        share = known.share
        ask = understand(question, share, posts=TYPES[share.token_type or ""].posts)
        if isinstance(ask, Reason):
            return ask
        asked = known.asked[key] = ask, Repeated(_access(share, ask, caller, share.created_at))
    return asked


def _access(share: Share, ask: Ask, caller: Caller, at: datetime) -> Record:
    return Record(
        at=at,
        event=Event.SEARCH if ask.action is Action.SEARCH else Event.ACCESS,
        subject=share.principal,
        archive=share.archive,
        study=ask.resource.study,
        series=ask.resource.series,
        action=ask.action,
        share=share.id,
        detail={"through": caller.principal},
    )


def _refusal(refused: _Refused, caller: Caller, question: Question, now: datetime) -> Record:
    share, ask = refused.share, refused.ask
    uid = question.dicom_uid or ""
    named = uid if question.level == "study" and is_uid(uid) else None
    return Record(
        at=now,
        event=Event.REFUSAL,
        subject=ANONYMOUS.name if share is None else share.principal,
        archive=caller.archive,
        study=named if ask is None else ask.resource.study,
        action=None if ask is None else ask.action,
        reason=refused.reason,
        share=None if share is None else share.id,
        detail={"through": caller.principal},
    )
