"""A table of routes: match a raw path exactly, and rebuild a path from what matched.

What is not canonical is refused, not repaired, and a path is forwarded only after it was built again from the values
that were decided on. That a matched path and its rebuilt twin are the same text is a property under test.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from keyhole.access.decision import Reason
from keyhole.access.resource import Action, Resource

_CANONICAL = re.compile(rb"(?:/[A-Za-z0-9._,-]+)+")
_PATH_LONGEST = 2048

_UID = r"(?=[0-9.]{1,64}(?:/|\Z))[0-9]+(?:\.[0-9]+)*"
_TAG = "[0-9A-Fa-f]{8}"
_HALVED_TAG = "[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}"
_ITEM = "[0-9]{1,6}"
_NUMBER = "[0-9]{1,10}"

PLACEHOLDERS: Mapping[str, str] = MappingProxyType(
    {
        "study": _UID,
        "series": _UID,
        "instance": _UID,
        # a comma list counted from 1; nobody needs more at a time, and each one costs the archive a read
        "frames": r"[1-9][0-9]{0,9}(?:,[1-9][0-9]{0,9}){0,99}",
        # attributes and item numbers in turn, down to the depth that nested sequences really have
        "tags": rf"{_TAG}(?:/{_ITEM}/{_TAG}){{0,8}}",
        # the same as Orthanc's own routes spell it, which count items from 0 and list what is inside one
        "content": rf"{_HALVED_TAG}(?:/{_ITEM}/{_HALVED_TAG}){{0,8}}(?:/{_ITEM})?",
        "id": "[0-9a-f]{8}(?:-[0-9a-f]{8}){4}",
        "number": _NUMBER,
        "zoom": _NUMBER,
        "column": _NUMBER,
        "row": _NUMBER,
        "encoding": "deflate|jpeg[0-9]{1,3}",
        "word": "[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}",
        "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    }
)
"""What each placeholder of a template may stand for."""


class Kind(StrEnum):
    """What comes back, or what is sent: it decides which query, which media types and which cutting apply."""

    SEARCH_STUDIES = "search-studies"
    SEARCH_SERIES = "search-series"
    SEARCH_INSTANCES = "search-instances"
    METADATA = "metadata"
    INSTANCES = "instances"
    RENDERED = "rendered"
    THUMBNAIL = "thumbnail"
    FRAMES = "frames"
    BULKDATA = "bulkdata"
    PIXELDATA = "pixeldata"
    STORE = "store"
    LIST = "list"
    """A list of resources in Orthanc's own REST API, to be cut to what is in scope."""
    REST = "rest"
    """Anything else of Orthanc's own REST API."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request line is not understood. ``detail`` says it in words of ours and holds nothing of the client's."""

    reason: Reason
    detail: str
    allow: tuple[str, ...] = ()
    """The methods that the path does have, for ``Allow`` of a 405 (RFC 9110 §15.5.6)."""


@dataclass(frozen=True, slots=True)
class Route:
    """One row: *method* on *template* is *action*.

    ``divisible``: the answer is a list that can be cut to what is in scope (:class:`keyhole.access.decision.Ask`).
    """

    method: str
    template: str
    action: Action
    kind: Kind
    divisible: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A request line that was understood: its row, and the values of the row's placeholders."""

    route: Route
    ids: Mapping[str, str] = field(default_factory=dict)

    def path(self) -> str:
        """The path to forward: built from what is decided on, not from what was received."""
        return self.route.template.format_map(self.ids)

    def resource(self, archive: str) -> Resource:
        """The node of the tree that the UIDs in the path name; the archive when there are none.

        Raises ValueError when the path names something in another way: it must not pass for the archive.
        """
        if "id" in self.ids:
            raise ValueError("only lineage knows which resource this is")
        return Resource.of(archive, *(self.ids[name] for name in ("study", "series", "instance") if name in self.ids))


