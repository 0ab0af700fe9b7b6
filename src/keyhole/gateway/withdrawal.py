"""Withdrawal reaches what is already on its way: within a second, on every worker (rule 10 of the design)."""

from __future__ import annotations

import asyncio

from keyhole.access.decision import Reason
from keyhole.errors import StoreFailed
from keyhole.gateway import fault
from keyhole.gateway.identify import Identity
from keyhole.gateway.streams import Streams

EVERY = 0.2
"""Seconds between two looks; with the generation's own 0.1 to 0.5 s that stays below one second."""


_PATIENCE = 1.0
"""Seconds in which the database has to say that a right still stands."""


async def enforce(streams: Streams, identity: Identity) -> None:
    """End the answers of whoever may see nothing more, for ever.

    When nothing confirms that a right still stands, it does not: running answers end as well.
    """
    while True:
        await asyncio.sleep(EVERY)
        await asyncio.gather(*(_enforce(streams, identity, holder) for holder in streams.holders()))


async def _enforce(streams: Streams, identity: Identity, holder: str) -> None:
    why = await _ended(identity, holder)
    if why is not None:
        streams.end(holder, why)


async def _ended(identity: Identity, holder: str) -> Reason | None:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await identity.ended(holder)
    except (StoreFailed, TimeoutError):
        return Reason.STORE_FAILED
    except Exception as error:  # noqa: BLE001 - of all things, this one must not end
        fault.note(error, "looking whether a right still stands")
        return Reason.FAULT
