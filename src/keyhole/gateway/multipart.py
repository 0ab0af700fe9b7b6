"""Multipart answers on their way: bodies pass untouched, the head of each part is written anew (RFC 2046 §5.1).

The heads that an archive writes name its own address, and could name another study than the one asked for; so each is
held back until it is whole and understood. Of the bodies nothing is held back but what may be the beginning of a
boundary.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

from keyhole.dicom.route import Match
from keyhole.errors import ArchiveFailed, ForeignAnswer
from keyhole.gateway.rewrite import Links

HEAD_LONGEST: Final = 8192
"""Bytes of one part's head."""

_PREAMBLE_LONGEST: Final = 8192
_WORTH_JOINING: Final = 65536
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_PARAMETER = re.compile(r"""[ \t]*;[ \t]*([A-Za-z0-9-]+)[ \t]*=[ \t]*(?:"([^"\\]*)"|([^\s;"]+))[ \t]*""")
_FIELD = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\x20-\x7e\t]*?)[ \t]*")
_PADDED = re.compile(rb"[ \t]*")

_NODES = ("study", "series", "instance")

Fields = Mapping[str, str]
RewriteHead = Callable[[Fields], Fields]
"""From a part's fields, with lower-case names, to those that are passed on; it raises to stop the answer."""


async def passed_on(body: AsyncIterator[bytes], parts: Parts) -> AsyncIterator[bytes]:
    """*body* as *parts* transforms it, no piece of it held back longer than needed."""
    async for piece in body:
        passed = parts.feed(piece)
        if len(passed) > 1 and sum(map(len, passed)) <= _WORTH_JOINING:
            yield b"".join(passed)
        else:
            for chunk in passed:
                yield chunk
    parts.end()


def part_heads(links: Links, asked: Match, part_type: Callable[[str], str]) -> RewriteHead:
    """How the head of each part in the answer to *asked* is rewritten.

    The Content-Type becomes what *part_type* makes of it; a Content-Location leads through Keyhole, or is left out
    when it leads elsewhere. One that names another study, series or instance than asked raises ForeignAnswer.
    """

    def rewrite(fields: Fields) -> Fields:
        if fields.get("content-encoding", "identity").lower() != "identity":
            raise ArchiveFailed("the archive encoded a part although it was asked not to")
        passed: dict[str, str] = {}
        if "content-type" in fields:
            passed["Content-Type"] = part_type(fields["content-type"])
        if fields.get("content-length", "").isdecimal():
            passed["Content-Length"] = fields["content-length"]
        location = _location(links, asked, fields.get("content-location"))
        if location is not None:
            passed["Content-Location"] = location
        return passed

    return rewrite


def _location(links: Links, asked: Match, uri: str | None) -> str | None:
    target = None if uri is None else links.target(uri)
    if target is None:
        return None
    if any(target.ids.get(name) != asked.ids[name] for name in _NODES if name in asked.ids):
        raise ForeignAnswer("the archive answered with a part of something else than asked")
    return links.written(target)


def parameters(content_type: str) -> tuple[str, dict[str, str]]:
    """The media type and the parameters of a Content-Type, names and type in lower case; quotes are taken off.

    Values hold more than a token may, because servers write ``type=application/octet-stream`` without quotes. Raises
    ArchiveFailed for what cannot be read, or says something twice.
    """
    kind, _, _ = content_type.partition(";")
    found: dict[str, str] = {}
    at = len(kind)
    while at < len(content_type.rstrip("; \t")):
        pair = _PARAMETER.match(content_type, at)
        if pair is None or pair[1].lower() in found:
            raise ArchiveFailed("the archive's media type cannot be read")
        found[pair[1].lower()] = pair[2] if pair[2] is not None else pair[3]
        at = pair.end()
    return kind.strip().lower(), found


def boundary_of(content_type: str) -> str:
    """The boundary in the Content-Type of a multipart answer; ArchiveFailed when there is none that can be one."""
    return boundary_in(parameters(content_type)[1])


def boundary_in(values: Mapping[str, str]) -> str:
    """The boundary among the parameters of a multipart answer's Content-Type; ArchiveFailed as above."""
    boundary = values.get("boundary", "")
    if _BOUNDARY.fullmatch(boundary) is None:
        raise ArchiveFailed("the archive's multipart answer has no boundary that can be one")
    return boundary


def _fields(head: bytes) -> dict[str, str]:
    """The fields of one part's head, which begins with the rest of the boundary's line."""
    padding, *lines = head.split(b"\r\n")
    found = [_FIELD.fullmatch(line) for line in lines]
    fields = {field[1].decode("ascii").lower(): field[2].decode("ascii") for field in found if field is not None}
    if _PADDED.fullmatch(padding) is None or len(fields) != len(lines):
        raise ArchiveFailed("the head of a part cannot be read")
    return fields


