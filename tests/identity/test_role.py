"""The built-in roles."""

from __future__ import annotations

import pytest

from keyhole.access.resource import Action, Resource
from keyhole.identity.role import ROLES, role_grants

ALL = frozenset(Action)
READ = frozenset({Action.SEARCH, Action.RETRIEVE, Action.RENDER, Action.DOWNLOAD})


@pytest.mark.parametrize(
    ("role", "actions"),
    [
        ("reader", READ),
        ("sharer", READ | {Action.SHARE}),
        ("uploader", {Action.STORE}),
        ("enforcer", {Action.ASK}),
        ("auditor", {Action.AUDIT}),
        ("administrator", ALL),
    ],
)
def test_what_a_role_may_do(role: str, actions: frozenset[Action]) -> None:
    assert ROLES[role] == actions


def test_there_are_no_other_roles() -> None:
    assert set(ROLES) == {"reader", "sharer", "uploader", "enforcer", "auditor", "administrator"}


def test_a_role_holds_in_every_archive_and_says_so() -> None:
    grants = role_grants(["sharer"], ["main", "research"])
    assert [(grant.principal, grant.target, grant.cause) for grant in grants] == [
        ("role:sharer", Resource.whole("main"), "role sharer"),
        ("role:sharer", Resource.whole("research"), "role sharer"),
    ]


def test_an_unknown_role_grants_nothing() -> None:
    assert role_grants(["wizard"], ["main"]) == ()
