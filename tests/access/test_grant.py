"""Grants and filters: what cannot be built, and when one is live."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from keyhole.access.grant import Grant, Lineage, StudyFilter
from keyhole.access.resource import Action
from tests.access.world import HOUR, NOW, STUDY, grant

KNOWN = Lineage(None, "user:anna", frozenset({"teaching"}), frozenset({("00080060", "CT"), ("00081030", "x")}))


def test_an_empty_filter_would_be_the_whole_archive() -> None:
    with pytest.raises(ValueError):
        StudyFilter("main")


@pytest.mark.parametrize(
    ("study_filter", "matches"),
    [
        pytest.param(StudyFilter("main", owner="user:anna"), True, id="the owner"),
        pytest.param(StudyFilter("main", owner="user:ben"), False, id="another owner"),
        pytest.param(StudyFilter("main", label="teaching"), True, id="a label"),
        pytest.param(StudyFilter("main", label="Teaching"), False, id="a label in another case"),
        pytest.param(StudyFilter("main", attributes=frozenset({("00080060", "CT")})), True, id="an attribute"),
        pytest.param(StudyFilter("main", attributes=frozenset({("00080060", "MR")})), False, id="another value"),
        pytest.param(StudyFilter("main", attributes=KNOWN.attributes), True, id="every attribute that is known"),
        pytest.param(StudyFilter("main", owner="user:anna", label="tumour-board"), False, id="all of it must match"),
    ],
)
def test_a_filter_matches_what_is_known(study_filter: StudyFilter, matches: bool) -> None:
    assert study_filter.matches(KNOWN) is matches


def test_a_grant_is_to_a_principal() -> None:
    with pytest.raises(ValueError):
        grant(to="anna")


def test_a_grant_allows_something() -> None:
    with pytest.raises(ValueError):
        Grant("user:anna", frozenset(), STUDY, "test")


@pytest.mark.parametrize("field", ["not_before", "expires_at", "withdrawn_at"])
def test_a_grant_s_times_have_a_zone(field: str) -> None:
    naive = datetime(2026, 3, 1, 12)  # noqa: DTZ001 - that is what must be refused
    with pytest.raises(ValueError):
        Grant("user:anna", frozenset({Action.SEARCH}), STUDY, "test", **{field: naive})


@pytest.mark.parametrize(
    ("held", "live"),
    [
        pytest.param(grant(), True, id="without times always"),
        pytest.param(grant(not_before=NOW), True, id="from its first moment"),
        pytest.param(grant(not_before=NOW + timedelta(microseconds=1)), False, id="not before"),
        pytest.param(grant(expires_at=NOW + timedelta(microseconds=1)), True, id="until just before its end"),
        pytest.param(grant(expires_at=NOW), False, id="not at its end"),
        pytest.param(grant(withdrawn_at=NOW + HOUR), False, id="not once it is withdrawn"),
    ],
)
def test_when_a_grant_is_live(held: Grant, live: bool) -> None:
    assert held.live(NOW) is live
