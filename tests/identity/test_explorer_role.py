"""Roles of Orthanc Explorer 2: read strictly, kept whole, and added up for a user."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhole.identity.explorer_role import NO_STUDY, USUAL, ExplorerRole, ExplorerRoles, Profile

DOCTOR = {"permissions": ["view", "share"], "authorized-labels": ["clinic-a"]}
OWN = {"permissions": ["view", "our-own-permission"], "authorized-labels": ["clinic-b"]}
DOCUMENT = {"roles": {"doctor": DOCTOR, "own": OWN}, "available-labels": ["clinic-a", "clinic-b"]}


def roles(**more: object) -> ExplorerRoles:
    return ExplorerRoles.parse(json.dumps({**DOCUMENT, **more}))


def test_a_document_is_kept_whole_with_names_that_nobody_knows() -> None:
    assert json.loads(roles().dump()) == DOCUMENT


def test_what_the_plugin_adds_is_left_out() -> None:
    assert json.loads(roles(**{"server-id": "one"}).dump()) == DOCUMENT


def test_without_labels_to_choose_from_any_will_do() -> None:
    document = json.dumps({"roles": {"doctor": DOCTOR}})
    assert ExplorerRoles.parse(document).available_labels == ()


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        '{"roles": []}',
        '{"roles": {"a": {}}}',
        '{"roles": {"a": {"permissions": "view", "authorized-labels": []}}}',
        '{"roles": {"a": {"permissions": [1], "authorized-labels": []}}}',
        '{"roles": {"": {"permissions": [], "authorized-labels": []}}}',
        '{"roles": {}, "available-labels": null}',
        "[" * 100_000,
    ],
)
def test_anything_else_is_no_document(document: str) -> None:
    with pytest.raises(ValueError):
        ExplorerRoles.parse(document)


def test_a_user_may_do_what_any_of_their_roles_may() -> None:
    assert roles().profile(["own", "doctor", "unheard-of"]) == Profile(
        ("view", "share", "our-own-permission"), ("clinic-a", "clinic-b")
    )


def test_without_a_known_role_a_user_may_do_nothing() -> None:
    assert roles().profile(["unheard-of"]) == Profile()


def test_with_every_label_no_other_matters() -> None:
    every = {"permissions": [], "authorized-labels": ["*", "clinic-a"]}
    assert roles(roles={"doctor": DOCTOR, "every": every}).profile(["doctor", "every"]).labels == ("*",)


def test_whoever_has_permissions_has_a_label_and_be_it_one_of_no_study() -> None:
    bare = {"permissions": ["upload"], "authorized-labels": []}
    labelled = {"permissions": [], "authorized-labels": ["clinic-a"]}
    found = roles(roles={"bare": bare, "labelled": labelled})
    assert found.profile(["bare"]) == Profile(("upload",), (NO_STUDY,))
    assert found.profile(["bare", "labelled"]).labels == ("clinic-a",)
    assert found.profile(["labelled"]) == Profile((), ("clinic-a",))


def test_roles_that_only_the_provider_has_are_told_as_holding_nothing_and_others_are_marked() -> None:
    told = json.loads(roles().beside(frozenset({"doctor", "nurse"})))
    nothing = {"permissions": [], "authorized-labels": []}
    assert told["roles"] == {"doctor": DOCTOR, "own": OWN, "nurse": nothing}
    assert told["unknown-to-provider"] == ["own"]
    assert told["available-labels"] == DOCUMENT["available-labels"]
    assert json.loads(roles().beside(frozenset({"doctor", "own"})))["unknown-to-provider"] == []
    assert roles().beside(None) == roles().dump()


def test_what_was_told_is_the_same_when_it_comes_back() -> None:
    back = ExplorerRoles.parse(roles().beside(frozenset({"nurse"})))
    assert back.without_new_that_hold_nothing(roles()).dump() == roles().dump()


def test_a_role_that_was_there_is_kept_when_it_holds_nothing_now() -> None:
    emptied = roles(roles={"doctor": {"permissions": [], "authorized-labels": []}, "own": OWN})
    assert emptied.without_new_that_hold_nothing(roles()).dump() == emptied.dump()


def test_the_usual_roles_reach_every_label() -> None:
    assert all(USUAL.profile([name]).labels == ("*",) for name in USUAL.roles)


@given(st.dictionaries(st.text(min_size=1, max_size=9), st.lists(st.text(min_size=1, max_size=9))))
def test_one_meaning_has_one_spelling(named: dict[str, list[str]]) -> None:
    made = ExplorerRoles({name: ExplorerRole(tuple(names), tuple(names)) for name, names in named.items()})
    assert ExplorerRoles.parse(made.dump()).dump() == made.dump()
