"""Everything of links and of codes for paper that a stranger with a part of it may try, on two workers at once.

Ids and secrets of several shares mixed, answers of one shown to another, replays, renewals in the middle of an answer,
two browsers, and what headers claim. Each attack on one part alone is tested beside that part.
"""

from __future__ import annotations

import collections
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import dataset
from tests.e2e.test_paper import Letter, printed
from tests.servers.keyhole import Answer, Keyhole, keyhole, share_id
from tests.servers.mail import Postbox, mail_server
from tests.servers.process import wait_until

pytestmark = pytest.mark.e2e

PASSCODE, OTHERS = "harbour-lantern-42", "another-lantern-17"
BORN = "1970-05-17"
_addresses = itertools.count(1)


@dataclass
class Site:
    """A Keyhole of two workers behind a proxy whose word is taken, and the mail that it sends."""

    server: Keyhole
    postbox: Postbox
    key: str = field(repr=False)

    def share(self, *words: str, passcode: str = PASSCODE, study: str = dataset.STUDY) -> str:
        asked = () if "--no-passcode" in words else ("--passcode", "-")
        given = [word for word in words if word != "--no-passcode"]
        link = self.server.run("share", study, "--for", "1d", *asked, *given, given=f"{passcode}\n").stdout.split()[0]
        self.server.secrets |= {link.partition("#")[2], passcode}
        return link

    def post(
        self, path: str, address: str | None = None, headers: Mapping[str, str] | None = None, **sent: Any
    ) -> Answer:
        """What somebody gets; somebody else each time, unless an *address* is given."""
        number = next(_addresses)
        address = address or f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        fields = {"Content-Type": "application/json", "X-Forwarded-For": address, **(headers or {})}
        return self.server.ask("POST", path, fields, json.dumps(sent).encode())

    def opens(self, link: str, **answers: Any) -> Answer:
        return self.post(f"/s/{share_id(link)}/visits", secret=link.partition("#")[2], **answers)

    def change(self, link: str, **wanted: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        path, body = f"/api/v1/shares/{share_id(link)}", json.dumps(wanted).encode()
        answer = self.server.ask("PATCH", path, headers, body, port=self.server.staff_port)
        assert answer.status == 200, answer.body
        changed = answer.json()
        if changed["link"]:
            self.server.secrets.add(changed["link"].partition("#")[2])
        return changed

    def shown(self, link: str) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        path = f"/api/v1/shares/{share_id(link)}"
        return self.server.ask("GET", path, headers, port=self.server.staff_port).json()

    def mailed(self, to: str, count: int = 1) -> str:
        """The code in the newest mail to *to*, once *count* mails are there."""
        wait_until(lambda: len(self.postbox.to_address(to)) >= count, 30, "no code comes")
        body = self.postbox.to_address(to)[-1].get_body(("plain",))
        assert body is not None
        found = re.search(r"\b\d{3} ?\d{3}\b", body.get_content())
        assert found is not None
        return found[0].replace(" ", "")


@pytest.fixture(scope="module")
def site(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    postbox, folder = Postbox(), tmp_path_factory.mktemp("attacked")
    with mail_server(postbox) as port:
        settings = {
            "KEYHOLE_ARCHIVE": str(studies),
            "KEYHOLE_TRUSTED_PROXIES": "127.0.0.1",
            "KEYHOLE_SMTP_HOST": "127.0.0.1",
            "KEYHOLE_SMTP_PORT": str(port),
            "KEYHOLE_SMTP_SECURITY": "none",
            "KEYHOLE_MAIL_FROM": "radiology@clinic.example",
        }
        with keyhole(folder, settings, workers=2) as running:
            yield Site(running, postbox, running.key("portal", "administrator"))


@pytest.fixture(scope="module")
def direct(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyhole]:
    """A Keyhole that no proxy stands before."""
    with keyhole(tmp_path_factory.mktemp("direct"), {"KEYHOLE_ARCHIVE": str(studies)}) as running:
        yield running


@pytest.fixture(scope="module")
def letter(site: Site, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Letter]:
    """A link with a code for paper, which asks for a passcode."""
    link = site.share("--paper")
    return link, printed(site.server, link, tmp_path_factory.mktemp("letter"))


def reasons(answers: Sequence[Answer]) -> collections.Counter[str]:
    return collections.Counter(answer.json().get("reason", "opened") for answer in answers)


def at_once(size: int, what: Callable[[int], Answer]) -> list[Answer]:
    together = threading.Barrier(size)

    def one(number: int) -> Answer:
        together.wait()
        return what(number)

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))