class Parts:
    """The transformation of one multipart body, whatever pieces it comes in."""

    def __init__(self, boundary: str, rewrite: RewriteHead) -> None:
        """Expect parts between *boundary*, which stays; *rewrite* each one's head."""
        self._split = Splitter(boundary)
        self._written = Written(boundary, rewrite)
        self._closed = False

    @property
    def count(self) -> int:
        """The number of parts whose head was passed on."""
        return self._written.count

    def feed(self, piece: bytes) -> list[bytes]:
        """What can be passed on once *piece* has come. A piece from within a body is passed on as it is."""
        events = self._split.feed(piece)
        passed = [event if isinstance(event, bytes) else self._written.head(event) for event in events]
        if self._split.ended and not self._closed:
            self._closed = True
            passed.append(self._written.close())
        return passed

    def end(self) -> None:
        """Raise ArchiveFailed unless the last boundary has come."""
        self._split.end()


class Written:
    """A multipart body as it is sent: what goes between the bodies of its parts. ``count`` is how many heads so far."""

    def __init__(self, boundary: str, rewrite: RewriteHead) -> None:
        """Put *boundary* between parts; *rewrite* each one's head."""
        self._open = b"--" + boundary.encode("ascii")
        self._rewrite = rewrite
        self.count = 0

    def head(self, received: Fields) -> bytes:
        """What precedes the body of a part that came with these fields."""
        fields = self._rewrite(received)
        begin = self._begin()
        self.count += 1
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return begin + b"\r\n" + lines.encode("ascii") + b"\r\n"

    def close(self) -> bytes:
        """What follows the last part."""
        return self._begin() + b"--\r\n"

    def _begin(self) -> bytes:
        return b"\r\n" + self._open if self.count else self._open


class Splitter:
    """Takes one multipart body apart, whatever pieces it comes in: the fields of each part, then pieces of its body."""

    def __init__(self, boundary: str) -> None:
        """Expect parts between *boundary*."""
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._step: Callable[[bytes], tuple[Fields | bytes, bytes | None]] = self._preamble
        self._held = b"\r\n"  # so that a body which begins with its first boundary is like any other

    def feed(self, piece: bytes) -> list[Fields | bytes]:
        """What is known once *piece* has come. A piece from within a body is given as it is."""
        events: list[Fields | bytes] = []
        rest: bytes | None = self._held + piece if self._held else piece
        self._held = b""
        while rest:
            event, rest = self._step(rest)
            if event != b"":
                events.append(event)
        return events

    @property
    def ended(self) -> bool:
        """Whether the last boundary has come."""
        return self._step == self._epilogue

    def end(self) -> None:
        """Raise ArchiveFailed unless the last boundary has come."""
        if not self.ended:
            raise ArchiveFailed("the archive broke off between two parts, or within one")

    # Each step takes what has come and returns what is known by it, and what is left for the next step: None for
    # nothing.

    def _preamble(self, data: bytes) -> tuple[bytes, bytes | None]:
        at = data.find(self._delimiter, 0, _PREAMBLE_LONGEST)
        if at < 0:
            if len(data) >= _PREAMBLE_LONGEST:
                raise ArchiveFailed("the archive's multipart answer does not begin with a boundary")
            self._held = data
            return b"", None
        self._step = self._head
        return b"", data[at + len(self._delimiter) :]

    def _head(self, data: bytes) -> tuple[Fields | bytes, bytes | None]:
        if data.startswith(b"--"):
            self._step = self._epilogue
            return b"", None
        end = data.find(b"\r\n\r\n", 0, HEAD_LONGEST)
        if end < 0:
            if len(data) >= HEAD_LONGEST:
                raise ArchiveFailed("a part's head does not end")
            self._held = data
            return b"", None
        self._step = self._body
        return _fields(data[:end]), data[end + 4 :]

    def _body(self, data: bytes) -> tuple[bytes, bytes | None]:
        at = data.find(self._delimiter)
        if at >= 0:
            self._step = self._head
            return data[:at], data[at + len(self._delimiter) :]
        keep = self._beginning(data)
        if keep == len(data):
            return data, None
        self._held = data[keep:]
        return data[:keep], None

    def _beginning(self, data: bytes) -> int:
        """Where *data* may begin a boundary that is not whole yet; its length when nowhere."""
        at = data.find(b"\r", max(0, len(data) - len(self._delimiter) + 1))
        while at >= 0:
            if self._delimiter.startswith(data[at:]):
                return at
            at = data.find(b"\r", at + 1)
        return len(data)

    def _epilogue(self, _: bytes) -> tuple[bytes, bytes | None]:
        return b"", None
