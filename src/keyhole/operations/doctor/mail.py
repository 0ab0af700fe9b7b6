"""Mail: whether it is sent, and what waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from keyhole.app import database_url, now, signing
from keyhole.gateway.post.fate import MailState, state
from keyhole.gateway.ring_file import RingFile
from keyhole.operations.doctor.finding import Finding, error, many, ok, warning
from keyhole.settings import Settings
from keyhole.store.database import open_store
from keyhole.store.mails import MailStanding

OF_LATE = timedelta(days=7)
"""How long ago a mail may have failed to be told."""

_MOST = 1000
_LONG_DUE = timedelta(minutes=10)
"""A running server sends what is due within seconds."""

_SERVER = "set KEYHOLE_SMTP_HOST and KEYHOLE_MAIL_FROM, or share by links that ask for something else"


@dataclass(frozen=True, slots=True)
class MailFacts:
    """Whether a mail server is set, how mail stands, what has been due for long, and what has failed of late."""

    server: bool
    standing: MailStanding
    long_due: int
    failed: int


async def look(settings: Settings) -> MailFacts:
    """How mail stands; there is a good ring, and a database of this version."""
    file, at = RingFile(settings.data, time.monotonic), now()
    store = open_store(database_url(settings), lambda: signing(file.ring()), settings.data)
    try:
        standing, before = await store.mail_standing(at), await store.mail_standing(at - _LONG_DUE)
        failed = await store.failed_mails(_MOST)
    finally:
        await store.close()
    late = [one for one in failed if state(one) is MailState.FAILED and one.failed_at and one.failed_at > at - OF_LATE]
    return MailFacts(settings.smtp_host is not None, standing, before.due, len(late))


def mail(facts: MailFacts) -> Iterator[Finding]:
    """What is to be said about mail; nothing where nobody wants any."""
    yield from _sent(facts) if facts.server else _not_sent(facts)
    if facts.failed:
        yield warning(
            "mail-failed",
            f"{many(facts.failed, 'mail')} could not be sent in the last {OF_LATE.days} days",
            "recipients wait for links, or senders do not know what became of them",
            "see which, and why: keyhole mails --failed",
        )


def _sent(facts: MailFacts) -> Iterator[Finding]:
    if facts.standing.tried:
        yield warning(
            "mail-tried",
            f"{many(facts.standing.tried, 'mail')} could not be handed to the mail server, and will be tried again",
            "they come late, and are given up after a day, notices after a week",
            "keyhole mails SHARE tells why; see the KEYHOLE_SMTP settings",
        )
    elif facts.long_due:
        yield warning(
            "mail-due",
            f"{many(facts.long_due, 'mail')} should have left long ago",
            "no server is running that sends them",
            "start keyhole serve, with the same KEYHOLE_SMTP settings as here",
        )
    else:
        yield ok("mail-sent", "mail is sent, and none is late")


def _not_sent(facts: MailFacts) -> Iterator[Finding]:
    if facts.standing.asking:
        yield error(
            "mail-asked",
            f"{many(facts.standing.asking, 'open link')} cannot be opened: a code has to be mailed, and there is no"
            " mail server",
            "their recipients are told that the site sends no mail",
            _SERVER,
        )
    if facts.standing.due:
        yield warning(
            "mail-waits",
            f"{many(facts.standing.due, 'mail')} cannot be sent: there is no mail server",
            "a link that has waited for a day is not sent any more, nor a notice after a week",
            _SERVER,
        )
