"""The roles of Orthanc Explorer 2 at the desk: every version is kept, and who may not administer sees none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from keyhole.access.decision import Event, Record
from keyhole.access.resource import Action
from keyhole.access.subject import ANONYMOUS, MAY_EVER, Kind, Subject
from keyhole.errors import Refused
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.office import NotAllowed, NotFound
from keyhole.gateway.role_desk import RoleDesk
from keyhole.identity.explorer_role import USUAL
from keyhole.store.memory import MemoryStore
from keyhole.store.trail import TrailQuery

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OPERATOR = Subject(Kind.OPERATOR, "user:root", frozenset({"user:root", "role:administrator"}))


def roles(*names: str) -> bytes:
    each = {"permissions": ["view"], "authorized-labels": ["*"]}
    return json.dumps({"roles": dict.fromkeys(names, each)}).encode()


def named(role: str, kind: Kind = Kind.API_KEY) -> Subject:
    return Subject(kind, "key:x", frozenset({"key:x", f"role:{role}"}), MAY_EVER[kind])


@dataclass
class Office:
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.store, lambda: NOW)
        self.desk: Any = RoleDesk(store=self.store, archives=("main",), ledger=self.ledger, now=lambda: NOW)

    async def records(self) -> list[Record]:
        await self.ledger.flush()
        return [row.record for row in await self.store.trail(TrailQuery())]


async def test_at_first_there_are_the_usual_roles() -> None:
    office = Office()
    (version,) = await office.desk.role_versions(OPERATOR, 10)
    assert (version.number, version.roles, version.book) == (0, USUAL, None)
    assert await office.desk.role_version(OPERATOR, None) == USUAL
    assert await office.desk.known_roles() is None


async def test_each_change_is_a_version_with_who_made_it_and_what_is_different() -> None:
    office = Office()
    for names in (("a",), ("a", "b"), ("b",)):
        await office.desk.put_roles(OPERATOR, roles(*names))
    versions = await office.desk.role_versions(OPERATOR, 10)
    assert [version.number for version in versions] == [3, 2, 1, 0]
    assert versions[0].changed == {"role a": "removed"}
    assert versions[1].changed == {"role b": "may view; labels *"}
    assert versions[2].changed["role reader"] == "removed"
    assert {version.book.changed_by for version in versions[:3]} == {"user:root"}
    assert set((await office.desk.role_version(OPERATOR, 1)).roles) == {"a"}
    assert await office.desk.role_version(OPERATOR, 0) == USUAL


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
async def test_the_last_versions_are_the_same_however_many_are_asked_for(limit: int) -> None:
    office = Office()
    for names in (("a",), ("a", "b"), ("b",)):
        await office.desk.put_roles(OPERATOR, roles(*names))
    whole = await office.desk.role_versions(OPERATOR, 10)
    assert await office.desk.role_versions(OPERATOR, limit) == whole[:limit]


async def test_a_change_is_on_the_trail_and_no_change_is_not() -> None:
    office = Office()
    assert (await office.desk.put_roles(OPERATOR, roles("a"))).version == 1
    assert await office.desk.put_roles(OPERATOR, roles("a")) is None
    (record,) = await office.records()
    assert (record.event, record.subject, record.action) == (Event.ROLES_CHANGED, "user:root", Action.ADMINISTER)
    assert record.detail["role a"] == "may view; labels *"


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b'{"roles": {}}', b"\xff", b"[" * 100_000])
async def test_what_is_no_document_of_roles_is_refused(document: bytes) -> None:
    office = Office()
    with pytest.raises(Refused):
        await office.desk.put_roles(OPERATOR, document)
    assert await office.records() == []


@pytest.mark.parametrize("number", [-1, 2, 10**9])
async def test_there_are_no_other_versions(number: int) -> None:
    office = Office()
    await office.desk.put_roles(OPERATOR, roles("a"))
    with pytest.raises(NotFound):
        await office.desk.role_version(OPERATOR, number)


@pytest.mark.parametrize("role", ["reader", "auditor", "sharer", "administrator", None])
@pytest.mark.parametrize(
    "ask",
    [
        lambda desk, who: desk.role_versions(who, 10),
        lambda desk, who: desk.role_version(who, None),
        lambda desk, who: desk.put_roles(who, roles("a")),
    ],
)
async def test_whoever_may_not_administer_learns_and_changes_nothing(
    role: str | None, ask: Callable[[Any, Subject], Any]
) -> None:
    """An administrator's key neither: changing roles takes a person, or an Orthanc that found one."""
    office, subject = Office(), ANONYMOUS if role is None else named(role)
    with pytest.raises(NotAllowed):
        await ask(office.desk, subject)
    assert {record.event for record in await office.records()} == {Event.REFUSAL}
    assert await office.store.role_book() is None
