"""A hospital that shares images, with a mail server of its own; and people with phones and desktops who open its links.

Every page that a person sees is looked over: by axe-core, by light and by dark, for its language and its width.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from itertools import count
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from keyhole.archive.sample import ROOT, write_sample
from tests.servers.keyhole import Keyhole, keyhole, share_id
from tests.servers.process import free_port, wait_until

STUDY = f"{ROOT}.3"
BORN = ("15", "6", "1955")
"""When the patient of the study was born, in the sample."""
PASSCODE = "harbour-lantern-42"
TERMS = {
    "en": "These images are for your treatment.\n\nPlease do not hand them on, and do not put them anywhere public.",
    "de": "Diese Bilder sind für Ihre Behandlung.\n\nBitte geben Sie sie nicht weiter und zeigen Sie sie niemandem.",
}
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 800}
PICTURES = os.environ.get("KEYHOLE_PICTURES")
"""A folder that pictures of pages are written into, such as docs/img; without, none are."""
ARRIVES_WITHIN = 30
_numbers = count(1)

_RULES: Mapping[str, Any] = {
    "light": {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
    "dark": {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}},
}
"""What axe-core looks for: everything by light, and by dark what is not the same then."""


@dataclass
class Hospital:
    """A running Keyhole, and the mail that it has sent."""

    server: Keyhole
    mails: list[Envelope] = field(default_factory=list)

    def share(self, *words: str, days: str = "7d") -> str:
        """A link to the study, with more *words* on the command line."""
        link = self.server.run("share", STUDY, "--for", days, *words).stdout.strip()
        self.server.secrets.add(link.partition("#")[2])
        return link

    def expired(self) -> str:
        """A link that has ended. None can be made so: its end is brought forward where it is kept."""
        link = self.share()
        with closing(sqlite3.connect(self.server.data / "keyhole.db", timeout=30)) as database, database:
            ended = database.execute("UPDATE shares SET expires_at = created_at + 1 WHERE id = ?", (share_id(link),))
            assert ended.rowcount == 1
        wait_until(lambda: self.looks(link) == "expired", 30, "a link that was to end does not")
        return link

    def looks(self, link: str) -> str | None:
        """Why *link* does not open; None when it does."""
        secret = link.partition("#")[2]
        reason: str | None = self.server.post_json(f"/s/{share_id(link)}", {"secret": secret}).json().get("reason")
        return reason

    def answers(self, link: str, content: Mapping[str, Any]) -> int:
        """Try *content* as answers; the status."""
        sent = {"secret": link.partition("#")[2], **content}
        headers = {"Content-Type": "application/json", **elsewhere()}
        return self.server.ask("POST", f"/s/{share_id(link)}/visits", headers, json.dumps(sent).encode()).status

    def code(self) -> str:
        """The code of the newest mail, once it is there."""
        codes: list[str] = []

        def there() -> bool:
            codes[:] = [found[0] for mail in self.mails if (found := re.search(r"\b\d{6}\b", _text(mail)))]
            return bool(codes)

        wait_until(there, ARRIVES_WITHIN, lambda: f"no code comes: {[_text(mail) for mail in self.mails]}")
        return codes[-1]


def address() -> str:
    """A mail address that nobody else has: to each of them, only so many mails are sent."""
    return f"anna.schmidt.{next(_numbers)}@praxis.example"


def everything() -> tuple[str, ...]:
    """All that a link can ask for."""
    return ("--passcode", PASSCODE, "--birth-date", "--mail-code", "--mail-to", address(), "--terms")


def elsewhere() -> dict[str, str]:
    """The header of somebody at an address of their own, as a proxy tells it: nobody waits for another's tries."""
    number = next(_numbers)
    return {"X-Forwarded-For": f"198.51.{number // 250}.{number % 250 + 1}"}


def _text(mail: Envelope) -> str:
    content = mail.content if isinstance(mail.content, bytes) else b""
    body = message_from_bytes(content, policy=policy.default).get_body(("plain",))
    return "" if body is None else body.get_content()


