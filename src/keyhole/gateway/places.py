"""Whether an instance is in the series and study that a path names, whatever the archive makes of such a path.

Pictures, frames and bulk data do not say what they belong to, and some archives find an instance by its own UID alone
(PS3.18 leaves a wrong parent to them). Its description does say so: metadata that passed on their way to a viewer are
remembered, and where there were none the archive is asked for the one instance.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing
from hashlib import blake2b
from http import HTTPStatus
from typing import Final

from keyhole.access.resource import is_uid
from keyhole.archive.answer import Archive
from keyhole.dicom.query import SearchQuery
from keyhole.gateway.dicomjson import MEDIA_TYPE, Item, items
from keyhole.gateway.rewrite import text
from keyhole.gateway.scoping import UID_TAGS

LIFE: Final = 600.0
"""Seconds for which a place is believed: instances go, and hardly ever move to another study."""

MOST: Final = 50_000
"""Places remembered, of some 150 bytes each."""

Path = tuple[str, ...]


class Places:
    """One per process: for all its archives."""

    def __init__(self, *, life: float = LIFE, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        """Believe a place for *life* seconds, and remember *most* of them."""
        self._life = life
        self._most = most
        self._clock = clock
        self._known: OrderedDict[bytes, float] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[bool]] = {}

    def learn(self, archive: str, described: Item) -> None:
        """Remember where the instance is that the archive *described*, if it said so itself."""
        path = tuple(text(described, tag) or "" for tag in UID_TAGS)
        if all(path):
            self._remember(_key(archive, path[:2]))
            self._remember(_key(archive, path))

    async def holds(self, archive: Archive, path: Path) -> bool:
        """Whether the series or instance that *path* ends with is below the nodes before it.

        Raises ArchiveFailed when the archive does not say.
        """
        if len(path) == 1:
            return True
        key = _key(archive.name, path)
        if self._clock() < self._known.get(key, 0.0):
            return True
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.ensure_future(_asked(archive, path))
            asking.add_done_callback(lambda done: self._answered(key, done))
        # Whoever asked first may leave; the others still want to know.
        return await asyncio.shield(asking)

    def _answered(self, key: bytes, done: asyncio.Task[bool]) -> None:
        self._asking.pop(key, None)
        if not done.cancelled() and done.exception() is None and done.result():
            self._remember(key)

    def _remember(self, key: bytes) -> None:
        self._known[key] = self._clock() + self._life
        self._known.move_to_end(key)
        if len(self._known) > self._most:
            self._known.popitem(last=False)


def _key(archive: str, path: Path) -> bytes:
    return blake2b("/".join((archive, *path)).encode(), digest_size=16).digest()


async def _asked(archive: Archive, path: Path) -> bool:
    """Whether the metadata of the instance that *path* names, or of one in its series, say that it is there.

    Metadata are what the file itself says. A search for one instance costs Orthanc 2.7 times as much.
    """
    if len(path) < len(UID_TAGS):
        some = await _first(archive, _listing(path), SearchQuery(limit=1).encode(None))
        uid = "" if some is None else text(some, UID_TAGS[-1]) or ""
        if not is_uid(uid):
            return False
        path = (*path, uid)
    found = await _first(archive, f"{_listing(path[:2])}/{path[2]}/metadata", "")
    return found is not None and [text(found, tag) for tag in UID_TAGS] == list(path)


def _listing(path: Path) -> str:
    """Where the instances of a series are searched for."""
    return f"/studies/{path[0]}/series/{path[1]}/instances"


async def _first(archive: Archive, path: str, query: str) -> Item | None:
    """The first item of an answer; None when there is none, or the archive refuses."""
    async with archive.get(path, query, MEDIA_TYPE) as answer:
        if answer.status not in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
            return None
        async with aclosing(items(answer)) as found:
            return await anext(found, None)
