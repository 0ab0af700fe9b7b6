"""The store, for a command that needs nothing else: no archive is opened, no folder is looked over."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from keyhole.access.decision import Event, Record
from keyhole.access.resource import Action
from keyhole.access.subject import Subject
from keyhole.app import database_url, now, signing
from keyhole.gateway.client import LOCAL
from keyhole.gateway.ring_file import RingFile
from keyhole.settings import Settings
from keyhole.store.database import DatabaseStore, open_store


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[DatabaseStore]:
    """The store at which *settings* point, whose schema is current."""
    ring = RingFile(settings.data, time.monotonic)
    store = open_store(database_url(settings), lambda: signing(ring.ring()), settings.data)
    try:
        yield store
    finally:
        await store.close()


def record(event: Event, subject: Subject, **detail: str) -> Record:
    """What *subject*, at the command line, has done."""
    return Record(
        at=now(),
        event=event,
        subject=subject.name,
        action=Action.ADMINISTER,
        detail=detail,
        personal=LOCAL.personal(),
    )
