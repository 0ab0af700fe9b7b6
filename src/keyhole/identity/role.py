"""The built-in roles. A role is a name for actions on whole archives; the ceiling of a credential still cuts it."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

from keyhole.access.grant import Grant
from keyhole.access.resource import Action, Resource
from keyhole.access.subject import READING

ROLES = MappingProxyType(
    {
        "reader": READING,
        "sharer": READING | {Action.SHARE},
        "uploader": frozenset({Action.STORE}),
        "enforcer": frozenset({Action.ASK}),
        "auditor": frozenset({Action.AUDIT}),
        "administrator": frozenset(Action),
    }
)
"""What each role may do. A role that is not here may do nothing."""


def role_grants(roles: Iterable[str], archives: Iterable[str]) -> tuple[Grant, ...]:
    """The grants that *roles* are in *archives*, in the same order for the same names."""
    archives = tuple(archives)
    return tuple(
        Grant(
            principal=f"role:{role}",
            actions=ROLES[role],
            target=Resource.whole(archive),
            cause=f"role {role}",
        )
        for role in sorted(set(roles) & ROLES.keys())
        for archive in archives
    )
