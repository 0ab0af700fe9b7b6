"""What every store promises: in memory, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from keyhole.access.decision import Event, Reason
from keyhole.access.resource import Action, Resource
from keyhole.access.secret import new_id
from keyhole.access.share import Share, ShareChange, ShareKind
from keyhole.errors import StoreFailed
from keyhole.store.trail import TrailQuery
from tests.store.makers import HOUR, NOW, Store, added, events, key, prepared, record, share, visit

LATER = NOW + HOUR


# -- shares


async def test_a_share_comes_back_as_it_was_kept(store: Store) -> None:
    one = share(
        kind=ShareKind.DOWNLOAD,
        not_before=NOW,
        max_visits=3,
        recipient="Praxis Dr. Ödön",
        note="Läsion links",
        first_opened_at=NOW,
        last_opened_at=NOW,
        visits=2,
        generation=4,
    )
    await store.add_share(one, record())
    assert await store.share(one.id) == one


async def test_an_unknown_id_is_none(store: Store) -> None:
    assert await store.share(new_id()) is None
    assert await store.visit(new_id()) is None
    assert await store.key(new_id()) is None
    assert await store.visits(new_id()) == []


async def test_an_id_is_kept_once_and_the_second_leaves_no_trace(store: Store) -> None:
    one = await added(store)
    with pytest.raises(StoreFailed):
        await store.add_share(replace(one, note="other"), record(Event.SHARE_CREATED))
    assert await store.share(one.id) == one
    assert len(await events(store)) == 1


async def test_shares_are_listed_newest_first_page_by_page(store: Store) -> None:
    made = [await added(store, created_at=NOW + timedelta(seconds=number // 2)) for number in range(7)]
    listed = []
    after = None
    while page := await store.shares(after=after, limit=2):
        listed.extend(page)
        after = page[-1].id
    assert listed == sorted(made, key=lambda one: (one.created_at, one.id), reverse=True)


async def test_a_page_after_an_unknown_share_is_empty(store: Store) -> None:
    await added(store)
    assert await store.shares(after=new_id()) == []


async def test_shares_are_found_by_creator_and_by_study(store: Store) -> None:
    annas = await added(store)
    series = await added(store, creator="user:ben", resources=(Resource.of("main", "1.9", "1.9.1"),))
    assert await store.shares(creator="user:anna") == [annas]
    assert await store.shares(study="1.9") == [series]
    assert await store.shares(study="1.2.4") == [annas]
    assert await store.shares(study="1.2.4", creator="user:ben") == []
    assert await store.shares(study="1.2") == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(ShareChange(expires_at=LATER), {"expires_at": LATER}, id="renewed"),
        pytest.param(ShareChange(not_before=LATER), {"not_before": LATER}, id="later"),
        pytest.param(ShareChange(more_visits=2), {"max_visits": 3}, id="opened more often"),
        pytest.param(ShareChange(recipient="B", note="n"), {"recipient": "B", "note": "n"}, id="other words"),
        pytest.param(ShareChange(new_link_key="ring-2"), {"key_id": "ring-2", "generation": 2}, id="new link"),
        pytest.param(ShareChange(withdrawn_at=LATER), {"withdrawn_at": LATER}, id="withdrawn"),
    ],
)
async def test_a_change_changes_what_it_names_and_nothing_else(
    store: Store, change: ShareChange, expected: dict[str, object]
) -> None:
    one = await added(store, max_visits=1)
    other = await added(store)
    changed = await store.change_share(one.id, change, record(Event.SHARE_CHANGED))
    assert changed == replace(one, **expected)
    assert await store.share(one.id) == changed
    assert await store.share(other.id) == other
    assert (await events(store))[-1] is Event.SHARE_CHANGED


async def test_more_visits_give_a_share_without_limit_none(store: Store) -> None:
    one = await added(store)
    assert await store.change_share(one.id, ShareChange(more_visits=2), record()) == one


async def test_an_unknown_share_is_not_changed(store: Store) -> None:
    assert await store.change_share(new_id(), ShareChange(note="x"), record()) is None
    assert await events(store) == []


async def test_the_first_withdrawal_stands_and_a_second_leaves_no_record(store: Store) -> None:
    one = await added(store)
    await store.change_share(one.id, ShareChange(withdrawn_at=NOW), record(Event.SHARE_WITHDRAWN))
    again = await store.change_share(one.id, ShareChange(withdrawn_at=LATER), record(Event.SHARE_WITHDRAWN))
    assert again is not None
    assert again.withdrawn_at == NOW
    assert await events(store) == [Event.SHARE_CREATED, Event.SHARE_WITHDRAWN]


async def test_a_withdrawal_ends_the_visits_of_its_share_only(store: Store) -> None:
    one, other = await added(store), await added(store)
    running, ended, others = visit(one), visit(one, ended_at=NOW), visit(other)
    for opened in (running, ended, others):
        await store.begin_visit(opened, NOW, record())
    await store.change_share(one.id, ShareChange(withdrawn_at=LATER), record())
    assert await store.visit(running.id) == replace(running, ended_at=LATER)
    assert await store.visit(ended.id) == ended
    assert await store.visit(others.id) == others


async def test_the_visits_that_a_withdrawal_ends_are_on_the_trail_after_it(store: Store) -> None:
    one = await added(store)
    first, second = visit(one), visit(one)
    over, ended = visit(one, ends_at=NOW), visit(one, ended_at=NOW)
    for opened in (first, second, over, ended):
        await store.begin_visit(opened, NOW, record())
    withdrawn = record(
        Event.SHARE_WITHDRAWN, at=LATER, share=one.id, study="1.2.3", personal={"address": "local", "note": "n"}
    )
    await store.change_share(one.id, ShareChange(withdrawn_at=LATER), withdrawn)
    told = [row.record for row in await store.trail(TrailQuery(share=one.id, limit=100))]
    ends = [
        record(
            Event.VISIT_ENDED,
            at=LATER,
            share=one.id,
            visit=each.id,
            detail={"because": "share-withdrawn"},
            personal={"address": "local"},
        )
        for each in (first, second)
    ]
    assert told[-3:] == [withdrawn, *ends]


async def test_thousands_of_visits_that_end_at_once_are_summed_up(store: Store) -> None:
    one = await added(store)
    await asyncio.gather(*(store.begin_visit(visit(one), NOW, record()) for _ in range(1003)))
    await store.change_share(one.id, ShareChange(withdrawn_at=LATER), record(Event.SHARE_WITHDRAWN))
    ended = await store.trail(TrailQuery(events=frozenset({Event.VISIT_ENDED}), limit=2000))
    assert [row.record.times for row in ended] == [1] * 1000 + [3]
    assert ended[-1].record.visit is None


async def test_the_visits_that_end_with_a_key_are_on_the_trail_unless_they_never_began(store: Store) -> None:
    program = key()
    await store.add_key(program, record(Event.KEY_CREATED))
    begun, waiting = visit(subject=program.principal), prepared(bytes(32), subject=program.principal)
    await store.prepare_visit(begun, record())
    await store.prepare_visit(waiting, record())
    await store.revoke_key(program.id, NOW, record(Event.KEY_REVOKED))
    told = [(row.record.event, row.record.visit) for row in await store.trail(TrailQuery(limit=100))]
    assert told[-2:] == [(Event.KEY_REVOKED, None), (Event.VISIT_ENDED, begun.id)]


async def test_a_new_link_lets_running_visits_go_on(store: Store) -> None:
    one = await added(store)
    running = visit(one)
    await store.begin_visit(running, NOW, record())
    await store.change_share(one.id, ShareChange(new_link_key="ring-2"), record())
    assert await store.visit(running.id) == running


# -- visits


async def test_beginning_a_visit_counts_it_and_keeps_it(store: Store) -> None:
    one = await added(store, max_visits=2)
    first, second = visit(one), visit(one)
    counted = await store.begin_visit(first, NOW, record(Event.VISIT_BEGUN))
    assert counted == replace(one, visits=1, first_opened_at=NOW, last_opened_at=NOW)
    counted = await store.begin_visit(second, LATER, record(Event.VISIT_BEGUN))
    assert counted == replace(one, visits=2, first_opened_at=NOW, last_opened_at=LATER)
    assert await store.share(one.id) == counted
    assert await store.visits(one.id) == [first, second]
    assert (await events(store))[1:] == [Event.VISIT_BEGUN, Event.VISIT_BEGUN]


CLOSED = [
    pytest.param({"withdrawn_at": NOW, "expires_at": NOW}, Reason.WITHDRAWN, id="withdrawn, before anything else"),
    pytest.param({"expires_at": NOW, "not_before": LATER}, Reason.EXPIRED, id="expired at its very end"),
    pytest.param(
        {"not_before": NOW + timedelta(microseconds=1), "max_visits": 1, "visits": 1}, Reason.NOT_YET, id="too early"
    ),
    pytest.param({"max_visits": 1, "visits": 1}, Reason.USED_UP, id="used up"),
    pytest.param({"generation": 2}, Reason.WITHDRAWN, id="with a link that was renewed"),
]


@pytest.mark.parametrize(("changes", "reason"), CLOSED)
async def test_a_closed_share_says_why_and_nothing_changes(
    store: Store, changes: dict[str, object], reason: Reason
) -> None:
    one = await added(store, **changes)
    generation = await store.generation()
    opened = visit(one)
    assert await store.begin_visit(opened, NOW, record(Event.VISIT_BEGUN), link_generation=1) is reason
    assert await store.share(one.id) == one
    assert await store.visit(opened.id) is None
    assert await events(store) == [Event.SHARE_CREATED]
    assert await store.generation() == generation


async def test_a_share_that_is_gone_is_withdrawn(store: Store) -> None:
    assert await store.begin_visit(visit(share()), NOW, record()) is Reason.WITHDRAWN


@pytest.mark.parametrize("link_generation", [None, 3])
async def test_the_present_link_opens_from_its_first_moment(store: Store, link_generation: int | None) -> None:
    one = await added(store, generation=3, not_before=NOW)
    counted = await store.begin_visit(visit(one), NOW, record(), link_generation=link_generation)
    assert isinstance(counted, Share)


@pytest.mark.parametrize("left", [1, 3])
async def test_exactly_as_many_of_many_simultaneous_openings_win(store: Store, left: int) -> None:
    one = await added(store, max_visits=left)
    openings = [store.begin_visit(visit(one), NOW, record(Event.VISIT_BEGUN)) for _ in range(50)]
    outcomes = await asyncio.gather(*openings)
    assert sum(isinstance(outcome, Share) for outcome in outcomes) == left
    assert outcomes.count(Reason.USED_UP) == 50 - left
    assert len(await store.visits(one.id)) == left
    assert (await events(store)).count(Event.VISIT_BEGUN) == left


async def test_a_prepared_visit_is_redeemed_once(store: Store) -> None:
    code, secret = b"c" * 32, b"s" * 32
    waiting = prepared(code)
    await store.prepare_visit(waiting, record(Event.VISIT_PREPARED, visit=waiting.id))
    assert await store.visit(waiting.id) == waiting
    redeemings = [store.redeem_visit(code, secret, NOW, LATER, record(Event.VISIT_BEGUN)) for _ in range(20)]
    redeemed = [outcome for outcome in await asyncio.gather(*redeemings) if outcome is not None]
    begun = replace(waiting, digest=secret, begun_at=NOW, seen_at=NOW, ends_at=LATER)
    assert redeemed == [begun]
    assert await store.visit(waiting.id) == begun
    rows = await store.trail(TrailQuery(visit=waiting.id))
    assert [row.record.event for row in rows] == [Event.VISIT_PREPARED, Event.VISIT_BEGUN]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"ends_at": NOW}, id="over"),
        pytest.param({"ended_at": NOW - HOUR}, id="ended"),
        pytest.param({"begun_at": NOW - HOUR}, id="begun"),
        pytest.param({"digest": b"x" * 32}, id="another code"),
    ],
)
async def test_no_other_visit_is_redeemed(store: Store, changes: dict[str, object]) -> None:
    waiting = prepared(b"c" * 32, **changes)
    await store.prepare_visit(waiting, record())
    assert await store.redeem_visit(b"c" * 32, b"s" * 32, NOW, LATER, record()) is None
    assert await store.visit(waiting.id) == waiting
    assert len(await events(store)) == 1


async def test_seen_moves_forward_only_and_is_no_news(store: Store) -> None:
    one, other = prepared(b"c" * 32), prepared(b"d" * 32, seen_at=LATER)
    for waiting in (one, other):
        await store.prepare_visit(waiting, record())
    generation = await store.generation()
    await store.seen({one.id: NOW, other.id: NOW, new_id(): NOW})
    await store.seen({})
    assert await store.visit(one.id) == replace(one, seen_at=NOW)
    assert await store.visit(other.id) == other
    assert await store.generation() == generation
    assert len(await events(store)) == 2


async def test_the_first_end_of_a_visit_stands_and_a_second_leaves_no_record(store: Store) -> None:
    one = await added(store)
    running = visit(one)
    await store.begin_visit(running, NOW, record())
    await store.end_visit(running.id, NOW, record(Event.VISIT_ENDED))
    await store.end_visit(running.id, LATER, record(Event.VISIT_ENDED))
    await store.end_visit(new_id(), LATER, record(Event.VISIT_ENDED))
    assert await store.visit(running.id) == replace(running, ended_at=NOW)
    assert (await events(store)).count(Event.VISIT_ENDED) == 1


# -- keys


async def test_keys_come_back_as_they_were_kept_oldest_first(store: Store) -> None:
    kept = [key(), key(expires_at=None, roles=frozenset()), key(ceiling=frozenset(Action))]
    for one in kept:
        await store.add_key(one, record(Event.KEY_CREATED))
    assert await store.keys() == kept
    assert await store.key(kept[1].id) == kept[1]
    assert await events(store) == [Event.KEY_CREATED] * 3


async def test_visits_of_staff_are_found_by_when_they_were_made(store: Store) -> None:
    one = await added(store)
    begun = visit(one)
    await store.begin_visit(begun, NOW, record())
    early, late = visit(created_at=NOW - HOUR), visit(created_at=NOW + HOUR)
    for each in (late, early):
        await store.prepare_visit(each, record())
    assert await store.visits_of_staff(NOW - HOUR) == [early, late]
    assert await store.visits_of_staff(NOW - HOUR + timedelta(microseconds=1)) == [late]
    assert await store.visits_of_staff(NOW + 2 * HOUR) == []


async def test_revoking_a_key_ends_it_and_the_visits_it_made_once(store: Store) -> None:
    one = key()
    await store.add_key(one, record())
    its, others = prepared(b"c" * 32, subject=one.principal), prepared(b"d" * 32)
    for waiting in (its, others):
        await store.prepare_visit(waiting, record())
    assert await store.revoke_key(one.id, NOW, record(Event.KEY_REVOKED)) == replace(one, revoked_at=NOW)
    assert await store.revoke_key(one.id, LATER, record(Event.KEY_REVOKED)) == replace(one, revoked_at=NOW)
    assert await store.revoke_key(new_id(), NOW, record(Event.KEY_REVOKED)) is None
    assert await store.visit(its.id) == replace(its, ended_at=NOW)
    assert await store.visit(others.id) == others
    assert (await events(store)).count(Event.KEY_REVOKED) == 1


# -- generation


async def test_every_change_moves_the_generation_and_a_trail_row_does_not(store: Store) -> None:
    one, its, held = share(), prepared(b"c" * 32), key()
    opened = visit(one)
    changes = [
        lambda: store.add_share(one, record()),
        lambda: store.change_share(one.id, ShareChange(note="n"), record()),
        lambda: store.begin_visit(opened, NOW, record()),
        lambda: store.prepare_visit(its, record()),
        lambda: store.redeem_visit(b"c" * 32, b"s" * 32, NOW, LATER, record()),
        lambda: store.end_visit(opened.id, NOW, record()),
        lambda: store.add_key(held, record()),
        lambda: store.revoke_key(held.id, NOW, record()),
    ]
    for change in changes:
        before = await store.generation()
        await change()
        assert await store.generation() == before + 1
    before = await store.generation()
    await store.append([record()])
    assert await store.generation() == before


async def test_the_generation_is_confirmed_again_and_again_and_moves_are_told(store: Store) -> None:
    confirmed = store.generations()
    first = await anext(confirmed)
    async with asyncio.timeout(5):
        assert await anext(confirmed) == first
        await added(store)
        while await anext(confirmed) != first + 1:
            pass
    await confirmed.aclose()


async def test_roles_come_back_version_by_version(store: Store) -> None:
    assert await store.role_book() is None
    first = await store.change_roles('{"roles":{}}', record(subject="plugin:orthanc"))
    second = await store.change_roles('{"roles":{"a":1}}', record(subject="user:anna"))
    assert (first.version, first.changed_by, second.version) == (1, "plugin:orthanc", 2)
    assert await store.role_book() == second
    assert await store.role_books() == [second, first]
    assert await store.role_books(1) == [second]


async def test_a_change_of_roles_moves_the_generation_and_is_on_the_trail(store: Store) -> None:
    before = await store.generation()
    await store.change_roles("{}", record(subject="user:anna"))
    assert await store.generation() > before
    assert [row.record.subject for row in await store.trail(TrailQuery(subject="user:anna"))] == ["user:anna"]
