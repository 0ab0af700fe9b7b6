"""Every page that a recipient sees and every end, in two languages, on a phone and on a desktop, on a real Keyhole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.e2e import recipient
from tests.e2e.recipient import BORN, DESKTOP, PASSCODE, PHONE, Hospital, Person, address, everything, person
from tests.servers.keyhole import share_id

NO_WEBGL = "HTMLCanvasElement.prototype.getContext = () => null"
NO_COOKIES = "Object.defineProperty(navigator, 'cookieEnabled', {get: () => false})"


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


@pytest.fixture
def anybody(browser: Browser) -> Iterator[Person]:
    with person(browser) as one:
        yield one


def answered_by(page: Page, path: str, reason: str, status: int) -> None:
    """Let POSTs to *path* be answered as a server in trouble would."""
    body = json.dumps({"reason": reason, "status": status})

    def answer(route: Route) -> None:
        if route.request.method == "GET":
            route.fallback()
        else:
            route.fulfill(status=status, body=body, content_type="application/problem+json")

    page.route(path, answer)


def test_a_link_that_asks_everything_opens_for_who_answers(hospital: Hospital, somebody: Person) -> None:
    link = hospital.share(*everything())
    page = somebody.page
    somebody.goes(link)
    somebody.sees("ready")
    assert page.locator("[data-mail-to]").inner_text() == "a•••@praxis.example"
    assert page.locator("#terms-text").get_attribute("lang") == somebody.language

    somebody.opens()  # nothing is filled in: it is told at each field, and nothing is counted
    expect(page.locator("#passcode")).to_be_focused()
    assert page.locator(".missing:visible").count() == 4
    somebody.looks_over("missing")

    hospital.mails.clear()
    page.locator("#send").click()
    expect(page.locator("#mail_code")).to_be_focused()
    code = hospital.code()
    page.locator("#passcode").fill("another passcode")
    somebody.born(*BORN)
    page.locator("#mail_code").fill(code)
    page.locator("#terms").check()
    somebody.opens()
    somebody.is_told("wrong-answer")
    expect(page.locator('#said [data-tries="4"]')).to_be_visible()
    somebody.looks_over("wrong")
    assert page.locator("#passcode").input_value() == "another passcode", "nothing is cleared"
    assert page.locator("#mail_code").input_value() == code
    assert page.locator("#terms").is_checked()

    page.locator("#passcode").fill(PASSCODE)
    somebody.opens()
    somebody.visits()
    assert "#" not in page.url
    somebody.looks_over("visit")
    hospital.server.secrets |= {
        str(cookie["value"]) for cookie in somebody.context.cookies() if cookie["value"] != "de"
    }

    page.locator("form.end button").click()
    expect(page.locator("h1")).to_have_text({"en": "You are done", "de": "Sie sind fertig"}[somebody.language])
    somebody.looks_over("done")


@pytest.fixture(scope="module")
def links(hospital: Hospital) -> dict[str, str]:
    """A link for each thing that a link's page can say."""
    whole = hospital.share("--download")
    path, secret = whole.split("#")
    return {
        "ready": whole,
        "paste": path,
        "mistyped": f"{path}#{'b' if secret[0] == 'a' else 'a'}{secret[1:]}",
        "wrong-secret": f"{path[:-16]}{'a' * 16}#{secret}",
        "expired": hospital.expired(),
        "withdrawn": withdrawn(hospital),
        "used-up": used_up(hospital),
        "not-yet": hospital.share("--not-before", in_a_month(), days="300d"),
        "locked": locked(hospital),
    }


def test_every_end_of_a_link_is_told_in_plain_words(links: dict[str, str], somebody: Person) -> None:
    page, whole = somebody.page, links["ready"]
    for state, link in links.items():
        somebody.goes(link)
        somebody.sees(state)
    for state, status in {"too-many": 429, "cross-site": 403, "store-failed": 503, "trouble": 500}.items():
        answered_by(page, "**/s/*", state, status)
        somebody.goes(whole)
        somebody.sees(state)
        page.unroute("**/s/*")
    page.get_by_role("button", name={"en": "Try again", "de": "Noch einmal versuchen"}[somebody.language]).click()
    somebody.sees("ready")
    somebody.opens()
    somebody.visits()
    somebody.looks_over("visit-download")
    for name, path in {"expired": "expired", "elsewhere": "", "not-found": "nothing"}.items():
        somebody.context.clear_cookies()
        page.goto(f"{page.url[: page.url.index('/v/') + 19]}/{path}")
        somebody.looks_over(name)


def test_what_else_can_be_met_is_told_as_well(hospital: Hospital, somebody: Person) -> None:
    page, public = somebody.page, hospital.server.public_url
    for state, opened in {"wrong-secret": f"{public}/o#{'a' * 32}", "paste": f"{public}/o"}.items():
        somebody.goes(opened)
        somebody.sees(state)
    # What is shown inside a page of another site, where no cookie stays: how it comes to that is in test_frames.py.
    page.evaluate(
        """for (const each of document.querySelectorAll("[data-state]"))
            each.hidden = each.dataset.state !== "new-window";
        document.getElementById("window").href = location.href;"""
    )
    somebody.looks_over("new-window")


def in_a_month() -> str:
    return (datetime.now(UTC) + timedelta(days=30)).isoformat()


