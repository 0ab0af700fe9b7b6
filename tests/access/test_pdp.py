"""The decision: the table that says it in examples, and the laws that hold for all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.access.decision import Allow, Ask, Deny, Reason, Scope
from keyhole.access.grant import UNKNOWN, Grant, StudyFilter
from keyhole.access.pdp import decide, scope
from keyhole.access.resource import Action, Resource
from keyhole.access.subject import ANONYMOUS, MAY_EVER, READING, Kind, Subject
from tests.access.world import (
    ANNA,
    ANNA_HERSELF,
    ARCHIVE,
    BORIS,
    ELSEWHERE,
    HOUR,
    INSTANCE,
    LINEAGES,
    NODES,
    NOW,
    OTHER,
    PRIOR,
    SERIES,
    SHARE,
    SISTER,
    STUDY,
    TWIN,
    VISIT,
    actions,
    grant,
    grant_lists,
    grants,
    lineage,
    nodes,
    subjects,
    times,
)

RETRIEVE, SEARCH = Action.RETRIEVE, Action.SEARCH
NO = Reason.NO_GRANT


@pytest.mark.parametrize(
    ("held", "asked", "answer"),
    [
        pytest.param([], STUDY, NO, id="nothing is shared by default"),
        pytest.param([grant()], STUDY, STUDY, id="a grant opens what it names"),
        pytest.param([grant()], SERIES, SERIES, id="and everything below"),
        pytest.param([grant()], INSTANCE, INSTANCE, id="down to the instance"),
        pytest.param([grant()], PRIOR, NO, id="but not the same patient's other study"),
        pytest.param([grant()], OTHER, NO, id="nor one whose UID starts with the same digits"),
        pytest.param([grant()], TWIN, NO, id="nor the study of the same UID in another archive"),
        pytest.param([grant()], ANNA, NO, id="nor the patient"),
        pytest.param([grant()], ARCHIVE, NO, id="nor the archive"),
        pytest.param([grant(SERIES)], SERIES, SERIES, id="a series alone can be granted"),
        pytest.param([grant(SERIES)], SISTER, NO, id="then its sister stays closed"),
        pytest.param([grant(SERIES)], STUDY, NO, id="and so does the whole study"),
        pytest.param([grant(ARCHIVE)], OTHER, OTHER, id="an archive opens every study in it"),
        pytest.param([grant(ELSEWHERE)], STUDY, NO, id="of that archive only"),
        pytest.param([grant(ANNA)], STUDY, STUDY, id="a patient opens the studies that are known to be theirs"),
        pytest.param([grant(ANNA)], SERIES, SERIES, id="and what is below those"),
        pytest.param([grant(ANNA)], ANNA, ANNA, id="and the patient"),
        pytest.param([grant(ANNA)], OTHER, NO, id="but no other patient's"),
        pytest.param([grant(BORIS)], ANNA, NO, id="nor another patient"),
        pytest.param([grant(StudyFilter("main", label="teaching"))], STUDY, STUDY, id="a label opens what carries it"),
        pytest.param([grant(StudyFilter("main", label="teaching"))], PRIOR, NO, id="and nothing that does not"),
        pytest.param(
            [grant(StudyFilter("main", owner="user:anna"))], SERIES, SERIES, id="an owner opens what is owned"
        ),
        pytest.param([grant(StudyFilter("main", owner="user:anna"))], OTHER, NO, id="and nobody else's"),
        pytest.param(
            [grant(StudyFilter("main", owner="user:anna"))], ANNA, NO, id="a filter opens studies, no patient"
        ),
        pytest.param([grant(StudyFilter("research", label="teaching"))], STUDY, NO, id="a filter stays in its archive"),
        pytest.param([grant(to="share:somebodyelses")], STUDY, NO, id="another share's grant opens nothing"),
        pytest.param([grant(STUDY, Action.SEARCH)], STUDY, NO, id="a grant to search does not let one retrieve"),
        pytest.param([grant(not_before=NOW + HOUR)], STUDY, Reason.NOT_YET, id="a grant for later says not yet"),
        pytest.param([grant(not_before=NOW)], STUDY, STUDY, id="a grant holds from its first moment"),
        pytest.param([grant(expires_at=NOW)], STUDY, Reason.EXPIRED, id="and no longer at its last"),
        pytest.param([grant(expires_at=NOW + HOUR)], STUDY, STUDY, id="but just before"),
        pytest.param([grant(withdrawn_at=NOW - HOUR)], STUDY, Reason.WITHDRAWN, id="a withdrawn grant says so"),
        pytest.param([grant(withdrawn_at=NOW + HOUR)], STUDY, Reason.WITHDRAWN, id="whatever the clock says"),
        pytest.param([grant(expires_at=NOW), grant()], SERIES, SERIES, id="one live grant is enough"),
        pytest.param([grant(PRIOR, expires_at=NOW)], STUDY, NO, id="what expired elsewhere is no reason here"),
        pytest.param(
            [grant(withdrawn_at=NOW), grant(expires_at=NOW), grant(not_before=NOW + HOUR)],
            STUDY,
            Reason.NOT_YET,
            id="of several reasons the one that leaves hope is told",
        ),
        pytest.param(
            [grant(withdrawn_at=NOW), grant(expires_at=NOW)],
            STUDY,
            Reason.EXPIRED,
            id="and expiry before withdrawal",
        ),
        pytest.param(
            [grant(not_before=NOW, expires_at=NOW)],
            STUDY,
            Reason.EXPIRED,
            id="what ends as it begins leaves no hope",
        ),
    ],
)
def test_who_holds_a_link_may_retrieve(held: list[Grant], asked: Resource, answer: Resource | Reason) -> None:
    expected = Allow(Scope(frozenset({answer}))) if isinstance(answer, Resource) else Deny(answer, asked)
    assert decide(Ask(RETRIEVE, asked, lineage(asked)), VISIT, held, NOW) == expected


@pytest.mark.parametrize(
    ("held", "asked", "answer"),
    [
        pytest.param([], ARCHIVE, set(), id="a search of the archive without any grant finds nothing"),
        pytest.param([grant(STUDY, SEARCH)], ARCHIVE, {STUDY}, id="with one it finds that study"),
        pytest.param([grant(SERIES, SEARCH)], ARCHIVE, {SERIES}, id="or that series"),
        pytest.param([grant(ARCHIVE, SEARCH)], ARCHIVE, {ARCHIVE}, id="or everything"),
        pytest.param([grant(ELSEWHERE, SEARCH)], ARCHIVE, set(), id="nothing of another archive"),
        pytest.param([grant(TWIN, SEARCH)], ARCHIVE, set(), id="not even by the same UID"),
        pytest.param([grant(STUDY, SEARCH, expires_at=NOW)], ARCHIVE, set(), id="and nothing that is over"),
        pytest.param(
            [grant(StudyFilter("main", label="teaching"), SEARCH)],
            ARCHIVE,
            {StudyFilter("main", label="teaching")},
            id="a filter narrows a search of the archive",
        ),
        pytest.param([grant(StudyFilter("main", label="teaching"), SEARCH)], PRIOR, NO, id="not of a study it misses"),
        pytest.param([grant(STUDY, SEARCH)], STUDY, {STUDY}, id="the series of a granted study are all listed"),
        pytest.param([grant(SERIES, SEARCH)], STUDY, {SERIES}, id="of a granted series only that one"),
        pytest.param(
            [grant(SERIES, SEARCH), grant(SISTER, SEARCH)], STUDY, {SERIES, SISTER}, id="of two granted series both"
        ),
        pytest.param([grant(SERIES, SEARCH)], SISTER, NO, id="a list below what is closed is refused"),
        pytest.param([grant(PRIOR, SEARCH)], STUDY, NO, id="a list of a study that is not in scope is refused"),
        pytest.param([grant(ANNA, SEARCH)], ANNA, {ANNA}, id="the studies of a granted patient are all listed"),
        pytest.param([grant(STUDY, SEARCH)], ANNA, NO, id="those of a patient are not, for one study of theirs"),
    ],
)
def test_a_list_is_cut_to_what_is_in_scope(
    held: list[Grant], asked: Resource, answer: set[Resource | StudyFilter] | Reason
) -> None:
    expected = Deny(answer, asked) if isinstance(answer, Reason) else Allow(Scope(frozenset(answer)))
    assert decide(Ask(SEARCH, asked, lineage(asked), divisible=True), VISIT, held, NOW) == expected


ALL_OF_IT = [grant(ARCHIVE, *Action, to=SHARE), grant(ARCHIVE, *Action, to="user:anna")]


@pytest.mark.parametrize(
    ("subject", "action", "answer"),
    [
        pytest.param(ANONYMOUS, SEARCH, Reason.NO_CREDENTIAL, id="a stranger is asked who they are"),
        pytest.param(VISIT, Action.STORE, Reason.CEILING, id="a visit never stores"),
        pytest.param(VISIT, Action.DELETE, Reason.CEILING, id="never deletes"),
        pytest.param(VISIT, Action.SHARE, Reason.CEILING, id="never shares on"),
        pytest.param(VISIT, Action.DOWNLOAD, None, id="it may download, when its share says so"),
        pytest.param(ANNA_HERSELF, Action.STORE, None, id="a person may do what was granted"),
        pytest.param(
            Subject(Kind.API_KEY, "key:k1", frozenset({SHARE})), Action.ADMINISTER, Reason.CEILING, id="no key rules"
        ),
        pytest.param(
            Subject(Kind.API_KEY, "key:k1", frozenset({SHARE}), frozenset({SEARCH})),
            RETRIEVE,
            Reason.CEILING,
            id="a key's own ceiling holds too",
        ),
        pytest.param(
            Subject(Kind.OPERATOR, "user:root", frozenset()), RETRIEVE, NO, id="even the operator needs a grant"
        ),
    ],
)
def test_a_credential_has_a_ceiling_whatever_was_granted(
    subject: Subject, action: Action, answer: Reason | None
) -> None:
    decision = decide(Ask(action, STUDY), subject, ALL_OF_IT, NOW)
    assert decision == (Allow(Scope(frozenset({STUDY}))) if answer is None else Deny(answer, STUDY))


def test_what_is_not_known_of_a_study_matches_no_grant() -> None:
    held = [grant(ANNA), grant(StudyFilter("main", label="teaching")), grant(StudyFilter("main", owner="user:anna"))]
    assert decide(Ask(RETRIEVE, STUDY, UNKNOWN), VISIT, held, NOW) == Deny(NO, STUDY)


def test_grants_may_come_from_a_generator_that_yields_once() -> None:
    expired = (held for held in [grant(expires_at=NOW)])
    assert decide(Ask(RETRIEVE, STUDY), VISIT, expired, NOW) == Deny(Reason.EXPIRED, STUDY)


# The laws. `opens` says in other words, and without scope(), what the decision should be.


def opens(held: Grant, ask: Ask, subject: Subject, now: datetime) -> bool:
    """Whether this one grant allows this ask, said plainly."""
    start, end = held.not_before or now, held.expires_at
    if held.withdrawn_at or now < start or (end and end <= now) or held.principal not in subject.principals:
        return False
    if ask.action not in held.actions or held.target.archive != ask.resource.archive:
        return False
    if isinstance(held.target, StudyFilter):
        return held.target.matches(ask.lineage)
    if held.target in (ARCHIVE, ELSEWHERE) or held.target == ask.lineage.patient:
        return True
    below = "/".join((*ask.resource.path, ""))
    return "/".join((*held.target.path, "")) == below[: len("/".join((*held.target.path, "")))]


@given(actions, nodes, subjects, grant_lists, times)
def test_what_is_opened_is_what_some_grant_opens_below_the_ceiling(
    action: Action, node: Resource, subject: Subject, held: Sequence[Grant], now: datetime
) -> None:
    ask = Ask(action, node, lineage(node))
    expected = action in subject.ceiling and any(opens(one, ask, subject, now) for one in held)
    assert isinstance(decide(ask, subject, held, now), Allow) is expected


@given(actions, subjects, grant_lists, times)
def test_what_can_be_listed_is_exactly_what_can_be_opened(
    action: Action, subject: Subject, held: Sequence[Grant], now: datetime
) -> None:
    answer = decide(Ask(action, ARCHIVE, divisible=True), subject, held, now)
    listed = {node for node in NODES if isinstance(answer, Allow) and answer.scope.covers(node, lineage(node))}
    opened = {node for node in NODES if isinstance(decide(Ask(action, node, lineage(node)), subject, held, now), Allow)}
    assert listed == opened


@given(actions, nodes, subjects, grant_lists, times)
def test_the_list_below_a_node_holds_exactly_what_can_be_opened_there(
    action: Action, node: Resource, subject: Subject, held: Sequence[Grant], now: datetime
) -> None:
    answer = decide(Ask(action, node, lineage(node), divisible=True), subject, held, now)
    below = {other for other in NODES if node.contains(other)}
    listed = {other for other in below if isinstance(answer, Allow) and answer.scope.covers(other, lineage(other))}
    opened = {
        other for other in below if isinstance(decide(Ask(action, other, lineage(other)), subject, held, now), Allow)
    }
    assert listed == opened


@given(actions, nodes, subjects, grant_lists, times)
def test_nothing_outside_the_node_is_in_the_scope_of_its_answer(
    action: Action, node: Resource, subject: Subject, held: Sequence[Grant], now: datetime
) -> None:
    answer = decide(Ask(action, node, lineage(node), divisible=True), subject, held, now)
    if isinstance(answer, Allow):
        assert all(node.contains(other) for other in NODES if answer.scope.covers(other, lineage(other)))


@given(actions, nodes, st.booleans(), subjects, grant_lists, grants, times)
def test_one_more_grant_never_closes(
    action: Action,
    node: Resource,
    divisible: bool,
    subject: Subject,
    held: Sequence[Grant],
    more: Grant,
    now: datetime,
) -> None:
    ask = Ask(action, node, lineage(node), divisible=divisible)
    before, after = decide(ask, subject, held, now), decide(ask, subject, [*held, more], now)
    if isinstance(before, Allow):
        assert isinstance(after, Allow)
        assert all(
            after.scope.covers(other, lineage(other)) for other in NODES if before.scope.covers(other, lineage(other))
        )


@given(actions, nodes, st.booleans(), subjects, grant_lists, times)
def test_no_ceiling_is_ever_exceeded(
    action: Action, node: Resource, divisible: bool, subject: Subject, held: Sequence[Grant], now: datetime
) -> None:
    decision = decide(Ask(action, node, lineage(node), divisible=divisible), subject, held, now)
    if isinstance(decision, Allow):
        assert action in subject.ceiling
        assert action in MAY_EVER[subject.kind]
        assert subject.kind is not Kind.VISIT or action in READING


@given(actions, nodes, subjects, grant_lists, times)
def test_neither_the_order_of_grants_nor_their_repetition_matters(
    action: Action, node: Resource, subject: Subject, held: Sequence[Grant], now: datetime
) -> None:
    ask = Ask(action, node, lineage(node), divisible=True)
    assert decide(ask, subject, [*reversed(held), *held], now) == decide(ask, subject, held, now)


@given(actions, subjects, grant_lists, times)
def test_scope_is_the_targets_of_the_live_grants_that_are_held(
    action: Action, subject: Subject, held: Sequence[Grant], now: datetime
) -> None:
    reach = scope(action, subject, held, now)
    assert reach.targets <= {one.target for one in held}
    assert reach.empty is (not reach.targets)


def test_the_world_of_these_tests_knows_every_study_of_its_archive() -> None:
    assert {node.study for node in NODES} == set(LINEAGES)
