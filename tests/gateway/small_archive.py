"""An archive with pictures, whose answers a test can write itself, and which counts what is read of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from keyhole.archive.answer import ArchiveAnswer
from keyhole.errors import Refused
from tests.gateway.fake_archive import FakeArchive, Item, element

Pieces = AsyncGenerator[bytes, None]
Script = Callable[[], "Reply | Exception"]

PICTURE = b"pixels of " * 50
BOUNDARY = "between"


@dataclass
class Reply:
    """What is answered: ``pieces`` is called once the answer is read."""

    pieces: Callable[[], Pieces]
    content_type: str = 'multipart/related; type="application/octet-stream"; boundary=between'
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def of(*pieces: bytes, then: Exception | None = None, **more: Any) -> Script:
    """An answer of these *pieces*, which breaks off with *then*."""

    async def body() -> Pieces:
        for piece in pieces:
            yield piece
        if then is not None:
            raise then

    return lambda: Reply(body, **more)


def endless(piece: bytes = b"x" * 1000) -> Script:
    """A part that goes on for ever."""

    async def body() -> Pieces:
        yield part()
        while True:
            yield piece
            await asyncio.sleep(0)

    return lambda: Reply(body)


def silent() -> Script:
    """A part that begins and then says nothing more."""

    async def body() -> Pieces:
        yield part() + b"the beginning"
        await asyncio.Event().wait()

    return lambda: Reply(body)


def failing(error: Exception) -> Script:
    """No answer, but *error*."""
    return lambda: error


def part(location: str = "", content_type: str = "application/octet-stream") -> bytes:
    """The head of a part, with the delimiter before it."""
    where = f"Content-Location: {location}\r\n" if location else ""
    return f"\r\n--{BOUNDARY}\r\nContent-Type: {content_type}\r\n{where}\r\n".encode()


END = f"\r\n--{BOUNDARY}--\r\n".encode()


def instance(study: str, series: str, sop: str, root: str) -> Item:
    path = f"/studies/{study}/series/{series}/instances/{sop}"
    return {
        "00080018": element(sop, vr="UI"),
        "00080060": element("CT", vr="CS"),
        "00081030": element("Thorax"),
        "00081190": element(root + path, vr="UR"),
        "00100010": element({"Alphabetic": "Doe^Jane"}, vr="PN"),
        "0020000D": element(study, vr="UI"),
        "0020000E": element(series, vr="UI"),
        "00201209": element(1, vr="IS"),
        "7FE00010": {"vr": "OW", "BulkDataURI": f"{root}{path}/bulk/7FE00010"},
    }


@dataclass
class SmallArchive(FakeArchive):
    """Searches and metadata as the fake archive; everything below an instance is a picture."""

    instances: list[Item] = field(default_factory=list)
    answers: dict[str, Script] = field(default_factory=dict)
    """By path: what to answer instead."""
    read: int = 0
    """Pieces of bodies that were read."""
    under_way: int = 0
    begun: int = 0
    most_under_way: int = 0
    accepts: list[str] = field(default_factory=list)
    stored: list[bytes] = field(default_factory=list)
    upload_types: list[str] = field(default_factory=list)
    uploads_whole: list[bool] = field(default_factory=list)
    takes_uploads: bool = True
    gate: asyncio.Event | None = None
    """When there is one, nothing is answered before it is set."""

    def holding(self, study: str, *series: str) -> SmallArchive:
        """With two more instances in each of these *series*."""
        for uid in series:
            self.instances += [instance(study, uid, f"{uid}.{n}", self.root) for n in (1, 2)]
        return self

    def get(self, path: str, query: str, accept: str) -> AbstractAsyncContextManager[ArchiveAnswer]:
        return self._get(path, query, accept)

    @asynccontextmanager
    async def _get(self, path: str, query: str, accept: str) -> AsyncIterator[ArchiveAnswer]:
        self.begun += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.gate is not None:
                await self.gate.wait()
            self.accepts.append(accept)
            script = self.answers.get(path)
            if script is None and not any(what in path for what in ("/frames/", "/bulk", "/rendered", "/thumbnail")):
                async with super().get(path, query, accept) as answer:
                    yield answer
                return
            self.asked.append(f"{path}?{query}" if query else path)
            reply = (script or self._picture(path))()
            if isinstance(reply, Exception):
                raise reply
            async with aclosing(reply.pieces()) as pieces:
                yield ArchiveAnswer(reply.status, reply.content_type, self._counted(pieces), None, reply.headers)
        finally:
            self.under_way -= 1

    def _picture(self, path: str) -> Script:
        if path.endswith(("/rendered", "/thumbnail")):
            return of(PICTURE, content_type="image/jpeg")
        frames = path.rpartition("/")[2].split(",") if "/frames/" in path else ["1"]
        return of(*(part(self.root + path) + PICTURE for _ in frames), END)

    async def _counted(self, pieces: Pieces) -> Pieces:
        async for piece in pieces:
            self.read += 1
            yield piece

    def post(
        self, path: str, content_type: str, body: AsyncIterator[bytes], accept: str
    ) -> AbstractAsyncContextManager[ArchiveAnswer]:
        if not self.takes_uploads:
            raise Refused("this archive takes no uploads")
        return self._post(path, content_type, body)

    @asynccontextmanager
    async def _post(self, path: str, content_type: str, body: AsyncIterator[bytes]) -> AsyncIterator[ArchiveAnswer]:
        self.asked.append(f"POST {path}")
        self.upload_types.append(content_type)
        self.uploads_whole.append(False)
        async for piece in body:
            self.stored.append(piece)
            if self.gate is not None:
                await self.gate.wait()
        self.uploads_whole[-1] = True
        link = f"{self.root}{path}".encode()
        async with aclosing(of(b'{"00081190":{"vr":"UR","Value":["' + link + b'"]}}')().pieces()) as pieces:  # type: ignore[union-attr]
            yield ArchiveAnswer(200, "application/dicom+json", pieces)
