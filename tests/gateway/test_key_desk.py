"""API keys: who makes them, what they can be, and how they end."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from keyhole.access.decision import Event, Reason
from keyhole.access.resource import Action
from keyhole.access.subject import Subject
from keyhole.errors import Refused
from keyhole.gateway.desk import Desk, NotAllowed, NotFound
from tests.gateway.gate import HERE, HOUR, NOW, OPERATOR, Gate, staff


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def desk(gate: Gate) -> Desk:
    return gate.desk


async def make(desk: Desk, subject: Subject = OPERATOR, **more: Any) -> tuple[Any, str]:
    values: dict[str, Any] = {
        "name": "worklist",
        "roles": frozenset({"reader"}),
        "ceiling": frozenset(Action),
        "expires_at": None,
    }
    return await desk.create_key(subject, **{**values, **more}, client=HERE)


async def test_keys_are_made_shown_once_and_recorded(gate: Gate, desk: Desk) -> None:
    made, text = await make(desk)
    assert (await gate.caller.get("/dicom-web/studies", {"authorization": f"Bearer {text}"})).status == 200
    assert await desk.keys(OPERATOR) == [made]
    [row] = await gate.trail(Event.KEY_CREATED)
    assert row.detail == {"key": made.id, "name": "worklist", "roles": "reader"}
    assert not [row for row in await gate.trail() if text in repr(row) or text[-32:] in repr(row)]


async def test_keys_are_for_administrators_who_are_no_keys(gate: Gate, desk: Desk) -> None:
    made, _ = await make(desk)
    for subject in (staff("sharer"), staff("administrator"), staff("reader")):
        with pytest.raises(NotAllowed):
            await make(desk, subject)
        with pytest.raises(NotAllowed):
            await desk.keys(subject)
        with pytest.raises(NotAllowed):
            await desk.revoke_key(subject, made.id)
    assert await desk.keys(OPERATOR) == [made]
    assert {(row.reason, row.action) for row in await gate.trail(Event.REFUSAL)} == {
        (Reason.CEILING, Action.ADMINISTER)
    }
    assert sum(row.times for row in await gate.trail(Event.REFUSAL)) == 9


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"roles": frozenset()}, id="no role"),
        pytest.param({"roles": frozenset({"king"})}, id="an unknown role"),
        pytest.param({"name": " "}, id="no name"),
        pytest.param({"name": "x" * 1001}, id="a novel"),
        pytest.param({"ceiling": frozenset()}, id="nothing that it may do"),
        pytest.param({"ceiling": frozenset({Action.STORE})}, id="nothing of its role"),
        pytest.param({"expires_at": NOW}, id="an end that has come"),
        pytest.param({"expires_at": datetime(2027, 1, 1)}, id="no zone"),  # noqa: DTZ001
    ],
)
async def test_keys_that_cannot_be_are_refused(changes: dict[str, Any], gate: Gate, desk: Desk) -> None:
    with pytest.raises(Refused):
        await make(desk, **changes)
    assert await desk.keys(OPERATOR) == []
    assert await gate.trail(Event.KEY_CREATED) == []


async def test_keys_are_revoked_once(gate: Gate, desk: Desk) -> None:
    made, text = await make(desk)
    first = await desk.revoke_key(OPERATOR, made.id)
    gate.after(HOUR)
    assert (await desk.revoke_key(OPERATOR, made.id)).revoked_at == first.revoked_at == NOW
    assert len(await gate.trail(Event.KEY_REVOKED)) == 1
    assert (await gate.caller.get("/dicom-web/studies", {"authorization": f"Bearer {text}"})).status == 401
    for name in ("a" * 16, "", "é"):
        with pytest.raises(NotFound):
            await desk.revoke_key(OPERATOR, name)
