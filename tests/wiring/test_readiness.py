"""A process is ready when its database and all its archives answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from keyhole.archive.answer import ArchiveAnswer
from keyhole.errors import ArchiveFailed, StoreFailed
from keyhole.gateway.fetch import Source
from keyhole.gateway.scoping import Capabilities
from keyhole.wiring.readiness import Readiness


class Answers:
    """An archive that answers its readiness so."""

    def __init__(self, says: int | Exception) -> None:
        self.says = says

    def get(self, *_: object) -> AbstractAsyncContextManager[ArchiveAnswer]:
        return self._get()

    @asynccontextmanager
    async def _get(self) -> AsyncIterator[ArchiveAnswer]:
        if isinstance(self.says, Exception):
            raise self.says

        async def body() -> AsyncIterator[bytes]:
            yield b"[]"

        yield ArchiveAnswer(self.says, "application/dicom+json", body())


class Database:
    """What confirms, or does not."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def confirm(self) -> None:
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize(
    ("says", "ready"),
    [
        (200, True),
        (204, True),
        (404, False),
        (401, False),
        (ArchiveFailed("down"), False),
        (TimeoutError(), False),
        (ValueError("odd"), False),
    ],
    ids=str,
)
async def test_an_archive_is_ready_when_it_answers_a_search(says: int | Exception, ready: bool) -> None:
    sources: dict[str, Any] = {"main": Source(Answers(says), Capabilities())}  # type: ignore[arg-type]
    readiness = Readiness(Database(), sources)  # type: ignore[arg-type]
    assert await readiness.parts() == {"database": True, "archive main": ready}


async def test_a_database_that_does_not_confirm_is_not_ready() -> None:
    readiness = Readiness(Database(StoreFailed("gone")), {})  # type: ignore[arg-type]
    assert await readiness.parts() == {"database": False}
