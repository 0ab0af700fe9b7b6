"""Laws of what is counted, over any sequence of events: on every store, and held to what sharing says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from keyhole.access.condition import Answered, Conditions
from keyhole.access.decision import Reason
from keyhole.access.share import Share, ShareChange
from keyhole.sharing.condition import UNDER_WAY, Happening, Tries, after
from keyhole.store import limits, rules
from keyhole.store.database import open_store
from keyhole.store.memory import MemoryStore
from tests.store.makers import (
    ASKED,
    HOUR,
    LOCK,
    MINUTE,
    NOW,
    REFUSAL,
    SIGNING,
    Store,
    added,
    bucket,
    mailed,
    record,
    visit,
)

T = TypeVar("T")

ASKING = (ASKED, replace(ASKED, terms=True), Conditions(mail_code=True, terms=True))
FOR_LONG = {"mail_to": "m@example.org", "expires_at": NOW + 10_000 * HOUR}
STEPS = st.sampled_from([0, 1, 20, 59, 60, 61, 3600]) | st.integers(-7200, 7200)


@pytest.fixture
def at_hand(a_url: str | None, tmp_path: Path) -> Iterator[tuple[asyncio.Runner, Store]]:
    """An open store, and a loop to use it in."""
    with asyncio.Runner() as runner:
        store = MemoryStore(SIGNING) if a_url is None else open_store(a_url, SIGNING, tmp_path)
        yield runner, store
        runner.run(store.close())


class Link(RuleBasedStateMachine):
    """One share whose link many people try to open."""

    runner: asyncio.Runner
    store: Store

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize(most=st.integers(1, 4), asked=st.sampled_from(ASKING), visits=st.none() | st.integers(1, 3))
    def begin(self, most: int, asked: Conditions, visits: int | None) -> None:
        self.now, self.most = NOW, most
        self.one = self.run(added(self.store, conditions=asked, max_visits=visits, **FOR_LONG))
        self.links = [self.one]
        self.tries = Tries()
        self.taken = self.passed = self.visits = 0
        self.nonce: str | None = None
        self.ends_at = NOW

    @rule(seconds=STEPS)
    def the_clock_moves(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(times=st.integers(1, 4))
    def some_answer_at_the_same_moment(self, times: int) -> None:
        outcomes = self.run(self._together(times))
        for outcome in sorted(outcomes, key=lambda each: isinstance(each, Reason)):
            if self._used_up() and self.tries.locked_at is None:
                assert outcome is Reason.USED_UP
                continue
            self.tries, why = after(self.tries, Happening.TAKEN_UP, self.most, self.now)
            assert (outcome if isinstance(outcome, Reason) else None) is why
            self.taken += isinstance(outcome, Share)

    async def _together(self, times: int) -> list[Share | Reason]:
        trying = (
            self.store.begin_attempt(self.one.id, self.one.generation, self.most, self.now, LOCK) for _ in range(times)
        )
        return list(await asyncio.gather(*trying))

    @rule(old=st.booleans())
    def somebody_was_wrong(self, old: bool) -> None:
        link = self.links[0] if old else self.one
        self.run(self.store.fail_attempt(link.id, link.generation, self.most, self.now, REFUSAL, LOCK))
        if link.generation == self.one.generation:
            self.tries, _ = after(self.tries, Happening.WRONG, self.most, self.now)

    @rule(asked=st.none() | st.sampled_from(ASKING), old=st.booleans(), spent=st.booleans())
    def somebody_was_right(self, asked: Conditions | None, old: bool, spent: bool) -> None:
        """Or says so: with the conditions or the code of another moment, or no attempt that was taken up."""
        link = self.links[0] if old else self.one
        answered = Answered(self.one.conditions if asked is None else asked, "spent" if spent else self.nonce)
        opening = self.store.begin_visit(
            visit(self.one), self.now, record(), link_generation=link.generation, answered=answered
        )
        outcome, why = self.run(opening), self._why_not(link, answered)
        if why is not None:
            assert outcome is why
            return
        assert isinstance(outcome, Share)
        self.tries, _ = after(self.tries, Happening.RIGHT, self.most, self.now)
        self.passed += 1
        self.visits += 1
        self.nonce = None if answered.conditions.mail_code else self.nonce

    def _why_not(self, link: Share, answered: Answered) -> Reason | None:
        """Why nothing opens, in the words of the specification."""
        good = self.nonce is not None and answered.code == self.nonce and self.now < self.ends_at
        if link.generation != self.one.generation:
            return Reason.WITHDRAWN
        if self.tries.locked_at is not None:
            return Reason.LOCKED
        if self._used_up():
            return Reason.USED_UP
        met = answered.conditions == self.one.conditions and (good or not answered.conditions.mail_code)
        return None if met and self.passed < self.taken else Reason.WRONG_ANSWER

    def _used_up(self) -> bool:
        return self.one.max_visits is not None and self.visits >= self.one.max_visits

    @rule()
    def somebody_opens_it_without_answers(self) -> None:
        outcome = self.run(self.store.begin_visit(visit(self.one), self.now, record()))
        assert outcome in {Reason.ANSWERS_NEEDED, Reason.LOCKED, Reason.USED_UP}

    @rule()
    def a_code_is_mailed(self) -> None:
        self.ends_at = self.now + 10 * MINUTE
        self.nonce = self.run(mailed(self.store, self.one, created_at=self.now, ends_at=self.ends_at)).nonce

    @rule(asked=st.sampled_from(ASKING))
    def the_sender_asks_for_something_else(self, asked: Conditions) -> None:
        self._change(ShareChange(conditions=asked))

    @rule()
    def the_sender_makes_a_new_link(self) -> None:
        self._change(ShareChange(new_link_key="ring-2"))
        self.links.append(self.one)
        self.tries, _ = after(self.tries, Happening.NEW_LINK, self.most, self.now)
        self.taken = self.passed = 0
        self.nonce = None

    def _change(self, change: ShareChange) -> None:
        changed = self.run(self.store.change_share(self.one.id, change, record()))
        assert changed is not None
        self.one = changed

    @invariant()
    def no_more_than_allowed_are_taken_up_and_not_passed(self) -> None:
        assert self.taken - self.passed <= self.most

    @invariant()
    def what_is_counted_is_what_sharing_says(self) -> None:
        """So it only ever grows with one link, and a lock only ever ends with a new one."""
        kept = self.run(self.store.share(self.one.id))
        assert kept is not None
        assert (kept.attempts, kept.passed, kept.visits) == (self.taken, self.passed, self.visits)
        assert Tries.of(kept) == self.tries


def test_no_sequence_of_events_takes_up_more_attempts_than_allowed(
    at_hand: tuple[asyncio.Runner, Store], request: pytest.FixtureRequest
) -> None:
    class There(Link):
        runner, store = at_hand

    many = settings().max_examples if isinstance(at_hand[1], MemoryStore) else settings().max_examples // 5
    run_state_machine_as_test(
        There,
        settings=settings(
            max_examples=many, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_store_and_sharing_give_up_after_the_same_time() -> None:
    assert rules.GIVEN_UP_AFTER == UNDER_WAY


# -- buckets, in whole microseconds

BUCKETS = st.builds(
    bucket, at_once=st.integers(1, 9), every=st.integers(1, 50).map(lambda number: timedelta(microseconds=number))
)


@given(of=BUCKETS, pauses=st.lists(st.integers(0, 120), max_size=60))
def test_a_bucket_is_what_a_count_of_tokens_would_be(of: limits.Bucket, pauses: list[int]) -> None:
    now, kept, tokens, last = 0, None, Fraction(of.at_once), 0
    every = of.every // timedelta(microseconds=1)
    for pause in pauses:
        now += pause
        tokens, last = min(Fraction(of.at_once), tokens + Fraction(now - last, every)), now
        level = limits.level(of, kept, now)
        assert (level.wait == 0) is (tokens >= 1)
        assert level.wait == max(0, (1 - tokens) * every)
        if not level.wait:
            kept = limits.after([level])[of.name]
            tokens -= 1


@given(of=BUCKETS, clock=st.lists(st.integers(-3000, 3000), min_size=1, max_size=80))
def test_whatever_the_clock_does_no_more_is_taken_than_its_furthest_moment_allows(
    of: limits.Bucket, clock: list[int]
) -> None:
    """However often it is set back."""
    kept, taken = None, 0
    every = of.every // timedelta(microseconds=1)
    for now in clock:
        level = limits.level(of, kept, now)
        if not level.wait:
            kept = limits.after([level])[of.name]
            taken += 1
    assert taken <= of.at_once + Fraction(max(clock) - min(clock), every)


@given(of=BUCKETS, moments=st.lists(st.integers(-3000, 3000), min_size=2, max_size=80))
def test_a_clock_that_is_set_back_never_shortens_a_wait(of: limits.Bucket, moments: list[int]) -> None:
    kept = None
    for now, earlier in pairwise(moments):
        level = limits.level(of, kept, now)
        kept = kept if level.wait else limits.after([level])[of.name]
        if earlier < now:
            assert limits.level(of, kept, earlier).wait >= limits.level(of, kept, now).wait