class TestMixing:
    def test_one_links_secret_opens_no_other_share(self, site: Site) -> None:
        mine, others = site.share(), site.share(passcode=OTHERS, study=dataset.PRIOR)
        secret = mine.partition("#")[2]
        told = [
            site.post(f"/s/{share_id(others)}{step}", secret=secret, passcode=passcode)
            for step in ("", "/codes", "/visits")
            for passcode in (PASSCODE, OTHERS)
        ]
        assert reasons(told) == {"wrong-secret": 6}
        assert [site.shown(link)["wrong_answers"] for link in (mine, others)] == [0, 0]

    def test_a_whole_link_in_another_links_address_is_that_link_and_asks_what_it_asks(self, site: Site) -> None:
        free, asking = site.share("--no-passcode"), site.share()
        answer = site.post(f"/s/{share_id(free)}/visits", secret=asking)
        assert (answer.status, answer.json()["reason"]) == (403, "answers-needed")
        answer = site.post(f"/s/{share_id(asking)}/visits", secret=free)
        assert answer.status == 201
        assert site.shown(asking)["visits"] == 0
        assert site.shown(free)["visits"] == 1

    def test_a_code_for_paper_and_a_links_secret_are_no_substitutes(
        self, site: Site, letter: tuple[str, Letter]
    ) -> None:
        link, paper = letter
        secret = link.partition("#")[2]
        tried: tuple[tuple[str, dict[str, Any]], ...] = (
            (f"/s/{share_id(link)}/visits", {"secret": paper.code}),
            (f"/s/{share_id(link)}/visits", {"code": paper.code}),
            ("/c/visits", {"code": secret}),
            ("/c/visits", {"secret": secret}),
            ("/c/visits", {"code": share_id(link)}),
            ("/o", {"code": paper.code}),
            ("/o", {"code": secret}),
            ("/o", {"code": share_id(link)}),
        )
        for path, sent in tried:
            answer = site.post(path, passcode=PASSCODE, **sent)
            assert answer.status in (400, 404), (path, sent)
            assert "set-cookie" not in answer.headers
        assert site.shown(link)["visits"] == 0

    def test_answers_through_the_letter_and_through_the_link_are_counted_together(
        self, site: Site, tmp_path: Path
    ) -> None:
        link = site.share("--paper")
        paper = printed(site.server, link, tmp_path)
        ways: tuple[Callable[..., Answer], ...] = (
            lambda **guess: site.opens(link, **guess),
            lambda **guess: site.post("/c/visits", code=paper.code, **guess),
        )
        told = [ways[number % 2](passcode=f"guess number {number}") for number in range(8)]
        assert reasons(told) == {"wrong-answer": 5, "locked": 3}
        assert site.opens(link, passcode=PASSCODE).json()["reason"] == "locked"
        assert site.post("/c/visits", code=paper.code, passcode=PASSCODE).json()["reason"] == "locked"

    def test_an_answer_in_the_address_is_none(self, site: Site) -> None:
        link = site.share()
        secret, path = link.partition("#")[2], f"/s/{share_id(link)}/visits"
        assert site.post(f"{path}?passcode={PASSCODE}", secret=secret).json()["reason"] == "answers-needed"
        assert site.post(f"{path}?secret={secret}&passcode={PASSCODE}").status == 404
        assert site.post(path, headers={"Cookie": f"passcode={PASSCODE}"}, secret=secret).status == 403
        assert site.shown(link)["wrong_answers"] == 0

    @pytest.mark.parametrize("odd", [True, 1, None, [], {}, [PASSCODE], {"passcode": PASSCODE}])
    def test_answers_that_are_no_texts_are_none(self, site: Site, odd: object) -> None:
        link = site.share()
        assert site.opens(link, passcode=odd).json()["reason"] == "answers-needed"
        assert site.shown(link)["wrong_answers"] == 0


