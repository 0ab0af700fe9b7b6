"""The way in with a code from paper, and how nobody finds one by trying."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyhole.access.condition import NO_CONDITIONS, ConditionName, Conditions
from keyhole.access.decision import Deny, Event, Reason
from keyhole.access.secret import Secret
from keyhole.access.share import ShareChange
from keyhole.gateway.client import Client
from keyhole.gateway.opening import CodeSent, Look, Needed, NotYet, Opened, Wait, Wrong
from keyhole.gateway.paper import SLOWER
from keyhole.sharing.condition import NO_ANSWERS
from keyhole.sharing.paper import paper_digest
from tests.gateway.gate import DAY, HERE, HOUR, OPERATOR
from tests.gateway.letterbox import BORN, Paper

UNKNOWN = Deny(Reason.WRONG_SECRET)
MADE_UP = Secret("0123456789")


@pytest.fixture
def paper() -> Paper:
    return Paper()


class TestTheWayIn:
    async def test_a_code_and_the_birth_date_begin_a_visit(self, paper: Paper) -> None:
        share, code = await paper.share()
        look = await paper.openings.look(code, HERE)
        assert isinstance(look, Look)
        assert look.needs == (ConditionName.BIRTH_DATE,)
        opened = await paper.openings.begin(code, BORN, HERE)
        assert isinstance(opened, Opened)
        assert opened.visit.share == share.id

    async def test_looking_consumes_nothing(self, paper: Paper) -> None:
        share, code = await paper.share(max_visits=1)
        for _ in range(3):
            await paper.openings.look(code, HERE)
        assert isinstance(await paper.openings.begin(code, BORN, HERE), Opened)
        assert await paper.openings.look(code, HERE) == Deny(Reason.USED_UP)
        assert len(await paper.gate.store.visits(share.id)) == 1

    async def test_a_code_alone_opens_nothing(self, paper: Paper) -> None:
        _, code = await paper.share()
        assert await paper.openings.begin(code, NO_ANSWERS, HERE) == Needed((ConditionName.BIRTH_DATE,))

    async def test_wrong_answers_count_as_they_do_for_the_link_and_lock_both(self, paper: Paper) -> None:
        share, code = await paper.share()
        for left in (4, 3, 2, 1, 0):
            assert await paper.openings.begin(code, replace(BORN, birth_date="19700101"), HERE) == Wrong(left)
        assert await paper.openings.begin(code, BORN, HERE) == Deny(Reason.LOCKED)
        assert await paper.gate.openings.begin(share.id, paper.gate.secret(share), BORN, HERE) == Deny(Reason.LOCKED)

    async def test_a_code_is_mailed_besides_where_that_is_asked(self, paper: Paper) -> None:
        share, _ = await paper.share(conditions=Conditions(passcode="x", mail_code=True), mail_to="m@example.org")
        assert isinstance(await paper.openings.send_code(paper.code(share), HERE), CodeSent)

    async def test_it_is_there_whichever_key_of_the_ring_made_it(self, paper: Paper) -> None:
        _, code = await paper.share()
        rotated = replace(paper.openings, ring=paper.gate.ring.rotated())
        assert isinstance(await rotated.look(code, HERE), Look)

    async def test_it_is_gone_with_its_key(self, paper: Paper) -> None:
        share, code = await paper.share()
        pruned = replace(paper.openings, ring=paper.gate.ring.rotated().without({share.key_id}))
        assert await pruned.look(code, HERE) == UNKNOWN


class TestCodesThatOpenNothing:
    async def test_of_withdrawn_shares_say_so(self, paper: Paper) -> None:
        share, code = await paper.share()
        await paper.gate.desk.change_share(OPERATOR, share.id, ShareChange(withdrawn_at=paper.gate.now))
        assert await paper.openings.begin(code, BORN, HERE) == Deny(Reason.WITHDRAWN)

    async def test_of_expired_shares_say_so(self, paper: Paper) -> None:
        _, code = await paper.share(expires_at=paper.gate.now + HOUR)
        paper.gate.after(HOUR)
        assert await paper.openings.begin(code, BORN, HERE) == Deny(Reason.EXPIRED)

    async def test_that_come_too_early_say_when(self, paper: Paper) -> None:
        _, code = await paper.share(not_before=paper.gate.now + DAY)
        assert await paper.openings.begin(code, BORN, HERE) == NotYet(paper.gate.now + DAY)

    async def test_of_a_link_that_was_replaced_are_unknown(self, paper: Paper) -> None:
        share, old = await paper.share()
        key = paper.gate.ring.current
        changed = ShareChange(new_link_key=key, paper=paper_digest(paper.gate.ring, key, share.id, 2))
        new = await paper.gate.store.change_share(share.id, changed, (await paper.gate.trail())[0])
        assert new is not None
        assert await paper.openings.look(old, HERE) == UNKNOWN
        assert isinstance(await paper.openings.look(paper.code(new), HERE), Look)

    @pytest.mark.parametrize(
        "conditions", [NO_CONDITIONS, Conditions(terms=True), Conditions(mail_code=True, terms=True)]
    )
    async def test_are_those_of_shares_that_ask_neither_birth_date_nor_passcode(
        self, paper: Paper, conditions: Conditions
    ) -> None:
        _, code = await paper.share(conditions=conditions, mail_to="m@example.org")
        assert await paper.openings.look(code, HERE) == UNKNOWN
        assert await paper.openings.begin(code, BORN, HERE) == UNKNOWN
        assert await paper.openings.send_code(code, HERE) == UNKNOWN

    async def test_are_those_of_shares_without_a_letter(self, paper: Paper) -> None:
        _, code = await paper.share(paper=None)
        assert await paper.openings.look(code, HERE) == UNKNOWN

    async def test_a_digest_under_another_share_opens_neither(self, paper: Paper) -> None:
        # Whoever can write the database moves no code to another share.
        share, code = await paper.share(paper=None)
        await paper.share(paper=paper_digest(paper.gate.ring, share.key_id, share.id, 1))
        assert await paper.openings.look(code, HERE) == UNKNOWN


class TestSearching:
    async def test_after_twenty_unknown_codes_an_address_gets_nothing_for_an_hour(self, paper: Paper) -> None:
        _, code = await paper.share()
        assert await paper.scan(20) == [UNKNOWN] * 20
        paper.gate.after(timedelta(minutes=58) - 20 * timedelta(seconds=6))
        for typed in (MADE_UP, code):
            assert isinstance(await paper.openings.look(typed, HERE), Wait)
            assert isinstance(await paper.openings.begin(typed, BORN, HERE), Wait)
            assert isinstance(await paper.openings.send_code(typed, HERE), Wait)
        paper.gate.after(2 * timedelta(minutes=2))
        assert isinstance(await paper.openings.look(code, HERE), Look)

    async def test_the_wait_is_told(self, paper: Paper) -> None:
        await paper.scan(20)
        waits = await paper.openings.look(MADE_UP, HERE)
        assert isinstance(waits, Wait)
        assert timedelta(minutes=59) < waits.time <= HOUR

    async def test_a_whole_network_of_ipv6_is_one_address(self, paper: Paper) -> None:
        for number in range(20):
            await paper.openings.look(Secret(f"{number:010}"), Client(f"2001:db8::{number:x}"))
        assert isinstance(await paper.openings.look(MADE_UP, Client("2001:db8::ffff")), Wait)
        assert await paper.openings.look(MADE_UP, Client("2001:db8:0:1::1")) == UNKNOWN

    async def test_others_are_not_held_up_by_it(self, paper: Paper) -> None:
        _, code = await paper.share()
        await paper.scan(20)
        assert isinstance(await paper.openings.begin(code, BORN, Client("198.51.100.9")), Opened)

    async def test_many_at_the_same_moment_get_no_more_answers(self, paper: Paper) -> None:
        looks = (paper.openings.look(Secret(f"{number:010}"), HERE) for number in range(500))
        answers = await asyncio.gather(*looks)
        assert sum(answer == UNKNOWN for answer in answers) <= 20

    async def test_known_codes_are_not_counted_as_misses(self, paper: Paper) -> None:
        _, code = await paper.share()
        for _ in range(50):
            assert isinstance(await paper.openings.look(code, HERE), Look)
            paper.gate.after(timedelta(seconds=6))

    async def test_no_more_than_ten_codes_a_minute_are_looked_up_for_one_address(self, paper: Paper) -> None:
        _, code = await paper.share()
        answers = [await paper.openings.look(code, HERE) for _ in range(21)]
        assert [isinstance(answer, Look) for answer in answers] == [True] * 20 + [False]
        paper.gate.after(timedelta(seconds=6))
        assert isinstance(await paper.openings.look(code, HERE), Look)

    async def test_from_a_thousand_addresses_slows_everybody_down_and_locks_nobody_out(self, paper: Paper) -> None:
        _, code = await paper.share()
        for number in range(1000):
            client = Client(f"10.{number // 250}.{number % 250}.1")
            for step in range(10):
                assert await paper.openings.look(Secret(f"{number * 10 + step:010}"), client) == UNKNOWN
        assert len(paper.paused) >= 9800
        assert set(paper.paused) == {SLOWER}
        assert 1 <= SLOWER <= 2
        opened = await paper.openings.begin(code, BORN, Client("198.51.100.9"))
        assert isinstance(opened, Opened)
        assert paper.paused[-1] == SLOWER
        assert paper.noted.count("unknown") == 10_000

    async def test_a_few_mistakes_slow_nobody_down(self, paper: Paper) -> None:
        await paper.scan(15)
        assert not paper.paused


class TestTheRecord:
    async def test_unknown_codes_are_on_it_as_such_without_the_code(self, paper: Paper) -> None:
        await paper.openings.look(MADE_UP, HERE)
        [row] = await paper.gate.trail(Event.REFUSAL)
        assert (row.reason, row.subject, row.share) == (Reason.WRONG_SECRET, "anonymous", None)
        assert row.detail == {"through": "paper"}
        assert row.personal["address"] == HERE.address
        assert MADE_UP.reveal() not in repr(row)

    async def test_a_search_by_many_is_on_it(self, paper: Paper) -> None:
        for number in range(101):
            await paper.openings.look(Secret(f"{number:010}"), Client(f"10.0.{number}.1"))
        rows = await paper.gate.trail(Event.REFUSAL)
        assert [row for row in rows if row.detail.get("about") == "everybody" and row.reason is Reason.TOO_MANY]

    async def test_what_becomes_of_codes_is_counted(self, paper: Paper) -> None:
        _, code = await paper.share()
        await paper.openings.look(code, HERE)
        await paper.scan(20)
        await paper.openings.look(code, HERE)
        assert paper.noted == ["known", *["unknown"] * 20, "refused"]

    async def test_no_address_is_kept_in_the_clear(self, paper: Paper) -> None:
        await paper.scan(20)
        assert HERE.address not in repr(vars(paper.gate.store).get("_buckets", vars(paper.gate.store)))


async def test_an_unknown_code_takes_the_work_of_a_known_one(paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    work: list[str] = []
    ring = type(paper.gate.ring)
    derive = ring.derive

    def counted(self: Any, purpose: str, *parts: str, key_id: str | None = None) -> bytes:
        work.append(purpose)
        return derive(self, purpose, *parts, key_id=key_id)

    _, code = await paper.share()
    _, powerless = await paper.share(conditions=NO_CONDITIONS)
    monkeypatch.setattr(ring, "derive", counted)
    done = []
    for typed in (code, MADE_UP, powerless):
        work.clear()
        await paper.openings.look(typed, HERE)
        done.append([purpose for purpose in work if purpose.startswith("paper")])
    assert done[0] == done[1] == done[2] == ["paper digest", "paper"]
