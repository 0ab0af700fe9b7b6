"""Visits: when a share can be opened, how long that lasts, and what is shown for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.decision import Reason
from keyhole.access.resource import Resource
from keyhole.access.share import Share, ShareKind, Visit
from keyhole.sharing.link import Secret
from keyhole.sharing.visit import IDLE, LONGEST, bearer, begin, closed, over

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
DAY = timedelta(days=1)
VISIT_ID = "qrstuvwxyz234567"
SECRET = Secret("a" * 32)
SHARE = Share(
    id="abcdefghijklmnop",
    archive="main",
    resources=(Resource.of("main", "1.2.3"),),
    kind=ShareKind.VIEW,
    creator="user:anna",
    created_at=NOW,
    expires_at=NOW + 7 * DAY,
    key_id="one",
)
LIMITED = replace(SHARE, max_visits=1)
VISIT = begin(SHARE, VISIT_ID, SECRET, NOW)
STAFF = Visit(
    id=VISIT_ID,
    digest=b"",
    subject="user:anna",
    archive="main",
    created_at=NOW,
    ends_at=NOW + LONGEST,
    resources=SHARE.resources,
    begun_at=NOW,
    seen_at=NOW,
)


@pytest.mark.parametrize(
    ("share", "at", "reason"),
    [
        pytest.param(SHARE, NOW, None, id="a share can be opened"),
        pytest.param(SHARE, NOW + 7 * DAY - MOMENT, None, id="until just before its end"),
        pytest.param(SHARE, NOW + 7 * DAY, Reason.EXPIRED, id="not at its end"),
        pytest.param(replace(SHARE, not_before=NOW + DAY), NOW, Reason.NOT_YET, id="not before its beginning"),
        pytest.param(replace(SHARE, not_before=NOW), NOW, None, id="from its beginning on"),
        pytest.param(replace(LIMITED, visits=1), NOW, Reason.USED_UP, id="not more often than allowed"),
        pytest.param(replace(SHARE, locked_at=NOW), NOW, Reason.LOCKED, id="not once it is locked"),
        pytest.param(replace(LIMITED, visits=1, locked_at=NOW), NOW, Reason.LOCKED, id="which is told first"),
        pytest.param(replace(LIMITED, max_visits=2, visits=1), NOW, None, id="one more opening was granted"),
        pytest.param(replace(SHARE, visits=1000), NOW, None, id="as often as wanted without a limit"),
        pytest.param(replace(SHARE, withdrawn_at=NOW - DAY), NOW, Reason.WITHDRAWN, id="not once it is withdrawn"),
        pytest.param(
            replace(LIMITED, withdrawn_at=NOW, visits=1),
            NOW + 8 * DAY,
            Reason.WITHDRAWN,
            id="withdrawal is told before all else",
        ),
        pytest.param(replace(LIMITED, visits=1), NOW + 8 * DAY, Reason.EXPIRED, id="the end before the count"),
    ],
)
def test_whether_a_share_can_be_opened(share: Share, at: datetime, reason: Reason | None) -> None:
    assert closed(share, at) is reason


def test_a_visit_begins_for_whoever_holds_its_secret() -> None:
    visit = Visit(
        id=VISIT_ID,
        digest=SECRET.digest(),
        subject=f"share:{SHARE.id}",
        archive="main",
        created_at=NOW,
        ends_at=NOW + LONGEST,
        share=SHARE.id,
        begun_at=NOW,
        seen_at=NOW,
    )
    assert begin(SHARE, VISIT_ID, SECRET, NOW) == visit
    assert begin(LIMITED, VISIT_ID, SECRET, NOW) == replace(visit, limited=True)


def test_a_visit_lasts_twelve_hours_and_never_longer_than_its_share() -> None:
    assert VISIT.ends_at == NOW + LONGEST
    assert begin(replace(SHARE, expires_at=NOW + IDLE), VISIT_ID, SECRET, NOW).ends_at == NOW + IDLE


@pytest.mark.parametrize(
    ("visit", "share", "at", "reason"),
    [
        pytest.param(VISIT, SHARE, NOW, None, id="it lasts"),
        pytest.param(VISIT, SHARE, NOW + IDLE - MOMENT, None, id="while somebody is there"),
        pytest.param(VISIT, SHARE, NOW + IDLE, Reason.VISIT_ENDED, id="it ends by idling"),
        pytest.param(replace(VISIT, seen_at=NOW + IDLE), SHARE, NOW + IDLE, None, id="not while requests come"),
        pytest.param(
            replace(VISIT, limited=True), LIMITED, NOW + 2 * IDLE, None, id="a limited share's visit does not idle"
        ),
        pytest.param(
            replace(VISIT, limited=True), LIMITED, NOW + LONGEST, Reason.VISIT_ENDED, id="but lasts no longer either"
        ),
        pytest.param(
            replace(VISIT, seen_at=NOW + LONGEST), SHARE, NOW + LONGEST, Reason.VISIT_ENDED, id="twelve hours at most"
        ),
        pytest.param(
            VISIT, replace(SHARE, expires_at=NOW + MOMENT), NOW + MOMENT, Reason.EXPIRED, id="it ends with its share"
        ),
        pytest.param(VISIT, replace(SHARE, withdrawn_at=NOW), NOW, Reason.WITHDRAWN, id="or when that is withdrawn"),
        pytest.param(VISIT, None, NOW, Reason.WITHDRAWN, id="or is not there any more"),
        pytest.param(replace(VISIT, ended_at=NOW), SHARE, NOW, Reason.VISIT_ENDED, id="or was ended itself"),
        pytest.param(VISIT, replace(LIMITED, visits=1), NOW, None, id="a used-up share's running visit goes on"),
        pytest.param(STAFF, None, NOW, None, id="a visit of staff needs no share"),
        pytest.param(replace(STAFF, begun_at=None), None, NOW, Reason.VISIT_ENDED, id="but has to have begun"),
        pytest.param(replace(STAFF, seen_at=None), None, NOW, None, id="and lasts before its first request"),
    ],
)
def test_whether_a_visit_is_over(visit: Visit, share: Share | None, at: datetime, reason: Reason | None) -> None:
    assert over(visit, share, at) is reason


def test_a_bearer_names_its_visit_and_holds_its_secret() -> None:
    assert bearer(VISIT, SECRET) == f"khv_{VISIT_ID}_{SECRET.reveal()}"


@given(st.integers(0, 20 * 24 * 60), st.integers(0, 20 * 24 * 60))
def test_what_is_over_stays_over(early: int, late: int) -> None:
    early, late = sorted((early, late))
    if over(VISIT, SHARE, NOW + timedelta(minutes=early)) is not None:
        assert over(VISIT, SHARE, NOW + timedelta(minutes=late)) is not None
