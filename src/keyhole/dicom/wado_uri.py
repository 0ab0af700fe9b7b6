"""WADO-URI (PS3.18 section 9), understood as the retrieval of WADO-RS that it means.

It names an instance by three UIDs in its query, of which servers heed the last alone. So it is never sent on: what is
sent is the path of the same instance, whose parents every archive checks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from keyhole.access.decision import Reason
from keyhole.access.resource import is_uid
from keyhole.dicom import dicomweb
from keyhole.dicom.parameter import BadQuery, encoded, parameters
from keyhole.dicom.retrieval import RetrieveQuery, parse_retrieve
from keyhole.dicom.route import Kind, Match, Refusal

PATH: Final = b"/wado"
"""Where it is answered, below the DICOMweb root."""

_UIDS = ("studyUID", "seriesUID", "objectUID")
_PICTURE = (
    *("annotation", "frameNumber", "rows", "columns", "windowCenter", "windowWidth", "imageQuality"),
    *("region", "presentationUID", "presentationSeriesUID"),
)
_KNOWN = frozenset({"requestType", *_UIDS, "contentType", "charset", "anonymize", "transferSyntax", *_PICTURE})
_SPELT_ALIKE = frozenset(map(str.lower, _KNOWN)) | {"_method"}
_NOT_HERE = ("anonymize", "region", "presentationUID", "presentationSeriesUID")
"""What would change what is shown, and cannot be had: leaving it out would show something else than was asked for."""

_FILE = "application/dicom"
_STILLS = frozenset({"image/jpeg", "image/png", "image/gif"})
_USUAL = "image/jpeg"
"""What is sent when nothing is asked for (PS3.18 section 9.1.2.2.1)."""

_NUMBER = re.compile("[1-9][0-9]{0,5}")


def parse_wado_uri(raw_query: bytes) -> tuple[Match, RetrieveQuery] | Refusal:
    """The retrieval that *raw_query* means: a row of the table of DICOMweb with its query, or why there is none.

    ``application/dicom`` is the whole instance, as it is stored unless ``transferSyntax`` says otherwise; anything
    else is a rendered picture. Names that nobody knows are dropped.
    """
    try:
        values = _values(raw_query)
        content_type = _content_type(values.get("contentType", _USUAL))
        path = _path(values)
        if content_type is None:
            return Refusal(Reason.NOT_ACCEPTABLE, "none of the media types asked for can be had here")
        if content_type == _FILE:
            return _row(path, Kind.INSTANCES, {"accept": _whole(values.get("transferSyntax", "*"))})
        frame = f"/frames/{_number(values, 'frameNumber')}" if values.get("frameNumber") else ""
        return _row(f"{path}{frame}/rendered", Kind.RENDERED, {"accept": content_type, **_rendering(values)})
    except BadQuery as error:
        return Refusal(Reason.BAD_QUERY, str(error))


def _values(raw_query: bytes) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in parameters(raw_query):
        if name in values or (name not in _KNOWN and name.lower() in _SPELT_ALIKE):
            raise BadQuery("a parameter is repeated, or spelt in another way than the standard's")
        if name in _KNOWN:
            values[name] = value
    if any(values.get(name) for name in _NOT_HERE):
        raise BadQuery("what is shown can be neither de-identified nor cut nor presented in another way")
    return values


def _path(values: Mapping[str, str]) -> str:
    if values.get("requestType") != "WADO":
        raise BadQuery("requestType is WADO")
    uids = [values.get(name, "") for name in _UIDS]
    if not all(map(is_uid, uids)):
        raise BadQuery("studyUID, seriesUID and objectUID are needed, and are UIDs")
    return "/studies/{}/series/{}/instances/{}".format(*uids)


def _content_type(value: str) -> str | None:
    """The first media type in *value* that can be had; parameters of it say nothing here."""
    asked = [each.partition(";")[0].strip().lower() for each in value.split(",")]
    return next((each for each in asked if each == _FILE or each in _STILLS), None)


def _whole(syntax: str) -> str:
    if syntax != "*" and not is_uid(syntax):
        raise BadQuery("transferSyntax is a UID")
    return f"{_FILE}; transfer-syntax={syntax}"


def _number(values: Mapping[str, str], name: str) -> str:
    if _NUMBER.fullmatch(values[name]) is None:
        raise BadQuery("a number is not written in plain digits, or too large")
    return values[name]


def _rendering(values: Mapping[str, str]) -> dict[str, str]:
    """The parameters of PS3.18 section 8.3.5 that say the same."""
    found: dict[str, str] = {}
    sides = [_number(values, name) for name in ("columns", "rows") if values.get(name)]
    if sides:
        # One side alone bounds both: pictures keep their shape.
        found["viewport"] = f"{sides[0]},{sides[-1]}"
    window = [values.get(name, "") for name in ("windowCenter", "windowWidth")]
    if any(window):
        found["window"] = f"{window[0]},{window[1]},linear"
    for name, ours in (("imageQuality", "quality"), ("annotation", "annotation")):
        if values.get(name):
            found[ours] = values[name]
    return found


def _row(path: str, kind: Kind, query: Mapping[str, str]) -> tuple[Match, RetrieveQuery]:
    found = dicomweb.match("GET", path.encode())
    understood = parse_retrieve(encoded(query.items()).encode(), kind)
    if isinstance(found, Refusal) or isinstance(understood, Refusal):
        raise BadQuery("a parameter has a value that the standard does not know")
    return found, understood
