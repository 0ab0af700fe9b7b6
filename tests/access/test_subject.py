"""Subjects: names, and the ceiling of each kind of credential."""

from __future__ import annotations

import pytest

from keyhole.access.resource import Action
from keyhole.access.subject import ANONYMOUS, MAY_EVER, READING, Kind, Subject, is_principal


@pytest.mark.parametrize(
    "text", ["user:anna", "role:radiologist", "key:k1", "share:abc", "visit:x", "group:a@b/c", "plugin:orthanc"]
)
def test_is_a_principal(text: str) -> None:
    assert is_principal(text)


@pytest.mark.parametrize("text", ["", "anna", "user:", "USER:anna", "user:a b", "user:a\n", "admin:x", "user:\x00"])
def test_is_no_principal(text: str) -> None:
    assert not is_principal(text)


def test_a_subject_cannot_act_under_a_name_that_is_none() -> None:
    with pytest.raises(ValueError):
        Subject(Kind.SESSION, "anna", frozenset({"user:anna", "everybody"}))


def test_nobody_may_do_nothing() -> None:
    assert ANONYMOUS.ceiling == frozenset()


def test_a_wide_ceiling_is_cut_to_that_of_the_kind() -> None:
    assert Subject(Kind.VISIT, "visit:v", frozenset(), frozenset(Action)).ceiling == READING


def test_a_narrow_ceiling_stays_narrow() -> None:
    assert Subject(Kind.API_KEY, "key:k", frozenset(), frozenset({Action.SEARCH})).ceiling == {Action.SEARCH}


def test_every_kind_has_a_ceiling() -> None:
    assert set(MAY_EVER) == set(Kind)


def test_only_a_person_administers_or_a_server_that_vouches_for_one() -> None:
    people = {Kind.SESSION, Kind.OPERATOR, Kind.SERVER}
    assert {kind for kind in Kind if Action.ADMINISTER in MAY_EVER[kind]} == people
