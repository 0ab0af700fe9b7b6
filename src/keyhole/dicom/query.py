"""Search queries: what a client's query means, and the one that is sent on in its place (PS3.18 §8.3.4, §10.6.1).

Servers ignore what they do not know, read tags leniently, and let the last of two win. So names are resolved here, a
name that nobody knows is dropped, and what could be read in two ways is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from keyhole.access.decision import Reason
from keyhole.access.resource import Level, is_uid
from keyhole.dicom.attribute import BY_KEYWORD, Attribute, attribute
from keyhole.dicom.parameter import BadQuery, encoded, parameters
from keyhole.dicom.retrieval import RetrieveQuery, parse_retrieve
from keyhole.dicom.route import Kind, Refusal

__all__ = ["MOST_UIDS", "SEARCHES", "RetrieveQuery", "SearchQuery", "parse_retrieve", "parse_search"]

STUDY_INSTANCE_UID = "0020000D"
MOST_UIDS = 100
"""How many UIDs one list may hold: 100 of 64 characters are 6.5 KB of the 8 KB that proxies take in a line."""

SEARCHES: Mapping[Kind, Level] = MappingProxyType(
    {Kind.SEARCH_STUDIES: Level.STUDY, Kind.SEARCH_SERIES: Level.SERIES, Kind.SEARCH_INSTANCES: Level.INSTANCE}
)
"""What each kind of search lists."""

_KEY_OF: Mapping[str, Level] = MappingProxyType(
    dict.fromkeys(("00080060", "0008103E", "0020000E", "00200011", "00400244", "00400245", "00400275"), Level.SERIES)
    | dict.fromkeys(("00080016", "00080018", "00200013"), Level.INSTANCE)
)
"""Keys of PS3.18 table 10.6.1-5 that are none of a search above their level."""

_CONTROLS = ("includefield", "fuzzymatching", "limit", "offset")
_REFUSED = ("_method", "emptyvaluematching", "multiplevaluematching")
_SQUEEZED = frozenset(name.lower() for name in (*BY_KEYWORD, *_CONTROLS))
_NUMBERS = re.compile(r"(?=.*[0-9,])[0-9A-FXa-fx\s()\[\]{}<>+,:;/|_.-]+")
_DIGITS = re.compile("[0-9]{1,9}")
_TWICE_READ = re.compile(r"[&=#%\\]")
_PATH = re.compile(r"[0-9A-F]{8}(?:\.[0-9A-F]{8})*")
_DEEPEST = 8
_LONGEST_WITHOUT_STUDIES = 1536


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A search as it was understood.

    ``matches`` has the tag (eight upper-case hex digits; several joined with dots below a sequence) and the value of
    each key but StudyInstanceUID, whose list is ``studies``: None when the client did not ask for any in particular.
    """

    matches: tuple[tuple[str, str], ...] = ()
    studies: tuple[str, ...] | None = None
    includefield: tuple[str, ...] = ()
    limit: int | None = None
    offset: int = 0
    fuzzymatching: bool | None = None

    def __post_init__(self) -> None:
        """Refuse a key that is none, is repeated, or is the StudyInstanceUID, which has a place of its own."""
        keys = [path for path, _ in self.matches]
        if STUDY_INSTANCE_UID in keys or len(set(keys)) < len(keys) or not all(map(_PATH.fullmatch, keys)):
            raise ValueError("the keys of a search are tags, each once, and not that of the study")

    def encode(self, studies: Sequence[str] | None) -> str:
        """The query to send for *studies*, or for whatever the path says when that is None.

        Exactly one StudyInstanceUID, last, because the last one wins where servers disagree. Raises ValueError for no
        studies at all, which archives take for every study, for more than :data:`MOST_UIDS`, and for what is no UID.
        """
        pairs = [*self.matches]
        if self.includefield:
            pairs.append(("includefield", ",".join(self.includefield)))
        if self.fuzzymatching is not None:
            pairs.append(("fuzzymatching", str(self.fuzzymatching).lower()))
        if self.limit is not None:
            pairs.append(("limit", str(self.limit)))
        if self.offset:
            pairs.append(("offset", str(self.offset)))
        if studies is not None:
            pairs.append(("StudyInstanceUID", _joined(studies)))
        return encoded(pairs)

    def paged(self, limit: int | None, offset: int = 0) -> SearchQuery:
        """The same search, for another page of its result."""
        return replace(self, limit=limit, offset=offset)

    def without(self, tags: Collection[str]) -> SearchQuery:
        """The same search, in which these tags neither match nor are asked for, at any depth."""
        return replace(
            self,
            matches=tuple(pair for pair in self.matches if not _holds(pair[0], tags)),
            includefield=tuple(name for name in self.includefield if not _holds(name, tags)),
        )

    def within(self, tags: Collection[str]) -> SearchQuery:
        """The same search, in which only these tags, and what is inside them, match or are asked for."""
        return replace(
            self,
            matches=tuple(pair for pair in self.matches if pair[0].partition(".")[0] in tags),
            includefield=tuple(name for name in self.includefield if name == "all" or name.partition(".")[0] in tags),
        )


