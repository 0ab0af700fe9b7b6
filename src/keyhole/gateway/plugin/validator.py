"""May this token do that to this study? Asked by Orthanc before every image, and answered by the same PDP.

The same question comes for image after image. What it asks for is then not worked out again, as long as the row of the
share and the keys are the very same; the clock is looked at, the decision is made and the access is counted each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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

_READ = Action.RETRIEVE


class Verdict(NamedTuple):
    """What Orthanc is told; it remembers it for ``validity`` seconds, and 0 is not at all."""

    granted: bool
    validity: int


@dataclass(frozen=True, slots=True)
class Granted:
    """What was granted to whom, and all that this rested on but the clock."""

    caller: Caller
    share: Share
    ask: Ask
    subject: Subject
    grants: tuple[Grant, ...]
    access: Repeated


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

    async def answer(self, caller: Caller, question: Question) -> tuple[Verdict, Granted | None]:
        """What *caller* is answered, and what :meth:`again` takes; a yes is on record before it is given."""
        found = await self._decided(caller, question)
        if isinstance(found, Granted) and not self.ledger.again(found.access):
            await self.ledger.release(found.access.access)
            self.ledger.count(found.access.access, 0, 0)
            found = await self._decided(caller, question)  # it may have ended while its record was written
        if isinstance(found, Granted):
            return self._yes(found, self.now()), found
        self.ledger.refuse(_refusal(found, caller, question, self.now()))
        return Verdict(False, self._no_lasts(question)), None  # noqa: FBT003 - granted or not

    def again(self, caller: Caller, granted: Granted) -> Verdict | None:
        """The answer to the question of *caller*'s that was *granted* before, when it is yes again.

        None where anything that it rested on may be another now: then it has to be answered from the beginning.
        """
        if granted.caller is not caller or not self.tokens.stands(granted.share):
            return None
        now = self.now()
        if not isinstance(decide(granted.ask, granted.subject, granted.grants, now), Allow):
            return None
        return self._yes(granted, now) if self.ledger.again(granted.access) else None

    async def _decided(self, caller: Caller, question: Question) -> Granted | _Refused:
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
        subject, grants = share.as_subject(), share.grants()
        match decide(ask, subject, grants, now):
            case Allow():
                return Granted(caller, share, ask, subject, grants, Repeated(_access(share, ask, caller, now)))
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

    def _yes(self, granted: Granted, now: datetime) -> Verdict:
        """Never longer than the share; the question behind a ``post`` may be another one each time."""
        left = granted.share.expires_at - now
        validity = max(0, min(self.validity, int(left.total_seconds()))) if granted.ask.action is _READ else 0
        return Verdict(True, validity)  # noqa: FBT003 - granted or not

    def _no_lasts(self, question: Question) -> int:
        return 0 if question.method == "post" else min(self.validity, _NO_LASTS)


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
