"""What every store promises about the trail: in memory, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio

import pytest

from keyhole.access.decision import Event, Reason
from keyhole.access.resource import Action, Resource
from keyhole.access.secret import new_id
from keyhole.errors import StoreFailed
from keyhole.store.trail import TrailQuery
from keyhole.store.verify import Intact
from tests.store.makers import EVERYTHING, HOUR, NOW, PERSONAL, Store, added, events, record


async def test_the_trail_gives_records_back_whole_and_in_order(store: Store) -> None:
    full = record(
        Event.COUNT,
        study="1.2.3",
        series="1.2.3.4",
        action=Action.RETRIEVE,
        reason=Reason.TOO_MANY,
        share=new_id(),
        visit=new_id(),
        images=120,
        bytes=2**40,
        times=7,
        detail={"b": "2", "a": "ä\n\u2028"},
        personal=PERSONAL,
    )
    await store.append([record(), full])
    await store.append([])
    rows = await store.trail(EVERYTHING)
    assert [(row.seq, row.record, row.erased) for row in rows] == [(1, record(), False), (2, full, False)]


async def test_what_a_database_cannot_hold_is_kept_escaped(store: Store) -> None:
    await store.append([record(subject="a\0b", detail={"path": "\ud800\0"}, personal={"agent": "\udfff\0"})])
    (row,) = await store.trail(EVERYTHING)
    assert row.record.subject == "a\\x00b"
    assert dict(row.record.detail) == {"path": "\\ud800\\x00"}
    assert dict(row.record.personal) == {"agent": "\\udfff\\x00"}
    assert isinstance(await store.verify(), Intact)


QUERIES = [
    pytest.param(TrailQuery(study="1.2"), [1, 3], id="by study"),
    pytest.param(TrailQuery(share="s" * 16), [2], id="by share"),
    pytest.param(TrailQuery(visit="v" * 16), [3], id="by visit"),
    pytest.param(TrailQuery(subject="user:ben"), [4], id="by subject"),
    pytest.param(TrailQuery(events=frozenset({Event.SEARCH, Event.REFUSAL})), [2, 5], id="by event"),
    pytest.param(TrailQuery(since=NOW + HOUR, until=NOW + 3 * HOUR), [2, 3], id="from a time up to another"),
    pytest.param(TrailQuery(after_seq=3), [4, 5], id="after a row"),
    pytest.param(TrailQuery(limit=2), [1, 2], id="the first two"),
    pytest.param(TrailQuery(limit=2, newest_first=True), [5, 4], id="the last two"),
    pytest.param(TrailQuery(after_seq=3, newest_first=True), [2, 1], id="backwards from a row"),
    pytest.param(TrailQuery(study="1.2", newest_first=True), [3, 1], id="by study, backwards"),
    pytest.param(TrailQuery(study="1.2", subject="user:ben"), [], id="by two that never meet"),
]


@pytest.mark.parametrize(("query", "expected"), QUERIES)
async def test_the_trail_is_searched(store: Store, query: TrailQuery, expected: list[int]) -> None:
    await store.append(
        [
            record(study="1.2", personal=PERSONAL),
            record(Event.SEARCH, share="s" * 16, at=NOW + HOUR),
            record(study="1.2", visit="v" * 16, at=NOW + 2 * HOUR),
            record(subject="user:ben", at=NOW + 3 * HOUR),
            record(Event.REFUSAL, at=NOW + 4 * HOUR),
        ]
    )
    assert [row.seq for row in await store.trail(query)] == expected


async def test_a_study_s_rows_include_those_of_shares_that_hold_it_among_others(store: Store) -> None:
    both = await added(store, resources=(Resource.of("main", "1.2"), Resource.of("main", "1.3")))
    await added(store, resources=(Resource.of("main", "1.4"), Resource.of("main", "1.5")))
    await store.append([record(study="1.3", share=both.id), record(Event.VISIT_BEGUN, share=both.id), record()])
    rows = await store.trail(TrailQuery(study="1.2"))
    assert [(row.record.event, row.record.share) for row in rows] == [
        (Event.SHARE_CREATED, both.id),
        (Event.VISIT_BEGUN, both.id),
    ]


async def test_a_timeline_is_what_happened_with_a_share(store: Store) -> None:
    one = await added(store)
    await added(store)
    await store.append([record(Event.LINK_SHOWN, share=one.id)])
    rows = await store.timeline(one.id)
    assert [row.record.event for row in rows] == [Event.SHARE_CREATED, Event.LINK_SHOWN]


async def test_simultaneous_appends_are_all_kept_each_in_its_order(store: Store) -> None:
    await asyncio.gather(
        *(store.append([record(detail={"from": str(n), "part": str(part)}) for part in range(3)]) for n in range(40))
    )
    rows = await store.trail(EVERYTHING)
    assert [row.seq for row in rows] == list(range(1, 121))
    places = {(row.record.detail["from"], row.record.detail["part"]): row.seq for row in rows}
    assert all(places[str(n), "0"] + 2 == places[str(n), "1"] + 1 == places[str(n), "2"] for n in range(40))


async def test_one_writer_s_own_error_is_its_own(store: Store) -> None:
    one = await added(store)
    naive = record(at=NOW.replace(tzinfo=None))
    outcomes = await asyncio.gather(
        store.append([record()]),
        store.add_share(one, record()),
        store.append([record(), naive]),
        store.append([record()]),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), StoreFailed, TypeError, type(None)]
    assert len(await events(store)) == 3
    assert isinstance(await store.verify(), Intact)


async def test_an_untouched_trail_verifies_and_tells_its_progress(store: Store) -> None:
    assert await store.verify() == Intact(0, None)
    await store.append([record(personal=PERSONAL) for _ in range(2500)])
    told: list[tuple[int, int]] = []
    verdict = await store.verify(lambda done, total: told.append((done, total)))
    assert isinstance(verdict, Intact)
    assert verdict.count == 2500
    assert told[-1] == (2500, 2500)


async def test_a_closed_store_takes_nothing_more(store: Store) -> None:
    await store.append([record()])
    await store.close()
    with pytest.raises(StoreFailed):
        await store.append([record()])