class TestMailedCodes:
    def asked(self, site: Site, link: str) -> tuple[str, str]:
        """The ticket and the cookie of somebody who asks for a code."""
        answer = site.post(f"/s/{share_id(link)}/codes", secret=link.partition("#")[2])
        assert answer.status == 202, answer.body
        ticket = answer.json()["ticket"]
        site.server.secrets.add(ticket)
        return ticket, answer.headers["set-cookie"]

    def test_is_worth_nothing_in_another_browser_or_for_another_link(self, site: Site) -> None:
        to = ("--no-passcode", "--mail-code", "--mail-to")
        one, other = site.share(*to, "one@praxis.example"), site.share(*to, "other@praxis.example")
        mine, _ = self.asked(site, one)
        theirs, _ = self.asked(site, other)
        code = site.mailed("one@praxis.example")
        tried = [
            site.opens(one, mail_code=code),
            site.opens(one, mail_code=code, ticket=theirs),
            site.opens(other, mail_code=code, ticket=mine),
            site.opens(other, mail_code=code, ticket=theirs),
        ]
        assert reasons(tried) == {"answers-needed": 1, "wrong-answer": 3}
        assert site.opens(one, mail_code=code, ticket=mine).status == 201
        assert site.opens(one, mail_code=code, ticket=mine).json()["reason"] == "wrong-answer"

    def test_its_cookie_is_for_its_link_alone(self, site: Site) -> None:
        link = site.share("--no-passcode", "--mail-code", "--mail-to", "third@praxis.example")
        _, cookie = self.asked(site, link)
        assert f"Path=/s/{share_id(link)};" in cookie
        assert "HttpOnly" in cookie

    def test_a_new_link_ends_it(self, site: Site) -> None:
        link = site.share("--no-passcode", "--mail-code", "--mail-to", "fourth@praxis.example")
        ticket, _ = self.asked(site, link)
        code = site.mailed("fourth@praxis.example")
        renewed = site.change(link, new_link=True)["link"]
        assert site.opens(link, mail_code=code, ticket=ticket).status == 404
        assert site.opens(renewed, mail_code=code, ticket=ticket).json()["reason"] == "wrong-answer"

    def test_who_has_the_link_cannot_say_to_whom_it_goes(self, site: Site) -> None:
        link = site.share("--no-passcode", "--mail-code", "--mail-to", "fifth@praxis.example")
        secret = link.partition("#")[2]
        more: dict[str, Any] = {
            "mail_to": "thief@evil.example",
            "to": "thief@evil.example",
            "language": "de\r\nBcc: thief@evil.example",
        }
        answer = site.post(f"/s/{share_id(link)}/codes", secret=secret, **more)
        assert answer.json()["mail_to"] == "f•••@praxis.example"
        site.mailed("fifth@praxis.example")
        assert not site.postbox.to_address("evil.example")


