"""No sequence of events begins a visit without everything that was asked: the whole of it, held to a plain model."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from keyhole.access.condition import Conditions
from keyhole.access.decision import Deny, Reason
from keyhole.access.share import ShareChange
from keyhole.gateway.client import Client
from keyhole.gateway.opening import CodeSent, Needed, Opened, Wrong
from keyhole.sharing import condition
from keyhole.sharing.condition import Answers
from tests.gateway.asked import BORN, EVERYTHING, HASH, PASSCODE, TERMS, Person, asking, other, share
from tests.gateway.gate import DAY, OPERATOR, Gate

T = TypeVar("T")
MOST = 3
_PASSCODES = {"right": PASSCODE, "wrong": "wrong horse", "none": None}
_DAYS = {"right": BORN, "wrong": "19800228", "none": None}
_TERMS = {"right": TERMS.version, "none": None, "old": "0123456789ab"}


class Links(RuleBasedStateMachine):
    """One link, two browsers, and a clock that goes both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.gate = Gate(asking=asking(wrong_answers=MOST))
        self.addresses = itertools.count(1)
        self.wrong = self.opened = self.most_seen = 0
        self.begun = False
        self.code: tuple[str, str, datetime] | None = None
        """The digits, the browser and the time of the newest code that is not spent."""
        self.codes: list[str] = []

    def teardown(self) -> None:
        self.loop.close()

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(what)

    @initialize(names=st.sets(st.sampled_from(EVERYTHING), min_size=1))
    def a_link(self, names: set[str]) -> None:
        self.names = names
        link = self.run(share(self.gate, *names, expires_at=self.gate.now + 365 * DAY))
        self.browsers = {name: Person(self.gate, link) for name in ("own", "foreign")}
        self.begun = True

    @rule(browser=st.sampled_from(["own", "foreign"]))
    def asks_for_a_code(self, browser: str) -> None:
        person = self.browsers[browser]
        person.client = self.elsewhere()
        sent = self.run(person.ask_for_code())
        if isinstance(sent, CodeSent):
            assert "mail-code" in self.names
            assert self.wrong < MOST
            self.code = person.digits, browser, self.gate.now
            self.codes.append(person.digits)

    @rule(
        browser=st.sampled_from(["own", "foreign"]),
        passcode=st.sampled_from(sorted(_PASSCODES)),
        day=st.sampled_from(sorted(_DAYS)),
        digits=st.sampled_from(["right", "right", "wrong", "none", "old"]),
        terms=st.sampled_from(["right", "right", "none", "old"]),
        secret=st.sampled_from(["right", "right", "right", "wrong"]),
    )
    def answers(self, browser: str, passcode: str, day: str, digits: str, terms: str, secret: str) -> None:
        person = self.browsers[browser]
        newest = self.code[0] if self.code else "000000"
        typed = {"right": newest, "wrong": other(newest), "none": None, "old": (self.codes or ["000000"])[0]}[digits]
        given = Answers(
            passcode=_PASSCODES[passcode],
            birth_date=_DAYS[day],
            mail_code=typed,
            ticket=person.ticket,
            terms=_TERMS[terms],
        )
        self.shows(person, "right" if secret == "right" else "wrong", given, browser)

    @rule()
    def answers_everything_right(self) -> None:
        person = self.browsers["own"]
        self.asks_for_a_code("own")
        typed = self.code[0] if self.code else None
        given = Answers(passcode=PASSCODE, birth_date=BORN, mail_code=typed, ticket=person.ticket, terms=TERMS.version)
        self.shows(person, "right", given, "own")

    def elsewhere(self) -> Client:
        """A client at an address that nobody had before: how often one may answer is tested elsewhere."""
        return Client(f"address {next(self.addresses)}")

    def shows(self, person: Person, secret: str, given: Answers, browser: str) -> None:
        shown = self.gate.secret(person.link)
        if secret == "wrong":
            shown = self.gate.secret(replace(person.link, generation=person.link.generation + 7))
        found = self.run(self.gate.openings.begin(person.link.id, shown, given, self.elsewhere()))
        expected = self.expected(secret, given, browser)
        expects = isinstance(found, expected) if isinstance(expected, type) else found == expected
        assert expects, f"{found} and not {expected}"
        self.wrong += isinstance(found, Wrong)
        if isinstance(found, Opened):
            self.opened += 1
            self.code = None if "mail-code" in self.names else self.code

    def expected(self, secret: str, given: Answers, browser: str) -> Any:
        """What the plain model says, without any of the code that is tested."""
        if secret == "wrong":
            return Deny(Reason.WRONG_SECRET)
        if self.wrong >= MOST:
            return Deny(Reason.LOCKED)
        missing = {
            "passcode": given.passcode is None,
            "birth-date": given.birth_date is None,
            "mail-code": given.mail_code is None or given.ticket is None,
            "terms": given.terms != TERMS.version,
        }
        if any(missing[name] for name in self.names):
            return Needed
        mine = self.code is not None and self.code[1] == browser and given.mail_code == self.code[0]
        fresh = self.code is not None and timedelta(0) <= self.gate.now - self.code[2] < timedelta(minutes=10)
        right = {
            "passcode": given.passcode == PASSCODE,
            "birth-date": given.birth_date == BORN,
            "mail-code": mine and fresh,
            "terms": True,
        }
        return Opened if all(right[name] for name in self.names) else Wrong

    @rule(minutes=st.integers(-30, 60))
    def the_clock_is_set(self, minutes: int) -> None:
        self.gate.after(timedelta(minutes=minutes))
        self.gate.now = max(self.gate.now, self.gate_began)

    @property
    def gate_began(self) -> datetime:
        return self.browsers["own"].link.created_at

    @rule()
    def the_sender_makes_a_new_link(self) -> None:
        before = self.browsers["own"].link
        born = condition.birth_date_digest(self.gate.ring, self.gate.ring.current, before.id, BORN)
        again = Conditions(
            passcode=HASH if "passcode" in self.names else None,
            birth_date=born if "birth-date" in self.names else None,
            mail_code="mail-code" in self.names,
            terms="terms" in self.names,
        )
        change = ShareChange(new_link_key=self.gate.ring.current, conditions=again)
        after = self.run(self.gate.desk.change_share(OPERATOR, before.id, change))
        for person in self.browsers.values():
            person.link = after
        self.wrong, self.most_seen, self.code = 0, 0, None

    @invariant()
    def what_is_kept_is_what_happened(self) -> None:
        if not self.begun:
            return
        kept = self.run(self.gate.store.share(self.browsers["own"].link.id))
        assert kept is not None
        assert kept.visits == self.opened, "as many visits as were opened with everything right"
        assert kept.attempts - kept.passed == self.wrong
        assert (kept.locked_at is not None) == (self.wrong >= MOST)
        assert kept.attempts >= self.most_seen, "the count never goes down"
        self.most_seen = kept.attempts


Links.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestLinks = Links.TestCase
