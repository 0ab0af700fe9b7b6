"""Several processes over one database, as workers and nodes are."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keyhole.access.decision import Event
from keyhole.access.share import ShareChange
from keyhole.store.trail import TrailQuery
from keyhole.store.verify import Intact
from tests.store.conftest import Open
from tests.store.makers import ASKED, HOUR, MINUTE, NOW, added, mail, record, share

pytestmark = pytest.mark.slow

WORKER = Path(__file__).with_name("worker.py")
PROCESSES = 4


class Worker:
    """Another process, which waits to begin."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()

    async def ready(self) -> None:
        assert await self.line() == "ready"

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()

    async def result(self) -> Any:
        return json.loads(await self.line())


@asynccontextmanager
async def worker(url: str, folder: Path, what: str, argument: str, count: int = 0) -> AsyncIterator[Worker]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", WORKER, url, folder, what, argument, str(count)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(WORKER.parents[2]), *sys.path])},
    )
    yield Worker(process)
    assert await process.wait() in {0, -signal.SIGKILL}


async def together(url: str, folder: Path, what: str, arguments: list[str], count: int) -> list[Any]:
    """The results of as many processes as *arguments*, which begin at the same moment."""
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(worker(url, folder, what, one, count)) for one in arguments]
        for other in others:
            await other.ready()
        for other in others:
            other.go()
        return [await other.result() for other in others]


async def test_exactly_one_of_200_openings_by_four_processes_wins(url: str, opened: Open, tmp_path: Path) -> None:
    store = opened()
    one = share(max_visits=1)
    await store.add_share(one, record(Event.SHARE_CREATED))
    won = await together(url, tmp_path, "open", [one.id] * PROCESSES, 50)
    winners = [visit for process in won for visit in process]
    assert len(winners) == 1
    assert [visit.id for visit in await store.visits(one.id)] == winners
    kept = await store.share(one.id)
    assert kept is not None
    assert kept.visits == 1
    begun = await store.trail(TrailQuery(events=frozenset({Event.VISIT_BEGUN})))
    assert [row.record.visit for row in begun] == winners


async def test_of_200_guesses_by_four_processes_five_are_taken_up(url: str, opened: Open, tmp_path: Path) -> None:
    store = opened()
    one = await added(store, conditions=ASKED)
    ends = [end for process in await together(url, tmp_path, "guess", [one.id] * PROCESSES, 50) for end in process]
    assert ends.count("wrong") == 5
    assert set(ends) <= {"wrong", "locked", "too-many"}
    kept = await store.share(one.id)
    assert kept == replace(one, attempts=5, tried_at=NOW, locked_at=NOW)
    told = [row.record.event for row in await store.trail(TrailQuery(limit=100))]
    assert (told.count(Event.REFUSAL), told.count(Event.SHARE_LOCKED)) == (5, 1)


async def test_right_answers_of_four_processes_all_pass_and_count_as_such(
    url: str, opened: Open, tmp_path: Path
) -> None:
    store = opened()
    one = await added(store, conditions=ASKED)
    ends = [end for process in await together(url, tmp_path, "answer", [one.id] * PROCESSES, 10) for end in process]
    assert ends == ["opened"] * 40
    kept = await store.share(one.id)
    assert kept is not None
    assert (kept.attempts, kept.passed, kept.visits, kept.locked_at) == (40, 40, 40, None)


async def test_a_link_of_one_opening_is_opened_once_however_many_answer_rightly(
    url: str, opened: Open, tmp_path: Path
) -> None:
    store = opened()
    one = await added(store, conditions=ASKED, max_visits=1)
    ends = [end for process in await together(url, tmp_path, "answer", [one.id] * PROCESSES, 10) for end in process]
    assert ends.count("opened") == 1
    assert set(ends) == {"opened", "used-up"}
    assert len(await store.visits(one.id)) == 1


async def test_four_processes_take_no_more_from_buckets_than_there_is(url: str, opened: Open, tmp_path: Path) -> None:
    opened()
    taken = await together(url, tmp_path, "take", ["a", "a", "b", "b"], 60)
    assert sum(taken) in {49, 50}, "what everybody may; a slow clock may miss the last"
    assert taken[0] + taken[1] <= 30
    assert taken[2] + taken[3] <= 30


async def test_each_of_100_mails_goes_to_one_of_four_processes(url: str, opened: Open, tmp_path: Path) -> None:
    store = opened()
    one = await added(store)
    mails = [mail(one) for _ in range(100)]
    await store.change_share(one.id, ShareChange(), record(), mails)
    claims = await together(url, tmp_path, "claim", ["-"] * PROCESSES, 7)
    assert sorted(each for claim in claims for each in claim) == sorted(each.id for each in mails)
    assert {each.tries for each in await store.mails(one.id)} == {1}


async def test_a_mail_of_a_process_that_was_killed_goes_to_the_next(url: str, opened: Open, tmp_path: Path) -> None:
    store = opened()
    one = await added(store)
    mails = [mail(one) for _ in range(3)]
    await store.change_share(one.id, ShareChange(), record(), mails)
    async with worker(url, tmp_path, "claim-and-hang", "-", 2) as other:
        await other.ready()
        other.go()
        claimed = await other.result()
        await other.kill()
    assert claimed == [mails[0].id, mails[1].id]
    until = NOW + 2 * HOUR
    assert [each.id for each in await store.claim_mails(NOW + HOUR, until, 10)] == [mails[2].id]
    assert await store.claim_mails(until - MINUTE, until, 10) == []
    again = await store.claim_mails(until, until + HOUR, 10)
    assert {each.id: each.tries for each in again} == {each.id: 2 for each in mails}


async def test_four_writing_processes_keep_one_chain(url: str, opened: Open, tmp_path: Path) -> None:
    store = opened()
    names = [f"user:{number}" for number in range(PROCESSES)]
    await together(url, tmp_path, "append", names, 500)
    assert await store.verify() == Intact(2000, 2000)
    for name in names:
        rows = await store.trail(TrailQuery(subject=name, limit=1000))
        assert [row.record.detail["n"] for row in rows] == [str(number) for number in range(500)]


async def test_another_process_sees_a_change_within_a_second(url: str, opened: Open, tmp_path: Path) -> None:
    store = opened()
    one = share()
    await store.add_share(one, record())
    before = await store.generation()
    async with worker(url, tmp_path, "follow", str(before)) as other:
        await other.ready()
        other.go()
        await asyncio.sleep(0.3)  # it follows by now; were it slower, it would only be easier for it
        begun = time.monotonic()
        await store.change_share(one.id, ShareChange(withdrawn_at=one.created_at), record())
        assert await other.result() == before + 1
        assert time.monotonic() - begun < 1
