"""The database that is set, whichever kind it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from keyhole.app import database_url
from keyhole.operations.doctor import postgres, sqlite
from keyhole.operations.doctor.finding import Finding
from keyhole.operations.doctor.postgres import PostgresFacts
from keyhole.operations.doctor.sqlite import SqliteFacts
from keyhole.settings import Settings
from keyhole.store.address import parse_url

Facts = PostgresFacts | SqliteFacts


def look(settings: Settings) -> Facts:
    """What there is to know about it; KeyholeError when it cannot be asked."""
    url = parse_url(database_url(settings))
    if url.get_backend_name() == "sqlite":
        return sqlite.look(Path(str(url.database)), settings.workers)
    return postgres.look(url)


def database(facts: Facts, workers: int) -> Iterator[Finding]:
    """All that is to be said about it."""
    yield from sqlite.schema(facts.schema)
    match facts:
        case SqliteFacts():
            yield from sqlite.place(facts)
            yield from sqlite.durability(facts)
        case PostgresFacts():
            yield from postgres.server(facts)
            yield from postgres.durability(facts)
            yield from postgres.pooler(facts)
            yield from postgres.connections(facts, workers)
            yield from postgres.way(facts)
