"""Who shows a credential, what that one was granted, and when it is over."""

from __future__ import annotations

from datetime import timedelta

import pytest

from keyhole.access.decision import Deny, Event, Reason, Record
from keyhole.access.resource import Action
from keyhole.access.secret import new_secret
from keyhole.access.share import ShareChange
from keyhole.errors import StoreFailed
from keyhole.gateway.attendance import Attendance
from keyhole.gateway.identify import NOBODY, Holder, Identity
from tests.gateway.gate import DAY, HERE, HOUR, OK, OPERATOR, Gate, Visitor, prepared

MINUTE = timedelta(minutes=1)


@pytest.fixture
def gate() -> Gate:
    return Gate()


def shown(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def who(gate: Gate, visitor: Visitor, identity: Identity | None = None) -> Holder | Reason:
    found = await (identity or gate.identity).holder(shown(visitor.cookie), visitor.visit.id)
    return found.reason if isinstance(found, Deny) else found


async def runs(gate: Gate, visitor: Visitor, identity: Identity | None = None) -> bool:
    return isinstance(await who(gate, visitor, identity), Holder)


async def prepared_visitor(gate: Gate, **more: object) -> Visitor:
    """Somebody who has redeemed the code of a visit that was prepared."""
    code, secret = new_secret(), new_secret()
    record = Record(at=gate.now, event=Event.VISIT_PREPARED, subject="user:anna")
    await gate.store.prepare_visit(prepared(code, gate.now, **more), record)
    visit = await gate.store.redeem_visit(code.digest(), secret.digest(), gate.now, gate.now + 12 * HOUR, record)
    assert visit is not None
    return Visitor(visit, secret)


async def test_nobody_is_nobody(gate: Gate) -> None:
    assert await gate.identity.holder([], None) is NOBODY
    assert NOBODY.subject.ceiling == frozenset()


class TestVisits:
    async def test_act_as_themselves_and_as_their_share_and_hold_what_it_grants(self, gate: Gate) -> None:
        visitor = await gate.visitor((OK,))
        holder = await who(gate, visitor)
        assert isinstance(holder, Holder)
        assert holder.subject.principals == {f"visit:{visitor.visit.id}", f"share:{visitor.visit.share}"}
        assert holder.subject.ceiling == {Action.SEARCH, Action.RETRIEVE, Action.RENDER}
        assert {grant.target.path for grant in holder.grants} == {(OK,)}  # type: ignore[union-attr]

    async def test_end_after_thirty_idle_minutes(self, gate: Gate) -> None:
        visitor = await gate.visitor((OK,))
        gate.after(30 * MINUTE - timedelta(seconds=1))
        assert await runs(gate, visitor)
        gate.after(30 * MINUTE)
        assert await who(gate, visitor) is Reason.VISIT_ENDED

    async def test_stay_while_they_are_used(self, gate: Gate) -> None:
        visitor = await gate.visitor((OK,))
        for _ in range(20):
            gate.after(29 * MINUTE)
            assert await runs(gate, visitor)

    async def test_end_after_twelve_hours_however_busy(self, gate: Gate) -> None:
        visitor = await gate.visitor((OK,))
        for _ in range(25):
            gate.after(29 * MINUTE)
            last = await who(gate, visitor)
        assert last is Reason.VISIT_ENDED

    async def test_of_a_limited_share_do_not_end_by_idling(self, gate: Gate) -> None:
        visitor = await gate.visitor((OK,), max_visits=1)
        gate.after(11 * HOUR)
        assert await runs(gate, visitor)
        gate.after(HOUR)
        assert await who(gate, visitor) is Reason.VISIT_ENDED

    async def test_that_another_worker_has_seen_are_not_idle(self, gate: Gate) -> None:
        visitor = await gate.visitor((OK,))
        elsewhere = Attendance(gate.store)
        other = Identity(gate.current, elsewhere, ("main",), gate.clock)
        assert await runs(gate, visitor)
        gate.after(29 * MINUTE)
        assert await runs(gate, visitor, other)
        await elsewhere.write()
        gate.after(29 * MINUTE)
        assert await runs(gate, visitor)

    async def test_are_not_idle_while_their_sighting_is_being_written(
        self, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        visitor = await gate.visitor((OK,))
        gate.after(29 * MINUTE)
        assert await runs(gate, visitor)
        gate.after(5 * MINUTE)
        meanwhile: list[bool] = []

        async def slowly(_: object) -> None:
            meanwhile.append(await runs(gate, visitor))

        monkeypatch.setattr(gate.store, "seen", slowly)
        await gate.attendance.write()
        assert meanwhile == [True]

    async def test_are_remembered_when_their_sighting_cannot_be_written(
        self, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def lost(_: object) -> None:
            raise StoreFailed("gone")

        visitor = await gate.visitor((OK,))
        gate.after(20 * MINUTE)
        assert await runs(gate, visitor)
        with monkeypatch.context() as broken:
            broken.setattr(gate.store, "seen", lost)
            await gate.attendance.write()
        await gate.attendance.write()
        kept = await gate.store.visit(visitor.visit.id)
        assert kept is not None
        assert kept.seen_at == gate.now

    async def test_end_with_their_share(self, gate: Gate) -> None:
        visitor = await gate.visitor((OK,), expires_at=gate.now + HOUR, max_visits=1)
        gate.after(HOUR)
        assert await who(gate, visitor) is Reason.EXPIRED

    async def test_end_when_it_is_withdrawn(self, gate: Gate) -> None:
        visitor = await gate.visitor((OK,))
        await gate.desk.change_share(OPERATOR, visitor.visit.share or "", ShareChange(withdrawn_at=gate.now))
        assert await who(gate, visitor) is Reason.WITHDRAWN

    async def test_wait_when_it_is_put_off(self, gate: Gate) -> None:
        visitor = await gate.visitor((OK,))
        later = ShareChange(not_before=gate.now + HOUR)
        await gate.desk.change_share(OPERATOR, visitor.visit.share or "", later)
        assert await who(gate, visitor) is Reason.NOT_YET

    async def test_end_when_their_visitor_is_done(self, gate: Gate) -> None:
        visitor = await gate.visitor((OK,))
        assert await gate.openings.end(visitor.visit.id, shown(visitor.cookie), HERE) is None
        assert await who(gate, visitor) is Reason.VISIT_ENDED

    async def test_that_nobody_has_begun_open_nothing(self, gate: Gate) -> None:
        code = new_secret()
        visit = prepared(code, gate.now)
        record = Record(at=gate.now, event=Event.VISIT_PREPARED, subject="user:anna")
        await gate.store.prepare_visit(visit, record)
        assert await who(gate, Visitor(visit, code)) is Reason.BAD_CREDENTIAL

    async def test_that_a_key_made_end_with_it(self, gate: Gate) -> None:
        key, _ = await gate.new_key("reader", expires_at=gate.now + HOUR)
        visitor = await prepared_visitor(gate, subject=key.principal)
        gate.after(29 * MINUTE)
        assert await runs(gate, visitor)
        gate.after(29 * MINUTE)
        assert await runs(gate, visitor)
        gate.after(2 * MINUTE)
        assert await who(gate, visitor) is Reason.VISIT_ENDED
        assert await gate.identity.ended(f"visit:{visitor.visit.id}") is Reason.VISIT_ENDED

    async def test_that_a_revoked_key_made_are_over(self, gate: Gate) -> None:
        key, _ = await gate.new_key("reader")
        visitor = await prepared_visitor(gate, subject=key.principal)
        await gate.desk.revoke_key(OPERATOR, key.id)
        assert await who(gate, visitor) is Reason.VISIT_ENDED

    async def test_that_a_person_made_go_on(self, gate: Gate) -> None:
        assert await runs(gate, await prepared_visitor(gate))

    async def test_that_there_are_not_and_wrong_secrets_are_one_answer(self, gate: Gate) -> None:
        visitor = await gate.visitor((OK,))
        wrong = Visitor(visitor.visit, new_secret())
        nowhere = Visitor(prepared(new_secret(), gate.now), new_secret())
        assert await who(gate, wrong) is await who(gate, nowhere) is Reason.BAD_CREDENTIAL

    async def test_a_wrong_secret_is_not_told_that_the_visit_is_over(self, gate: Gate) -> None:
        visitor = await gate.visitor((OK,))
        gate.after(DAY)
        assert await who(gate, Visitor(visitor.visit, new_secret())) is Reason.BAD_CREDENTIAL


class TestReading:
    """Who reads is not idle, and is looked at again and again."""

    async def test_keeps_a_visit_from_idling(self, gate: Gate) -> None:
        visitor = await gate.visitor((OK,))
        name = f"visit:{visitor.visit.id}"
        for _ in range(3):
            gate.after(29 * MINUTE)
            assert await gate.identity.ended(name) is None
        assert await runs(gate, visitor)

    async def test_ends_with_the_visit(self, gate: Gate) -> None:
        visitor = await gate.visitor((OK,))
        gate.after(12 * HOUR)
        assert await gate.identity.ended(f"visit:{visitor.visit.id}") is Reason.VISIT_ENDED

    async def test_ends_when_there_is_no_such_visit(self, gate: Gate) -> None:
        assert await gate.identity.ended("visit:aaaaaaaaaaaaaaaa") is Reason.VISIT_ENDED

    async def test_by_a_key_ends_with_it(self, gate: Gate) -> None:
        assert await gate.identity.ended("key:aaaaaaaaaaaaaaaa") is Reason.WITHDRAWN
        key, _ = await gate.new_key("reader", expires_at=gate.now + HOUR)
        assert await gate.identity.ended(key.principal) is None
        gate.after(HOUR)
        assert await gate.identity.ended(key.principal) is Reason.EXPIRED


class TestKeys:
    async def who(self, gate: Gate, text: str) -> Holder | Reason:
        found = await gate.identity.holder(shown({"authorization": f"Bearer {text}"}), None)
        return found.reason if isinstance(found, Deny) else found

    async def test_act_in_their_roles_and_no_higher_than_these(self, gate: Gate) -> None:
        _, text = await gate.new_key("uploader")
        holder = await self.who(gate, text)
        assert isinstance(holder, Holder)
        assert holder.subject.ceiling == {Action.STORE}
        assert {grant.cause for grant in holder.grants} == {"role uploader"}

    async def test_whose_roles_are_no_longer_known_may_do_nothing(self, gate: Gate) -> None:
        _, text = await gate.new_key("role-of-old")
        holder = await self.who(gate, text)
        assert isinstance(holder, Holder)
        assert (holder.grants, holder.subject.ceiling) == ((), frozenset())

    async def test_end(self, gate: Gate) -> None:
        key, text = await gate.new_key("reader", expires_at=gate.now + HOUR)
        wrong = f"khk_{key.id}_{'a' * 32}"
        assert await self.who(gate, wrong) is Reason.BAD_CREDENTIAL
        gate.after(HOUR)
        assert await self.who(gate, text) is Reason.EXPIRED
        await gate.desk.revoke_key(OPERATOR, key.id)
        assert await self.who(gate, text) is Reason.WITHDRAWN
        assert await self.who(gate, wrong) is Reason.BAD_CREDENTIAL

    async def test_are_no_visits(self, gate: Gate) -> None:
        _, text = await gate.new_key("reader")
        found = await gate.identity.visit("aaaaaaaaaaaaaaaa", shown({"authorization": f"Bearer {text}"}))
        assert found == Deny(Reason.BAD_CREDENTIAL)
