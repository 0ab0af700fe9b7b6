"""Letters as their readers use them: printed by a real Keyhole, typed and scanned on phones and desktops, searched."""

from __future__ import annotations

import collections
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e import dataset, recipient
from tests.e2e.recipient import BORN, DESKTOP, PASSCODE, PHONE, Hospital, Person, everything, person
from tests.gateway.letter.reading import Page, scanned
from tests.servers.keyhole import Answer, Keyhole, keyhole, share_id

_CODE = re.compile(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{2}\b")


@dataclass(frozen=True)
class Letter:
    """What its reader has in hand."""

    code: str
    address: str
    scanned: str
    """What a camera makes of the square."""


def printed(server: Keyhole, link: str, folder: Path, *words: str) -> Letter:
    """The letter of *link*'s share, read off the paper."""
    file = folder / "letter.pdf"
    server.run("letter", share_id(link), "--output", str(file), *words)
    page = Page(file.read_bytes())
    [code] = _CODE.findall(page.text)
    server.secrets |= {code, code.replace("-", "")}
    [address] = re.findall(r"http://[0-9.:]+/c\b", page.text)
    return Letter(code, address, scanned(page.picture()).text)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with recipient.hospital(tmp_path_factory.mktemp("hospital")) as running:
        yield running


@pytest.fixture(
    params=[("en", DESKTOP), ("en", PHONE), ("de", DESKTOP), ("de", PHONE)], ids=lambda p: f"{p[0]}-{p[1]['width']}"
)
def somebody(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Person]:
    language, size = request.param
    with person(browser, language, size) as one:
        yield one


def born(one: Person, day: str, month: str, year: str) -> None:
    one.page.locator("#birth_day").fill(day)
    one.page.locator("#birth_month").select_option(month)
    one.page.locator("#birth_year").fill(year)


def presses(one: Person) -> None:
    one.page.locator("main form .button").first.click()


def test_a_code_and_a_birth_date_are_typed_on_a_phone_without_a_script(
    hospital: Hospital, browser: Browser, tmp_path: Path
) -> None:
    letter = printed(hospital.server, hospital.share("--paper", "--birth-date", "--language", "de"), tmp_path)
    with person(browser, "de", PHONE, java_script_enabled=False) as one:
        origins: list[str | None] = []
        one.page.on(
            "request", lambda sent: origins.append(sent.headers.get("origin")) if sent.method == "POST" else None
        )
        one.page.goto(letter.address)
        one.page.get_by_label("Code aus Ihrem Brief").fill(letter.code.lower().replace("-", " "))
        one.page.get_by_role("button", name="Weiter").click()
        born(one, *BORN)
        one.page.get_by_role("button", name="Bilder öffnen").click()
        one.page.wait_for_url("**/v/*/")
        expect(one.page.locator("article")).to_be_visible()
        assert origins == [hospital.server.public_url] * 2
        for seen in (letter.code, letter.code.replace("-", ""), letter.scanned.partition("#")[2]):
            assert seen not in one.page.url


def test_the_square_on_the_letter_leads_to_the_same_images(
    hospital: Hospital, browser: Browser, tmp_path: Path
) -> None:
    link = hospital.share("--paper", "--birth-date")
    letter = printed(hospital.server, link, tmp_path, "--paper", "letter")
    assert letter.scanned == link
    with person(browser, "en", PHONE) as one:
        one.goes(letter.scanned)
        one.sees("ready")
        one.born(*BORN)
        one.opens()
        one.visits()


def test_all_that_can_be_asked_is_answered_from_paper(hospital: Hospital, somebody: Person, tmp_path: Path) -> None:
    letter = printed(hospital.server, hospital.share("--paper", *everything()), tmp_path)
    page = somebody.page
    page.goto(letter.address.removesuffix("/c"))
    somebody.looks_over("start")
    page.locator('a[href="/c"]').click()
    somebody.looks_over("code")

    page.locator("#code").fill("0123-4567-89")
    presses(somebody)
    expect(page.get_by_role("alert")).to_be_visible()
    somebody.looks_over("code-unknown")

    page.locator("#code").fill(letter.code)
    presses(somebody)
    expect(page.get_by_text("a•••@praxis.example")).to_be_visible()
    hospital.mails.clear()
    presses(somebody)
    code = hospital.code()
    somebody.looks_over("code-answers")

    page.locator("#passcode").fill(PASSCODE)
    born(somebody, BORN[0], BORN[1], "1956")
    page.locator("#mail_code").fill(code)
    page.locator("#terms").check()
    presses(somebody)
    expect(page.get_by_role("alert")).to_contain_text("4")
    somebody.looks_over("code-wrong")

    page.locator("#passcode").fill(PASSCODE)
    born(somebody, *BORN)
    page.locator("#mail_code").fill(code)
    page.locator("#terms").check()
    presses(somebody)
    page.wait_for_url("**/v/*/")


def typed(server: Keyhole, path: str, address: str, **content: str) -> Answer:
    """What a program at *address* gets for a code."""
    headers = {"Content-Type": "application/json", "X-Forwarded-For": address}
    return server.ask("POST", path, headers, json.dumps(content).encode())


def reason(hospital: Hospital, code: str, address: str) -> str:
    """Why *code*, with the right birth date, opens nothing."""
    answer = typed(hospital.server, "/c/visits", address, code=code, birth_date="1955-06-15")
    said: str = answer.json()["reason"]
    return said


def test_what_has_become_of_a_share_is_told_to_whoever_has_its_letter(hospital: Hospital, tmp_path: Path) -> None:
    server, here = hospital.server, "203.0.113.1"
    link = hospital.share("--paper", "--birth-date")
    old = printed(server, link, tmp_path)
    server.secrets.add(server.run("renew", share_id(link), "--new-link").stdout.strip().partition("#")[2])
    assert reason(hospital, old.code, here) == "wrong-secret"
    new = printed(server, link, tmp_path)
    assert new.code != old.code
    for _ in range(5):
        typed(server, "/c/visits", here, code=new.code, birth_date="1955-06-16")
    assert reason(hospital, new.code, here) == "locked"
    server.run("revoke", share_id(link))
    assert reason(hospital, new.code, here) == "withdrawn"


@pytest.fixture(params=["sqlite", "postgresql"])
def two_workers(request: pytest.FixtureRequest, studies: Path, tmp_path: Path) -> Iterator[Keyhole]:
    database = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else None
    known = {"KEYHOLE_ARCHIVE": str(studies), "KEYHOLE_TRUSTED_PROXIES": "127.0.0.1"}
    with keyhole(tmp_path, known, workers=2, database=database) as running:
        yield running


def test_no_address_tries_more_than_twenty_codes_whichever_process_it_asks(
    two_workers: Keyhole, tmp_path: Path
) -> None:
    link = two_workers.run("share", dataset.STUDY, "--for", "7d", "--paper", "--birth-date").stdout.strip()
    two_workers.secrets.add(link.partition("#")[2])
    letter = printed(two_workers, link, tmp_path)
    with ThreadPoolExecutor(16) as crowd:
        tries = [
            crowd.submit(typed, two_workers, "/c", f"2001:db8::{number:x}", code=f"{number:010}")
            for number in range(120)
        ]
        answers = [each.result() for each in tries]
    found = collections.Counter(answer.status for answer in answers)
    assert set(found) == {404, 429}
    assert found[404] <= 20 + 2, "more than twenty, and what drips in meanwhile"
    blocked = typed(two_workers, "/c", "2001:db8::ffff", code=letter.code)
    assert (blocked.status, blocked.json()["reason"]) == (429, "too-many")
    elsewhere = typed(two_workers, "/c/visits", "2001:db8:1::1", code=letter.code, birth_date="1970-02-03")
    assert elsewhere.status == 201
    rows = [row for row in two_workers.trail() if row["detail"].get("through") == "paper"]
    assert {row["reason"] for row in rows} == {"wrong-secret", "too-many"}
    two_workers.verify_trail()
