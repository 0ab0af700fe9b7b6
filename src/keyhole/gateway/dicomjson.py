"""DICOM JSON (PS3.18 annex F) as it arrives: an array, read item by item, so that memory holds one item at a time.

What an archive says is not trusted: anything but an array of objects, a number that is none, and nesting that only an
attacker needs raise :class:`keyhole.errors.ArchiveFailed`.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import AsyncGenerator, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import msgspec

from keyhole.archive.answer import ArchiveAnswer
from keyhole.errors import ArchiveFailed

Item = dict[str, Any]

MEDIA_TYPE = "application/dicom+json"
LONGEST_ITEM = 64 << 20
"""Characters of one item; the metadata of a multi-frame instance of thousands of frames has some tens of millions."""

_JSON = re.compile(r"application/(?:dicom\+)?json[ \t]*(?:;.*)?", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n]*")
_AFTER: Mapping[str, str] = MappingProxyType({"[": "{]", "{": ",]", ",": "{", "]": ""})
_PATIENCE = 1.25
_LONG = 256 * 1024
"""Characters from which on an item is looked through for its end first, and read once it is whole."""

_SIGNS = re.compile(r'["{}]|\\(?:.|\Z)', re.DOTALL)
"""What matters for where an object ends, and what a backslash takes with it (RFC 8259 section 7)."""


async def items(answer: ArchiveAnswer, longest: int = LONGEST_ITEM) -> AsyncGenerator[Item]:
    """The items of *answer*, as they arrive; none for 204, with which DICOMweb says that nothing was found."""
    if answer.status == 204:  # noqa: PLR2004 - No Content
        return
    if _JSON.fullmatch(answer.content_type) is None:
        raise ArchiveFailed("the archive answered with another media type than DICOM JSON")
    reader = Reader(longest)
    async for piece in answer.body:
        for item in reader.feed(piece):
            yield item
    for item in reader.feed(b"", last=True):
        yield item


def encode(item: Item) -> bytes:
    """*item* as UTF-8; ArchiveFailed for what cannot be said in it, such as half of a surrogate pair."""
    try:
        return msgspec.json.encode(item)
    except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise ArchiveFailed("the archive's JSON holds a value that cannot be passed on") from error


class _Ending:
    """Looks for the end of an object, each character once, in pieces of any size."""

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = False
        self._escaped = False

    def find(self, text: str) -> int | None:
        """Where in *text*, which goes on from the last, the object has ended; None when it has not."""
        begin = 1 if self._escaped and text else 0
        self._escaped = self._escaped and not text
        for match in _SIGNS.finditer(text, begin):
            sign = match[0]
            if sign == '"':
                self._quoted = not self._quoted
            elif sign == "\\":
                self._escaped = True
            elif not self._quoted and sign in "{}":
                self._depth += 1 if sign == "{" else -1
                if self._depth == 0:
                    return match.end()
        return None


class Reader:
    """The items of one array, from pieces of any size. A long item is read once, when all of it is there."""

    def __init__(self, longest: int = LONGEST_ITEM) -> None:
        """Expect an array whose items have at most *longest* characters each."""
        self._longest = longest
        self._bytes = codecs.getincrementaldecoder("utf-8")("strict")
        self._text = ""
        self._worth_trying = 0
        self._expected = "["
        self._ending: _Ending | None = None
        self._held: list[str] = []
        self._length = 0

    def feed(self, piece: bytes, *, last: bool = False) -> list[Item]:
        """The items that *piece* completes; *last* when no more will come."""
        try:
            text = self._bytes.decode(piece, last)
        except UnicodeDecodeError as error:
            raise ArchiveFailed("the archive's JSON is not UTF-8") from error
        if self._ending is not None:
            return self._go_on(self._ending, text, last=last)
        self._text += text
        if len(self._text) < self._worth_trying and not last:
            return []
        found = self._parse(last=last)
        if len(self._text) > self._longest:
            raise ArchiveFailed("an item in the archive's JSON is too long")
        return found

    def _go_on(self, ending: _Ending, text: str, *, last: bool) -> list[Item]:
        """Look for the end of a long item in *text*."""
        self._length += len(text)
        if self._length > self._longest:
            raise ArchiveFailed("an item in the archive's JSON is too long")
        end = ending.find(text)
        if end is None:
            self._held.append(text)
            self._complete(last=last)
            return []
        whole = "".join((*self._held, text[:end]))
        self._text, self._ending, self._held = text[end:], None, []
        item, length = self._item(whole, 0)
        if item is None or length != len(whole):
            raise ArchiveFailed("the archive's JSON is malformed")
        self._expected = _AFTER["{"]
        return [item, *self._parse(last=last)]

    def _parse(self, *, last: bool) -> list[Item]:
        """Take what is whole from the text and keep the rest."""
        found: list[Item] = []
        at = _past_space(self._text, 0)
        while at < len(self._text):
            sign = self._text[at]
            if sign not in self._expected:
                raise ArchiveFailed("the archive's JSON is not an array of items")
            end = at + 1
            if sign == "{":
                item, end = self._item(self._text, at)
                if item is None:
                    break
                found.append(item)
            self._expected = _AFTER[sign]
            at = _past_space(self._text, end)
        self._keep(self._text[at:])
        self._complete(last=last)
        return found

    def _keep(self, rest: str) -> None:
        """Wait for more of *rest*; look for its end from now on when it is long."""
        if not rest or len(rest) < _LONG:
            self._text = rest
            self._worth_trying = int(len(rest) * _PATIENCE)
            return
        self._text, self._worth_trying = "", 0
        self._ending, self._length, self._held = _Ending(), len(rest), [rest]
        if self._ending.find(rest) is not None or self._length > self._longest:
            raise ArchiveFailed("an item in the archive's JSON is malformed, or too long")

    def _complete(self, *, last: bool) -> None:
        if last and self._expected:
            raise ArchiveFailed("the archive's JSON breaks off or is malformed")

    def _item(self, text: str, at: int) -> tuple[Item | None, int]:
        """The item of *text* that begins at *at* and where it ends; None as long as it does not end."""
        try:
            return _DECODER.raw_decode(text, at)
        except json.JSONDecodeError:
            return None, at
        except (ValueError, RecursionError) as error:
            raise ArchiveFailed("the archive's JSON holds a number too long, or is nested too deeply") from error


def _past_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _no_number(_: str) -> NoReturn:
    raise ArchiveFailed("the archive's JSON holds a number that is none")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


_DECODER = json.JSONDecoder(parse_constant=_no_number, parse_float=_finite)
