"""How the rows of Orthanc's table are called through the gateway: what each one takes, and what it is given.

A row that is not here is not open there, whatever the table says of it for others: what plugins serve (viewers, links,
worklists, other servers' DICOMweb) has its own ways in, or none. The DICOMweb routes are answered as DICOMweb.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from types import MappingProxyType

from keyhole.access.decision import Reason
from keyhole.access.resource import Action, Level, is_uid
from keyhole.dicom import orthanc
from keyhole.dicom.attribute import OF_PATIENT, OF_SERIES, OF_STUDY, attribute
from keyhole.dicom.parameter import BadQuery, encoded, parameters
from keyhole.dicom.route import Kind, Match, Refusal, Route, Table

_MOST_TAGS = 64
_LARGEST_SIDE = 4096
_DIGITS = re.compile("[0-9]{1,9}")
_QUALITY = re.compile("[1-9][0-9]?|100")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,9}(?:\.[0-9]{1,9})?")
_LEVEL = re.compile("patient|study|series|instance")
_HALVES = re.compile("([0-9A-Fa-f]{4})[,-]([0-9A-Fa-f]{4})")


class Body(StrEnum):
    """What a request carries."""

    NOTHING = "nothing"
    FIND = "find"
    """A search: JSON that is understood, and written anew."""
    IDENTIFIER = "identifier"
    """One DICOM identifier, as text."""
    JSON = "json"
    """What whoever may do this to the whole archive wants done; passed on as it comes."""
    FILE = "file"
    """A DICOM file, or a ZIP of them."""


class Form(StrEnum):
    """What is asked of Orthanc."""

    JSON = "json"
    PICTURE = "picture"
    OTHER = "other"
    """Whatever Orthanc has there: text, or a file to save."""


@dataclass(frozen=True, slots=True)
class OrthancQuery:
    """A query as it was understood: each name once, its value as Orthanc reads it."""

    values: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> str:
        """The query to send."""
        return encoded(self.values.items())

    def number(self, name: str) -> int | None:
        """The value of a number; None when it is not there."""
        return int(self.values[name]) if name in self.values else None

    def telling_nothing_above(self, level: Level) -> OrthancQuery:
        """The same query about something of *level*, without attributes that count what lies beside it."""
        telling = above(level)
        values = {
            name: _telling(value, telling) if name in _REQUESTED else value for name, value in self.values.items()
        }
        return replace(self, values={name: value for name, value in values.items() if value or name not in _REQUESTED})


def above(level: Level) -> frozenset[str]:
    """The attributes that archives compute from what lies beside something of *level*: counts and lists."""
    steps = ((Level.STUDY, OF_PATIENT), (Level.SERIES, OF_STUDY), (Level.INSTANCE, OF_SERIES))
    return frozenset[str]().union(*(tags for step, tags in steps if level >= step))


def _telling(value: str, telling: frozenset[str]) -> str:
    return ";".join(tag for tag in value.split(";") if tag.replace("-", "").upper() not in telling)


def tag_of(name: str) -> str | None:
    """The tag that *name* spells: a keyword, eight hex digits, or two halves with a comma or a hyphen between."""
    halves = _HALVES.fullmatch(name)
    found = attribute(name if halves is None else halves[1] + halves[2])
    return None if found is None else found.tag


Reader = Callable[[str], str | None]
"""From a value received to the one to send; None to send nothing. Raises BadQuery."""


def _flag(value: str) -> str | None:
    """Older ones take any value, "false" as well, for true: what is not wanted is left out."""
    return "true" if _stated(value) == "true" else None


def _stated(value: str) -> str:
    if value not in ("", "true", "false", "1", "0"):
        raise BadQuery("a flag is true or false")
    return "false" if value in ("false", "0") else "true"


def _as_it_is(pattern: re.Pattern[str]) -> Reader:
    def read(value: str) -> str:
        if pattern.fullmatch(value) is None:
            raise BadQuery("a parameter has a value that it cannot have")
        return value

    return read


def _side(value: str) -> str:
    if _DIGITS.fullmatch(value) is None:
        raise BadQuery("a number is not written in plain digits, or too large")
    return str(min(int(value), _LARGEST_SIDE))


def _syntax(value: str) -> str:
    if not is_uid(value):
        raise BadQuery("a transfer syntax is a UID")
    return value


def _tags(value: str, *, separator: str = ";") -> str:
    """Written with a hyphen, so that at whatever sign a server splits there is no half of a tag."""
    tags = [tag_of(name) for name in value.split(separator) if name]
    if len(tags) > _MOST_TAGS or None in tags:
        raise BadQuery("a list of attributes is too long, or holds what is none")
    return separator.join(f"{tag[:4]}-{tag[4:]}".lower() for tag in tags if tag is not None)


Readers = Mapping[str, Reader]

_NUMBER = _as_it_is(_DIGITS)
_REQUESTED = ("requested-tags", "requestedTags")
_NONE: Readers = MappingProxyType({})
_SHOWN: Readers = MappingProxyType({"full": _flag, "short": _flag, **dict.fromkeys(_REQUESTED, _tags)})
_LISTED: Readers = MappingProxyType({"expand": _flag, "since": _NUMBER, "limit": _NUMBER, **_SHOWN})
_CHILDREN: Readers = MappingProxyType({**_SHOWN, "expand": _stated})
_DATASET: Readers = MappingProxyType(
    {"simplify": _flag, "short": _flag, "whole": _flag, "ignore-length": partial(_tags, separator=",")}
)
_ANSWERS: Readers = MappingProxyType({"expand": _flag, "simplify": _flag, "short": _flag})
_EXPANDED: Readers = MappingProxyType({"expand": _flag, "numeric": _flag, "full": _flag})
_STILL: Readers = MappingProxyType({"quality": _as_it_is(_QUALITY), "returnUnsupportedImage": _flag})
_RENDERED: Readers = MappingProxyType(
    {
        **_STILL,
        "width": _side,
        "height": _side,
        "smooth": _stated,
        "window-center": _as_it_is(_DECIMAL),
        "window-width": _as_it_is(_DECIMAL),
    }
)
_NUMPY: Readers = MappingProxyType({"compress": _stated, "rescale": _stated})
_TRANSCODED: Readers = MappingProxyType({"transcode": _syntax, "lossy-quality": _as_it_is(_QUALITY)})
_MEDIA: Readers = MappingProxyType({**_TRANSCODED, "extended": _flag})
_FEED: Readers = MappingProxyType({"since": _NUMBER, "limit": _NUMBER, "last": _flag})
_UID_KIND: Readers = MappingProxyType({"level": _as_it_is(_LEVEL)})


@dataclass(frozen=True, slots=True)
class Call:
    """How a row is called."""

    readers: Readers = field(default_factory=lambda: _NONE)
    body: Body = Body.NOTHING
    form: Form = Form.JSON


_ENDINGS: Mapping[str, Call] = MappingProxyType(
    {
        "": Call(_SHOWN),
        **dict.fromkeys(("/statistics", "/labels", "/protected", "/frames", "/ordered-slices"), Call(form=Form.OTHER)),
        **dict.fromkeys(("/metadata", "/attachments"), Call(_EXPANDED)),
        **dict.fromkeys(("/module", "/module-patient", "/shared-tags", "/instances-tags"), Call(_DATASET)),
        **dict.fromkeys(("/tags", "/simplified-tags", "/header"), Call(_DATASET)),
        **dict.fromkeys(("/instances", "/series", "/studies"), Call(_CHILDREN)),
        **dict.fromkeys(("/archive", "/file"), Call(_TRANSCODED, form=Form.OTHER)),
        "/media": Call(_MEDIA, form=Form.OTHER),
        "/numpy": Call(_NUMPY, form=Form.OTHER),
        **dict.fromkeys(("/preview", "/image-uint8", "/image-uint16", "/image-int16"), Call(_STILL, form=Form.PICTURE)),
        "/rendered": Call(_RENDERED, form=Form.PICTURE),
    }
)
"""What can be read of one resource, by the end of its path; what is not here takes no query."""

_ARCHIVE: Mapping[str, Call] = MappingProxyType(
    {
        **dict.fromkeys((f"GET /{kind}" for kind in ("patients", "studies", "series", "instances")), Call(_LISTED)),
        **dict.fromkeys(("POST /tools/find", "POST /tools/count-resources"), Call(body=Body.FIND)),
        "POST /tools/lookup": Call(body=Body.IDENTIFIER),
        "GET /changes": Call(_FEED),
        "GET /tools/generate-uid": Call(_UID_KIND, form=Form.OTHER),
        "GET /tools/metrics-prometheus": Call(form=Form.OTHER),
        **dict.fromkeys(
            (f"GET {path}" for path in ("/statistics", "/system", "/plugins", "/plugins/{word}", "/tools/labels")),
            Call(),
        ),
        "POST /instances": Call(body=Body.FILE),
        "POST /tools/create-dicom": Call(body=Body.JSON),
        **dict.fromkeys(
            (f"POST /tools/bulk-{what}" for what in ("delete", "modify", "anonymize")), Call(body=Body.JSON)
        ),
        **dict.fromkeys(("GET /peers", "GET /modalities"), Call(_EXPANDED)),
        **dict.fromkeys((f"GET /{kind}/{{word}}/configuration" for kind in ("peers", "modalities")), Call()),
        **dict.fromkeys((f"POST /{kind}/{{word}}/store" for kind in ("peers", "modalities")), Call(body=Body.JSON)),
        **dict.fromkeys(
            (f"POST /{kind}/{{word}}/store-straight" for kind in ("peers", "modalities")), Call(body=Body.FILE)
        ),
        **dict.fromkeys(
            (f"POST /modalities/{{word}}/{what}" for what in ("echo", "query", "move")), Call(body=Body.JSON)
        ),
        "GET /queries/{uuid}/answers": Call(_ANSWERS),
        "GET /queries/{uuid}/answers/{number}/content": Call(_ANSWERS),
        "POST /queries/{uuid}/answers/{number}/retrieve": Call(body=Body.JSON),
        "GET /jobs/{uuid}": Call(),
    }
)
"""What is asked of the archive as a whole."""

_KEPT_BESIDE = re.compile(r"/[a-z]+/\{id\}/(?:metadata|attachments|labels|protected)\b")

_OF_RESOURCES = re.compile(r"/(?:patients|studies|series|instances)/\{id\}((?:/frames/\{number\})?)((?:/.*)?)")


def _call(route: Route) -> Call | None:
    found = _OF_RESOURCES.fullmatch(route.template)
    if found is None or route.kind not in (Kind.REST, Kind.LIST):
        return _ARCHIVE.get(f"{route.method} {route.template}")
    if route.method != "GET":
        return Call(body=Body.JSON if route.method == "POST" else Body.NOTHING)
    if not found[1] or found[2]:
        return _ENDINGS.get(found[2], Call(form=Form.OTHER))
    return Call(form=Form.OTHER)


_CALLS: Mapping[Route, Call] = MappingProxyType(
    {route: call for route in orthanc.ROUTES if (call := _call(route)) is not None}
)

ROUTES: tuple[Route, ...] = tuple(_CALLS)
"""The rows that are open through the gateway."""

_TABLE = Table(ROUTES)


def match(method: str, raw_path: bytes) -> Match | Refusal:
    """What *method* on *raw_path* (from Orthanc's root, as received) is through the gateway, or why it is nothing."""
    return _TABLE.match(method, raw_path)


def call_of(route: Route) -> Call:
    """How *route*, one of :data:`ROUTES`, is called."""
    return _CALLS[route]


def besides(route: Route) -> Iterator[Action]:
    """What whoever asks for *route* must be allowed to do to the whole archive, besides the action to what is named.

    The bodies of some name other resources, or have the source removed: nobody may do that to a part by naming one. And
    what Orthanc keeps beside the images (who sent them from where, labels, what they were anonymised from) is for those
    who have the archive.
    """
    if route.action in (Action.MODIFY, Action.ANONYMISE):
        yield route.action
        yield Action.DELETE
    if route.template == "/tools/create-dicom" or (route.method == "GET" and _KEPT_BESIDE.match(route.template)):
        yield Action.RETRIEVE


def parse_query(raw_query: bytes, route: Route) -> OrthancQuery | Refusal:
    """What *raw_query* asks of *route*. Names that mean nothing there are dropped."""
    readers = _CALLS[route].readers
    values: dict[str, str | None] = {}
    try:
        for name, value in parameters(raw_query):
            if name.lower() == "_method" or name in values:
                raise BadQuery("a parameter that is repeated, or changes what a request means")  # noqa: TRY301
            values[name] = readers[name](value) if name in readers else None
    except BadQuery as error:
        return Refusal(Reason.BAD_QUERY, str(error))
    return OrthancQuery({name: value for name, value in values.items() if value is not None})
