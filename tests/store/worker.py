"""One of several processes over one database: ``python worker.py URL FOLDER WHAT ARGUMENT COUNT``.

Says ``ready``, waits for a line, does *WHAT* as often as *COUNT* says, and prints how it went as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from keyhole.access.decision import Event
from keyhole.access.share import Share
from keyhole.store.database import DatabaseStore, open_store
from tests.store.makers import NOW, PERSONAL, SIGNING, record, visit


async def open_share(store: DatabaseStore, share_id: str, count: int) -> object:
    """Open one share *count* times at once: the visits that began."""
    share = await store.share(share_id)
    assert share is not None
    openings = [visit(share) for _ in range(count)]
    outcomes = await asyncio.gather(
        *(store.begin_visit(one, NOW, record(Event.VISIT_BEGUN, visit=one.id)) for one in openings)
    )
    return [one.id for one, outcome in zip(openings, outcomes, strict=True) if isinstance(outcome, Share)]


async def append(store: DatabaseStore, name: str, count: int) -> object:
    """Append *count* records, four at a time, in several tasks."""
    gate = asyncio.Semaphore(8)

    async def one(number: int) -> None:
        async with gate:
            await store.append([record(subject=name, detail={"n": str(number)}, personal=PERSONAL)])

    await asyncio.gather(*(one(number) for number in range(count)))
    return count


async def follow(store: DatabaseStore, after: str, count: int) -> object:
    """The generation once it is more than *after*."""
    async for generation in store.generations():
        if generation > int(after):
            return generation
    return None


DO: dict[str, Callable[[DatabaseStore, str, int], Awaitable[object]]] = {
    "open": open_share,
    "append": append,
    "follow": follow,
}


async def main(url: str, folder: str, what: str, argument: str, count: str) -> None:
    store = open_store(url, SIGNING, Path(folder))
    await store.generation()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    result = await DO[what](store, argument, int(count))
    print(json.dumps(result), flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