@contextmanager
def hospital(folder: Path, **settings: str) -> Iterator[Hospital]:
    """A Keyhole before the sample, that sends its mail to a server in this process."""
    mails: list[Envelope] = []

    class Takes:
        async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802 - the library's name
            mails.append(envelope)
            return "250 taken"

    write_sample(folder / "images")
    (folder / "terms").mkdir()
    for tag, text in TERMS.items():
        (folder / "terms" / f"{tag}.txt").write_text(text, encoding="utf-8")
    post = Controller(Takes(), hostname="127.0.0.1", port=free_port())
    post.start()
    known = {
        "KEYHOLE_ARCHIVE": str(folder / "images"),
        "KEYHOLE_TERMS": str(folder / "terms"),
        "KEYHOLE_REQUIRED_CONDITIONS": "none",
        "KEYHOLE_SMTP_HOST": "127.0.0.1",
        "KEYHOLE_SMTP_PORT": str(post.port),
        "KEYHOLE_SMTP_SECURITY": "none",
        "KEYHOLE_MAIL_FROM": "radiology@hospital.example",
        "KEYHOLE_TRUSTED_PROXIES": "127.0.0.1",
        "KEYHOLE_SITE_CONTACT": "+49 30 1234, 8 to 16 h",
    }
    try:
        with keyhole(folder, known | settings) as server:
            yield Hospital(server, mails)
    finally:
        post.stop()


@dataclass
class Person:
    """Somebody in front of a page, in one language, on one device."""

    context: BrowserContext
    page: Page
    language: str
    looked_over: list[str] = field(default_factory=list)

    def goes(self, address: str) -> None:
        """Open *address* afresh, as a click in a mail does."""
        self.page.goto("about:blank")
        self.page.goto(address)

    def sees(self, state: str) -> Locator:
        """The part of a link's page that is shown, once it is; looked over."""
        shown = self.page.locator(f'[data-state="{state}"]')
        expect(shown).to_be_visible()
        expect(shown.locator("h1")).to_be_focused()
        self.looks_over(state)
        return shown

    def looks_over(self, name: str) -> None:
        """Nothing shuts anybody out of this page: by light, by dark, and no line runs out of it."""
        assert self.page.locator("html").get_attribute("lang") == self.language
        for scheme, rules in _RULES.items():
            self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            found = Axe().run(self.page, options=rules).response["violations"]
            told = [f"{each['id']}: {[node['html'][:200] for node in each['nodes']]}" for each in found]
            assert told == [], f"{name}, {scheme}"
            self._keeps_picture(f"{name}-{scheme}")
        runs_out = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert runs_out <= 0, f"{name} is too wide"
        self.looked_over.append(name)

    def _keeps_picture(self, name: str) -> None:
        if PICTURES:
            size = "phone" if self.page.viewport_size == PHONE else "desktop"
            folder = Path(PICTURES)
            folder.mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=folder / f"{name}-{size}-{self.language}.png", full_page=True)

    def opens(self) -> None:
        """Press the one button."""
        self.page.locator("#open").click()

    def is_told(self, reason: str) -> None:
        """One message for whatever was wrong, with the focus on it."""
        said = self.page.locator("#said")
        expect(said.locator(f'[data-say="{reason}"]')).to_be_visible()
        expect(said).to_be_focused()

    def born(self, day: str, month: str, year: str) -> None:
        """Fill in the date of birth."""
        self.page.locator("#birth_day").fill(day)
        self.page.locator("#birth_month").select_option(month)
        self.page.locator("#birth_year").fill(year)

    def visits(self) -> None:
        """Wait for the visit's page."""
        self.page.wait_for_url("**/v/*/")


@contextmanager
def person(browser: Browser, language: str = "en", size: Mapping[str, int] = DESKTOP, **more: Any) -> Iterator[Person]:
    """A person with an empty browser that asks for *language*."""
    locale = {"en": "en-GB", "de": "de-DE", "fr": "fr-FR", "es": "es-ES"}[language]
    headers = elsewhere()
    context = browser.new_context(viewport=dict(size), locale=locale, extra_http_headers=headers, **more)  # type: ignore[arg-type]
    try:
        yield Person(context, context.new_page(), language)
    finally:
        context.close()
