"""What a restore keeps of what recipients must show: the stricter state of a backup and what came to be since."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path

import pytest

from keyhole.access.condition import NO_CONDITIONS, Answered, Conditions
from keyhole.access.decision import Reason
from keyhole.access.mail import MailKind
from keyhole.access.share import Share, ShareChange
from keyhole.store import portable, stricter
from keyhole.store.address import parse_url
from keyhole.store.chain import micros
from keyhole.store.database import DatabaseStore, open_store
from keyhole.store.migrations import migrate
from keyhole.store.stricter import Kept
from tests.store.conftest import Open
from tests.store.makers import (
    ASKED,
    HOUR,
    MAILED,
    MINUTE,
    NOW,
    SIGNING,
    added,
    bucket,
    failed,
    mail,
    mailed,
    record,
    right,
    tried,
)
from tests.store.raw import migrate_to, raw

LATER = NOW + HOUR
AT = NOW + 2 * HOUR

Since = Callable[[DatabaseStore, Share], Awaitable[object]]


def silent(_done: int, _total: int) -> None:
    """Nobody watches."""


@asynccontextmanager
async def inside(file: Path) -> AsyncIterator[DatabaseStore]:
    """The database in *file* as a store, with heads of its own."""
    folder = file.with_name("restored")
    folder.mkdir(exist_ok=True)
    store = open_store(f"sqlite:///{file}", SIGNING, folder)
    yield store
    await store.close()


def told(kept: Kept) -> dict[str, object]:
    """What there is to tell."""
    found = {field.name: getattr(kept, field.name) for field in fields(Kept)}
    return {name: value for name, value in found.items() if value}


def tightened(file: Path, url: str | None) -> Kept:
    """The backup in *file*, with what the database at *url* tells taken over, and its mail stopped."""
    with portable.opened(file) as kept:
        if url is None:
            stricter.know(kept, None)
            found = stricter.tighten(kept)
        else:
            with portable.transaction(parse_url(url)) as present:
                stricter.know(kept, present)
                found = stricter.tighten(kept)
        stricter.stop_mails(kept, micros(AT))
    return found


async def locked(store: DatabaseStore, one: Share) -> None:
    for _ in range(5):
        await tried(store, one)
        await failed(store, one, now=LATER)


async def guessed(store: DatabaseStore, one: Share) -> None:
    await tried(store, one, now=LATER)
    await failed(store, one)


async def opened_once(store: DatabaseStore, one: Share) -> None:
    await tried(store, one, now=LATER)
    await right(store, one)


async def renewed(store: DatabaseStore, one: Share) -> None:
    await store.change_share(one.id, ShareChange(new_link_key="ring-2", paper=b"n" * 32), record())


async def renewed_and_locked(store: DatabaseStore, one: Share) -> None:
    await renewed(store, one)
    await locked(store, replace(one, generation=2))


async def asked_more(store: DatabaseStore, one: Share) -> None:
    change = ShareChange(conditions=replace(ASKED, terms=True), mail_to="right@example.org")
    await store.change_share(one.id, change, record())


async def readdressed(store: DatabaseStore, one: Share) -> None:
    await store.change_share(one.id, ShareChange(mail_to="right@example.org"), record())


async def asked_less(store: DatabaseStore, one: Share) -> None:
    await store.change_share(one.id, ShareChange(conditions=NO_CONDITIONS), record())


async def nothing(store: DatabaseStore, one: Share) -> None:
    """Nothing came to be."""


LOCKED = {"attempts": 5, "tried_at": NOW, "locked_at": LATER}
RENEWED = {"key_id": "ring-2", "generation": 2, "paper": b"n" * 32}

CASES = [
    pytest.param(guessed, {}, {"attempts": 1, "tried_at": LATER}, {"tried"}, id="wrong answers count"),
    pytest.param(
        opened_once,
        {},
        {"attempts": 1, "passed": 1, "tried_at": LATER, "visits": 1, "first_opened_at": NOW, "last_opened_at": NOW},
        {"tried", "counted"},
        id="right answers count",
    ),
    pytest.param(locked, {}, LOCKED, {"tried", "locked"}, id="a lock stays"),
    pytest.param(renewed, {}, RENEWED, {"renewed"}, id="a new link, and its code for paper"),
    pytest.param(renewed_and_locked, {}, {**RENEWED, **LOCKED}, {"renewed"}, id="a new link that is locked"),
    pytest.param(
        renewed,
        {"attempts": 5, "passed": 1, "tried_at": NOW, "locked_at": NOW},
        {**RENEWED, "attempts": 0, "passed": 0, "tried_at": None, "locked_at": None},
        {"renewed"},
        id="a new link instead of a locked one",
    ),
    pytest.param(
        asked_more,
        {},
        {"conditions": replace(ASKED, terms=True), "mail_to": "right@example.org"},
        {"asked"},
        id="conditions",
    ),
    pytest.param(
        asked_more,
        {"conditions": NO_CONDITIONS, "bearer": True},
        {"conditions": replace(ASKED, terms=True), "bearer": False, "mail_to": "right@example.org"},
        {"asked"},
        id="conditions where there were none, and no token",
    ),
    pytest.param(
        readdressed,
        {"conditions": MAILED},
        {"mail_to": "right@example.org"},
        {"asked"},
        id="the address that codes go to",
    ),
    pytest.param(asked_less, {}, {}, set(), id="but what was asked is asked again"),
    pytest.param(nothing, {"attempts": 2, "tried_at": NOW}, {}, set(), id="nothing where nothing came to be"),
]


@pytest.mark.parametrize(("since", "before", "expected", "named"), CASES)
async def test_of_what_came_to_be_since_the_stricter_stays(
    url: str,
    opened: Open,
    tmp_path: Path,
    since: Since,
    before: dict[str, object],
    expected: dict[str, object],
    named: set[str],
) -> None:
    present = opened()
    values = {"conditions": ASKED, "mail_to": "wrong@example.org", "paper": b"p" * 32, **before}
    one, other = await added(present, **values), await added(present, conditions=ASKED)
    portable.export(url, tmp_path / "backup", silent)
    await since(present, one)
    kept = tightened(tmp_path / "backup", url)
    async with inside(tmp_path / "backup") as store:
        assert await store.share(one.id) == replace(one, **expected)  # type: ignore[arg-type]
        assert await store.share(other.id) == other
    assert told(kept) == {name: [one.id] for name in named}


async def test_a_backup_of_a_newer_link_loses_nothing_to_an_older_one(url: str, opened: Open, tmp_path: Path) -> None:
    present = opened()
    one = await added(present, conditions=ASKED)
    await locked(present, one)
    await present.change_share(
        one.id, ShareChange(new_link_key="ring-2", conditions=MAILED, mail_to="m@x.org"), record()
    )
    new = await present.share(one.id)
    assert new is not None
    portable.export(url, tmp_path / "backup", silent)
    with raw(url) as run:
        run("UPDATE shares SET generation = 1, locked_at = 5, attempts = 9, terms = ?", True)
    tightened(tmp_path / "backup", url)
    async with inside(tmp_path / "backup") as store:
        assert await store.share(one.id) == new


async def test_a_locked_share_does_not_count_as_one_that_lives_again(url: str, opened: Open, tmp_path: Path) -> None:
    present = opened()
    one, other = await added(present, conditions=ASKED), await added(present)
    portable.export(url, tmp_path / "backup", silent)
    await locked(present, one)
    await present.change_share(other.id, ShareChange(withdrawn_at=NOW), record())
    with portable.opened(tmp_path / "backup") as kept:
        stricter.know(kept, None)
        assert {each.id for each in stricter.live_shares(kept, micros(NOW))} == {one.id, other.id}
    tightened(tmp_path / "backup", url)
    with portable.opened(tmp_path / "backup") as kept:
        stricter.know(kept, None)
        assert stricter.live_shares(kept, micros(NOW)) == []


async def test_a_backup_holds_mails_and_neither_codes_nor_buckets(url: str, opened: Open, tmp_path: Path) -> None:
    present = opened()
    one = await added(present, conditions=MAILED, mail_to="m@example.org")
    await mailed(present, one)
    await present.take([bucket()], NOW)
    portable.export(url, tmp_path / "backup", silent)
    with raw(f"sqlite:///{tmp_path / 'backup'}") as run:
        assert run("SELECT count(*) FROM mails") == [(1,)]
        assert run("SELECT count(*) FROM mail_codes") == [(0,)]
        assert run("SELECT count(*) FROM buckets") == [(0,)]
    assert await present.code(one.id) is not None, "the database itself keeps them"


async def test_mail_that_waits_in_a_backup_is_not_sent_again(url: str, opened: Open, tmp_path: Path) -> None:
    present = opened()
    one = await added(present)
    names = ("sent since", "failed since", "waits still", "sent before")
    mails = [mail(one, id=name, sent_at=NOW if name == "sent before" else None) for name in names]
    await present.change_share(one.id, ShareChange(), record(), mails)
    portable.export(url, tmp_path / "backup", silent)
    claimed = {each.id: each for each in await present.claim_mails(LATER, LATER + MINUTE, 10)}
    await present.settle_mail(replace(claimed["sent since"], sent_at=LATER))
    await present.settle_mail(replace(claimed["failed since"], failed_at=LATER, problem="no such address"))
    tightened(tmp_path / "backup", url)
    async with inside(tmp_path / "backup") as store:
        kept = {each.id: (each.sent_at, each.failed_at, each.problem) for each in await store.mails(one.id)}
        assert await store.claim_mails(AT + HOUR, AT + 2 * HOUR, 10) == []
        assert [each.id for each in await store.failed_mails()] == ["waits still", "failed since"]
    assert kept["sent since"] == (LATER, None, None)
    assert kept["failed since"] == (None, LATER, "no such address")
    assert kept["waits still"][:2] == (None, AT)
    assert "restored" in str(kept["waits still"][2])
    assert kept["sent before"] == (NOW, None, None)


@pytest.mark.parametrize(
    ("kind", "due", "waits"),
    [
        (MailKind.ENDING, AT + HOUR, True),
        (MailKind.ENDING, AT, False),
        (MailKind.LINK, AT + HOUR, False),
    ],
)
async def test_of_mail_in_a_backup_only_notices_of_ends_to_come_go_on_waiting(
    opened: Open, url: str, tmp_path: Path, kind: MailKind, due: datetime, waits: bool
) -> None:
    present = opened()
    one = await added(present)
    await present.change_share(one.id, ShareChange(), record(), [mail(one, kind=kind, due_at=due)])
    portable.export(url, tmp_path / "backup", silent)
    tightened(tmp_path / "backup", url)
    async with inside(tmp_path / "backup") as store:
        assert [each.failed_at is None for each in await store.mails(one.id)] == [waits]
        assert len(await store.claim_mails(due, due + HOUR, 10)) == waits


async def test_what_limits_strangers_goes_on(url: str, opened: Open, tmp_path: Path) -> None:
    present = opened()
    mine = bucket(at_once=1, every=HOUR)
    await added(present)
    portable.export(url, tmp_path / "backup", silent)
    await present.take([mine], NOW)
    tightened(tmp_path / "backup", url)
    async with inside(tmp_path / "backup") as store:
        assert await store.left([mine], NOW) == {mine.name: HOUR}


async def test_codes_from_before_a_restore_open_nothing(opened: Open, url: str, tmp_path: Path) -> None:
    present = opened()
    one = await added(present, conditions=MAILED, mail_to="m@example.org", attempts=1, tried_at=NOW)
    portable.export(url, tmp_path / "backup", silent)
    async with inside(tmp_path / "backup") as store:
        sent = await mailed(store, one)
    tightened(tmp_path / "backup", None)
    async with inside(tmp_path / "backup") as store:
        assert await right(store, one, Answered(MAILED, sent.nonce)) is Reason.WRONG_ANSWER


async def test_where_nothing_is_known_the_backup_stands(opened: Open, url: str, tmp_path: Path) -> None:
    present = opened()
    one = await added(present, conditions=Conditions(terms=True), attempts=3, passed=1, tried_at=NOW)
    sent = mail(one, kind=MailKind.OPENED)
    await present.change_share(one.id, ShareChange(), record(), [sent])
    portable.export(url, tmp_path / "backup", silent)
    assert told(tightened(tmp_path / "backup", None)) == {}
    async with inside(tmp_path / "backup") as store:
        assert await store.share(one.id) == one
        assert [each.failed_at for each in await store.mails(one.id)] == [AT]


async def test_a_database_of_the_version_before_tells_what_it_knows(
    sqlite_url: str, tmp_path: Path, empty_url: str
) -> None:
    """The backup is brought up to date; what is there now may still be as it was."""
    older = f"sqlite:///{tmp_path / 'older.db'}" if empty_url == sqlite_url else empty_url
    migrate_to(older, "0002")
    with raw(older) as run:
        run(
            "INSERT INTO shares (id, archive, resources, kind, creator, created_at, expires_at, key_id, generation,"
            " visits, deidentification, withdrawn_at)"
            " VALUES ('a', 'main', '[[\"main\",2,[\"1.2\"]]]', 'view', 'user:a', 1, 2, 'k', 1, 3, 'none', 7)"
        )
    migrate(sqlite_url)
    with raw(sqlite_url) as run:
        run(
            "INSERT INTO shares (id, archive, resources, kind, creator, created_at, expires_at, key_id, generation,"
            " visits, deidentification, terms)"
            " VALUES ('a', 'main', '[[\"main\",2,[\"1.2\"]]]', 'view', 'user:a', 1, 2, 'k', 1, 0, 'none', 1)"
        )
    assert told(tightened(tmp_path / "keyhole.db", older)) == {"withdrawn": ["a"], "counted": ["a"]}
    with raw(sqlite_url) as run:
        assert run("SELECT withdrawn_at, visits, terms FROM shares") == [(7, 3, 1)]


@pytest.mark.e2e
async def test_all_of_it_goes_from_one_database_to_the_other(
    sqlite_url: str, postgresql_url: str, tmp_path: Path
) -> None:
    """As a restore on PostgreSQL does it."""
    for address in (sqlite_url, postgresql_url):
        migrate(address)
    tries = {"attempts": 2, "passed": 1, "tried_at": NOW}
    asked = replace(ASKED, mail_code=True)
    async with inside(tmp_path / "keyhole.db") as store:
        one = await added(store, conditions=asked, mail_to="m@example.org", paper=b"\0p" * 16, **tries)
        sent = await mailed(store, one)
        await store.take([bucket(at_once=1)], NOW)
        mails = await store.mails(one.id)
    with (
        portable.transaction(parse_url(sqlite_url)) as source,
        portable.transaction(parse_url(postgresql_url)) as target,
    ):
        portable.copy_rows(source, target, silent)
    other = open_store(postgresql_url, SIGNING, tmp_path / "restored")
    assert await other.share(one.id) == one
    assert await other.mails(one.id) == mails
    assert await other.left([bucket(at_once=1)], NOW) == {bucket().name: MINUTE}
    assert isinstance(await right(other, one, Answered(asked, sent.nonce)), Share)
    await other.close()
