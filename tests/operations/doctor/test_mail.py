"""The doctor tells when mail is needed and not sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyhole.access.condition import Conditions
from keyhole.access.decision import Event, Record
from keyhole.app import now, prepare, signing
from keyhole.gateway.post.fate import dropped
from keyhole.gateway.post.rows import link_mail
from keyhole.gateway.ring_file import RingFile
from keyhole.operations.doctor import mail
from keyhole.operations.doctor.finding import Severity
from keyhole.operations.doctor.mail import MailFacts
from keyhole.settings import Settings
from keyhole.store.database import open_store
from keyhole.store.mails import MailStanding
from tests.gateway.post.makers import a_share
from tests.operations.doctor.looks import found, settings

OK, _, WARNING, ERROR = Severity
QUIET = MailFacts(server=True, standing=MailStanding(due=0, tried=0, asking=0), long_due=0, failed=0)
MADE = Record(at=datetime(2026, 3, 1, tzinfo=UTC), event=Event.SHARE_CREATED, subject="user:anna")


def facts(*, server: bool = True, long_due: int = 0, failed: int = 0, **standing: int) -> MailFacts:
    counts = replace(QUIET.standing, **standing)
    return replace(QUIET, server=server, standing=counts, long_due=long_due, failed=failed)


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        pytest.param(facts(), {"mail-sent": OK}, id="nothing waits"),
        pytest.param(facts(due=3), {"mail-sent": OK}, id="what is due leaves within seconds"),
        pytest.param(facts(asking=3), {"mail-sent": OK}, id="links that ask for codes get them"),
        pytest.param(facts(tried=1), {"mail-tried": WARNING}, id="the server does not take it"),
        pytest.param(facts(due=3, long_due=1), {"mail-due": WARNING}, id="nobody sends it"),
        pytest.param(facts(failed=2), {"mail-sent": OK, "mail-failed": WARNING}, id="some could not be sent"),
        pytest.param(facts(server=False), {}, id="nobody wants any mail"),
        pytest.param(facts(server=False, asking=1), {"mail-asked": ERROR}, id="a link cannot be opened without"),
        pytest.param(facts(server=False, due=1), {"mail-waits": WARNING}, id="mail waits for a server"),
    ],
)
def test_says_what_is_wrong_with_mail(seen: MailFacts, wanted: dict[str, Severity]) -> None:
    assert found(mail.mail(seen)) == wanted


@pytest.fixture
def set_up(tmp_path: Path) -> Settings:
    made = settings(data=str(tmp_path))
    prepare(made)
    return made


async def test_counts_what_waits_what_failed_and_what_needs_mail(set_up: Settings) -> None:
    file = RingFile(set_up.data, lambda: 0.0)
    store = open_store(f"sqlite:///{set_up.data / 'keyhole.db'}", lambda: signing(file.ring()), set_up.data)
    at = now()
    week = at + timedelta(days=7)
    asking = a_share(conditions=Conditions(mail_code=True), expires_at=week)
    over = a_share(conditions=Conditions(mail_code=True), expires_at=at - timedelta(days=1))
    long_ago = at - timedelta(hours=1)
    mails = [link_mail(asking, long_ago) for _ in range(5)]
    await store.add_share(asking, MADE, mails)
    await store.add_share(over, MADE)
    claimed = {one.id: one for one in await store.claim_mails(at, at, 5)}
    waits, tried, failed, gone, long_failed = (claimed[one.id] for one in mails)
    for settled in (
        replace(waits, due_at=long_ago),
        replace(tried, due_at=week, problem="the mail server did not take the mail"),
        replace(failed, failed_at=at, problem="the mail server did not take the mail"),
        replace(gone, failed_at=at, problem=dropped("the share was withdrawn")),
        replace(long_failed, failed_at=at - timedelta(days=8), problem="the mail server did not take the mail"),
    ):
        await store.settle_mail(settled)
    await store.close()
    seen = await mail.look(set_up)
    assert seen == facts(server=False, due=1, tried=1, asking=1, long_due=1, failed=1)
