"""How a recipient gets in, and how nobody else does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyhole.access.decision import Deny, Event, Reason, Record
from keyhole.access.secret import Secret, new_secret
from keyhole.access.share import Share, ShareChange
from keyhole.errors import ArchiveFailed, StoreFailed
from keyhole.gateway.opening import Look, NotYet, Opened
from keyhole.gateway.visiting import Shown
from keyhole.sharing import link
from keyhole.sharing.condition import NO_ANSWERS
from tests.gateway.gate import BAD, DAY, HERE, HOUR, OK, OPERATOR, SECOND, SERIES, Gate, Visitor, prepared
from tests.gateway.small_archive import failing

UNKNOWN = "a" * 16
WRONG = Deny(Reason.WRONG_SECRET)


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def visits(gate: Gate, share: Share) -> int:
    kept = await gate.store.share(share.id)
    assert kept is not None
    assert kept.visits == len(await gate.store.visits(share.id))
    return kept.visits


async def change(gate: Gate, share: Share, **changes: Any) -> Share:
    return await gate.desk.change_share(OPERATOR, share.id, ShareChange(**changes))


async def both(gate: Gate, share: Share, secret: str) -> list[object]:
    """What looking and beginning answer."""
    looked = await gate.openings.look(share.id, secret, HERE)
    return [looked, await gate.openings.begin(share.id, secret, NO_ANSWERS, HERE)]


class TestLooking:
    async def test_tells_the_end_and_what_is_left_and_nothing_about_patients(self, gate: Gate) -> None:
        share = await gate.share(max_visits=3)
        await gate.open(share)
        assert await gate.openings.look(share.id, gate.secret(share), HERE) == Look(
            expires_at=share.expires_at, visits_left=2
        )

    async def test_consumes_nothing_however_often(self, gate: Gate) -> None:
        share = await gate.share(max_visits=1)
        before = await gate.store.generation()
        for _ in range(5):
            assert isinstance(await gate.openings.look(share.id, gate.secret(share), HERE), Look)
        assert await visits(gate, share) == 0
        assert await gate.store.generation() == before
        assert gate.archive.begun == 0
        assert {row.event for row in await gate.trail()} == {Event.SHARE_CREATED}

    async def test_forgives_the_letters_case(self, gate: Gate) -> None:
        share = await gate.share()
        assert isinstance(await gate.openings.look(share.id, f" {gate.secret(share).upper()}\n", HERE), Look)


class TestStrangers:
    @pytest.mark.parametrize(
        ("share_id", "secret"),
        [
            pytest.param(None, "of another share", id="the secret of another share"),
            pytest.param(None, "made up", id="a secret made up"),
            pytest.param(None, "", id="no secret"),
            pytest.param(None, "\ud800", id="half a letter for a secret"),
            pytest.param(UNKNOWN, "right", id="an unknown share"),
            pytest.param("", "right", id="no share"),
            pytest.param("../../etc", "right", id="a path for a share"),
            pytest.param("\ud800" * 16, "right", id="half letters for a share"),
        ],
    )
    async def test_are_told_the_same_for_an_unknown_share_as_for_a_wrong_secret(
        self, share_id: str | None, secret: str, gate: Gate
    ) -> None:
        share, other = await gate.share(), await gate.share()
        shown = {"of another share": gate.secret(other), "right": gate.secret(share)}.get(secret, secret)
        if secret == "made up":
            ring = link.KeyRing.new()
            shown = link.secret_of(replace(share, key_id=ring.current), ring).reveal()
        named = share.id if share_id is None else share_id
        assert await gate.openings.look(named, shown, HERE) == WRONG
        assert await gate.openings.begin(named, shown, NO_ANSWERS, HERE) == WRONG
        assert await gate.openings.send_code(named, shown, HERE) == WRONG
        assert await visits(gate, share) == 0

    async def test_cost_the_same_work_for_an_unknown_share_as_for_a_wrong_secret(
        self, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        share, work = await gate.share(), []
        verify = link.verify

        def counted(*arguments: Any) -> bool:
            work.append(arguments)
            return verify(*arguments)

        monkeypatch.setattr(link, "verify", counted)
        for share_id, secret in ((share.id, gate.secret(await gate.share())), (UNKNOWN, gate.secret(share)), ("", "")):
            await gate.openings.look(share_id, secret, HERE)
        assert len(work) == 3

    async def test_are_on_the_trail_with_the_share_they_tried(self, gate: Gate) -> None:
        share = await gate.share()
        await gate.openings.begin(share.id, "a" * 35, NO_ANSWERS, HERE)
        [row] = await gate.trail(Event.REFUSAL)
        assert (row.reason, row.share, row.subject) == (Reason.WRONG_SECRET, share.id, "anonymous")

    async def test_learn_of_no_state_of_a_share(self, gate: Gate) -> None:
        share = await gate.share(max_visits=1)
        wrong = gate.secret(await gate.share())
        await gate.open(share)
        assert await both(gate, share, wrong) == [WRONG, WRONG]
        await change(gate, share, withdrawn_at=gate.now)
        assert await both(gate, share, wrong) == [WRONG, WRONG]


class TestClosedShares:
    """The right secret is told why."""

    async def closed(self, gate: Gate, share: Share, reason: Reason) -> None:
        before = await visits(gate, share)
        answers = await both(gate, share, gate.secret(share))
        assert answers == [Deny(reason), Deny(reason)]
        assert await visits(gate, share) == before
        assert {row.reason for row in await gate.trail(Event.REFUSAL)} == {reason}
        assert {row.share for row in await gate.trail(Event.REFUSAL)} == {share.id}

    async def test_expired(self, gate: Gate) -> None:
        share = await gate.share(expires_at=gate.now + HOUR)
        gate.after(HOUR)
        await self.closed(gate, share, Reason.EXPIRED)

    async def test_withdrawn(self, gate: Gate) -> None:
        share = await gate.share()
        await change(gate, share, withdrawn_at=gate.now)
        await self.closed(gate, share, Reason.WITHDRAWN)

    async def test_used_up_until_one_more_is_granted(self, gate: Gate) -> None:
        share = await gate.share(max_visits=1)
        await gate.open(share)
        await self.closed(gate, share, Reason.USED_UP)
        await change(gate, share, more_visits=1)
        await gate.open(share)
        await self.closed(gate, share, Reason.USED_UP)

    async def test_too_early(self, gate: Gate) -> None:
        share = await gate.share(not_before=gate.now + HOUR)
        early = NotYet(share.not_before or gate.now)
        assert await both(gate, share, gate.secret(share)) == [early, early]
        assert {row.reason for row in await gate.trail(Event.REFUSAL)} == {Reason.NOT_YET}
        gate.after(HOUR)
        await gate.open(share)

    async def test_renewed_they_open_again(self, gate: Gate) -> None:
        share = await gate.share(expires_at=gate.now + HOUR)
        gate.after(HOUR)
        await change(gate, share, expires_at=gate.now + DAY)
        await gate.open(share)

    async def test_an_old_link_is_wrong_once_there_is_a_new_one(self, gate: Gate) -> None:
        share = await gate.share()
        old = gate.secret(share)
        renewed = await gate.desk.change_share(OPERATOR, share.id, gate.desk.new_link())
        assert await both(gate, share, old) == [WRONG, WRONG]
        await gate.open(renewed)

    async def test_a_link_renewed_between_look_and_opening_opens_nothing(
        self, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        share, begin = await gate.share(), gate.store.begin_visit

        async def late(*arguments: Any, **more: Any) -> Any:
            await gate.desk.change_share(OPERATOR, share.id, gate.desk.new_link())
            return await begin(*arguments, **more)

        monkeypatch.setattr(gate.store, "begin_visit", late)
        assert await gate.openings.begin(share.id, gate.secret(share), NO_ANSWERS, HERE) == Deny(Reason.WITHDRAWN)
        assert await visits(gate, share) == 0


class TestBeginning:
    async def test_counts_and_is_on_the_trail(self, gate: Gate) -> None:
        share = await gate.share(max_visits=2)
        visitor = await gate.open(share)
        assert await visits(gate, share) == 1
        [row] = await gate.trail(Event.VISIT_BEGUN)
        assert (row.share, row.visit, row.archive) == (share.id, visitor.visit.id, "main")
        assert row.personal == {"address": "192.0.2.7", "agent": "test"}

    async def test_gives_a_secret_that_is_not_kept(self, gate: Gate) -> None:
        visitor = await gate.visitor()
        kept = await gate.store.visit(visitor.visit.id)
        assert kept is not None
        assert kept.digest == visitor.secret.digest()
        assert visitor.secret.reveal() not in repr(gate.store.__dict__)

    async def test_lasts_no_longer_than_the_share(self, gate: Gate) -> None:
        assert (await gate.visitor(expires_at=gate.now + HOUR)).visit.ends_at == gate.now + HOUR
        assert (await gate.visitor()).visit.ends_at == gate.now + 12 * HOUR

    async def test_of_many_at_once_exactly_as_many_win_as_there_are(self, gate: Gate) -> None:
        share = await gate.share(max_visits=3)
        answers = await asyncio.gather(
            *(gate.openings.begin(share.id, gate.secret(share), NO_ANSWERS, HERE) for _ in range(200))
        )
        assert sum(isinstance(answer, Opened) for answer in answers) == 3
        assert answers.count(Deny(Reason.USED_UP)) == 197
        assert await visits(gate, share) == 3

    async def test_without_a_trail_there_is_no_visit(self, gate: Gate) -> None:
        share = await gate.share(max_visits=1)
        gate.store.lost = StoreFailed("full")
        with pytest.raises(StoreFailed):
            await gate.openings.begin(share.id, gate.secret(share), NO_ANSWERS, HERE)
        gate.store.lost = None
        assert await visits(gate, share) == 0
        await gate.open(share)


class TestCodes:
    """Visits that an application prepared."""

    async def prepare(self, gate: Gate) -> str:
        _, address = await gate.desk.prepare_visit(OPERATOR, "main", [OK], HERE)
        assert address.startswith("https://images.example.org/o#")
        return address.partition("#")[2]

    async def test_open_once(self, gate: Gate) -> None:
        code = await self.prepare(gate)
        answers = await asyncio.gather(*(gate.openings.redeem(code, HERE) for _ in range(50)))
        [opened] = [answer for answer in answers if isinstance(answer, Opened)]
        assert answers.count(WRONG) == 49
        assert (await gate.get(Visitor(opened.visit, opened.secret), f"/studies/{OK}/metadata")).status == 200
        assert (await gate.get(Visitor(opened.visit, opened.secret), f"/studies/{BAD}/metadata")).status == 404

    async def test_last_sixty_seconds(self, gate: Gate) -> None:
        code = await self.prepare(gate)
        gate.after(timedelta(seconds=60))
        assert await gate.openings.redeem(code, HERE) == WRONG

    async def test_of_a_revoked_key_open_nothing(self, gate: Gate) -> None:
        key, _ = await gate.new_key("reader")
        _, address = await gate.desk.prepare_visit(key.as_subject(), "main", [OK], HERE)
        await gate.desk.revoke_key(OPERATOR, key.id)
        assert await gate.openings.redeem(address.partition("#")[2], HERE) == WRONG

    @pytest.mark.parametrize("code", ["", "a" * 31, "a" * 32, "a" * 33, "\ud800" * 32, "é" * 32, "0" * 32])
    async def test_that_are_none_open_nothing(self, code: str, gate: Gate) -> None:
        await self.prepare(gate)
        assert await gate.openings.redeem(code, HERE) == WRONG
        assert [row.reason for row in await gate.trail(Event.REFUSAL)] == [Reason.WRONG_SECRET]

    async def test_are_no_credentials(self, gate: Gate) -> None:
        code = new_secret()
        visit = prepared(code, gate.now)
        await gate.store.prepare_visit(visit, Record(at=gate.now, event=Event.VISIT_PREPARED, subject="user:anna"))
        assert (await gate.get(Visitor(visit, code), "/studies")).status == 401
        opened = await gate.openings.redeem(code.reveal(), HERE)
        assert isinstance(opened, Opened)
        assert (await gate.get(Visitor(opened.visit, code), "/studies")).status == 401

    async def test_leave_the_visit_on_the_trail(self, gate: Gate) -> None:
        opened = await gate.openings.redeem(await self.prepare(gate), HERE)
        assert isinstance(opened, Opened)
        assert [row.visit for row in await gate.trail(Event.VISIT_BEGUN)] == [opened.visit.id]


class TestTheVisitPage:
    async def shown(self, gate: Gate, visitor: Visitor, secret: Secret | None = None) -> Shown | Deny:
        cookie = f"keyhole_visit={(secret or visitor.secret).reveal()}".encode()
        return await gate.openings.shown(visitor.visit.id, [(b"cookie", cookie)], HERE)

    async def test_lists_what_was_shared_and_nothing_else(self, gate: Gate) -> None:
        shown = await self.shown(gate, await gate.visitor((OK, SERIES), (SECOND,)))
        assert isinstance(shown, Shown)
        assert [(study.uid, [series.uid for series in study.series]) for study in shown.studies] == [
            (OK, [SERIES]),
            (SECOND, ["1.2.2.1"]),
        ]
        assert "Doe" not in repr(shown)

    async def test_is_a_search_on_the_trail_before_the_archive_is_asked(self, gate: Gate) -> None:
        visitor = await gate.visitor()
        gate.store.lost = StoreFailed("full")
        with pytest.raises(StoreFailed):
            await self.shown(gate, visitor)
        assert gate.archive.begun == 0
        gate.store.lost = None
        await self.shown(gate, visitor)
        assert [row.visit for row in await gate.trail(Event.SEARCH)] == [visitor.visit.id]

    async def test_is_shown_to_nobody_else(self, gate: Gate) -> None:
        visitor = await gate.visitor()
        assert await self.shown(gate, visitor, new_secret()) == Deny(Reason.BAD_CREDENTIAL)
        assert await gate.openings.shown(visitor.visit.id, [], HERE) == Deny(Reason.NO_CREDENTIAL)
        assert gate.archive.begun == 0

    async def test_a_failing_archive_is_on_the_trail(self, gate: Gate) -> None:
        visitor = await gate.visitor()
        gate.archive.answers["/studies"] = failing(ArchiveFailed("down"))
        with pytest.raises(ArchiveFailed):
            await self.shown(gate, visitor)
        assert [row.reason for row in await gate.trail(Event.FAILURE)] == [Reason.ARCHIVE_FAILED]

    async def test_an_archive_that_is_no_longer_set_up_has_failed(self, gate: Gate) -> None:
        with pytest.raises(ArchiveFailed):
            await self.shown(gate, await gate.visitor(archive="old"))


class TestLasting:
    async def test_asking_is_not_being_there(self, gate: Gate) -> None:
        visitor = await gate.visitor()
        headers = [(b"cookie", visitor.cookie["cookie"].encode())]
        for _ in range(2):
            gate.after(timedelta(minutes=29))
            assert await gate.openings.lasts(visitor.visit.id, headers, present=False) is None
        assert await gate.openings.lasts(visitor.visit.id, headers, present=True) == Deny(Reason.VISIT_ENDED)

    async def test_being_there_keeps_it_and_takes_the_credential(self, gate: Gate) -> None:
        visitor = await gate.visitor()
        headers = [(b"cookie", visitor.cookie["cookie"].encode())]
        for _ in range(3):
            gate.after(timedelta(minutes=29))
            assert await gate.openings.lasts(visitor.visit.id, headers, present=True) is None
        assert await gate.openings.lasts(visitor.visit.id, [], present=True) == Deny(Reason.NO_CREDENTIAL)

    async def test_an_unknown_visit_has_ended(self, gate: Gate) -> None:
        assert await gate.openings.lasts(UNKNOWN, [], present=False) == Deny(Reason.VISIT_ENDED)

    async def test_tells_of_the_end_of_the_share(self, gate: Gate) -> None:
        visitor = await gate.visitor()
        await gate.desk.change_share(OPERATOR, visitor.visit.share or "", ShareChange(withdrawn_at=gate.now))
        assert await gate.openings.lasts(visitor.visit.id, [], present=False) == Deny(Reason.WITHDRAWN)

    async def test_only_its_visitor_ends_a_visit_and_once(self, gate: Gate) -> None:
        visitor = await gate.visitor()
        assert await gate.openings.end(visitor.visit.id, [], HERE) == Deny(Reason.NO_CREDENTIAL)
        headers = [(b"cookie", visitor.cookie["cookie"].encode())]
        assert await gate.openings.end(visitor.visit.id, headers, HERE) is None
        assert await gate.openings.end(visitor.visit.id, headers, HERE) == Deny(Reason.VISIT_ENDED)
        assert len(await gate.trail(Event.VISIT_ENDED)) == 1
