"""Somebody who holds the database, and not the key, puts rows where nobody counts, and values that are no bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyhole.store.database import open_store
from keyhole.store.migrations import migrate
from keyhole.store.trail import TrailQuery
from keyhole.store.verify import Broken, Fault, Intact
from tests.store.conftest import Open
from tests.store.makers import PERSONAL, SIGNING, record
from tests.store.raw import tampering

COLUMNS = "at, event, subject, study, share, visit, key_id, body, digest"


@pytest.mark.parametrize("seq", [0, -1, -(2**31)])
async def test_a_row_before_the_first_is_found(opened: Open, url: str, seq: int) -> None:
    store = opened()
    await store.append([record(study="1.2")])
    with tampering(url) as run:
        run(f"INSERT INTO trail (seq, {COLUMNS}) SELECT {seq}, {COLUMNS} FROM trail WHERE seq = 1")
    assert len(await store.trail(TrailQuery())) == 2
    assert await store.verify() == Broken(seq, Fault.ALTERED)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE trail SET body = CAST(body AS TEXT) WHERE seq = 2", Fault.ALTERED),
        ("UPDATE trail SET digest = hex(digest) WHERE seq = 2", Fault.ALTERED),
        ("UPDATE trail SET body = 7 WHERE seq = 2", Fault.ALTERED),
        ("UPDATE trail_personal SET value = '192.0.2.9' WHERE seq = 2", Fault.PERSONAL_ALTERED),
        ("UPDATE trail_personal SET value = CAST(value AS TEXT) WHERE seq = 2", Fault.PERSONAL_ALTERED),
        ("UPDATE trail_personal SET salt = 'salt' WHERE seq = 2", Fault.PERSONAL_ALTERED),
    ],
)
async def test_text_in_place_of_bytes_is_a_fault_and_no_failure(
    sqlite_url: str, tmp_path: Path, statement: str, fault: Fault
) -> None:
    migrate(sqlite_url)
    store = open_store(sqlite_url, SIGNING, tmp_path)
    await store.append([record(study="1.1", personal=PERSONAL), record(study="1.2", personal=PERSONAL)])
    assert isinstance(await store.verify(), Intact)
    with tampering(sqlite_url) as run:
        run(statement)
    assert await store.verify() == Broken(2, fault)
    await store.close()
