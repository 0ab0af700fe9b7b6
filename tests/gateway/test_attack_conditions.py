"""Whoever tries to get around what a link asks: with the link, without it, from many addresses, with odd answers."""

from __future__ import annotations

import asyncio
import collections
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keyhole.access.decision import Deny, Event, Reason
from keyhole.access.share import Share
from keyhole.sharing import condition
from keyhole.sharing.condition import Answers
from keyhole.web.pages import PublicPages
from keyhole.web.public import public_app
from keyhole.web.viewer import ViewerFiles
from tests.asgi import Answer, Caller
from tests.gateway.asked import BORN, PASSCODE, asking, other, share
from tests.gateway.gate import HERE, OPERATOR, PUBLIC, Gate
from tests.web.openings import NoCodes


@dataclass
class Site:
    """The whole public listener, on a store in memory."""

    folder: Path
    gate: Gate = field(default_factory=lambda: Gate(asking=asking()))

    def __post_init__(self) -> None:
        pages = PublicPages(PUBLIC)
        app = public_app(
            self.gate.openings, NoCodes(), ViewerFiles(self.folder), self.gate.gateway, pages, self.gate.clock
        )
        self.caller = Caller(app, scheme="https", host="images.example.org")

    async def post(self, link: Share, step: str, address: str = "192.0.2.7", **sent: Any) -> Answer:
        """What the link's holder gets who sends this."""
        caller = replace(self.caller, client=(address, 50000))
        whole = {"secret": self.gate.secret(link), **sent}
        return await caller.post_json(f"/s/{link.id}{step}", {k: v for k, v in whole.items() if v is not None})

    async def kept(self, link: Share) -> Share:
        found = await self.gate.store.share(link.id)
        assert found is not None
        return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


RIGHT = {"passcode": PASSCODE, "birth_date": "1980-02-29"}
WRONG = {"passcode": "wrong horse", "birth_date": "1980-02-28"}


def reasons(answers: list[Answer]) -> collections.Counter[str]:
    return collections.Counter(answer.json().get("reason", "opened") for answer in answers)


