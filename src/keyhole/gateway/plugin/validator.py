"""May this token do that to this study? Asked by Orthanc before every image, and answered by the same PDP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from keyhole.access.decision import Allow, Ask, Deny, Event, Reason, Record
from keyhole.access.pdp import decide
from keyhole.access.resource import Action, is_uid
from keyhole.access.share import Share
from keyhole.access.subject import ANONYMOUS
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.plugin.question import Question, understand
from keyhole.gateway.plugin.tokens import Tokens
from keyhole.sharing.token import TYPES

_NO_LASTS = 1
"""Seconds for which Orthanc remembers a refusal at most: what refuses may be over then."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Orthanc is told; it remembers it for ``validity`` seconds, and 0 is not at all."""

    granted: bool
    validity: int


@dataclass(frozen=True, slots=True)
class _Refused:
    """Why not, and what is known of the question by then."""

    reason: Reason
    share: Share | None = None
    ask: Ask | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """One per process. ``validity``: seconds for which Orthanc may remember a yes.

    Raises StoreFailed when the answer cannot be known or cannot be written down: then it is no.
    """

    tokens: Tokens
    ledger: Ledger
    validity: int
    now: Callable[[], datetime]

    async def answer(self, caller: Caller, question: Question) -> Verdict:
        """The answer to *question* of *caller*'s; a yes is on record before it is given."""
        found = await self._decided(caller, question)
        if isinstance(found, _Refused):
            self.ledger.refuse(_refusal(found, caller, question, self.now()))
            return Verdict(granted=False, validity=self._no_lasts(question))
        share, ask = found
        access = _access(share, ask, caller, self.now())
        await self.ledger.release(access)
        self.ledger.count(access, 0, 0)
        return Verdict(granted=True, validity=self._yes_lasts(share, ask))

    async def _decided(self, caller: Caller, question: Question) -> tuple[Share, Ask] | _Refused:
        share = await self._share(caller, question)
        if isinstance(share, Reason):
            return _Refused(share)
        now = self.now()
        why = self.tokens.closed(share, caller, now)
        if why is not None:
            return _Refused(why, share)
        if not self.tokens.is_bearer(share):
            return _Refused(Reason.CEILING, share)
        ask = understand(question, share, posts=TYPES[share.token_type or ""].posts)
        if isinstance(ask, Reason):
            return _Refused(ask, share)
        match decide(ask, share.as_subject(), share.grants(), now):
            case Allow():
                return share, ask
            case Deny(reason):
                return _Refused(reason, share, ask)
            case never:
                assert_never(never)

    async def _share(self, caller: Caller, question: Question) -> Share | Reason:
        """The share whose token is shown to the Orthanc that *caller* is."""
        if not question.token_value:
            return Reason.NO_CREDENTIAL
        if not caller.calls_itself(question.server_id):
            return Reason.BAD_CREDENTIAL
        return await self.tokens.share(question.token_value)

    def _yes_lasts(self, share: Share, ask: Ask) -> int:
        """Never longer than the share; the question behind a ``post`` may be another one each time."""
        left = int((share.expires_at - self.now()).total_seconds())
        return max(0, min(self.validity, left)) if ask.action is Action.RETRIEVE else 0

    def _no_lasts(self, question: Question) -> int:
        return 0 if question.method == "post" else min(self.validity, _NO_LASTS)


def _access(share: Share, ask: Ask, caller: Caller, now: datetime) -> Record:
    return Record(
        at=now,
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