class TestReplays:
    def test_one_answer_sent_twenty_times_at_once_opens_a_link_for_one_once(self, site: Site) -> None:
        link = site.share("--visits", "1")
        told = at_once(20, lambda _: site.opens(link, passcode=PASSCODE))
        counted = reasons(told)
        assert counted["opened"] == 1
        assert set(counted) <= {"opened", "used-up", "too-many"}
        assert site.shown(link)["visits"] == 1

    def test_guesses_on_two_workers_never_have_more_than_the_attempts(self, site: Site) -> None:
        link = site.share()
        told = at_once(40, lambda number: site.opens(link, passcode=f"guess number {number}"))
        assert reasons(told)["wrong-answer"] <= 5
        assert set(reasons(told)) <= {"wrong-answer", "locked", "too-many"}
        assert site.shown(link)["wrong_answers"] <= 5

    def test_a_visits_bearer_and_cookie_do_not_answer_for_another_visit(self, site: Site) -> None:
        link = site.share()
        first = site.opens(link, passcode=PASSCODE).json()
        site.server.secrets.add(first["bearer"].rpartition("_")[2])
        shown = {"Authorization": f"Bearer {first['bearer']}", "Cookie": f"keyhole_visit={first['bearer'][-32:]}"}
        again = site.post(f"/s/{share_id(link)}/visits", headers=shown, secret=link.partition("#")[2])
        assert again.json()["reason"] == "answers-needed"


class TestChangesMeanwhile:
    def test_after_a_new_link_the_old_one_opens_nothing_however_close_it_came(self, site: Site) -> None:
        for _ in range(3):
            link, renewed = site.share(), threading.Event()
            late: list[Answer] = []

            def keep_opening(link: str = link, renewed: threading.Event = renewed, late: list[Answer] = late) -> None:
                for _ in range(12):
                    after = renewed.is_set()
                    answer = site.opens(link, passcode=PASSCODE)
                    if after:
                        late.append(answer)

            people = [threading.Thread(target=keep_opening) for _ in range(4)]
            for each in people:
                each.start()
            site.change(link, new_link=True, passcode=OTHERS)
            renewed.set()
            for each in people:
                each.join()
            assert {answer.status for answer in late} <= {404}

    def test_a_passcode_that_was_replaced_opens_nothing_any_more(self, site: Site) -> None:
        link, changed = site.share(), threading.Event()
        told: list[tuple[bool, int]] = []

        def guess() -> None:
            for _ in range(6):
                after = changed.is_set()
                told.append((after, site.opens(link, passcode=PASSCODE).status))

        people = [threading.Thread(target=guess) for _ in range(3)]
        for each in people:
            each.start()
        site.change(link, passcode=OTHERS)
        changed.set()
        for each in people:
            each.join()
        assert 201 not in {status for after, status in told if after}

    def test_a_lock_is_opened_by_a_new_link_alone(self, site: Site) -> None:
        link = site.share()
        at_once(5, lambda number: site.opens(link, passcode=f"guess number {number}"))
        wait_until(lambda: site.shown(link)["state"] == "locked", 10, "it is not locked")
        for wanted in ({"note": "again"}, {"for": "2h"}, {"passcode": OTHERS}):
            assert site.change(link, **wanted)["state"] == "locked"
            assert site.opens(link, passcode=OTHERS).json()["reason"] == "locked"
        renewed = site.change(link, new_link=True)
        assert (renewed["state"], renewed["wrong_answers"]) == ("open", 0)
        assert site.opens(renewed["link"], passcode=OTHERS).status == 201

    def test_withdrawing_ends_openings_that_are_being_answered(self, site: Site) -> None:
        link, gone = site.share(), threading.Event()
        late: list[int] = []

        def keep_opening() -> None:
            for _ in range(15):
                after = gone.is_set()
                status = site.opens(link, passcode=PASSCODE).status
                if after:
                    late.append(status)

        people = [threading.Thread(target=keep_opening) for _ in range(4)]
        for each in people:
            each.start()
        site.server.revoke(link)
        gone.set()
        for each in people:
            each.join()
        assert set(late) <= {410, 429}


