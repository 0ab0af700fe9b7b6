"""The decision point. Both functions are pure: the clock is an argument."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from keyhole.access.decision import Allow, Ask, Deny, Reason, Scope
from keyhole.access.grant import Grant, covers
from keyhole.access.resource import Action, Level
from keyhole.access.subject import Kind, Subject


def scope(action: Action, subject: Subject, grants: Iterable[Grant], now: datetime) -> Scope:
    """Where *subject* may do *action* at *now*. An answer to a search holds nothing else."""
    if action not in subject.ceiling:
        return Scope()
    return Scope(
        frozenset(
            [  # a list: on the way of every image, a generator costs twice as much
                grant.target
                for grant in grants
                if action in grant.actions and grant.principal in subject.principals and grant.live(now)
            ]
        )
    )


def decide(ask: Ask, subject: Subject, grants: Iterable[Grant], now: datetime) -> Allow | Deny:
    """Answer *ask*: allowed where :func:`scope` reaches, refused elsewhere with the reason that helps most.

    A divisible ask is allowed with what lies in scope; a search of a whole archive is allowed even when that is
    nothing, because its answer is then the empty list, which tells as little as a refusal.
    """
    if ask.action not in subject.ceiling:
        reason = Reason.NO_CREDENTIAL if subject.kind is Kind.ANONYMOUS else Reason.CEILING
        return Deny(reason, ask.resource)
    grants = tuple(grants)
    reach = scope(ask.action, subject, grants, now)
    if reach.covers(ask.resource, ask.lineage):
        return Allow(Scope(frozenset({ask.resource})))
    if ask.divisible:
        part = reach.within(ask.resource)
        if not part.empty or ask.resource.level is Level.ARCHIVE:
            return Allow(part)
    return Deny(_why(ask, subject, grants, now), ask.resource)


def _why(ask: Ask, subject: Subject, grants: Iterable[Grant], now: datetime) -> Reason:
    """The state of the grants that would have allowed *ask* at another time; NO_GRANT when there is none."""
    states = {
        _state(grant, now)
        for grant in grants
        if grant.principal in subject.principals
        and ask.action in grant.actions
        and covers(grant.target, ask.resource, ask.lineage)
    }
    for reason in (Reason.NOT_YET, Reason.EXPIRED, Reason.WITHDRAWN):
        if reason in states:
            return reason
    return Reason.NO_GRANT


def _state(grant: Grant, now: datetime) -> Reason:
    if grant.withdrawn_at is not None:
        return Reason.WITHDRAWN
    if grant.not_before is not None and now < grant.not_before:
        return Reason.NOT_YET
    return Reason.EXPIRED
