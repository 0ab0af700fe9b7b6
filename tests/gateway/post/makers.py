"""Shares and a writer for tests of mail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from keyhole.access.condition import Conditions
from keyhole.access.mail import Mail, MailKind
from keyhole.access.resource import Resource
from keyhole.access.share import Share, ShareKind
from keyhole.gateway.post.rows import code_mail, ending_mail, link_mail, locked_mail, opened_mail
from keyhole.gateway.post.words import MailSite
from keyhole.gateway.post.writer import Wording, Writer
from keyhole.sharing.link import KeyRing, new_id

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PUBLIC = "https://images.example"
SITE = "Klinik Röntgen"
RING = KeyRing.new()
PATIENT, STUDY = "Müller^Anna", "1.2.826.0.1.42"
EVERYTHING = Conditions(passcode="$argon2id$hash", birth_date=b"digest", mail_code=True, terms=True)


def a_share(**changes: Any) -> Share:
    values: dict[str, Any] = {
        "id": new_id(),
        "archive": "main",
        "resources": (Resource.of("main", STUDY),),
        "kind": ShareKind.VIEW,
        "creator": "user:anna",
        "created_at": NOW,
        "expires_at": NOW + timedelta(days=7),
        "key_id": RING.current,
        "mail_to": "roe@praxis.example",
        "notify": "sender@clinic.example",
        "recipient": "Dr Roe",
        "note": "Müller, chest, for Monday",
    }
    return Share(**{**values, **changes})


def a_writer(**site: Any) -> Writer:
    wording = Wording(site=MailSite(**{"name": SITE, **site}), public_url=PUBLIC, ring=RING)
    return Writer(wording=wording, sender="Radiology <radiology@clinic.example>", reply_to=None)


def all_mails(share: Share, now: datetime = NOW) -> dict[MailKind, Mail]:
    """One mail of each kind about *share*."""
    mails = (
        link_mail(share, now),
        code_mail(share, "nonce", now, now + timedelta(minutes=10)),
        *opened_mail(share, now),
        *locked_mail(share, now),
        *ending_mail(share, now),
    )
    return {mail.kind: mail for mail in mails}
