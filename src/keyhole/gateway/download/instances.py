"""Whole instances as an archive sends them, each one checked before anything of it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from keyhole.dicom.route import Match
from keyhole.errors import ArchiveFailed, ForeignAnswer
from keyhole.gateway.download.head import HEAD_LONGEST, Head, read_head
from keyhole.gateway.multipart import Fields, Splitter

_LEVELS = ("study", "series", "instance")


@dataclass(frozen=True, slots=True)
class Begun:
    """An instance that may go on: the fields of its part, and its ``start``, which is all of it when ``whole``."""

    fields: Fields
    head: Head
    start: bytes
    whole: bool

    @property
    def announced(self) -> int | None:
        """How long the archive says it is."""
        text = self.fields.get("content-length", "")
        return int(text) if text.isdecimal() and len(text) < 19 else None  # noqa: PLR2004 - what 64 bits hold


Piece = Begun | bytes
"""The beginning of an instance, or what follows of the one that was begun last."""


class Instances:
    """Makes pieces of instances from a multipart body, whatever pieces that comes in.

    Of each instance no more than :data:`HEAD_LONGEST` bytes are held back, until it is known to be one that was asked
    for. Raises ForeignAnswer for any other, and ArchiveFailed for what is no DICOM file. ``count`` is how many have
    gone on.
    """

    def __init__(self, boundary: str, asked: Match) -> None:
        """Expect instances of what *asked* names."""
        self._parts = Splitter(boundary)
        self._asked = asked
        self._fields: Fields | None = None
        self._held: list[bytes] = []
        self._size = 0
        self._passing = False
        self.count = 0

    async def feed(self, data: bytes) -> list[Piece]:
        """What may go on once *data* has come."""
        passed: list[Piece] = []
        for event in self._parts.feed(data):
            if isinstance(event, bytes):
                passed += await self._more(event)
            else:
                passed += await self._settled()
                self._fields, self._passing = event, False
        return passed

    async def end(self) -> list[Piece]:
        """What is left; raises ArchiveFailed unless the body came to its end."""
        self._parts.end()
        return await self._settled()

    async def _more(self, data: bytes) -> list[Piece]:
        if self._passing:
            return [data]
        self._held.append(data)
        self._size += len(data)
        return await self._begun(whole=False) if self._size >= HEAD_LONGEST else []

    async def _settled(self) -> list[Piece]:
        """The instance that is over, if it was short enough to be held until now."""
        return [] if self._fields is None or self._passing else await self._begun(whole=True)

    async def _begun(self, *, whole: bool) -> list[Piece]:
        start = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        head = await asyncio.to_thread(read_head, start[:HEAD_LONGEST])  # a hostile one takes half a second
        if any(
            name in self._asked.ids and self._asked.ids[name] != uid
            for name, uid in zip(_LEVELS, head.uids, strict=True)
        ):
            raise ForeignAnswer("the archive answered with an instance of something else than asked")
        fields, self._passing = self._fields or {}, True
        self._held, self._size = [], 0
        self.count += 1
        return [Begun(fields, head, start, whole)]


async def checked(body: AsyncIterator[bytes], instances: Instances) -> AsyncIterator[list[Piece]]:
    """*body* as *instances* takes it apart."""
    async for data in body:
        passed = await instances.feed(data)
        if passed:
            yield passed
    yield await instances.end()


async def alone(body: AsyncIterator[bytes], instances: Instances) -> AsyncIterator[bytes]:
    """The one instance in *body*, bare; ArchiveFailed when there is another one, or none."""
    async for pieces in checked(body, instances):
        for piece in pieces:
            if instances.count != 1:
                raise ArchiveFailed("the archive answered with several instances where one was asked for")
            yield piece.start if isinstance(piece, Begun) else piece
    if not instances.count:
        raise ArchiveFailed("the archive answered with no instance at all")