def withdrawn(hospital: Hospital) -> str:
    link = hospital.share()
    hospital.server.revoke(link)
    return link


def used_up(hospital: Hospital) -> str:
    link = hospital.share("--visits", "1", "--force")
    hospital.server.open(link)
    return link


def locked(hospital: Hospital) -> str:
    link = hospital.share("--passcode", PASSCODE)
    assert [hospital.answers(link, {"passcode": "wrong"}) for _ in range(5)] == [403] * 5
    return link


def test_what_the_browser_lacks_is_told(hospital: Hospital, somebody: Person) -> None:
    link = hospital.share()
    somebody.page.add_init_script(NO_WEBGL)
    somebody.goes(link)
    somebody.sees("ready")
    expect(somebody.page.get_by_text("WebGL 2")).to_be_visible()
    somebody.opens()
    somebody.visits()
    expect(somebody.page.locator("[data-webgl]")).to_be_hidden()
    somebody.looks_over("visit-no-webgl")
    somebody.page.locator('a[href="pictures"]').click()
    somebody.page.wait_for_url("**/pictures")

    somebody.page.add_init_script(NO_COOKIES)
    somebody.goes(link)
    somebody.sees("cookies-off")


def test_without_a_script_the_link_is_pasted(hospital: Hospital, browser: Browser) -> None:
    link = hospital.share()
    for language in ("en", "de"):
        with person(browser, language, PHONE, java_script_enabled=False) as one:
            one.page.goto(link)
            one.page.locator("#whole").fill(link)
            one.page.locator("main noscript form button, main form button").first.click()
            one.visits()
            assert one.page.locator("html").get_attribute("lang") == language
            hospital.server.secrets |= {str(cookie["value"]) for cookie in one.context.cookies()}


def test_the_answers_that_are_wanted_can_change_meanwhile(hospital: Hospital, anybody: Person) -> None:
    link = hospital.share()
    anybody.goes(link)
    anybody.sees("ready")
    hospital.server.run("renew", share_id(link), "--passcode", PASSCODE)
    anybody.opens()
    anybody.is_told("answers-needed")
    anybody.page.locator("#passcode").fill(PASSCODE)
    anybody.opens()
    anybody.visits()


def test_a_locked_link_says_so_after_the_last_try(hospital: Hospital, anybody: Person) -> None:
    link = hospital.share("--birth-date")
    anybody.goes(link)
    for left in (4, 3, 2, 1):
        anybody.born("2", "1", "1955")
        anybody.opens()
        anybody.is_told("wrong-answer")
        expect(anybody.page.locator(f'#said [data-tries="{left}"]')).to_be_visible()
    anybody.opens()
    anybody.sees("locked")
    anybody.page.reload()
    anybody.sees("locked")


@pytest.mark.parametrize(
    ("day", "month", "year", "first"),
    [
        ("", "", "", "birth_day"),
        ("1", "", "1970", "birth_month"),
        ("1", "1", "70", "birth_day"),
        ("1", "1", "", "birth_year"),
    ],
)
def test_a_partial_date_is_no_answer_and_costs_none(
    hospital: Hospital, anybody: Person, day: str, month: str, year: str, first: str
) -> None:
    link = hospital.share("--birth-date")
    anybody.goes(link)
    anybody.born(day, month, year)
    anybody.opens()
    expect(anybody.page.locator("#birth-missing")).not_to_be_empty()
    expect(anybody.page.locator(f"#{first}")).to_be_focused()
    assert anybody.page.locator("#birth_day").get_attribute("aria-invalid") == "true"
    anybody.born(*BORN)
    anybody.opens()
    anybody.visits()


def test_a_code_that_cannot_be_sent_is_told_and_another_can_be_asked_for(hospital: Hospital, anybody: Person) -> None:
    link = hospital.share("--mail-code", "--mail-to", address())
    anybody.goes(link)
    anybody.opens()
    expect(anybody.page.locator("#send")).to_be_focused()
    for reason, told in {"store-failed": "mail-trouble", "too-many": "too-many"}.items():
        answered_by(anybody.page, "**/codes", reason, 503)
        anybody.page.locator("#send").click()
        anybody.is_told(told)
        anybody.page.unroute("**/codes")
    hospital.mails.clear()
    anybody.page.locator("#send").click()
    expect(anybody.page.locator("#sent")).not_to_be_empty()
    code = hospital.code()
    anybody.page.reload()  # as phones do, when somebody comes back from the mail
    anybody.page.locator("#have").click()
    expect(anybody.page.locator("#mail_code")).to_be_focused()
    anybody.page.locator("#mail_code").fill(f"{code[:3]} {code[3:]}")
    anybody.page.keyboard.press("Enter")
    anybody.visits()


def test_a_passcode_can_be_looked_at(hospital: Hospital, anybody: Person) -> None:
    anybody.goes(hospital.share("--passcode", PASSCODE))
    field, reveal = anybody.page.locator("#passcode"), anybody.page.locator("#reveal")
    field.fill("what was typed")
    for pressed, kind in (("true", "text"), ("false", "password")):
        reveal.click()
        assert (reveal.get_attribute("aria-pressed"), field.get_attribute("type")) == (pressed, kind)
    assert field.input_value() == "what was typed"