class TestStrangers:
    """Who has the share's id, and not its link."""

    async def test_cannot_lock_it(self, site: Site) -> None:
        link = await share(site.gate, "passcode", "birth-date", "mail-code")
        someone = await site.gate.share()
        wrong_secrets = [site.gate.secret(someone), "a" * 35, "", None, site.gate.secret(link)[:-1]]
        for secret in wrong_secrets * 20:
            for step in ("", "/codes", "/visits"):
                answer = await site.post(link, step, **WRONG, mail_code="000000", ticket="a" * 32, secret=secret)
                assert answer.status == 404
        after = await site.kept(link)
        assert (after.attempts, after.locked_at) == (0, None)
        assert await site.gate.store.mails(link.id) == []

    async def test_learn_nothing_of_what_it_asks(self, site: Site) -> None:
        links = [await share(site.gate), await share(site.gate, "passcode", "mail-code"), await site.gate.share()]
        someone = site.gate.secret(await site.gate.share())
        for step in ("", "/codes", "/visits"):
            told = {(await site.post(link, step, secret=someone, **RIGHT)).body for link in links}
            assert len(told) == 1

    async def test_take_no_work_that_counts(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        link, hashed = await share(site.gate, "passcode"), []
        monkeypatch.setattr(site.gate.openings.attempts.passcodes, "_matches", lambda *each: hashed.append(each))
        for _ in range(50):
            await site.post(link, "/visits", secret="a" * 35, passcode="x" * 3000)
        assert hashed == []

    async def test_take_no_tokens_of_who_has_the_link(self, site: Site) -> None:
        link = await share(site.gate, "passcode")
        for _ in range(100):
            await site.post(link, "/visits", secret="a" * 35, **RIGHT)
        assert (await site.post(link, "/visits", **RIGHT)).status == 201


class TestGuessing:
    """Who has the link, and not the answers."""

    async def test_ten_thousand_codes_from_a_thousand_addresses_are_five_attempts(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        link, hashed, answers = await share(site.gate, "passcode"), [], []
        monkeypatch.setattr(
            site.gate.openings.attempts.passcodes, "_matches", lambda _, plain: bool(hashed.append(plain))
        )
        for number in range(10_000):
            address = f"2001:db8:{number % 1000:x}::1"
            answers.append(await site.post(link, "/visits", address, passcode=f"guess {number:06}"))
        assert reasons(answers) == {"wrong-answer": 5, "locked": 9_995}
        assert (await site.kept(link)).attempts == 5
        assert len(await site.gate.trail(Event.SHARE_LOCKED)) == 1
        assert len(hashed) == 5, "what a flood costs is not hashed"

    async def test_six_digits_are_not_guessed_by_asking_anew(self, site: Site) -> None:
        link = await share(site.gate, "mail-code", expires_at=site.gate.now + timedelta(days=30))
        told: list[Answer] = []
        for number in range(60):
            site.gate.after(timedelta(hours=1))
            sent = await site.post(link, "/codes", f"2001:db8:{number:x}::1")
            ticket = sent.json().get("ticket")
            guesses = (f"{guess:06}" for guess in range(10))
            told += [await site.post(link, "/visits", ticket=ticket, mail_code=guess) for guess in guesses]
        counted = reasons(told)
        assert counted["wrong-answer"] == 5 or counted["opened"], counted
        assert (await site.kept(link)).attempts <= 5 + counted["opened"]

    async def test_parallel_guesses_never_have_more_than_the_attempts(self, site: Site) -> None:
        link = await share(site.gate, "passcode", "birth-date")
        crowd = (
            site.post(link, "/visits", f"2001:db8:{number:x}::1", **{**RIGHT, "passcode": f"guess {number:06}"})
            for number in range(200)
        )
        counted = reasons(list(await asyncio.gather(*crowd)))
        assert counted["wrong-answer"] == 5
        assert counted["wrong-answer"] + counted["too-many"] + counted["locked"] == 200
        after = await site.kept(link)
        assert (after.attempts, after.visits) == (5, 0)
        assert after.locked_at is not None

    async def test_the_right_answer_among_parallel_guesses_opens_before_the_lock_or_not_at_all(
        self, site: Site
    ) -> None:
        link = await share(site.gate, "passcode")
        crowd = [
            site.post(
                link, "/visits", f"2001:db8:{number:x}::1", passcode=PASSCODE if number == 7 else f"guess {number}9"
            )
            for number in range(40)
        ]
        await asyncio.gather(*crowd)
        after = await site.kept(link)
        assert after.attempts - after.passed <= 5
        assert after.visits == after.passed <= 1

    async def test_each_part_alone_is_not_told(self, site: Site) -> None:
        """Who knows one of two answers cannot tell by the answer that it is right."""
        bodies = set()
        for sent in ({**RIGHT, "passcode": "wrong horse"}, {**RIGHT, "birth_date": "1980-02-28"}, WRONG):
            link = await share(site.gate, "passcode", "birth-date")
            answer = await site.post(link, "/visits", **sent)
            bodies.add((answer.status, answer.headers, answer.body))
        assert len(bodies) == 1

    async def test_parts_left_out_do_not_test_the_others(self, site: Site) -> None:
        link = await share(site.gate, "passcode", "birth-date")
        bodies = {
            (await site.post(link, "/visits", passcode=passcode)).body for passcode in (PASSCODE, "wrong horse") * 10
        }
        assert len(bodies) == 1
        assert (await site.kept(link)).attempts == 0

    async def test_a_code_asked_for_in_one_browser_is_of_no_use_in_another(self, site: Site) -> None:
        link = await share(site.gate, "mail-code")
        mine = (await site.post(link, "/codes")).json()["ticket"]
        theirs = (await site.post(link, "/codes")).json()["ticket"]
        code = await site.gate.store.code(link.id)
        assert code is not None
        digits = condition.mail_code(site.gate.ring, link.key_id, link.id, 1, code.nonce)
        assert (await site.post(link, "/visits", ticket=mine, mail_code=digits)).json()["reason"] == "wrong-answer"
        assert (await site.post(link, "/visits", ticket=theirs, mail_code=other(digits))).status == 403
        assert (await site.post(link, "/visits", ticket=theirs, mail_code=digits)).status == 201

    async def test_nobody_is_mailed_to_death(self, site: Site) -> None:
        links = [await share(site.gate, "mail-code") for _ in range(10)]
        sent = [await site.post(link, "/codes", f"2001:db8:{n:x}::1") for n in range(10) for link in links]
        assert collections.Counter(answer.status for answer in sent) == {202: 3, 429: 97}


class TestOddAnswers:
    ODD = (
        "x" * 3000,
        "\ufdfa" * 900,
        "é" * 1500,
        "\0" * 20,
        "🔑" * 30,
        "correct horse\0",
        "a\u0300\u0301\u0302" * 100,
        "$argon2id$v=19$m=1048576,t=9,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "' OR 1=1 --",
        "\u202edrowssap",
        "%00" * 10,
    )

    @pytest.mark.parametrize("name", ["passcode", "birth_date", "mail_code", "terms", "ticket"])
    @pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
    async def test_open_nothing_and_break_nothing(self, site: Site, name: str, odd: str) -> None:
        link = await share(site.gate, "passcode", "birth-date", "mail-code", "terms")
        ticket = (await site.post(link, "/codes")).json()["ticket"]
        version = site.gate.asking.version
        good = {**RIGHT, "mail_code": "000000", "ticket": ticket, "terms": version}
        answer = await site.post(link, "/visits", **{**good, name: odd})
        assert (answer.status, answer.json()["reason"]) in ((403, "wrong-answer"), (403, "answers-needed"))
        assert odd not in answer.text
        assert (await site.kept(link)).visits == 0

    async def test_more_than_a_body_holds_is_refused_before_it_is_read(self, site: Site) -> None:
        link = await share(site.gate, "passcode")
        answer = await site.post(link, "/visits", passcode="x" * 5000)
        assert answer.status == 413
        assert (await site.kept(link)).attempts == 0

    async def test_what_is_hashed_is_short_however_much_was_sent(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hashed: list[str] = []
        monkeypatch.setattr(
            site.gate.openings.attempts.passcodes, "_matches", lambda _, plain: bool(hashed.append(plain))
        )
        for odd in self.ODD:
            await site.post(await share(site.gate, "passcode"), "/visits", passcode=odd)
        assert len(hashed) == len(self.ODD)
        assert max(map(len, hashed)) <= 64

    async def test_half_a_letter_is_no_json(self, site: Site) -> None:
        link = await share(site.gate, "passcode")
        halves = "\\ud800" * 8
        body = f'{{"secret": "{site.gate.secret(link)}", "passcode": "{halves}"}}'
        sent = {"content-type": "application/json"}
        answer = await site.caller.call("POST", f"/s/{link.id}/visits", sent, [body.encode()])
        assert answer.status in (400, 403)
        assert (await site.kept(link)).visits == 0


class TestTheClock:
    async def test_set_back_it_gives_a_code_no_more_time(self, site: Site) -> None:
        link = await share(site.gate, "mail-code")
        site.gate.after(timedelta(hours=2))
        ticket = (await site.post(link, "/codes")).json()["ticket"]
        code = await site.gate.store.code(link.id)
        assert code is not None
        digits = condition.mail_code(site.gate.ring, link.key_id, link.id, 1, code.nonce)
        site.gate.after(timedelta(hours=-1))
        answer = await site.post(link, "/visits", "192.0.2.8", ticket=ticket, mail_code=digits)
        assert answer.json()["reason"] == "wrong-answer"

    async def test_set_back_or_forward_it_gives_no_more_tries(self, site: Site) -> None:
        link = await share(site.gate, "passcode", expires_at=site.gate.now + timedelta(days=300))
        told = []
        for number, days in enumerate((0, 30, -20, 1, -5, 100, -90)):
            site.gate.after(timedelta(days=days))
            told.append(await site.post(link, "/visits", f"2001:db8:{number:x}::1", passcode="wrong horse"))
        assert reasons(told) == {"wrong-answer": 5, "locked": 2}

    async def test_set_back_it_gives_no_more_codes(self, site: Site) -> None:
        link = await share(site.gate, "mail-code")
        site.gate.after(timedelta(days=2))
        sent = []
        for _ in range(20):
            sent.append(await site.post(link, "/codes", "2001:db8::1"))
            site.gate.after(timedelta(hours=-1))
        assert {answer.status for answer in sent} == {202, 429}
        assert sum(answer.status == 202 for answer in sent) <= 3


class TestTwoBrowsers:
    """The link is opened in a mail program's own browser first, and then in the real one."""

    async def test_without_a_limit_both_open(self, site: Site) -> None:
        link = await share(site.gate, "passcode")
        for _ in range(2):
            assert (await site.post(link, "")).status == 200
            assert (await site.post(link, "/visits", **RIGHT)).status == 201

    async def test_the_one_opening_is_not_lost_before_the_answers_are_right(self, site: Site) -> None:
        link = await share(site.gate, "birth-date", max_visits=1)
        for _ in range(3):
            assert (await site.post(link, "")).json()["visits_left"] == 1
            assert (await site.post(link, "/visits")).json()["reason"] == "answers-needed"
        assert (await site.post(link, "/visits", birth_date="1980-02-28")).json()["reason"] == "wrong-answer"
        assert (await site.post(link, "")).json()["visits_left"] == 1
        assert (await site.post(link, "/visits", **RIGHT)).status == 201
        assert (await site.post(link, "/visits", **RIGHT)).json()["reason"] == "used-up"

    async def test_a_code_asked_for_in_the_first_is_asked_for_again_in_the_second(self, site: Site) -> None:
        link = await share(site.gate, "mail-code")
        await site.post(link, "/codes")
        assert (await site.post(link, "/visits", mail_code="123456")).json()["needs"] == ["mail-code"]
        assert (await site.kept(link)).attempts == 0
        assert (await site.post(link, "/codes")).status == 202


class TestOldLinks:
    """Whoever has a link while its sender makes another."""

    @pytest.mark.parametrize("asked", [(), ("passcode",)])
    async def test_open_nothing_while_the_archive_is_asked_for_later_studies(
        self, site: Site, asked: tuple[str, ...]
    ) -> None:
        link = await share(site.gate, *asked)
        old = site.gate.secret(link)

        async def grown(before: Share) -> Share:
            """The share is read again when a study is added to it: by then it has another link."""
            return await site.gate.desk.change_share(OPERATOR, before.id, site.gate.desk.new_link())

        openings = replace(site.gate.openings, refresh=grown)
        for passcode in (PASSCODE, "wrong horse"):
            told = await openings.begin(link.id, old, Answers(passcode=passcode), HERE)
            assert told == Deny(Reason.WITHDRAWN if passcode == PASSCODE else Reason.WRONG_SECRET)
        after = await site.kept(link)
        assert (after.generation, after.attempts, after.visits) == (2, 0, 0)


class TestOtherWays:
    """Paths and methods beside the three."""

    @pytest.mark.parametrize("step", ["", "/", "/visits/", "/codes/", "/visits/x", "/answers", "/Visits", "/visits%2f"])
    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "POST"])
    async def test_open_nothing_and_count_nothing(self, site: Site, method: str, step: str) -> None:
        link = await share(site.gate, "passcode")
        sent = {"content-type": "application/json"}
        body = f'{{"secret": "{site.gate.secret(link)}", "passcode": "wrong horse"}}'.encode()
        answer = await site.caller.call(method, f"/s/{link.id}{step}", sent, [body])
        assert answer.status != 201
        after = await site.kept(link)
        assert (after.attempts, after.visits) == (0, 0)

    async def test_the_secret_opens_no_images_and_no_api(self, site: Site) -> None:
        link = await share(site.gate, "passcode")
        secret = site.gate.secret(link)
        for shown in (f"Bearer {secret}", f"Bearer khv_{link.id}_{secret[:32]}", f"Bearer kht_{link.id}_{secret[:32]}"):
            answer = await site.caller.get("/dicom-web/studies", {"authorization": shown})
            assert answer.status == 401

    async def test_answers_beside_another_links_secret_count_for_neither(self, site: Site) -> None:
        mine, theirs = await share(site.gate, "passcode"), await share(site.gate, "passcode")
        whole = f"{PUBLIC}/s/{theirs.id}#{site.gate.secret(mine)}"
        for secret in (whole, site.gate.secret(mine)):
            answer = await site.post(theirs, "/visits", secret=secret, passcode="wrong horse")
            assert answer.status == 404
        assert (await site.kept(mine)).attempts == (await site.kept(theirs)).attempts == 0

    async def test_fields_given_twice_are_refused(self, site: Site) -> None:
        link = await share(site.gate, "passcode")
        body = f"secret={site.gate.secret(link)}&passcode=wrong+horse&passcode=correct+horse"
        answer = await site.caller.post_form(f"/s/{link.id}/visits", body)
        assert answer.status == 400
        assert (await site.kept(link)).attempts == 0

    async def test_the_birth_date_is_in_no_answer(self, site: Site) -> None:
        link = await share(site.gate, "birth-date")
        for step, sent in (("", {}), ("/visits", {}), ("/visits", WRONG), ("/visits", RIGHT)):
            answer = await site.post(link, step, **sent)
            assert BORN not in answer.text
            assert "1980" not in answer.text
