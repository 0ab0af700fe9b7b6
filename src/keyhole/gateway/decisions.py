"""Decisions for others: an application asks, and enforces the answer itself. That it asked is on the trail."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

from keyhole.access.decision import Deny, Event, Reason, Record
from keyhole.access.resource import Action, Resource
from keyhole.access.subject import Subject
from keyhole.errors import Refused
from keyhole.gateway.client import LOCAL, Client
from keyhole.gateway.judge import Judge, Judgement, Named, Sent, Shown
from keyhole.gateway.office import Office
from keyhole.gateway.throttle import Throttle

MOST_AT_ONCE = 100
"""Questions of one call."""

AT_ONCE, PER_SECOND = 1000, 100.0
"""What one asker has at each process: so many questions in a burst, and so many a second in the long run."""


class TooOften(Refused):
    """Somebody asks more than they may; after ``wait`` seconds, a whole number, they may again."""

    def __init__(self, wait: float, problem: str = "too many questions") -> None:
        """Say of what there is too much, and how long to wait."""
        self.wait = max(1, math.ceil(wait))
        super().__init__(problem, f"ask again in {self.wait} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions(Office):
    """One per process, for whoever may ask everywhere."""

    judge: Judge
    throttle: Throttle

    async def judged(
        self, subject: Subject, asked: Sequence[tuple[Named | Shown, Sent]], client: Client = LOCAL
    ) -> Sequence[Judgement]:
        """What would become of each request that was *asked* about, in order.

        That *subject* heard "allowed" is durable before they hear it. Raises NotAllowed, :class:`TooOften`, or
        NotFound when an archive is none.
        """
        self._demand_everywhere(subject, Action.ASK, client)
        self._count(subject, len(asked), client)
        for _, sent in asked:
            if sent.archive is not None:
                self._check_archive(sent.archive)
        found = [await self.judge.judge(who, sent) for who, sent in asked]
        await asyncio.gather(*(self._told(self._record(subject, each, client)) for each in found))
        return found

    def _count(self, subject: Subject, count: int, client: Client) -> None:
        wait = self.throttle.take(subject.name, count, self.now())
        if wait:
            self._refuse(subject, Reason.TOO_MANY, Action.ASK, Resource.whole(self.archives[0]), client)
            raise TooOften(wait)

    async def _told(self, record: Record) -> None:
        """Put on record what is about to be told: refusals are summed up, as those of the gateway are."""
        if record.reason is not None:
            self.ledger.refuse(record)
            return
        await self.ledger.release(record)
        self.ledger.count(record, 0, 0)

    def _record(self, subject: Subject, found: Judgement, client: Client) -> Record:
        kind, _, name = found.about.partition(":")
        visit = found.holder.visit
        asked = {} if found.ask is None else {"asked": found.ask.action.value}
        return Record(
            at=self.now(),
            event=Event.ASKED,
            subject=subject.name,
            archive=None if found.ask is None else found.ask.resource.archive,
            study=None if found.ask is None else found.ask.resource.study,
            action=Action.ASK,
            reason=found.decision.reason if isinstance(found.decision, Deny) else None,
            share=visit.share if visit is not None else name if kind == "share" else None,
            visit=None if visit is None else visit.id,
            detail={"about": found.about, **asked},
            personal=client.personal(),
        )
