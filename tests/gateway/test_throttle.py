"""So many at once, so many a second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyhole.gateway import throttle
from keyhole.gateway.throttle import Throttle

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def bucket() -> Throttle:
    return Throttle(at_once=10, per_second=2)


def test_a_burst_is_allowed_and_then_one_has_to_wait(bucket: Throttle) -> None:
    assert bucket.take("key:a", 10, NOW) == 0
    assert bucket.take("key:a", 1, NOW) == 0.5
    assert bucket.take("key:a", 4, NOW) == 2


def test_who_waits_as_long_as_told_may_ask(bucket: Throttle) -> None:
    bucket.take("key:a", 10, NOW)
    wait = timedelta(seconds=bucket.take("key:a", 4, NOW))
    assert bucket.take("key:a", 4, NOW + wait - timedelta(milliseconds=1)) > 0
    assert bucket.take("key:a", 4, NOW + wait) == 0
    assert bucket.take("key:a", 1, NOW + wait) > 0


def test_being_refused_costs_nothing(bucket: Throttle) -> None:
    bucket.take("key:a", 9, NOW)
    for _ in range(100):
        assert bucket.take("key:a", 2, NOW) == 0.5
    assert bucket.take("key:a", 1, NOW) == 0


def test_a_bucket_never_holds_more_than_at_first(bucket: Throttle) -> None:
    bucket.take("key:a", 1, NOW)
    assert bucket.take("key:a", 10, NOW + 1000 * SECOND) == 0
    assert bucket.take("key:a", 1, NOW + 1000 * SECOND) > 0


def test_one_does_not_use_up_what_another_has(bucket: Throttle) -> None:
    bucket.take("key:a", 10, NOW)
    assert bucket.take("key:b", 10, NOW) == 0


def test_a_clock_that_is_set_back_gives_and_takes_nothing(bucket: Throttle) -> None:
    bucket.take("key:a", 10, NOW)
    assert bucket.take("key:a", 1, NOW - 1000 * SECOND) == 0.5


def test_what_can_never_be_taken_is_a_fault(bucket: Throttle) -> None:
    with pytest.raises(ValueError, match="more than there can be"):
        bucket.take("key:a", 11, NOW)


def test_names_are_forgotten_longest_ago_first(bucket: Throttle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST_NAMES", 2)
    for name in ("key:a", "key:b"):
        bucket.take(name, 9, NOW)
    bucket.take("key:a", 1, NOW)
    bucket.take("key:c", 10, NOW)
    assert bucket.take("key:a", 1, NOW) > 0
    assert bucket.take("key:b", 10, NOW) == 0
