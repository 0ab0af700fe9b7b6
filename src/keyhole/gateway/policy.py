"""What the administrator asks of every share: conditions, by the sender's roles, and bounds. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import reduce
from typing import Self

from keyhole.access.condition import ConditionName
from keyhole.access.share import Share, ShareChange
from keyhole.errors import Refused
from keyhole.gateway.order import ShareOrder, Wishes, nobody_to_mail
from keyhole.gateway.post.address import address

PROVING = frozenset(ConditionName) - {ConditionName.TERMS}
"""The conditions that show something of who opens a link: anybody can accept terms."""


class ConditionsNeeded(Refused):
    """A link needs conditions that were not named; all of ``names``, or ``any_of`` them."""

    def __init__(
        self,
        names: Iterable[ConditionName],
        *,
        any_of: bool,
        because: str = "this Keyhole requires it",
        otherwise: str = "",
    ) -> None:
        """Say which, *because* of what, and what to do *otherwise*."""
        self.names = tuple(name for name in ConditionName if name in frozenset(names))
        self.any_of = any_of
        listed = (" or " if any_of else " and ").join(self.names)
        what = f"one of these conditions: {listed}" if any_of and len(self.names) > 1 else f"the condition {listed}"
        wanted = [ConditionName.PASSCODE] if any_of else self.names
        super().__init__(f"a link needs {what} ({because})", f"add {' '.join(map(_option, wanted))}{otherwise}")


def _option(name: ConditionName) -> str:
    return "--passcode generate" if name is ConditionName.PASSCODE else f"--{name}"


@dataclass(frozen=True, slots=True)
class Required:
    """Which conditions a link must have: all of ``names``, and when ``any_one`` at least one that proves something."""

    any_one: bool = False
    names: frozenset[ConditionName] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """What ``any``, ``none`` or a list of conditions with commas requires; ValueError for anything else."""
        if text in ("any", "none"):
            return cls(any_one=text == "any")
        words = [word.strip() for word in re.split("[,+]", text) if word.strip()]
        if not words or not set(words) <= set(ConditionName):
            raise ValueError(f"is neither any nor none, nor made of {', '.join(ConditionName)}")
        return cls(names=frozenset(map(ConditionName, words)))

    def __or__(self, other: Required) -> Required:
        """What both require."""
        return Required(self.any_one or other.any_one, self.names | other.names)

    def __str__(self) -> str:
        """As the settings write it."""
        if self.names:
            return ",".join(name for name in ConditionName if name in self.names)
        return "any" if self.any_one else "none"

    def lacking(self, held: Collection[ConditionName]) -> frozenset[ConditionName]:
        """What to add to the conditions *held*, so that a link may be given out: a passcode where any would do."""
        wanted = self.names.difference(held)
        proves = not PROVING.isdisjoint(wanted.union(held))
        return wanted if proves or not self.any_one else wanted | {ConditionName.PASSCODE}

    def demand(self, held: Collection[ConditionName]) -> None:
        """Raise :class:`ConditionsNeeded` unless a link with the conditions *held* may be given out."""
        if not self.names <= set(held):
            raise ConditionsNeeded(self.names.difference(held), any_of=False)
        if self.any_one and PROVING.isdisjoint(held):
            raise ConditionsNeeded(PROVING, any_of=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The administrator's word on all shares.

    ``required`` holds for a sender none of whose roles is in ``of_roles``; else the strictest of their roles.
    ``lasts`` is how long a share lasts of which nobody says so. ``most_visits`` bounds how often any share can be
    opened. ``terms``: whether there are any to accept. ``mails``: whether mail can be sent, and ``mail_domains`` where
    to; any without. ``notify`` is told of a share when its sender names nobody.
    """

    required: Required = field(default_factory=Required)
    of_roles: Mapping[str, Required] = field(default_factory=dict)
    lasts: timedelta | None = None
    most_visits: int | None = None
    terms: bool = False
    mails: bool = True
    mail_domains: frozenset[str] = frozenset()
    notify: str | None = None

    def required_of(self, roles: Collection[str]) -> Required:
        """What links need that a sender with these *roles* gives out."""
        found = [self.of_roles.get(role, self.required) for role in roles] or [self.required]
        return reduce(Required.__or__, found)

    def applied(self, order: ShareOrder, roles: Collection[str]) -> ShareOrder:
        """*order* of a sender with *roles*, within these bounds; Refused when it is not to be had so."""
        held = order.wishes.names
        self.check_possible(order.wishes, held)
        order = replace(
            order,
            max_visits=self.visits(order.max_visits),
            mail_to=self._recipient(order.mail_to),
            notify=self._told(order.notify),
        )
        self.required_of(roles).demand(held)
        _check_limited(order, held)
        return order

    def applied_to_change(
        self, change: ShareChange, share: Share, wishes: Wishes, roles: Collection[str]
    ) -> ShareChange:
        """*change* of *share* by a sender with *roles*, who wishes for more conditions; Refused as :meth:`applied`.

        Whoever gives more gives a link that has what links need by now.
        """
        wishes.check()
        held = wishes.names.union(share.conditions.names)
        self.check_possible(wishes, held)
        change = replace(change, mail_to=self._recipient(change.mail_to), notify=self._told(change.notify))
        if wishes.mail_code and (change.mail_to or share.mail_to) is None:
            raise nobody_to_mail()
        if change.more_visits:
            self.visits((share.max_visits or 0) + change.more_visits)
        later = change.expires_at is not None and change.expires_at > share.expires_at
        if later or change.more_visits or change.new_link_key:
            self.required_of(roles).demand(held)
        return change

    def end(self, now: datetime) -> datetime:
        """When a share ends that is made at *now*, and of which nobody says how long it lasts."""
        if self.lasts is None:
            raise Refused("a share needs an end", "add --for DAYS, for example --for 7d")
        return now + self.lasts

    def visits(self, wanted: int | None) -> int | None:
        """How often a share can be opened for which *wanted* was said: bounded, also when nothing was."""
        if wanted is not None and self.most_visits is not None and wanted > self.most_visits:
            times = f"{self.most_visits} time{'s' * (self.most_visits > 1)}"
            raise Refused(f"a share can be opened {times} at most here", "KEYHOLE_MOST_VISITS sets the limit")
        return self.most_visits if wanted is None else wanted

    def check_possible(self, wishes: Wishes, held: Collection[ConditionName]) -> None:
        """Raise Refused for a condition that nobody could meet, and for a code for paper that is all that is asked."""
        if wishes.terms and not self.terms:
            raise Refused("there are no terms to accept here", "KEYHOLE_TERMS names the folder that they are in")
        if wishes.mail_code and not self.mails:
            raise Refused("no code can be mailed: this Keyhole sends no mail", "KEYHOLE_SMTP_HOST sets the mail server")

        if wishes.paper and not {ConditionName.PASSCODE, ConditionName.BIRTH_DATE} & set(held):
            raise Refused("a code for paper needs a passcode or the birth date besides", "add --passcode generate")

    def _recipient(self, text: str | None) -> str | None:
        return None if text is None else address(text, self.mail_domains)

    def _told(self, text: str | None) -> str | None:
        if text is not None and not self.mails:
            raise Refused("nobody can be told: this Keyhole sends no mail", "KEYHOLE_SMTP_HOST sets the mail server")
        return self._recipient(text)


def _check_limited(order: ShareOrder, held: Collection[ConditionName]) -> None:
    """Refuse openings that are counted and that anybody can use up: scanners of mail open links too, and some click."""
    if order.max_visits is not None and not order.forced and PROVING.isdisjoint(held):
        why = "its openings are counted, and scanners of mail click too"
        raise ConditionsNeeded(PROVING, any_of=True, because=why, otherwise=", or --force")
