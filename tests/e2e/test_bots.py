"""Link previews of chats, mail scanners, browsers ahead of their users: nothing consumed, nothing shown.

What they send is from the fact sheet on recipients, sections 1, 2 and 11, and as such programs name themselves. Some
only look at the address; some have the whole link, and run the page's script; some press every button there is.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e import dataset
from tests.e2e.dataset import PATIENTS
from tests.servers.keyhole import Answer, Keyhole, keyhole, share_id
from tests.servers.process import wait_until

pytestmark = pytest.mark.e2e

NOBODYS = "aaaaaaaaaaaaaaaa"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
PASSCODE = "correct horse battery"
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

BOTS = {
    "WhatsApp": {"User-Agent": "WhatsApp/2.24.9.78 A"},
    "Facebook": {
        "User-Agent": "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "Range": "bytes=0-524287",
        "Accept-Encoding": "deflate, gzip",
    },
    "Twitter": {"User-Agent": "Twitterbot/1.0", "Accept": "text/html"},
    "Slack": {
        "User-Agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        "Range": "bytes=0-32768",
        "Accept": "*/*",
    },
    "Telegram": {"User-Agent": "TelegramBot (like TwitterBot)"},
    "Discord": {"User-Agent": "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)"},
    "LinkedIn": {"User-Agent": "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)"},
    "Skype and Teams": {
        "User-Agent": "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview"
    },
    "Signal": {"User-Agent": "WhatsApp/2", "Accept-Encoding": "identity"},
    "iMessage": {
        "User-Agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) "
        "Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0"
    },
    "Google": {"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "From": "bot"},
    "Bing's preview, as mail scanners send it": {"User-Agent": f"{CHROME} BingPreview/1.0b"},
    "a mail scanner in a browser's clothes": {"User-Agent": CHROME, "Accept": "text/html,*/*;q=0.8"},
    "Outlook": {"User-Agent": "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)"},
    "Office": {"User-Agent": "Microsoft Office Existence Discovery", "X-Office-Major-Version": "16"},
    "a scanner in Python": {
        "User-Agent": "python-requests/2.32.3",
        "Accept": "*/*",
        "Accept-Encoding": "gzip, deflate",
    },
    "a scanner in Java": {"User-Agent": "Java/17.0.9"},
    "a scanner in Go": {"User-Agent": "Go-http-client/1.1"},
    "curl": {"User-Agent": "curl/8.9.1"},
    "nobody": {},
}


@dataclass(frozen=True, slots=True)
class Asks:
    """One way to ask: ``{share}`` is a share's id."""

    method: str = "GET"
    path: str = "/s/{share}"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


