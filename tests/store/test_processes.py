"""Several processes over one database, as workers and nodes are."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from keyhole.access.decision import Event
from keyhole.access.share import ShareChange
from keyhole.store.trail import TrailQuery
from keyhole.store.verify import Intact
from tests.store.conftest import Open
from tests.store.makers import record, share

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
    assert await process.wait() == 0


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
