"""Withdrawal reaches what is already on its way: within a second, on every worker (rule 10 of the design)."""

from __future__ import annotations

import asyncio

from keyhole.access.decision import Reason
from keyhole.errors import StoreFailed
from keyhole.gateway.identify import Identity
from keyhole.gateway.streams import Streams

EVERY = 0.2
"""Seconds between two looks; with the generation's own 0.1 to 0.5 s that stays below one second."""


async def enforce(streams: Streams, identity: Identity) -> None:
    """End the answers of whoever may see nothing more, for ever.

    When the database cannot confirm that a right still stands, it does not: running answers end as well.
    """
    while True:
        await asyncio.sleep(EVERY)
        for holder in streams.holders():
            try:
                why = await identity.ended(holder)
            except StoreFailed:
                why = Reason.STORE_FAILED
            if why is not None:
                streams.end(holder, why)
