"""What holds of the counters after any sequence of events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from keyhole.access.decision import Reason
from keyhole.sharing.condition import UNDER_WAY, Happening, Tries, after

MOST = 3


class Counters(RuleBasedStateMachine):
    """A link, and everybody who tries it: each takes an attempt up first and is right or wrong later, or never."""

    def __init__(self) -> None:
        super().__init__()
        self.tries = Tries()
        self.now = datetime(2026, 3, 1, tzinfo=UTC)
        self.under_way = 0
        self.wrong = 0
        """Of this link: answers that were wrong, and attempts that nobody finished."""

    def happens(self, what: Happening) -> Reason | None:
        before = self.tries
        self.tries, why = after(before, what, MOST, self.now)
        if what is not Happening.NEW_LINK:
            assert self.tries.attempts >= before.attempts, "the count never goes down"
            assert self.tries.passed >= before.passed
            assert before.locked_at is None or self.tries == before, "a lock stays, and nothing counts behind it"
        return why

    @rule()
    def takes_up(self) -> None:
        if self.happens(Happening.TAKEN_UP) is None:
            self.under_way += 1

    @precondition(lambda self: self.under_way)
    @rule()
    def is_wrong(self) -> None:
        self.under_way -= 1
        self.wrong += 1
        self.happens(Happening.WRONG)

    @precondition(lambda self: self.under_way)
    @rule()
    def is_right(self) -> None:
        locked = self.tries.locked_at is not None
        why = self.happens(Happening.RIGHT)
        assert (why is Reason.LOCKED) is locked, "behind a lock the right answer opens nothing"
        self.under_way -= 1
        self.wrong += locked

    @precondition(lambda self: self.under_way)
    @rule()
    def dies(self) -> None:
        self.under_way -= 1
        self.wrong += 1

    @rule()
    def gets_a_new_link(self) -> None:
        self.happens(Happening.NEW_LINK)
        self.under_way = self.wrong = 0

    @rule(seconds=st.integers(-3600, 3600))
    def the_clock_is_set(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def no_more_than_the_most_were_ever_checked_and_not_right(self) -> None:
        assert self.wrong + self.under_way <= MOST
        assert self.tries.attempts - self.tries.passed == self.wrong + self.under_way

    @invariant()
    def what_is_left_is_told_truly(self) -> None:
        assert self.tries.left(MOST) == (0 if self.tries.locked_at else MOST - self.wrong - self.under_way)

    @precondition(lambda self: self.wrong == MOST)
    @invariant()
    def nobody_is_let_in_after_the_last(self) -> None:
        for later in (timedelta(0), UNDER_WAY, timedelta(days=365)):
            again, why = after(self.tries, Happening.TAKEN_UP, MOST, self.now + later)
            assert why in (Reason.LOCKED, Reason.TOO_MANY)
            assert again.attempts == self.tries.attempts


TestCounters = Counters.TestCase