BY_ADDRESS = {
    "looks": Asks(),
    "looks at the head": Asks("HEAD"),
    "asks for options": Asks("OPTIONS"),
    "asks for options as WebDAV does": Asks("PROPFIND", headers={"Depth": "0"}, body=b""),
    "asks for a part": Asks(headers={"Range": "bytes=0-99"}),
    "asks for what has changed": Asks(
        headers={"If-None-Match": "*", "If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}
    ),
    "prefetches": Asks(headers={"Sec-Purpose": "prefetch"}),
    "prefetches anonymously": Asks(headers={"Sec-Purpose": "prefetch;anonymous-client-ip"}),
    "prerenders": Asks(headers={"Sec-Purpose": "prefetch;prerender", "Purpose": "prefetch"}),
    "prefetches as older browsers": Asks(headers={"X-Moz": "prefetch"}),
    "previews as older browsers": Asks(headers={"X-Purpose": "preview", "Purpose": "preview"}),
    "comes from a mail": Asks(headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}),
    "loads it as a picture": Asks(headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"}),
    "puts a tracker's query to it": Asks(path="/s/{share}?utm_source=mail&fbclid=IwAR0"),
    "posts nothing": Asks("POST", body=b""),
    "posts an empty form": Asks("POST", headers=FORM, body=b""),
    "posts an empty object": Asks("POST", headers=JSON, body=b"{}"),
    "posts nothing from elsewhere": Asks("POST", headers={"Origin": "https://scanner.example"}, body=b""),
    "posts from nowhere": Asks("POST", headers={**JSON, "Origin": "null"}, body=b'{"secret": ""}'),
    "posts from elsewhere without saying so": Asks(
        "POST", headers={**JSON, "Sec-Fetch-Site": "cross-site"}, body=b"{}"
    ),
    "posts a form for a visit": Asks("POST", "/s/{share}/visits", FORM, b"secret="),
    "posts for a visit": Asks("POST", "/s/{share}/visits", JSON, b"{}"),
    "posts for a code": Asks("POST", "/s/{share}/codes", JSON, b"{}"),
    "gets what is only posted to": Asks(path="/s/{share}/visits"),
    "puts": Asks("PUT", headers=JSON, body=b"{}"),
    "deletes": Asks("DELETE"),
    "guesses a visit": Asks(path="/v/{share}/"),
    "guesses images": Asks(path="/v/{share}/dicom-web/studies"),
}

WITH_THE_LINK = {
    "a form on another site": Asks("POST", "/s/{share}/visits", {**FORM, "Origin": "https://scanner.example"}),
    "a form in a sandbox": Asks("POST", "/s/{share}/visits", {**FORM, "Origin": "null"}),
    "a script on another site": Asks("POST", "/s/{share}/visits", {**JSON, "Sec-Fetch-Site": "cross-site"}),
    "a script on a neighbouring host": Asks("POST", "/s/{share}/visits", {**JSON, "Sec-Fetch-Site": "same-site"}),
    "a page that is prerendered": Asks(
        "POST", "/s/{share}/visits", {**JSON, "Sec-Fetch-Site": "same-origin", "Sec-Purpose": "prefetch;prerender"}
    ),
    "a prefetch": Asks("POST", "/s/{share}/visits", {**JSON, "Purpose": "prefetch"}),
    "an older prefetch": Asks("POST", "/s/{share}/visits", {**JSON, "X-Moz": "prefetch"}),
    "a look from another site": Asks("POST", "/s/{share}", {**JSON, "Origin": "https://scanner.example"}),
    "a text that is JSON": Asks("POST", "/s/{share}/visits", {"Content-Type": "text/plain"}),
    "the address it has itself": Asks("POST", "/s/{share}", {"Content-Type": "multipart/form-data; boundary=x"}),
    "the secret in the query": Asks("GET", "/s/{share}?{secret}"),
    "the whole link escaped": Asks("GET", "/s/{share}%23{secret}"),
    "the look that the page sends": Asks("POST", "/s/{share}", JSON),
}


@pytest.fixture(scope="module")
def server(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyhole]:
    with keyhole(tmp_path_factory.mktemp("scanned"), {"KEYHOLE_ARCHIVE": str(studies)}) as running:
        yield running


@pytest.fixture(scope="module")
def link(server: Keyhole) -> str:
    return server.share(dataset.STUDY, visits=1)


@pytest.fixture(scope="module")
def guarded(server: Keyhole) -> str:
    """A link that asks for a passcode."""
    words = ("share", dataset.STUDY, "--for", "7d", "--visits", "1", "--passcode", "-")
    made = server.run(*words, given=f"{PASSCODE}\n").stdout.split()[0]
    server.secrets.add(made.partition("#")[2])
    return made


def kept(server: Keyhole) -> Mapping[str, list[tuple[object, ...]]]:
    """All that the database holds but the trail, where strangers are noted: shares, visits, codes, mails, counters."""
    with closing(sqlite3.connect(f"file:{server.data / 'keyhole.db'}?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            table: database.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            for table in tables
            if not re.match("trail|head|sqlite_|alembic", table)
        }


def send(server: Keyhole, asks: Asks, bot: Mapping[str, str], share: str, secret: str = "") -> Answer:
    path = asks.path.format(share=share, secret=secret)
    headers = {"Host": server.public_url.partition("//")[2], **bot, **asks.headers}
    return server.ask(asks.method, path, headers, asks.body)


def told(answer: Answer) -> tuple[int, Mapping[str, str], bytes]:
    """Everything of *answer* but the time."""
    return answer.status, {name: value for name, value in answer.headers.items() if name != "date"}, answer.body


def says_nothing(answer: Answer, server: Keyhole) -> None:
    """Fail when *answer* holds something of a patient or a study, or sets a cookie."""
    said = answer.body.decode("utf-8", "replace") + str(answer.headers)
    assert "set-cookie" not in answer.headers
    personal = {word for patient in PATIENTS for word in (patient.id, *patient.name.split("^")) if word}
    assert not [word for word in (*personal, dataset.STUDY, "the recorded study") if word in said]
    assert not re.search(r'property="og:|name="twitter:|name="description"', said)


@pytest.mark.parametrize("asks", BY_ADDRESS.values(), ids=BY_ADDRESS)
def test_who_has_the_address_alone_learns_and_consumes_nothing(
    asks: Asks, server: Keyhole, link: str, guarded: str
) -> None:
    before = kept(server)
    for bot in BOTS.values():
        there = [send(server, asks, bot, share_id(each)) for each in (link, guarded)]
        nowhere = send(server, asks, bot, NOBODYS)
        for answer in there:
            says_nothing(answer, server)
            assert told(answer) == told(nowhere)
    assert kept(server) == before


@pytest.mark.parametrize("asks", WITH_THE_LINK.values(), ids=WITH_THE_LINK)
def test_who_has_the_whole_link_and_is_no_person_consumes_nothing(
    asks: Asks, server: Keyhole, link: str, guarded: str
) -> None:
    before = kept(server)
    for each in (link, guarded):
        secret = each.partition("#")[2]
        body = f"secret={secret}" if asks.headers.get("Content-Type") == FORM["Content-Type"] else None
        sent = (body or json.dumps({"secret": secret})).encode() if asks.method == "POST" else None
        for bot in BOTS.values():
            answer = send(server, Asks(asks.method, asks.path, asks.headers, sent), bot, share_id(each), secret)
            says_nothing(answer, server)
    assert kept(server) == before


def test_who_posts_a_form_for_a_link_that_asks_something_gets_nothing(server: Keyhole, guarded: str) -> None:
    before, secret = kept(server), guarded.partition("#")[2]
    for path in (f"/s/{share_id(guarded)}/visits", "/s", "/s/"):
        for sent in (f"secret={secret}", f"secret={secret}&passcode=", f"secret={guarded.replace('#', '%23')}"):
            answer = server.ask("POST", path, FORM, sent.encode())
            assert answer.status in (403, 404)
            says_nothing(answer, server)
    assert kept(server) == before


def scanned(browser: Browser, link: str) -> tuple[Page, list[str]]:
    """*link* opened by a scanner with a browser that runs scripts; what it posted."""
    context = browser.new_context(user_agent=CHROME)
    page = context.new_page()
    posts: list[str] = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    page.goto(link, wait_until="networkidle")
    return page, posts


@pytest.mark.parametrize("tail", ["", ".", "%3E", "?utm_source=mail"])
def test_a_scanner_that_runs_the_script_and_presses_nothing_consumes_nothing(
    browser: Browser, server: Keyhole, link: str, guarded: str, tail: str
) -> None:
    before = kept(server)
    for each in (link, guarded):
        page, posts = scanned(browser, each + tail)
        expect(page.get_by_role("heading", name="Medical images were shared with you")).to_be_visible()
        assert posts == [f"{server.public_url}/s/{share_id(each)}"]
        assert page.context.cookies() == []
        assert page.title() == "Shared images"
        assert dataset.STUDY not in page.content()
        page.context.close()
    assert kept(server) == before


def test_a_scanner_that_presses_everything_opens_no_link_that_asks_something(
    browser: Browser, server: Keyhole, guarded: str
) -> None:
    before = kept(server)
    page, _ = scanned(browser, guarded)
    for button in page.get_by_role("button").all():
        if button.is_visible():
            button.click()
            page.wait_for_load_state("networkidle")
    assert "/v/" not in page.url
    assert kept(server) == before
    page.context.close()


@pytest.mark.parametrize("answers", [{}, {"passcode": PASSCODE}], ids=["nothing is asked", "a passcode is asked"])
def test_after_all_of_them_the_person_still_opens_it_once(server: Keyhole, answers: Mapping[str, str]) -> None:
    given = [word for name in answers for word in (f"--{name}", "-")] or ["--force"]
    words = ("share", dataset.PRIOR, "--for", "7d", "--visits", "1", *given)
    made = server.run(*words, given=f"{PASSCODE}\n").stdout.split()[0]
    share, secret = share_id(made), made.partition("#")[2]
    server.secrets.add(secret)
    sent = json.dumps({"secret": secret}).encode()
    with_the_link = [Asks(asks.method, asks.path, asks.headers, sent) for asks in WITH_THE_LINK.values()]
    for asks in (*BY_ADDRESS.values(), *with_the_link):
        send(server, asks, BOTS["Slack"], share, secret)
    begun = [server.post_json(f"/s/{share}/visits", {"secret": secret, **answers}) for _ in range(2)]
    assert [answer.status for answer in begun] == [201, 410]
    server.secrets.add(begun[0].json()["bearer"].rpartition("_")[2])
    assert [row["share"] for row in server.trail() if row["event"] == "visit-begun"].count(share) == 1


BENT = {
    "a tracker's query": lambda link: link.replace("#", "?utm_source=mail&utm_medium=x#"),
    "another tracker's query": lambda link: link.replace("#", "?fbclid=IwAR0_a-b#"),
    "a full stop": lambda link: f"{link}.",
    "a bracket": lambda link: f"{link}>",
    "an escaped bracket": lambda link: f"{link}%3E",
    "a query behind the secret": lambda link: f"{link}?utm_source=mail",
    "an escaped sign": lambda link: link.replace("#", "%23"),
    "capital letters": lambda link: link.upper(),
    "a slash": lambda link: link.replace("#", "/#"),
}


@pytest.mark.parametrize("bend", BENT.values(), ids=BENT)
def test_a_person_opens_a_link_that_was_changed_on_its_way(browser: Browser, server: Keyhole, bend: object) -> None:
    assert callable(bend)
    made = server.share(dataset.PRIOR)
    page = browser.new_context().new_page()
    page.goto(bend(made))
    page.get_by_role("button", name="Open the images").click()
    page.wait_for_url("**/v/*/")
    server.secrets |= {str(cookie["value"]) for cookie in page.context.cookies()}
    page.context.close()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(lambda link: link.partition("#")[0], "The link is not complete", id="cut at its sign"),
        pytest.param(lambda link: link[:-4], "This link is not complete", id="cut short"),
        pytest.param(lambda link: f"{link}more", "This link is not complete", id="with letters behind it"),
    ],
)
def test_what_cannot_be_undone_is_told_in_words(browser: Browser, server: Keyhole, spoil: object, says: str) -> None:
    assert callable(spoil)
    page = browser.new_context().new_page()
    page.goto(spoil(server.share(dataset.PRIOR)))
    expect(page.get_by_role("heading", name=says)).to_be_visible()
    page.context.close()


def test_strangers_are_told_of_on_the_trail_without_the_links_that_they_had(server: Keyhole) -> None:
    wait_until(lambda: bool(server.trail("--refusals")), 15, "nothing is told of them")
    server.verify_trail()
