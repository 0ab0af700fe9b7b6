"""Where codes from paper are typed: by people without a script, and by programs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from keyhole.access.condition import Conditions
from keyhole.access.mail import MailKind
from keyhole.access.secret import Secret
from keyhole.access.share import Share
from keyhole.gateway.attempts import Asking
from keyhole.gateway.passcode import Passcodes
from keyhole.language import LANGUAGES
from keyhole.sharing import condition
from keyhole.sharing.condition import Terms
from keyhole.sharing.paper import grouped
from keyhole.web.pages import PublicPages
from keyhole.web.public import public_app
from keyhole.web.viewer import ViewerFiles
from tests.asgi import Answer, Caller
from tests.gateway.gate import HERE, PUBLIC, Gate
from tests.gateway.letterbox import Paper

BORN = {"birth_day": "17", "birth_month": "4", "birth_year": "1960"}
UNKNOWN = "0123-4567-89"
TERMS = Terms({"en": "Look, and tell nobody. <b>", "de": "Schauen, nichts weitersagen."})


@pytest.fixture
def paper() -> Paper:
    return Paper(Gate(asking=Asking(mail=True, terms=TERMS)))


@pytest.fixture
def caller(paper: Paper, tmp_path: Path) -> Caller:
    gate = paper.gate
    viewer, pages = ViewerFiles(tmp_path), PublicPages(PUBLIC)
    app = public_app(gate.openings, paper.openings, viewer, gate.gateway, pages, gate.clock)
    return Caller(app, host="images.example.org", scheme="https")


async def post(
    caller: Caller, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> Answer:
    return await caller.post_form(path, urlencode(fields), headers)


def typed(code: Secret) -> dict[str, str]:
    return {"code": grouped(code)}


def alert(answer: Answer) -> str:
    found = re.search(r'role="alert">(.*?)</div>', answer.text, re.DOTALL)
    return "" if found is None else re.sub(r"<[^>]+>|\s+", " ", found[1])


class TestTheFirstStep:
    async def test_is_the_same_bytes_for_everybody_and_sets_nothing(self, caller: Caller, paper: Paper) -> None:
        await paper.share()
        one = await caller.get("/c", {"user-agent": "preview-bot", "cookie": "keyhole_code=x"})
        other = await replace(caller, client=("203.0.113.5", 1)).get(
            "/c?code=ABCD-EFGH-JK", {"sec-purpose": "prefetch"}
        )
        assert (one.status, one.body) == (200, other.body)
        assert one.header("set-cookie") is None
        assert one.header("cache-control") == "no-store"
        assert not await paper.gate.trail() or {row.event for row in await paper.gate.trail()} == {"share-created"}
        assert not paper.noted

    async def test_needs_no_script_and_less_than_30_kb(self, caller: Caller) -> None:
        page = await caller.get("/c")
        assert 'method="post" action="/c"' in page.text
        assert len(page.body) < 8_000

    @pytest.mark.parametrize("path", ["/C", "/c/", "/C/"])
    async def test_is_found_however_the_address_is_typed(self, caller: Caller, path: str) -> None:
        answer = await caller.get(path)
        assert (answer.status, answer.header("location")) == (308, "/c")

    @pytest.mark.parametrize(
        ("method", "path", "allow"),
        [("PUT", "/c", "GET, HEAD, POST"), ("GET", "/c/visits", "POST"), ("GET", "/c/codes", "POST")],
    )
    async def test_knows_no_other_method(self, caller: Caller, method: str, path: str, allow: str) -> None:
        answer = await caller.call(method, path)
        assert (answer.status, answer.header("allow")) == (405, allow)

    async def test_a_mistyped_code_is_told_and_not_looked_up(self, caller: Caller, paper: Paper) -> None:
        answer = await post(caller, "/c", {"code": 'ABCD-EF"><script>'})
        assert answer.status == 404
        assert "not complete" in alert(answer)
        assert 'value="ABCD-EF&#34;&gt;&lt;script&gt;"' in answer.text
        assert not paper.noted

    async def test_an_unknown_code_is_told_and_can_be_typed_again(self, caller: Caller) -> None:
        answer = await post(caller, "/c", {"code": UNKNOWN})
        assert answer.status == 404
        assert "opens nothing" in alert(answer)
        assert 'action="/c"' in answer.text

    async def test_after_twenty_of_them_it_is_said_to_come_back_later(self, caller: Caller) -> None:
        for number in range(20):
            assert (await post(caller, "/c", {"code": f"{number:010}"})).status == 404
        answer = await post(caller, "/c", {"code": UNKNOWN})
        assert answer.status == 429
        assert 3500 < int(answer.header("retry-after") or 0) <= 3600

    @pytest.mark.parametrize("tag", LANGUAGES)
    async def test_reads_in_each_language(self, caller: Caller, tag: str) -> None:
        page = await caller.get("/c", {"accept-language": tag})
        assert f'<html lang="{tag}">' in page.text
        assert ("Open images with a code" in page.text) is (tag == "en")


class TestTheSecondStep:
    async def test_asks_for_what_is_needed_and_names_neither_share_nor_patient(
        self, caller: Caller, paper: Paper
    ) -> None:
        share, code = await paper.share(recipient="Jane Doe")
        page = await post(caller, "/c", {"code": f" {grouped(code).lower()} "})
        assert page.status == 200
        assert 'name="birth_day"' in page.text
        assert 'name="passcode"' not in page.text
        for hidden in (share.id, "Doe", "1.2.1", paper.gate.secret(share)):
            assert hidden not in page.text
        assert page.header("set-cookie") is None

    async def test_begins_the_visit_and_leads_to_it(self, caller: Caller, paper: Paper) -> None:
        share, code = await paper.share()
        opened = await post(caller, "/c/visits", typed(code) | BORN)
        location = opened.header("location") or ""
        assert opened.status == 303
        assert re.fullmatch("/v/[a-z2-7]{16}/", location)
        cookie = (opened.header("set-cookie") or "").partition(";")[0]
        assert "Secure" in (opened.header("set-cookie") or "")
        front = await caller.get(location, {"cookie": cookie})
        assert (front.status, "Images shared with you" in front.text) == (200, True)
        assert len(await paper.gate.store.visits(share.id)) == 1

    async def test_nothing_secret_is_in_an_address(self, caller: Caller, paper: Paper) -> None:
        share, code = await paper.share()
        opened = await post(caller, "/c/visits", typed(code) | BORN)
        for secret in (share.id, code.reveal(), grouped(code), "1960"):
            assert secret not in (opened.header("location") or "")

    async def test_a_wrong_answer_is_told_with_how_many_are_left(self, caller: Caller, paper: Paper) -> None:
        _, code = await paper.share()
        wrong = await post(caller, "/c/visits", typed(code) | BORN | {"birth_year": "1961"})
        assert wrong.status == 403
        assert "did not match" in alert(wrong)
        assert "4 more times" in alert(wrong)
        assert "1961" not in wrong.text
        assert (await post(caller, "/c/visits", typed(code) | BORN)).status == 303

    async def test_the_last_wrong_answer_locks_and_says_so(self, caller: Caller, paper: Paper) -> None:
        _, code = await paper.share()
        wrong = typed(code) | BORN | {"birth_year": "1961"}
        answers = [await post(caller, "/c/visits", wrong) for _ in range(5)]
        assert [answer.status for answer in answers] == [403] * 4 + [410]
        assert "locked" in answers[-1].text

    async def test_what_is_missing_is_told_at_its_place_and_not_counted(self, caller: Caller, paper: Paper) -> None:
        share, code = await paper.share()
        answer = await post(
            caller, "/c/visits", typed(code) | {"birth_day": "31", "birth_month": "2", "birth_year": "9"}
        )
        assert answer.status == 403
        assert "still missing" in alert(answer)
        assert answer.text.count('aria-invalid="true"') == 3
        assert answer.text.count('aria-describedby="birth-date-missing"') == 3
        assert 'id="birth-date-missing"' in answer.text
        kept = await paper.gate.store.share(share.id)
        assert kept is not None
        assert kept.attempts == 0

    async def test_a_passcode_is_asked_for_and_never_given_back(self, caller: Caller, paper: Paper) -> None:
        conditions = Conditions(passcode=await Passcodes().hashed(Secret("plum-Otter-17")))
        _, code = await paper.share(conditions=conditions)
        page = await post(caller, "/c", typed(code))
        assert 'name="passcode" type="password"' in page.text
        wrong = await post(caller, "/c/visits", typed(code) | {"passcode": "plum-otter-17"})
        assert (wrong.status, "plum" in wrong.text) == (403, False)
        assert (await post(caller, "/c/visits", typed(code) | {"passcode": "plum-Otter-17"})).status == 303

    async def test_terms_are_shown_in_the_reader_s_language_and_accepted(self, caller: Caller, paper: Paper) -> None:
        share, _ = await paper.share()
        _, code = await paper.share(conditions=replace(share.conditions, terms=True, birth_date=None, passcode="x"))
        page = await post(caller, "/c", typed(code))
        assert "Look, and tell nobody. &lt;b&gt;" in page.text
        assert f'value="{TERMS.version}"' in page.text
        german = await post(caller, "/c", typed(code), {"accept-language": "de"})
        assert 'lang="de">Schauen, nichts weitersagen.' in german.text

    async def test_a_limited_share_says_so(self, caller: Caller, paper: Paper) -> None:
        _, code = await paper.share(max_visits=1)
        assert "open once" in (await post(caller, "/c", typed(code))).text

    async def test_reads_in_each_language(self, caller: Caller, paper: Paper) -> None:
        _, code = await paper.share()
        for tag in LANGUAGES:
            page = await post(caller, "/c", typed(code), {"accept-language": tag})
            assert ("Medical images were shared with you" in page.text) is (tag == "en")


class TestMailedCodes:
    @pytest.fixture
    async def asked(self, paper: Paper) -> tuple[Share, Secret]:
        share, _ = await paper.share()
        conditions = Conditions(birth_date=b"replaced", mail_code=True)
        share, code = await paper.share(conditions=conditions, mail_to="maria@example.org")
        digest = condition.birth_date_digest(paper.gate.ring, share.key_id, share.id, "19600417")
        paper.gate.store._shares[share.id] = replace(share, conditions=replace(conditions, birth_date=digest))
        return share, code

    async def test_are_sent_first_and_typed_with_the_rest_in_the_browser_that_asked(
        self, caller: Caller, paper: Paper, asked: tuple[Share, Secret]
    ) -> None:
        share, code = asked
        first = await post(caller, "/c", typed(code))
        assert "m•••@example.org" in first.text
        assert 'action="/c/codes"' in first.text
        assert 'action="/c/visits"' not in first.text
        sent = await post(caller, "/c/codes", typed(code))
        cookie = (sent.header("set-cookie") or "").partition(";")[0]
        assert cookie.startswith("keyhole_code=")
        assert "Path=/c;" in (sent.header("set-cookie") or "")
        assert 'action="/c/visits"' in sent.text
        [mail] = [mail for mail in await paper.gate.store.mails(share.id) if mail.kind is MailKind.CODE]
        digits = condition.mail_code(paper.gate.ring, share.key_id, share.id, 1, mail.nonce or "")
        answers = typed(code) | BORN | {"mail_code": digits}
        assert (await post(caller, "/c/visits", answers)).status == 403
        assert (await post(caller, "/c/visits", answers, {"cookie": cookie})).status == 303

    async def test_are_sent_to_programs_with_the_ticket(
        self, caller: Caller, paper: Paper, asked: tuple[Share, Secret]
    ) -> None:
        share, code = asked
        sent = await caller.post_json("/c/codes", {"code": code.reveal()})
        assert (sent.status, sent.json()["mail_to"]) == (202, "m•••@example.org")
        [mail] = await paper.gate.store.mails(share.id)
        digits = condition.mail_code(paper.gate.ring, share.key_id, share.id, 1, mail.nonce or "")
        answers = {"code": code.reveal(), "birth_date": "1960-04-17", "mail_code": digits}
        assert (await caller.post_json("/c/visits", answers)).json()["needs"] == ["mail-code"]
        assert (await caller.post_json("/c/visits", answers | {"ticket": sent.json()["ticket"]})).status == 201

    async def test_are_not_sent_where_nobody_asked_for_one(self, caller: Caller, paper: Paper) -> None:
        _, code = await paper.share()
        assert (await post(caller, "/c/codes", typed(code))).status == 404

    async def test_of_unknown_codes_are_not_sent(self, caller: Caller) -> None:
        assert (await post(caller, "/c/codes", {"code": UNKNOWN})).status == 404
        assert (await caller.post_json("/c/codes", {"code": UNKNOWN})).json()["reason"] == "wrong-secret"


class TestPrograms:
    async def test_look_and_open_in_json(self, caller: Caller, paper: Paper) -> None:
        share, code = await paper.share(max_visits=2)
        look = await caller.post_json("/c", {"code": code.reveal().lower()})
        assert look.status == 200
        assert look.json()["needs"] == ["birth-date"]
        assert look.json()["visits_left"] == 2
        assert share.id not in look.text
        opened = await caller.post_json("/c/visits", {"code": code.reveal(), "birth_date": "1960-04-17"})
        assert opened.status == 201
        assert opened.json()["bearer"].startswith("khv_")

    @pytest.mark.parametrize(
        ("sent", "reason"),
        [
            ({"code": UNKNOWN}, "wrong-secret"),
            ({"code": "ABC"}, "mistyped"),
            ({}, "mistyped"),
            ({"code": 7}, "mistyped"),
            ({"code": "\ud800" * 10}, "bad-request"),
            ({"code": "A" * 3000}, "mistyped"),
            ({"code": "A" * 5000}, "too-large"),
        ],
    )
    async def test_are_told_in_json_what_is_wrong(self, caller: Caller, sent: Any, reason: str) -> None:
        for path in ("/c", "/c/visits", "/c/codes"):
            body = json.dumps(sent).encode()
            answer = await caller.call("POST", path, {"content-type": "application/json"}, [body])
            assert answer.json()["reason"] == reason

    async def test_are_told_how_many_tries_are_left(self, caller: Caller, paper: Paper) -> None:
        _, code = await paper.share()
        answer = await caller.post_json("/c/visits", {"code": code.reveal(), "birth_date": "1961-04-17"})
        assert (answer.status, answer.json()["reason"], answer.json()["tries_left"]) == (403, "wrong-answer", 4)
        answer = await caller.post_json("/c/visits", {"code": code.reveal()})
        assert (answer.status, answer.json()["needs"]) == (403, ["birth-date"])


class TestStrangers:
    @pytest.mark.parametrize(
        "headers",
        [
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"origin": "https://evil.example"},
            {"sec-fetch-site": "same-origin", "sec-purpose": "prefetch"},
        ],
    )
    @pytest.mark.parametrize("path", ["/c", "/c/visits", "/c/codes"])
    async def test_no_other_site_can_type_a_code(
        self, caller: Caller, paper: Paper, path: str, headers: dict[str, str]
    ) -> None:
        _, code = await paper.share()
        answer = await post(caller, path, typed(code) | BORN, headers)
        assert answer.status == 403
        assert not paper.noted

    async def test_old_browsers_can_tell_that_a_form_is_ours(self, caller: Caller, paper: Paper) -> None:
        # Without Sec-Fetch-Site there is the Origin, which a policy of no-referrer would make null.
        _, code = await paper.share()
        for answer in (
            await caller.get("/c"),
            await post(caller, "/c", {"code": UNKNOWN}),
            await post(caller, "/c", typed(code)),
        ):
            assert answer.header("referrer-policy") == "same-origin"
        assert (await post(caller, "/c", typed(code), {"origin": PUBLIC})).status == 200
        assert (await post(caller, "/c", typed(code), {"origin": "null"})).status == 403

    async def test_unknown_and_powerless_codes_get_the_same_bytes(self, caller: Caller, paper: Paper) -> None:
        _, powerless = await paper.share(conditions=Conditions(terms=True))
        answers = []
        for code in (powerless.reveal(), UNKNOWN):
            page = await post(caller, "/c", {"code": code})
            answers.append((page.status, page.headers[:-1], re.sub(r'value="[^"]*"', "", page.text)))
            answers.append((await caller.post_json("/c", {"code": code})).body)
        assert answers[0][0] == answers[2][0] == 404
        assert answers[0][2] == answers[2][2]
        assert answers[1] == answers[3]

    async def test_a_share_s_id_or_secret_is_no_code(self, caller: Caller, paper: Paper) -> None:
        share, _ = await paper.share()
        for text in (share.id, paper.gate.secret(share), paper.gate.desk.link(share)):
            assert (await post(caller, "/c", {"code": text})).status == 404

    async def test_a_code_is_no_secret_of_the_link(self, caller: Caller, paper: Paper) -> None:
        share, code = await paper.share()
        answer = await caller.post_json(f"/s/{share.id}", {"secret": code.reveal().lower()})
        assert answer.status == 404

    async def test_no_answer_names_the_address_of_who_asks(self, caller: Caller) -> None:
        assert HERE.address not in (await post(caller, "/c", {"code": UNKNOWN})).text
