"""Whether a process can answer: asked by whoever balances load over several."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from keyhole.archive.answer import Archive
from keyhole.errors import ArchiveFailed, KeyholeError
from keyhole.gateway import fault
from keyhole.gateway.current import Current
from keyhole.gateway.fetch import Source

_READY_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the database confirms and the archives answer a search for one study."""

    current: Current
    sources: Mapping[str, Source]

    async def parts(self) -> Mapping[str, bool]:
        """Each part by name; whatever takes longer than 4 s is not ready."""
        checks = {"database": self.current.confirm()}
        checks |= {f"archive {name}": _answers(source.archive) for name, source in self.sources.items()}
        return dict(zip(checks, await asyncio.gather(*map(_holds, checks.values())), strict=True))


async def _answers(archive: Archive) -> None:
    async with archive.get("/studies", "limit=1", "application/dicom+json") as answer:
        if answer.status not in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
            raise ArchiveFailed("the archive answers no search")


async def _holds(check: Awaitable[None]) -> bool:
    try:
        async with asyncio.timeout(_READY_SECONDS):
            await check
    except (KeyholeError, TimeoutError):
        return False
    except Exception as error:  # noqa: BLE001 - an answer all the same: not ready
        fault.note(error, "finding out whether this process is ready")
        return False
    return True
