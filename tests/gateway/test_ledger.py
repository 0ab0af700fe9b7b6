"""Record, then release: nothing leaves before its record is durable, and nothing that was counted is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from keyhole.access.decision import Event, Reason, Record
from keyhole.access.resource import Action
from keyhole.errors import StoreFailed
from keyhole.gateway.ledger import MOST_OF_ONE, MOST_REFUSALS, Ledger

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Trail:
    """Keeps what it is given, unless it is broken or held up."""

    def __init__(self) -> None:
        self.rows: list[Record] = []
        self.broken = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def append(self, records: Sequence[Record]) -> None:
        await self.gate.wait()
        if self.broken:
            raise StoreFailed("no room on the disk")
        self.rows.extend(records)


def access(study: str = "1.2", visit: str = "v") -> Record:
    return Record(
        at=NOW,
        event=Event.ACCESS,
        subject=f"visit:{visit}",
        archive="pacs",
        study=study,
        action=Action.RETRIEVE,
        visit=visit,
        personal={"address": "192.0.2.1"},
    )


def refusal(reason: Reason = Reason.NO_CREDENTIAL, address: str = "192.0.2.1") -> Record:
    return Record(at=NOW, event=Event.REFUSAL, subject="anonymous", reason=reason, personal={"address": address})


@pytest.fixture
def trail() -> Trail:
    return Trail()


@pytest.fixture
def ledger(trail: Trail) -> Ledger:
    return Ledger(trail, lambda: NOW)


async def test_nothing_is_released_before_its_record_is_durable(ledger: Ledger, trail: Trail) -> None:
    trail.gate.clear()
    releases = [asyncio.ensure_future(ledger.release(access())) for _ in range(10)]
    await asyncio.sleep(0.01)
    assert not any(release.done() for release in releases)
    trail.gate.set()
    await asyncio.gather(*releases)
    assert trail.rows == [access()]


async def test_each_study_and_each_visit_is_recorded_for_itself(ledger: Ledger, trail: Trail) -> None:
    for record in (access("1.2"), access("1.3"), access("1.2", "w"), access("1.2")):
        await ledger.release(record)
    assert [(row.study, row.visit) for row in trail.rows] == [("1.2", "v"), ("1.3", "v"), ("1.2", "w")]


async def test_a_visit_that_is_suddenly_used_from_elsewhere_gets_a_row_of_its_own(ledger: Ledger, trail: Trail) -> None:
    for address in ("192.0.2.1", "198.51.100.7", "192.0.2.1"):
        await ledger.release(replace(access(), personal={"address": address}))
    assert [row.personal["address"] for row in trail.rows] == ["192.0.2.1", "198.51.100.7"]


async def test_a_reader_who_leaves_does_not_undo_the_record_others_wait_for(ledger: Ledger, trail: Trail) -> None:
    trail.gate.clear()
    leaver = asyncio.ensure_future(ledger.release(access()))
    stayer = asyncio.ensure_future(ledger.release(access()))
    await asyncio.sleep(0)
    leaver.cancel()
    await asyncio.sleep(0)
    trail.gate.set()
    await stayer
    assert trail.rows == [access()]


async def test_a_trail_that_cannot_be_written_releases_nothing_and_is_tried_again(ledger: Ledger, trail: Trail) -> None:
    trail.broken = True
    with pytest.raises(StoreFailed):
        await ledger.release(access())
    trail.broken = False
    await ledger.release(access())
    assert trail.rows == [access()]


async def test_counts_are_summed_up_and_written_without_personal_values(ledger: Ledger, trail: Trail) -> None:
    for _ in range(1000):
        ledger.count(access(), 1, 512)
    await ledger.flush()
    [row] = trail.rows
    assert (row.event, row.images, row.bytes, row.times) == (Event.COUNT, 1000, 512_000, 1000)
    assert not row.personal


async def test_counts_that_could_not_be_written_hold_up_everybody_and_are_kept(ledger: Ledger, trail: Trail) -> None:
    await ledger.release(access())
    ledger.count(access(), 1, 512)
    trail.broken = True
    with pytest.raises(StoreFailed):
        await ledger.flush()
    ledger.count(access(), 1, 512)
    with pytest.raises(StoreFailed):
        await ledger.release(access())
    trail.broken = False
    await ledger.release(access())
    await ledger.flush()
    assert sum(row.bytes for row in trail.rows) == 1024


async def test_refusals_are_summed_up_by_who_and_why(ledger: Ledger, trail: Trail) -> None:
    for _ in range(5):
        ledger.refuse(refusal())
    ledger.refuse(refusal(Reason.NO_GRANT))
    ledger.refuse(refusal(address="192.0.2.2"))
    await ledger.flush()
    assert [(row.reason, row.times) for row in trail.rows] == [
        (Reason.NO_CREDENTIAL, 5),
        (Reason.NO_GRANT, 1),
        (Reason.NO_CREDENTIAL, 1),
    ]


async def test_a_flood_of_strangers_is_bounded_and_loses_no_count(ledger: Ledger, trail: Trail) -> None:
    for number in range(10_000):
        ledger.refuse(refusal(address=str(number)))
    await ledger.flush()
    assert len(trail.rows) == MOST_REFUSALS + 1
    assert sum(row.times for row in trail.rows) == 10_000


async def test_one_visitor_cannot_fill_the_trail_with_studies_they_make_up(ledger: Ledger, trail: Trail) -> None:
    for number in range(1000):
        ledger.refuse(replace(refusal(Reason.NO_GRANT), subject="visit:v", study=f"1.{number}"))
    ledger.refuse(replace(refusal(Reason.NO_GRANT), subject="visit:w", study="1.2"))
    await ledger.flush()
    assert len(trail.rows) == MOST_OF_ONE + 2
    assert sum(row.times for row in trail.rows if row.subject == "visit:v") == 1000


async def test_refusals_never_wait_for_the_trail(ledger: Ledger, trail: Trail) -> None:
    trail.gate.clear()
    flushing = asyncio.ensure_future(ledger.flush())
    ledger.refuse(refusal())
    trail.gate.set()
    await flushing


async def test_the_background_writer_survives_a_failure(
    ledger: Ledger, trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyhole.gateway.ledger.FLUSH", 0)
    trail.broken = True
    ledger.count(access(), 1, 1)
    running = asyncio.ensure_future(ledger.run())
    await asyncio.sleep(0.01)
    trail.broken = False
    await asyncio.sleep(0.01)
    running.cancel()
    assert sum(row.bytes for row in trail.rows) == 1
