"""Read the query string of a search (PS3.18 sections 8.3.4 and 10.6.1): every value becomes a test or a number."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from keyhole.archive import attributes as at
from keyhole.archive.attributes import Level, Tag, TagPath
from keyhole.archive.matching import BadValue, Test, test_for

_UNSIGNED = re.compile(r"[0-9]{1,18}")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f]")
_CHANGES_MEANING = frozenset({"emptyvaluematching", "multiplevaluematching"})
NO_LIMIT = 2**62

FUZZY_IGNORED = "299 keyhole: The fuzzymatching parameter is not supported. Only literal matching has been performed."


class BadQuery(ValueError):
    """A parameter of the query has a value that it cannot have; answered 400."""


@dataclass(slots=True)
class Query:
    """What a query string asks for. ``keys`` are in its order; those that match everything are not there."""

    keys: list[tuple[TagPath, str, Test]] = field(default_factory=list)
    include: set[Tag] = field(default_factory=set)
    include_all: bool = False
    limit: int = NO_LIMIT
    offset: int = 0
    fuzzy: bool = False

    def tests(self, level: Level) -> list[tuple[TagPath, Test]]:
        """The keys of one level."""
        return [(path, test) for path, _, test in self.keys if at.level_of(path[0]) is level]

    def value(self, tag: Tag) -> str | None:
        """What a key asks of *tag*; None when it asks nothing."""
        return next((value for path, value, _ in self.keys if path == (tag,)), None)


def parse_query(text: str) -> Query:
    """Read a query string; raises BadQuery. Names that nobody knows are passed over (PS3.18 section 8.3)."""
    query, seen = Query(), set[str | TagPath]()
    for part in filter(None, text.split("&")):
        name, _, value = part.partition("=")
        _take(query, _decoded(name), _decoded(value), seen)
    return query


def _decoded(text: str) -> str:
    if _ESCAPE.search(text):
        raise BadQuery("a percent sign without two hex digits")
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise BadQuery("not UTF-8") from None
    if _NOT_TEXT.search(decoded):
        raise BadQuery("a control character")
    return decoded


def _take(query: Query, name: str, value: str, seen: set[str | TagPath]) -> None:
    if name == "includefield":
        _include(query, value)
        return
    control = _CONTROLS.get(name)
    path = None if control else at.resolve(name)
    known: str | TagPath | None = name if control else path
    if known is None:
        return
    if known in seen:
        raise BadQuery(f"{name} is given twice")
    seen.add(known)
    if control:
        control(query, value)
    elif path is not None:
        _match(query, name, path, value)


def _match(query: Query, name: str, path: TagPath, value: str) -> None:
    try:
        test = test_for(path, value)
    except BadValue as error:
        raise BadQuery(f"{name}: {error}") from None
    if test is not None:
        query.keys.append((path, value.strip(), test))


def _include(query: Query, value: str) -> None:
    for name in filter(None, value.split(",")):
        if name == "all":
            query.include_all = True
        elif (path := at.resolve(name)) is not None:
            query.include.add(path[0])


def _number(value: str) -> int:
    if not _UNSIGNED.fullmatch(value):
        raise BadQuery("limit and offset are unsigned numbers")
    return int(value)


def _limit(query: Query, value: str) -> None:
    query.limit = _number(value) if value else NO_LIMIT


def _offset(query: Query, value: str) -> None:
    query.offset = _number(value) if value else 0


def _fuzzy(query: Query, value: str) -> None:
    if value not in ("true", "false", ""):
        raise BadQuery("fuzzymatching is true or false")
    query.fuzzy = value == "true"


def _refused(_query: Query, _value: str) -> None:
    raise BadQuery(f"{' and '.join(sorted(_CHANGES_MEANING))} are not supported")


_CONTROLS: Mapping[str, Callable[[Query, str], None]] = {
    "limit": _limit,
    "offset": _offset,
    "fuzzymatching": _fuzzy,
    **dict.fromkeys(_CHANGES_MEANING, _refused),
}
