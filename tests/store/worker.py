"""One of several processes over one database: ``python worker.py URL FOLDER WHAT ARGUMENT COUNT``.

Says ``ready``, waits for a line, does *WHAT* as often as *COUNT* says, and prints how it went as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from keyhole.access.decision import Event, Reason
from keyhole.access.share import Share
from keyhole.store.database import DatabaseStore, open_store
from tests.store.makers import HOUR, NOW, PERSONAL, SIGNING, bucket, failed, record, right, tried, visit


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


async def guess(store: DatabaseStore, share_id: str, count: int) -> object:
    """Guess *count* times at once, wrongly: how often that was taken up, and how each guess ended."""
    share = await store.share(share_id)
    assert share is not None

    async def one() -> str:
        taken = await tried(store, share)
        if isinstance(taken, Share):
            await failed(store, share)
            return "wrong"
        return str(taken)

    return await asyncio.gather(*(one() for _ in range(count)))


async def patiently_tried(store: DatabaseStore, share: Share) -> Share | Reason:
    """Take an attempt up, when those of others are no more under way."""
    while True:
        taken = await tried(store, share)
        if taken is not Reason.TOO_MANY:
            return taken
        await asyncio.sleep(0.002)


async def answer(store: DatabaseStore, share_id: str, count: int) -> object:
    """Answer *count* times at once, rightly: how each ended."""
    share = await store.share(share_id)
    assert share is not None

    async def one() -> str:
        taken = await patiently_tried(store, share)
        if not isinstance(taken, Share):
            return str(taken)
        opened = await right(store, share)
        return "opened" if isinstance(opened, Share) else str(opened)

    return await asyncio.gather(*(one() for _ in range(count)))


async def take(store: DatabaseStore, name: str, count: int) -> object:
    """Take *count* times at once from two buckets, with a clock of this process's own: how often there was one."""
    mine, everybodys = bucket(name, at_once=30, every=HOUR), bucket("everybody", at_once=50, every=HOUR)
    skew = timedelta(seconds=os.getpid() % 60)
    outcomes = await asyncio.gather(*(store.take((mine, everybodys), NOW - skew) for _ in range(count)))
    return outcomes.count({})


async def claim(store: DatabaseStore, _: str, count: int) -> object:
    """Claim mails, a few at a time, until there are none."""
    mine: list[str] = []
    while claimed := await store.claim_mails(NOW + HOUR, NOW + 2 * HOUR, count):
        mine += [mail.id for mail in claimed]
    return mine


async def claim_and_hang(store: DatabaseStore, _: str, count: int) -> object:
    """Claim mails, tell which, and never settle them."""
    claimed = await store.claim_mails(NOW + HOUR, NOW + 2 * HOUR, count)
    print(json.dumps([mail.id for mail in claimed]), flush=True)
    await asyncio.sleep(600)
    return None


DO: dict[str, Callable[[DatabaseStore, str, int], Awaitable[object]]] = {
    "open": open_share,
    "append": append,
    "follow": follow,
    "guess": guess,
    "answer": answer,
    "take": take,
    "claim": claim,
    "claim-and-hang": claim_and_hang,
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
