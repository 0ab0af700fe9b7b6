"""The bodies of Orthanc's searches (``/tools/find``, ``/tools/count-resources``, ``/tools/lookup``), understood.

A body is JSON in which every name stands once. It is read into values, and what is sent is written from these.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from keyhole.access.decision import Reason
from keyhole.access.resource import Level, is_uid
from keyhole.dicom.attribute import attribute
from keyhole.dicom.orthanc_call import tag_of
from keyhole.dicom.parameter import BadQuery
from keyhole.dicom.query import STUDY_INSTANCE_UID
from keyhole.dicom.route import PLACEHOLDERS, Refusal

LONGEST = 64 * 1024
"""Bytes of one body."""

_MOST = 256
_LARGEST = 10**9
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_WORD = re.compile(PLACEHOLDERS["word"])
_IDENTIFIER = re.compile(PLACEHOLDERS["id"])
_LOOKED_UP = re.compile(r"[ -~]{1,256}")

LEVELS: Mapping[str, Level] = MappingProxyType(
    {"Patient": Level.PATIENT, "Study": Level.STUDY, "Series": Level.SERIES, "Instance": Level.INSTANCE}
)
"""How Orthanc calls each level."""

_NAMES = {level: name for name, level in LEVELS.items()}


@dataclass(frozen=True, slots=True)
class Find:
    """A search as it was understood.

    ``matches`` are tags (eight upper-case hex digits) with the value each must have, but for the StudyInstanceUID,
    whose list is ``studies``: None when none in particular is asked for. ``more`` is all the rest by Orthanc's names.
    """

    level: Level
    matches: Mapping[str, str] = field(default_factory=dict)
    studies: tuple[str, ...] | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def encode(self, studies: Sequence[str] | None, **more: object) -> bytes:
        """The body to send for *studies*, or for any when that is None, with *more* in place of what was asked.

        Raises ValueError for no studies at all, which Orthanc takes for every study.
        """
        query = {f"{tag[:4]},{tag[4:]}".lower(): value for tag, value in self.matches.items()}
        if studies is not None:
            if not studies or not all(map(is_uid, studies)):
                raise ValueError("a search is for studies that have UIDs")
            query["StudyInstanceUID"] = "\\".join(studies)
        kept = {name: value for name, value in {**self.more, **more}.items() if value is not None}
        return json.dumps({"Level": _NAMES[self.level], "Query": query, **kept}).encode()


def parse_find(body: bytes) -> Find | Refusal:
    """What *body* asks Orthanc to find."""
    try:
        return _find(_object(body))
    except BadQuery as error:
        return Refusal(Reason.BAD_QUERY, str(error))


def parse_identifier(body: bytes) -> str | Refusal:
    """The identifier that *body* wants looked up."""
    text = body.decode("ascii", "replace").strip()
    if _LOOKED_UP.fullmatch(text) is None:
        return Refusal(Reason.BAD_QUERY, "what is looked up is one identifier")
    return text


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > LONGEST:
        raise BadQuery("the search is too long")
    try:
        found = json.loads(body.decode(), object_pairs_hook=_once)
    except BadQuery:
        raise
    except (ValueError, RecursionError):
        raise BadQuery("the search is not JSON") from None
    return _dict(found)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadQuery("a name is repeated")
    return found


def _find(asked: Mapping[str, Any]) -> Find:
    level = LEVELS.get(_text(asked.get("Level")))
    if level is None:
        raise BadQuery("Level is Patient, Study, Series or Instance")
    if any(name not in _CHECKS for name in asked if name not in ("Level", "Query")):
        raise BadQuery("a name that nobody knows")
    matches = _matches(_dict(asked.get("Query", {})))
    studies = matches.pop(STUDY_INSTANCE_UID, None)
    more = {name: _CHECKS[name](value) for name, value in asked.items() if name in _CHECKS}
    return Find(level, matches, tuple(studies.split("\\")) if studies else None, more)


def _matches(query: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in query.items():
        tag = tag_of(name)
        if tag is None or tag in found:
            raise BadQuery("an attribute that is none, or is repeated in another spelling")
        found[tag] = _match(tag, _text(value))
    return found


def _match(tag: str, value: str) -> str:
    known = attribute(tag)
    if known is not None and known.vr == "UI" and value and not all(map(is_uid, value.split("\\"))):
        raise BadQuery("a UID that is none")
    return value


def _dict(value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > _MOST:
        raise BadQuery("an object is needed, of bounded size")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or _CONTROL.search(value) is not None:
        raise BadQuery("a value that is no text, or holds a control character")
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise BadQuery("true or false is needed")
    return value


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
        raise BadQuery("a number is needed")
    return value


def _matching(pattern: re.Pattern[str]) -> Callable[[object], str]:
    def check(value: object) -> str:
        if pattern.fullmatch(_text(value)) is None:
            raise BadQuery("a value that this cannot have")
        return _text(value)

    return check


def _each(check: Callable[[object], str]) -> Callable[[object], list[str]]:
    def checked(values: object) -> list[str]:
        if not isinstance(values, list) or len(values) > _MOST:
            raise BadQuery("a list is needed, of bounded length")
        return [check(value) for value in values]

    return checked


def _tag(value: object) -> str:
    tag = tag_of(_text(value))
    if tag is None:
        raise BadQuery("an attribute that is none")
    return f"{tag[:4]},{tag[4:]}".lower()


def _metadata(value: object) -> dict[str, str]:
    return {_matching(_WORD)(name): _text(wanted) for name, wanted in _dict(value).items()}


_ORDERS = {"Type": re.compile("DicomTag|Metadata"), "Key": _WORD, "Direction": re.compile("ASC|DESC")}


def _orders(values: object) -> list[dict[str, str]]:
    if not isinstance(values, list) or len(values) > _MOST or any(set(_dict(each)) != set(_ORDERS) for each in values):
        raise BadQuery("an order has a type, a key and a direction")
    return [{name: _matching(pattern)(each[name]) for name, pattern in _ORDERS.items()} for each in values]


_CHECKS: Mapping[str, Callable[[object], Any]] = MappingProxyType(
    {
        **dict.fromkeys(("Expand", "Short", "Full", "CaseSensitive"), _truth),
        **dict.fromkeys(("Since", "Limit"), _number),
        **dict.fromkeys(("ParentPatient", "ParentStudy", "ParentSeries"), _matching(_IDENTIFIER)),
        "RequestedTags": _each(_tag),
        "Labels": _each(_matching(_WORD)),
        "LabelsConstraint": _matching(re.compile("All|Any|None")),
        "ResponseContent": _each(_matching(_WORD)),
        "MetadataQuery": _metadata,
        "OrderBy": _orders,
    }
)
"""What may stand in a search besides its level and its query, and how each is read."""
