"""Decisions as values, and the scopes in them."""

from __future__ import annotations

import re

import pytest

from keyhole.access.decision import Allow, Deny, Event, Reason, Record, Scope, studies_of
from keyhole.access.grant import StudyFilter
from keyhole.access.resource import Resource
from tests.access.world import ANNA, ARCHIVE, LINEAGES, NOW, OTHER, PRIOR, SERIES, SISTER, STUDY, TWIN


@pytest.mark.parametrize("decision", [Allow(Scope()), Deny(Reason.NO_GRANT)])
def test_a_decision_is_no_condition(decision: Allow | Deny) -> None:
    with pytest.raises(TypeError):
        bool(decision)


def test_reasons_are_kebab_case_words() -> None:
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", reason) for reason in Reason)


def test_an_empty_scope_covers_nothing() -> None:
    assert Scope().empty
    assert not Scope().covers(STUDY)
    assert Scope().within(ARCHIVE).empty


def test_a_scope_covers_what_lies_below_its_targets() -> None:
    reach = Scope(frozenset({STUDY}))
    assert reach.covers(SERIES)
    assert not reach.covers(PRIOR)
    assert not reach.empty


def test_a_scope_of_a_patient_covers_their_known_studies() -> None:
    assert Scope(frozenset({ANNA})).covers(PRIOR, LINEAGES["1.2.4"])
    assert not Scope(frozenset({ANNA})).covers(PRIOR)


@pytest.mark.parametrize(
    ("targets", "resource", "part"),
    [
        pytest.param({STUDY, PRIOR}, STUDY, {STUDY}, id="a whole study"),
        pytest.param({ARCHIVE}, SERIES, {SERIES}, id="the series asked for, of a whole archive"),
        pytest.param({SERIES, SISTER, PRIOR}, STUDY, {SERIES, SISTER}, id="the granted series of a study"),
        pytest.param({STUDY, TWIN}, ARCHIVE, {STUDY}, id="the studies of one archive"),
        pytest.param({ANNA, STUDY}, ARCHIVE, {ANNA, STUDY}, id="patients and studies of an archive"),
        pytest.param({OTHER}, STUDY, set(), id="nothing of another study"),
        pytest.param({StudyFilter("main", label="teaching")}, SERIES, set(), id="no filter below archives"),
    ],
)
def test_the_part_of_a_scope_in_a_resource(targets: set[Resource], resource: Resource, part: set[Resource]) -> None:
    assert Scope(frozenset(targets)).within(resource) == Scope(frozenset(part))


def test_a_scope_names_the_studies_of_its_archive_in_order_and_once() -> None:
    reach = Scope(frozenset({PRIOR, STUDY, SERIES, TWIN, ANNA, ARCHIVE, StudyFilter("main", label="teaching")}))
    assert studies_of(reach, "main") == ["1.2.3", "1.2.4"]


def test_a_record_s_details_are_empty_unless_given() -> None:
    record = Record(at=NOW, event=Event.STARTED, subject="user:root")
    assert (record.detail, record.personal, record.times) == ({}, {}, 1)
