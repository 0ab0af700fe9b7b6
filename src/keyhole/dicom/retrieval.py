"""Queries of retrieval: the media type asked for, and how a picture is to be rendered (PS3.18 §8.3.3, §8.3.5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from keyhole.access.decision import Reason
from keyhole.dicom.parameter import BadQuery, encoded, parameters
from keyhole.dicom.route import Kind, Refusal

_LARGEST_VIEWPORT = 4096
"""Pixels per side: a picture of this size is larger than screens are, and one request must not cost a server more."""

_TOKEN = r"[A-Za-z0-9!#$&^_.+*-]{1,64}"  # noqa: S105 - RFC 9110 §5.6.2
_PARAMETER = rf' ?; ?{_TOKEN}=(?:{_TOKEN}|"[A-Za-z0-9!#$&^_.+*/ -]{{1,64}}")'
_MEDIA_RANGE = rf"{_TOKEN}/{_TOKEN}(?:{_PARAMETER}){{0,4}}"
_DECIMAL = r"[+-]?(?:[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})"
_SIDE = "[1-9][0-9]{0,5}"

_ACCEPT = re.compile(rf"{_MEDIA_RANGE}(?: ?, ?{_MEDIA_RANGE}){{0,15}}")
_CHARSET = re.compile("[A-Za-z0-9][A-Za-z0-9._:-]{0,39}")
_ANNOTATION = re.compile("patient|technique|patient,technique|technique,patient")
_QUALITY = re.compile("[1-9][0-9]?|100")
_VIEWPORT = re.compile(rf"({_SIDE}),({_SIDE})((?:,(?:{_DECIMAL})){{4}})?")
_WINDOW = re.compile(rf"{_DECIMAL},{_DECIMAL},(?:linear|linear-exact|sigmoid)")
_ICCPROFILE = re.compile("no|yes|srgb|adobergb|rommrgb")


@dataclass(frozen=True, slots=True)
class RetrieveQuery:
    """What a retrieval asks for besides its path. ``accept`` overrides the header of that name (PS3.18 §8.3.3.1)."""

    accept: str | None = None
    charset: str | None = None
    annotation: str | None = None
    """Burns the patient's name into the picture: to be taken out where demographics are hidden."""
    quality: int | None = None
    viewport: str | None = None
    """No larger than what one request may cost."""
    window: str | None = None
    iccprofile: str | None = None

    def encode(self) -> str:
        """The query to send. ``accept`` is not in it: it goes into the header, which every archive reads."""
        values = ((name, getattr(self, name)) for name in _PICTURE if name != "accept")
        return encoded((name, str(value)) for name, value in values if value is not None)


def _as_it_is(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def read(value: str) -> str:
        if pattern.fullmatch(value) is None:
            raise BadQuery("a parameter has a value that the standard does not know")
        return value

    return read


def _viewport(value: str) -> str:
    found = _VIEWPORT.fullmatch(value)
    if found is None:
        raise BadQuery("viewport is width,height or width,height,x,y,width,height")
    width, height = (min(int(side), _LARGEST_VIEWPORT) for side in found.group(1, 2))
    return f"{width},{height}{found[3] or ''}"


_ANYTHING: Mapping[str, Callable[[str], str]] = MappingProxyType({"accept": _as_it_is(_ACCEPT)})
_SMALL_PICTURE = MappingProxyType({**_ANYTHING, "viewport": _viewport})
_PICTURE = MappingProxyType(
    {
        **_SMALL_PICTURE,
        "charset": _as_it_is(_CHARSET),
        "annotation": _as_it_is(_ANNOTATION),
        "quality": _as_it_is(_QUALITY),
        "window": _as_it_is(_WINDOW),
        "iccprofile": _as_it_is(_ICCPROFILE),
    }
)
_READERS = MappingProxyType({Kind.RENDERED: _PICTURE, Kind.THUMBNAIL: _SMALL_PICTURE})


def parse_retrieve(raw_query: bytes, kind: Kind) -> RetrieveQuery | Refusal:
    """What *raw_query* asks of a retrieval of *kind*. Names that mean nothing there are dropped."""
    try:
        values = _understood(parameters(raw_query), _READERS.get(kind, _ANYTHING))
    except BadQuery as error:
        return Refusal(Reason.BAD_QUERY, str(error))
    quality = values.pop("quality", None)
    return RetrieveQuery(**values, quality=None if quality is None else int(quality))


def _understood(pairs: Iterable[tuple[str, str]], readers: Mapping[str, Callable[[str], str]]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in pairs:
        if name.lower() == "_method":
            raise BadQuery("a parameter that changes what a request means")
        if name in values:
            raise BadQuery("a parameter is repeated")
        if name in readers:
            values[name] = readers[name](value)
    return values