def _holds(path: str, tags: Collection[str]) -> bool:
    return any(tag in tags for tag in path.split("."))


def _joined(studies: Sequence[str]) -> str:
    if not 0 < len(studies) <= MOST_UIDS or not all(map(is_uid, studies)):
        raise ValueError(f"a search is for 1 to {MOST_UIDS} UIDs")
    return ",".join(studies)


def parse_search(raw_query: bytes, level: Level) -> SearchQuery | Refusal:
    """What *raw_query* asks of a search that lists *level* (STUDY, SERIES or INSTANCE)."""
    try:
        query = _understood(parameters(raw_query), level)
    except BadQuery as error:
        return Refusal(Reason.BAD_QUERY, str(error))
    if len(query.encode(None)) > _LONGEST_WITHOUT_STUDIES:
        return Refusal(Reason.BAD_QUERY, "the query is too long once encoded")
    return query


def _understood(pairs: Sequence[tuple[str, str]], level: Level) -> SearchQuery:
    keys: dict[str, str] = {}
    controls: dict[str, str] = {}
    fields: list[str] = []
    for name, value in pairs:
        if name == "includefield":
            fields += _fields(value)
        elif name in _CONTROLS:
            _once(controls, name, value)
        elif path := _path(name):
            _once(keys, _tags(path), _value(path[-1], value))
    studies = keys.pop(STUDY_INSTANCE_UID, None)
    return SearchQuery(
        matches=tuple((path, value) for path, value in keys.items() if _KEY_OF.get(path, level) <= level),
        studies=tuple(studies.split(",")) if studies else None,
        includefield=_alone(fields),
        limit=_limit(controls.get("limit")),
        offset=_number(controls.get("offset", "0")),
        fuzzymatching=_truth(controls.get("fuzzymatching")),
    )


def _once(seen: dict[str, str], name: str, value: str) -> None:
    if name in seen:
        raise BadQuery("an attribute or a parameter is repeated")
    seen[name] = value


def _path(name: str) -> tuple[Attribute, ...]:
    """The attributes that *name* spells, outermost first; none for a name that nobody knows."""
    if name.lower() in _REFUSED:
        raise BadQuery("a parameter that changes what a request means")
    path = tuple(map(attribute, name.split(".")))
    known = tuple(step for step in path if step is not None)
    if len(known) == len(path) <= _DEEPEST and all(step.vr in ("SQ", "") for step in known[:-1]):
        return known
    if known or not name.isascii() or _TWICE_READ.search(name) or _other_spelling(name):
        raise BadQuery("an attribute or a parameter is spelt in another way than the standard's")
    return ()


def _other_spelling(name: str) -> bool:
    """Whether some server could take *name* for an attribute: numbers, or a known name with other letters' case."""
    return _NUMBERS.fullmatch(name) is not None or re.sub("[^0-9a-z]", "", name.lower()) in _SQUEEZED


def _tags(path: Sequence[Attribute]) -> str:
    return ".".join(step.tag for step in path)


def _value(key: Attribute, value: str) -> str:
    if _TWICE_READ.search(value) is not None:
        raise BadQuery("a value holds a character that servers read in two ways")
    if key.vr != "UI" or not value:
        return value
    uids = tuple(dict.fromkeys(value.split(",")))
    if len(uids) > MOST_UIDS or not all(map(is_uid, uids)):
        raise BadQuery("a list of UIDs is too long or holds something else")
    return ",".join(uids)


def _fields(value: str) -> list[str]:
    fields = ("all" if name == "all" else _tags(_path(name)) for name in value.split(","))
    return [field for field in fields if field]


def _alone(fields: Sequence[str]) -> tuple[str, ...]:
    """*fields* without repetitions; ``all`` stands alone or not at all (PS3.18 §8.3.4.3)."""
    unique = tuple(dict.fromkeys(fields))
    if "all" in unique and len(unique) > 1:
        raise BadQuery("includefield is all, or a list")
    return unique


def _number(value: str) -> int:
    if _DIGITS.fullmatch(value) is None:
        raise BadQuery("a number is not written in plain digits, or too large")
    return int(value)


def _limit(value: str | None) -> int | None:
    if value is None:
        return None
    limit = _number(value)
    if limit == 0:
        raise BadQuery("a limit of 0 means no result to the standard and no limit to some servers")
    return limit


def _truth(value: str | None) -> bool | None:
    if value not in (None, "true", "false"):
        raise BadQuery("fuzzymatching is true or false")
    return None if value is None else value == "true"
