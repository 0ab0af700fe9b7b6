"""A piece of a file to hand out: how long it is, and where its bytes are."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import BinaryIO

Span = tuple[int, int]
"""Offset and length."""
Chunks = Generator[bytes, None, None]

CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """*length* bytes: the ``spans`` of the file one after the other, or what ``load`` makes of the file."""

    length: int
    spans: tuple[Span, ...] = ()
    load: Callable[[BinaryIO], bytes] | None = None

    @classmethod
    def of_spans(cls, spans: tuple[Span, ...]) -> Content:
        """The content that lies in *spans* as it is."""
        return cls(sum(length for _, length in spans), spans)

    @classmethod
    def of_bytes(cls, value: bytes) -> Content:
        """The content that has been read already."""
        return cls(len(value), load=lambda _file: value)

    def chunks(self, file: BinaryIO) -> Chunks:
        """The bytes, in pieces; raises EOFError when they are not all there."""
        if self.load is not None:
            yield self.load(file)
        for offset, length in self.spans:
            yield from span_chunks(file, offset, length)

    def read(self, file: BinaryIO) -> bytes:
        """All bytes at once."""
        return b"".join(self.chunks(file))


def span_chunks(file: BinaryIO, offset: int, length: int) -> Chunks:
    """*length* bytes from *offset* on, in pieces; raises EOFError when they are not all there."""
    file.seek(offset)
    while length:
        chunk = file.read(min(length, CHUNK))
        if not chunk:
            raise EOFError("it ends before its values do")
        length -= len(chunk)
        yield chunk