class TestHeaders:
    @pytest.mark.parametrize(
        "name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP"]
    )
    def test_nobody_gets_more_tries_by_claiming_other_addresses(self, direct: Keyhole, name: str) -> None:
        words = ("share", dataset.PRIOR, "--for", "1d", "--passcode", "-")
        link = direct.run(*words, given=f"{PASSCODE}\n").stdout.split()[0]
        direct.secrets.add(link.partition("#")[2])
        body = json.dumps({"secret": link.partition("#")[2], "passcode": PASSCODE}).encode()
        told = []
        for number in range(40):
            value = f"for=198.51.100.{number}" if name == "Forwarded" else f"198.51.100.{number}"
            headers = {"Content-Type": "application/json", name: value}
            told.append(direct.ask("POST", f"/s/{share_id(link)}/visits", headers, body))
        assert "too-many" in reasons(told)
        assert all(int(each.headers["retry-after"]) >= 1 for each in told if each.status == 429)

    def test_nor_more_codes_from_paper(self, direct: Keyhole) -> None:
        told = []
        for number in range(40):
            headers = {"Content-Type": "application/json", "X-Forwarded-For": f"198.51.100.{number}"}
            body = json.dumps({"code": f"ABCD-EFGH-{number:02}"}).encode()
            told.append(direct.ask("POST", "/c", headers, body))
        assert "too-many" in reasons(told)

    @pytest.mark.parametrize(
        "headers",
        [
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Purpose": "prefetch"},
            {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
            {"Sec-Fetch-Site": "cross-site", "X-HTTP-Method-Override": "GET"},
            {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"},
            {"Keyhole-Framed": "yes"},
        ],
    )
    @pytest.mark.parametrize(
        "path", ["/s/{share}", "/s/{share}/codes", "/s/{share}/visits", "/c", "/c/codes", "/c/visits"]
    )
    def test_another_site_uses_no_post(
        self, site: Site, letter: tuple[str, Letter], path: str, headers: Mapping[str, str]
    ) -> None:
        link, paper = letter
        before = site.shown(link)
        sent = {"secret": link.partition("#")[2], "code": paper.code, "passcode": PASSCODE}
        answer = site.post(path.format(share=share_id(link)), headers=headers, **sent)
        assert answer.json()["reason"] in ("cross-site", "cookies-off")
        assert "set-cookie" not in answer.headers
        assert site.shown(link) == before


class TestWhatIsTold:
    def test_nothing_that_is_asked_is_in_any_answer_to_staff_or_recipients(self, site: Site) -> None:
        link = site.share("--birth-date", "--paper")
        texts = [
            site.server.run("shares", "--json").stdout,
            site.server.run("trail", "--json", "--share", share_id(link)).stdout,
            json.dumps(site.shown(link)),
            site.post(f"/s/{share_id(link)}", secret=link.partition("#")[2]).body.decode(),
            site.opens(link, passcode="a wrong guess", birth_date="1971-01-01").body.decode(),
        ]
        for text in texts:
            assert "argon2" not in text
            assert PASSCODE not in text
            assert not re.search(r"birth_date\W+[\w=+/]{20}", text)
            assert BORN not in text

    def test_another_senders_letter_code_and_link_are_not_there(self, site: Site, letter: tuple[str, Letter]) -> None:
        link, _ = letter
        stranger = {"Authorization": f"Bearer {site.server.key('stranger', 'reader')}"}
        nobodys = "a" * 16
        for below in ("", "/link", "/qr?format=svg", "/letter", "/mails"):
            for method in ("GET", "POST"):
                told = [
                    site.server.ask(method, f"/api/v1/shares/{share}{below}", stranger, port=site.server.staff_port)
                    for share in (share_id(link), nobodys)
                ]
                assert told[0].status == told[1].status
                assert told[0].status >= 400
                assert told[0].body.replace(share_id(link).encode(), nobodys.encode()) == told[1].body

    def test_the_trail_is_whole_after_all_of_it(self, site: Site) -> None:
        site.server.verify_trail()
