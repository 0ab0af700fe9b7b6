"""What a link asks is answered before a visit begins, and not otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyhole.access.condition import ConditionName, Conditions
from keyhole.access.decision import Deny, Event, Reason
from keyhole.access.mail import MailKind
from keyhole.access.share import Share, ShareChange, ShareKind
from keyhole.errors import StoreFailed
from keyhole.gateway import passcode
from keyhole.gateway.attempts import Asking
from keyhole.gateway.opening import Look, Needed, Opened, Wait, Wrong
from keyhole.sharing import condition
from keyhole.sharing.condition import NO_ANSWERS
from tests.gateway.asked import BORN, EVERYTHING, HASH, NOTIFY, TERMS, Person, asking, kept, other, share, somebody
from tests.gateway.gate import HERE, OPERATOR, Gate

MINUTE = timedelta(minutes=1)


@pytest.fixture
def gate() -> Gate:
    return Gate(asking=asking())


class TestLooking:
    async def test_tells_what_is_asked_and_nothing_that_answers_it(self, gate: Gate) -> None:
        link = await share(gate, *EVERYTHING, max_visits=3, language="de", kind=ShareKind.VIEW_RENDERED)
        look = await Person(gate, link).looks()
        assert look == Look(
            expires_at=link.expires_at,
            visits_left=3,
            needs=tuple(ConditionName),
            allows=ShareKind.VIEW_RENDERED,
            mail_to="m•••@example.org",
            terms=TERMS,
            language="de",
            tries_left=5,
        )
        assert "maria" not in repr(look)

    async def test_tells_how_many_tries_are_left(self, gate: Gate) -> None:
        person = await somebody(gate, "passcode")
        await person.answer(passcode="wrong horse")
        assert (await person.looks()).tries_left == 4

    async def test_asks_for_nothing_where_nothing_is_asked(self, gate: Gate) -> None:
        look = await Person(gate, await share(gate)).looks()
        assert (look.needs, look.mail_to, look.terms, look.tries_left) == ((), None, None, None)


class TestAnswering:
    @pytest.mark.parametrize("names", [EVERYTHING, *((name,) for name in EVERYTHING)], ids=" ".join)
    async def test_all_that_is_asked_begins_a_visit(self, gate: Gate, names: tuple[str, ...]) -> None:
        person = await somebody(gate, *names)
        opened = await person.answer()
        assert isinstance(opened, Opened)
        after = await kept(gate, person.link)
        assert (after.visits, after.attempts, after.passed) == (1, 1, 1)

    async def test_leaves_the_names_of_what_was_met_on_the_trail_and_no_value(self, gate: Gate) -> None:
        person = await somebody(gate, *EVERYTHING)
        await person.answer()
        [row] = await gate.trail(Event.VISIT_BEGUN)
        assert row.detail == {"conditions": "passcode birth-date mail-code terms", "terms": TERMS.version}
        everything = repr(await gate.trail())
        for value in (BORN, "correct horse", await person.mailed(), person.ticket, "maria@", HASH):
            assert str(value) not in everything

    @pytest.mark.parametrize(
        "missing",
        [
            pytest.param({"passcode": None}, id="passcode"),
            pytest.param({"birth_date": None}, id="birth-date"),
            pytest.param({"mail_code": None}, id="mail-code"),
            pytest.param({"terms": None}, id="terms"),
        ],
    )
    async def test_in_part_is_not_counted(self, gate: Gate, missing: dict[str, Any], request: Any) -> None:
        person = await somebody(gate, *EVERYTHING)
        for _ in range(10):
            assert await person.answer(**missing) == Needed((ConditionName(request.node.callspec.id),))
        assert (await kept(gate, person.link)).attempts == 0
        assert isinstance(await person.answer(), Opened)

    async def test_nothing_is_not_counted_and_opens_nothing(self, gate: Gate) -> None:
        person = await somebody(gate, *EVERYTHING)
        secret = gate.secret(person.link)
        asked = await gate.openings.begin(person.link.id, secret, NO_ANSWERS, HERE)
        assert asked == Needed(tuple(ConditionName))
        assert {row.reason for row in await gate.trail(Event.REFUSAL)} == {Reason.ANSWERS_NEEDED}

    @pytest.mark.parametrize("wrong", ["passcode", "birth_date", "mail_code"])
    async def test_anything_wrongly_is_one_answer_and_counted(self, gate: Gate, wrong: str) -> None:
        person = await somebody(gate, *EVERYTHING)
        values = {"passcode": "wrong horse", "birth_date": "19800228", "mail_code": other(await person.mailed())}
        assert await person.answer(**{wrong: values[wrong]}) == Wrong(4)
        assert (await kept(gate, person.link)).visits == 0
        [row] = await gate.trail(Event.REFUSAL)
        assert (row.reason, row.share, row.detail) == (Reason.WRONG_ANSWER, person.link.id, {})
        assert row.personal["address"] == HERE.address

    async def test_takes_the_same_work_whatever_is_wrong(self, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
        """Counted, for a clock would only tell of the machine: every check is made, whatever the first one said."""
        work: list[str] = []

        def counted(module: Any, name: str) -> None:
            real = getattr(module, name)
            monkeypatch.setattr(module, name, lambda *arguments: (work.append(name), real(*arguments))[1])

        counted(gate.openings.attempts.passcodes, "_matches")
        counted(condition, "birth_date_right")
        counted(condition, "mail_code_right")
        person = await somebody(gate, *EVERYTHING)
        digits = await person.mailed()
        wrong = {"passcode": "wrong horse", "birth_date": "19800228", "mail_code": other(digits)}
        too_long = {"passcode": "x" * 1000}
        for answers in ({}, {"passcode": "wrong horse"}, {"birth_date": "19800228"}, wrong, too_long):
            work.clear()
            await person.answer(**({"mail_code": digits} | answers))
            assert work == ["_matches", "birth_date_right", "mail_code_right"], answers

    async def test_is_told_the_same_in_the_same_words_whatever_is_wrong(self, gate: Gate) -> None:
        told = set()
        for wrong in ({"passcode": "wrong horse"}, {"birth_date": "19800228"}, {"passcode": "x" * 1000}):
            person = await somebody(gate, "passcode", "birth-date")
            told.add(await person.answer(**wrong))
        assert told == {Wrong(4)}

    async def test_a_hash_that_nobody_made_is_right_for_nobody(self, gate: Gate) -> None:
        person = await somebody(gate, conditions=Conditions(passcode="not a hash"))
        assert await person.answer() == Wrong(4)

    async def test_is_slowed_for_each_address_and_never_refused_for_all_together(self, gate: Gate) -> None:
        person = await somebody(gate, "passcode")
        for _ in range(20):
            assert isinstance(await person.answer(), Opened)
        assert await person.answer() == Wait(timedelta(seconds=6))
        assert (await kept(gate, person.link)).attempts == 20
        assert gate.answers == ["right"] * 20 + ["refused"]
        gate.after(timedelta(seconds=6))
        assert isinstance(await person.answer(), Opened)
        for number in range(300):
            crowd = replace(person, client=replace(HERE, address=f"198.51.100.{number % 250}"))
            assert isinstance(await crowd.answer(), Opened)
        assert 0 < len(gate.pauses) < 120
        assert max(gate.pauses) <= 2
        assert gate.answers.count("slowed") == len(gate.pauses)

    async def test_is_put_off_while_too_many_passcodes_wait_to_be_hashed(
        self, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        person, born = await somebody(gate, "passcode"), await somebody(gate, "birth-date")
        monkeypatch.setattr(passcode, "MOST_WAITING", 0)
        assert await person.answer() == Wait(timedelta(seconds=2))
        assert (await kept(gate, person.link)).attempts == 0
        assert isinstance(await born.answer(), Opened)

    async def test_without_a_trail_is_a_wrong_answer_at_worst(self, gate: Gate) -> None:
        person = await somebody(gate, "passcode")
        gate.store.lost = StoreFailed("full")
        with pytest.raises(StoreFailed):
            await person.answer(passcode="wrong horse")
        gate.store.lost = None
        assert (await kept(gate, person.link)).visits == 0
        assert (await person.looks()).tries_left == 4


class TestTheLock:
    async def locked(self, gate: Gate, **more: Any) -> Person:
        person = await somebody(gate, "passcode", "birth-date", **more)
        told = [await person.answer(passcode=f"wrong horse {number}") for number in range(5)]
        assert told == [Wrong(left) for left in (4, 3, 2, 1, 0)]
        return person

    async def test_comes_after_the_last_wrong_answer_and_stays(self, gate: Gate) -> None:
        person = await self.locked(gate)
        gate.after(timedelta(days=1))
        for _ in range(3):
            assert await person.answer() == Deny(Reason.LOCKED)
            assert await person.looks() == Deny(Reason.LOCKED)
        assert (await kept(gate, person.link)).visits == 0

    async def test_is_on_the_trail_and_told_to_the_sender(self, gate: Gate) -> None:
        person = await self.locked(gate)
        [row] = await gate.trail(Event.SHARE_LOCKED)
        assert (row.share, row.archive) == (person.link.id, "main")
        assert len(await gate.trail(Event.REFUSAL)) == 5
        [mail] = await gate.store.mails(person.link.id)
        assert (mail.kind, mail.to) == (MailKind.LOCKED, NOTIFY)

    async def test_is_mailed_to_nobody_where_no_mail_is_sent(self, gate: Gate) -> None:
        gate = Gate(asking=Asking())
        person = await self.locked(gate)
        assert await gate.store.mails(person.link.id) == []

    async def test_is_opened_by_a_new_link_with_all_tries(self, gate: Gate) -> None:
        person = await self.locked(gate)
        old = gate.secret(person.link)
        born = condition.birth_date_digest(gate.ring, gate.ring.current, person.link.id, BORN)
        again = ShareChange(new_link_key=gate.ring.current, conditions=Conditions(passcode=HASH, birth_date=born))
        renewed = await gate.desk.change_share(OPERATOR, person.link.id, again)
        assert await gate.openings.look(person.link.id, old, HERE) == Deny(Reason.WRONG_SECRET)
        person = Person(gate, renewed)
        assert (await person.looks()).tries_left == 5
        assert isinstance(await person.answer(), Opened)

    async def test_ends_no_visit_that_runs(self, gate: Gate) -> None:
        person = await somebody(gate, "passcode")
        opened = await person.answer()
        for _ in range(5):
            await person.answer(passcode="wrong horse")
        headers = [(b"authorization", f"Bearer {opened.bearer}".encode())]
        assert await gate.openings.lasts(opened.visit.id, headers, present=True) is None

    async def test_comes_when_the_site_says(self) -> None:
        gate = Gate(asking=asking(wrong_answers=2))
        person = await somebody(gate, "passcode")
        assert [await person.answer(passcode="wrong horse") for _ in range(3)] == [
            Wrong(1), Wrong(0), Deny(Reason.LOCKED)
        ]  # fmt: skip

    async def test_right_answers_in_between_do_not_give_tries_back(self, gate: Gate) -> None:
        person = await somebody(gate, "passcode")
        told = []
        for _ in range(5):
            told.append(await person.answer(passcode="wrong horse"))
            gate.after(MINUTE)
            await person.answer()
        assert told == [Wrong(left) for left in (4, 3, 2, 1, 0)]


class TestTerms:
    async def test_that_there_are_not_can_be_accepted_by_nobody(self) -> None:
        gate = Gate(asking=Asking(mail=True))
        person = Person(gate, await share(gate, "terms"))
        assert [await person.looks(), await person.answer()] == [Deny(Reason.TERMS_OFF)] * 2

    async def test_of_yesterday_are_asked_again_and_not_counted(self, gate: Gate) -> None:
        person = await somebody(gate, "terms", "passcode")
        assert await person.answer(terms="0123456789ab") == Needed((ConditionName.TERMS,))


class TestFirstOpenings:
    async def test_are_told_to_the_sender_once(self, gate: Gate) -> None:
        person = await somebody(gate)
        await person.answer()
        await person.answer()
        [mail] = await gate.store.mails(person.link.id)
        assert (mail.kind, mail.to) == (MailKind.OPENED, NOTIFY)

    async def test_are_told_to_nobody_where_no_mail_is_sent(self) -> None:
        gate = Gate(asking=Asking())
        person = await somebody(gate)
        assert isinstance(await person.answer(), Opened)
        assert await gate.store.mails(person.link.id) == []


class TestGrowing:
    """Shares that hold what their patient gets later."""

    async def test_is_before_the_visit_and_before_an_attempt(self, gate: Gate) -> None:
        seen: list[int] = []

        async def grown(link: Share) -> Share:
            seen.append((await kept(gate, link)).attempts)
            return link

        openings = replace(gate.openings, refresh=grown)
        person = await somebody(gate, "passcode")
        right, secret = await person.right(), gate.secret(person.link)
        assert isinstance(await openings.begin(person.link.id, secret, right, HERE), Opened)
        assert seen == [0]
        await openings.begin(person.link.id, secret, NO_ANSWERS, HERE)
        await openings.look(person.link.id, secret, HERE)
        assert len(seen) == 1

    async def test_is_for_links_that_ask_nothing_as_well(self, gate: Gate) -> None:
        seen: list[str] = []

        async def grown(link: Share) -> Share:
            seen.append(link.id)
            return link

        link = await gate.share()
        opened = await replace(gate.openings, refresh=grown).begin(link.id, gate.secret(link), NO_ANSWERS, HERE)
        assert isinstance(opened, Opened)
        assert seen == [link.id]


class TestBetweenTheSteps:
    """What changes while somebody answers."""

    async def test_a_condition_added_meanwhile_is_asked(self, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
        person, real = await somebody(gate, "passcode"), gate.store.begin_attempt
        born = condition.birth_date_digest(gate.ring, gate.ring.current, person.link.id, BORN)
        more = ShareChange(conditions=Conditions(passcode=HASH, birth_date=born))

        async def late(*arguments: Any) -> Any:
            await gate.desk.change_share(OPERATOR, person.link.id, more)
            return await real(*arguments)

        monkeypatch.setattr(gate.store, "begin_attempt", late)
        assert await person.answer(birth_date="19800228") == Wrong(4)
        assert await person.answer(birth_date=None) == Needed((ConditionName.BIRTH_DATE,))

    async def test_conditions_changed_after_the_check_are_not_met(
        self, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        person, real = await somebody(gate, "passcode"), gate.store.begin_visit

        async def late(*arguments: Any, **more: Any) -> Any:
            await gate.desk.change_share(
                OPERATOR, person.link.id, ShareChange(conditions=Conditions(passcode=HASH, terms=True))
            )
            return await real(*arguments, **more)

        monkeypatch.setattr(gate.store, "begin_visit", late)
        assert await person.answer() == Wrong(4)
        assert (await kept(gate, person.link)).visits == 0

    async def test_a_condition_added_to_an_open_link_is_asked(
        self, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        person, real = await somebody(gate), gate.store.begin_visit

        async def late(*arguments: Any, **more: Any) -> Any:
            await gate.desk.change_share(OPERATOR, person.link.id, ShareChange(conditions=Conditions(terms=True)))
            return await real(*arguments, **more)

        monkeypatch.setattr(gate.store, "begin_visit", late)
        assert await person.answer() == Deny(Reason.ANSWERS_NEEDED)
        assert (await kept(gate, person.link)).visits == 0

    async def test_a_link_renewed_meanwhile_is_not_charged_for_the_old_one(
        self, gate: Gate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        person, real = await somebody(gate, "passcode"), gate.store.fail_attempt

        async def late(*arguments: Any) -> Any:
            await gate.desk.change_share(OPERATOR, person.link.id, gate.desk.new_link())
            return await real(*arguments)

        monkeypatch.setattr(gate.store, "fail_attempt", late)
        await person.answer(passcode="wrong horse")
        assert (await kept(gate, person.link)).attempts == 0
