"""A trail that somebody has worked on is told from one that nobody has; on both databases, with real rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from keyhole.errors import StoreFailed
from keyhole.store.chain import GENESIS, Signing
from keyhole.store.database import DatabaseStore, open_store
from keyhole.store.trail import TrailQuery
from keyhole.store.verify import Broken, Fault, Intact
from tests.store.conftest import Open
from tests.store.makers import PERSONAL, SIGNING, record, share
from tests.store.raw import Run, raw, tampering

ROWS = 6


@pytest.fixture
async def store(opened: Open) -> DatabaseStore:
    """A store with six rows, appended one by one."""
    store = opened()
    for number in range(ROWS):
        await store.append([record(study=f"1.2.{number}", personal=PERSONAL, detail={"n": str(number)})])
    return store


def swap(run: Run) -> None:
    run("UPDATE trail SET seq = 100 WHERE seq = 3")
    run("UPDATE trail SET seq = 3 WHERE seq = 4")
    run("UPDATE trail SET seq = 4 WHERE seq = 100")


def cut(run: Run) -> None:
    run("DELETE FROM trail WHERE seq > 4")
    run("DELETE FROM trail_personal WHERE seq > 4")


def set_back(run: Run) -> None:
    cut(run)
    run("UPDATE head SET seq = 4, digest = (SELECT digest FROM trail WHERE seq = 4)")


def empty(run: Run) -> None:
    run("DELETE FROM trail")
    run("DELETE FROM trail_personal")
    run("UPDATE head SET seq = 0, digest = ?", GENESIS)


def remove(folder: Path, names: str) -> None:
    for file in folder.glob(names):
        file.unlink()


def statement(text: str) -> Callable[[Run], None]:
    return lambda run: [run(text), None][1]


TAMPERING = [
    pytest.param(statement("UPDATE trail SET body = (SELECT body FROM trail WHERE seq = 2) WHERE seq = 3"), 3,
                 Fault.ALTERED, id="a body altered"),
    pytest.param(statement("UPDATE trail SET digest = (SELECT digest FROM trail WHERE seq = 2) WHERE seq = 3"), 3,
                 Fault.ALTERED, id="a digest altered"),
    pytest.param(statement("UPDATE trail SET study = '9.9' WHERE seq = 3"), 3, Fault.ALTERED, id="a column altered"),
    pytest.param(statement("UPDATE trail SET study = NULL WHERE seq = 3"), 3, Fault.ALTERED, id="a column emptied"),
    pytest.param(statement("UPDATE trail SET key_id = 'other' WHERE seq = 3"), 3, Fault.UNKNOWN_KEY,
                 id="another key named"),
    pytest.param(statement("DELETE FROM trail WHERE seq = 3"), 3, Fault.REMOVED, id="a row removed"),
    pytest.param(statement("DELETE FROM trail WHERE seq = 1"), 1, Fault.REMOVED, id="the first row removed"),
    pytest.param(statement("DELETE FROM trail WHERE seq IN (3, 4)"), 3, Fault.REMOVED, id="two rows removed"),
    pytest.param(swap, 3, Fault.ALTERED, id="two rows swapped"),
    pytest.param(cut, 5, Fault.CUT_OFF, id="the tail cut off"),
    pytest.param(set_back, 5, Fault.CUT_OFF, id="the tail cut off and the head set back"),
    pytest.param(empty, 1, Fault.CUT_OFF, id="everything gone"),
    pytest.param(statement("UPDATE head SET seq = 4"), 6, Fault.HEAD_MOVED, id="the head set back alone"),
    pytest.param(statement("UPDATE trail_personal SET value = salt WHERE seq = 3 AND name = 'address'"), 3,
                 Fault.PERSONAL_ALTERED, id="a personal value altered"),
    pytest.param(statement("UPDATE trail_personal SET name = 'note' WHERE seq = 3 AND name = 'agent'"), 3,
                 Fault.PERSONAL_ALTERED, id="a personal value renamed"),
    pytest.param(statement("INSERT INTO trail_personal SELECT 3, 'note', salt, value FROM trail_personal"
                           " WHERE seq = 3 AND name = 'agent'"), 3, Fault.PERSONAL_ALTERED,
                 id="a personal value added"),
    pytest.param(statement("INSERT INTO trail_personal SELECT 30, name, salt, value FROM trail_personal"
                           " WHERE seq = 3"), 30, Fault.PERSONAL_ALTERED, id="personal values of no row"),
]  # fmt: skip


@pytest.mark.parametrize(("tamper", "seq", "fault"), TAMPERING)
async def test_whatever_was_done_is_found_at_its_first_row(
    store: DatabaseStore, url: str, tamper: Callable[[Run], None], seq: int, fault: Fault
) -> None:
    assert await store.verify() == Intact(ROWS, ROWS)
    with tampering(url) as run:
        tamper(run)
    assert await store.verify() == Broken(seq, fault)


async def test_a_cut_is_still_found_when_other_rows_have_come_in_its_place(store: DatabaseStore, url: str) -> None:
    with tampering(url) as run:
        set_back(run)
    for _ in range(ROWS):
        await store.append([record()])
    assert await store.verify() == Broken(6, Fault.REPLACED)


async def test_a_trail_that_was_emptied_is_found_without_anything_outside_where_other_things_are_kept(
    opened: Open, url: str, tmp_path: Path
) -> None:
    store = opened()
    await store.add_share(share(), record())
    with tampering(url) as run:
        empty(run)
    remove(tmp_path, "trail.head*")
    assert await store.verify() == Broken(1, Fault.CUT_OFF)


async def test_a_database_set_back_to_a_copy_is_found(
    store: DatabaseStore, sqlite_url: str, tmp_path: Path, url: str
) -> None:
    if url != sqlite_url:
        return  # a copy of the file: the same as the head set back, which PostgreSQL has above
    database = tmp_path / "keyhole.db"
    with raw(url) as run:
        run("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(database, tmp_path / "copy")
    await store.append([record()])
    await store.close()
    remove(tmp_path, "keyhole.db-*")
    shutil.copy(tmp_path / "copy", database)
    again = open_store(url, SIGNING, tmp_path)
    assert await again.verify() == Broken(ROWS + 1, Fault.CUT_OFF)
    await again.close()


async def test_erased_personal_values_are_no_fault_and_are_told(store: DatabaseStore, url: str) -> None:
    with raw(url) as run:
        run("DELETE FROM trail_personal WHERE seq = 3 AND name = 'address'")
    assert await store.verify() == Intact(ROWS, ROWS)
    rows = await store.trail(TrailQuery(after_seq=2, limit=2))
    assert [(dict(row.record.personal), row.erased) for row in rows] == [
        ({"agent": PERSONAL["agent"]}, True),
        (PERSONAL, False),
    ]


async def test_a_database_ahead_of_the_heads_outside_is_no_fault(store: DatabaseStore, tmp_path: Path) -> None:
    before = (tmp_path / "trail.head").read_bytes()
    await store.append([record()])
    (tmp_path / "trail.head").write_bytes(before)  # as a crash between the commit and the file leaves it
    assert await store.verify() == Intact(ROWS + 1, ROWS)


async def test_what_cannot_be_put_at_the_end_of_the_chain_is_not_kept_at_all(store: DatabaseStore, url: str) -> None:
    with tampering(url) as run:
        run("UPDATE head SET seq = 4")
    generation, one = await store.generation(), share()
    with pytest.raises(StoreFailed):
        await store.add_share(one, record(personal=PERSONAL))
    assert await store.share(one.id) is None
    assert await store.generation() == generation
    assert len(await store.trail(TrailQuery())) == ROWS
    assert await store.verify() == Broken(ROWS, Fault.HEAD_MOVED)
    with tampering(url) as run:
        run("UPDATE head SET seq = 6")
    await store.add_share(one, record())
    assert await store.verify() == Intact(ROWS + 1, ROWS + 1)


async def test_a_damaged_head_outside_is_told(store: DatabaseStore, tmp_path: Path) -> None:
    (tmp_path / "trail.head").write_bytes(b"?")
    assert await store.verify() == Broken(ROWS, Fault.OUTSIDE_DAMAGED)


async def test_missing_heads_outside_are_told_by_none(store: DatabaseStore, tmp_path: Path) -> None:
    remove(tmp_path, "trail.*")
    assert await store.verify() == Intact(ROWS, None)


async def test_rows_of_older_keys_verify_as_long_as_the_keys_are_kept(
    store: DatabaseStore, url: str, tmp_path: Path
) -> None:
    renewed = open_store(url, Signing("second", {**SIGNING.keys, "second": b"s" * 32}), tmp_path)
    await renewed.append([record()])
    assert await renewed.verify() == Intact(ROWS + 1, ROWS + 1)
    assert await store.verify() == Broken(ROWS + 1, Fault.UNKNOWN_KEY)
    await renewed.close()


async def test_another_key_under_the_same_name_verifies_nothing(store: DatabaseStore, url: str, tmp_path: Path) -> None:
    stranger = open_store(url, Signing("first", {"first": b"x" * 32}), tmp_path)
    assert await stranger.verify() == Broken(1, Fault.ALTERED)
    await stranger.close()


@pytest.mark.parametrize(
    "forbidden",
    [
        "UPDATE trail SET study = '9.9' WHERE seq = 3",
        "DELETE FROM trail WHERE seq = 6",
        "UPDATE trail_personal SET value = salt",
        "INSERT INTO trail SELECT * FROM trail WHERE seq = 3",
    ],
)
async def test_the_database_refuses_to_change_what_is_written(store: DatabaseStore, url: str, forbidden: str) -> None:
    with raw(url) as run, pytest.raises(Exception, match=r"append-only|permission denied|duplicate key"):
        run(forbidden)
    assert await store.verify() == Intact(ROWS, ROWS)


async def test_sqlite_refuses_to_replace_a_row(store: DatabaseStore, url: str) -> None:
    if not url.startswith("sqlite"):
        return  # PostgreSQL has no such statement
    with raw(url) as run, pytest.raises(Exception, match="append-only"):
        run("INSERT OR REPLACE INTO trail SELECT * FROM trail WHERE seq = 3")


async def test_postgresql_s_triggers_stand_even_with_all_rights(store: DatabaseStore, url: str) -> None:
    if url.startswith("sqlite"):
        return  # SQLite has no rights
    for forbidden in ("UPDATE trail SET study = '9'", "DELETE FROM trail", "TRUNCATE trail"):
        with raw(url) as run:
            run("GRANT ALL ON trail TO CURRENT_USER")
            with pytest.raises(Exception, match="append-only"):
                run(forbidden)


async def test_a_trail_of_a_lost_database_is_not_called_broken(store: DatabaseStore, url: str) -> None:
    with tampering(url) as run:
        run("DROP TABLE trail_personal")
    with pytest.raises(StoreFailed):
        await store.verify()


class TestTheEndAlone:
    async def test_is_intact_whatever_was_done_before_it(self, store: DatabaseStore, url: str) -> None:
        with tampering(url) as run:
            run("UPDATE trail SET study = '9.9' WHERE seq = 2")
        assert await store.verify_end(3) == Intact(ROWS, ROWS)
        assert await store.verify_end(5) == Broken(2, Fault.ALTERED)
        assert await store.verify_end(ROWS) == Broken(2, Fault.ALTERED)
        assert await store.verify_end(100) == Broken(2, Fault.ALTERED)

    @pytest.mark.parametrize(
        ("tamper", "seq", "fault"), [case for case in TAMPERING if case.id and "first" not in case.id]
    )
    async def test_is_found_broken_at_the_row_that_is(
        self, store: DatabaseStore, url: str, tamper: Callable[[Run], None], seq: int, fault: Fault
    ) -> None:
        with tampering(url) as run:
            tamper(run)
        assert await store.verify_end(4) == Broken(seq, fault)
