"""What sends mail: the server, who writes it, and the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyhole.gateway.desk import Desk
from keyhole.gateway.post.queue import PACE, Pace, Queue, Store
from keyhole.gateway.post.words import MailSite
from keyhole.gateway.post.writer import Wording, Writer
from keyhole.settings import Settings
from keyhole.settings.mail import Security
from keyhole.settings.values import host_of

if TYPE_CHECKING:
    from keyhole.gateway.smtp import MailServer


def mail_site(settings: Settings) -> MailSite:
    """What mails say of the site: by its host where it has no name."""
    return MailSite(
        name=settings.site_name or host_of(settings.public_url),
        contact=settings.site_contact,
        language=settings.site_language,
        colour=settings.site_colour,
        names=settings.mail_names,
    )


def mail_server(settings: Settings, pace: Pace = PACE) -> MailServer | None:
    """Where mail is handed over; None when nothing is mailed."""
    if settings.smtp_host is None:
        return None
    from keyhole.gateway.smtp import MailServer  # noqa: PLC0415 - an SMTP client, for who sends mail

    password = settings.smtp_password
    return MailServer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        starttls=settings.smtp_security is Security.STARTTLS,
        tls=settings.smtp_security is Security.TLS,
        user=settings.smtp_user,
        password=None if password is None else password.get_secret_value(),
        patience=pace.patience,
    )


def mail_queue(settings: Settings, store: Store, desk: Desk, pace: Pace = PACE) -> Queue | None:
    """The queue that a serving process works off; None when nothing is mailed."""
    server = mail_server(settings, pace)
    if server is None or settings.mail_from is None:
        return None
    wording = Wording(site=desk.mail_site, public_url=desk.public_url, ring=desk.ring)
    return Queue(
        store=store,
        ledger=desk.ledger,
        writer=Writer(wording=wording, sender=settings.mail_from, reply_to=settings.mail_reply_to),
        post=server,
        now=desk.now,
        domains=settings.mail_domains,
        pace=pace,
    )