def canonical(raw_path: bytes) -> str | Refusal:
    r"""*raw_path* as text if there is only one way to read it; nothing is normalised.

    That excludes every ``%``, ``\``, ``;``, control and non-ASCII byte, and segments that are empty, or end with a
    dot as ``.`` and ``..`` do.
    """
    if len(raw_path) > _PATH_LONGEST:
        return Refusal(Reason.NOT_CANONICAL, "the path is too long")
    if _CANONICAL.fullmatch(raw_path) is None or b"./" in raw_path or raw_path.endswith(b"."):
        return Refusal(Reason.NOT_CANONICAL, "the path holds a byte or a segment that can be read in two ways")
    return raw_path.decode()


_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")
_SEVERAL_SEGMENTS = frozenset({"tags", "content"})


def _pattern(template: str) -> re.Pattern[str]:
    parts = _PLACEHOLDER.split(template)
    return _regex(parts[::2], [f"(?P<{name}>{PLACEHOLDERS[name]})" for name in parts[1::2]])


def _outline(template: str) -> re.Pattern[str]:
    """The template with anything at all in place of its values."""
    parts = _PLACEHOLDER.split(template)
    return _regex(parts[::2], [".+" if name in _SEVERAL_SEGMENTS else "[^/]+" for name in parts[1::2]])


def _regex(literals: list[str], groups: list[str]) -> re.Pattern[str]:
    pairs = zip(map(re.escape, literals), [*groups, ""], strict=True)
    return re.compile("".join(literal + group for literal, group in pairs))


_Shape = tuple[str, int]
"""The first segment, which is never a placeholder, and the number of segments, 0 for any: what need not be tried."""


class Table:
    """Routes by path. What is in no row is refused."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Compile *routes*; ValueError when two rows are the same method on the same template."""
        self._rows: dict[str, dict[str, Route]] = {}
        for route in routes:
            methods = self._rows.setdefault(route.template, {})
            if methods.setdefault(route.method, route) is not route:
                raise ValueError(f"two rows for {route.method} {route.template}")
        self._patterns: dict[_Shape, list[tuple[re.Pattern[str], str]]] = {}
        # what is written out comes before what a placeholder may stand for: a brace sorts after all that a path holds
        for template in sorted(self._rows):
            self._patterns.setdefault(_shape_of_template(template), []).append((_pattern(template), template))
        self._outlines = [_outline(template) for template in self._rows]

    def match(self, method: str, raw_path: bytes) -> Match | Refusal:
        """The one row that *method* on *raw_path* is, or why there is none. HEAD is answered as GET is."""
        path = canonical(raw_path)
        if isinstance(path, Refusal):
            return path
        first, segments = _shape(path)
        for shape in ((first, segments), (first, 0)):
            for pattern, template in self._patterns.get(shape, ()):
                found = pattern.fullmatch(path)
                if found is not None:
                    return self._choose(method, template, found.groupdict())
        if any(outline.fullmatch(path) for outline in self._outlines):
            return Refusal(Reason.NOT_CANONICAL, "a UID, an identifier or a number in the path is malformed")
        return Refusal(Reason.UNKNOWN_ROUTE, "there is no such route")

    def _choose(self, method: str, template: str, ids: Mapping[str, str]) -> Match | Refusal:
        methods = self._rows[template]
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            return Refusal(Reason.METHOD_NOT_ALLOWED, "the route has no such method", _allow(methods))
        if _repeated(ids.get("frames", "")):
            return Refusal(Reason.NOT_CANONICAL, "a frame is asked for twice")
        return Match(route, ids)


def _repeated(frames: str) -> bool:
    """Whether *frames* names one twice: no viewer does, and each costs the archive a read of what may be megabytes."""
    numbers = frames.split(",")
    return len(set(numbers)) < len(numbers)


def _shape(path: str) -> _Shape:
    return path.split("/", 2)[1], path.count("/")


def _shape_of_template(template: str) -> _Shape:
    first, segments = _shape(template)
    return first, 0 if _SEVERAL_SEGMENTS & set(_PLACEHOLDER.findall(template)) else segments


def _allow(methods: Iterable[str]) -> tuple[str, ...]:
    offered = set(methods) | {"OPTIONS"}
    return tuple(sorted(offered | {"HEAD"} if "GET" in offered else offered))
