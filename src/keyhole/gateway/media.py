"""Media types: which a client may ask for, which are asked of the archive, and which may pass (PS3.18 §8.7).

A client's Accept is never passed on. It is read, what is known of it is written anew, and what comes back is judged
against the same lists: nothing an archive holds may run as a page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Final

from keyhole.access.decision import Reason
from keyhole.access.resource import is_uid
from keyhole.archive.answer import ArchiveAnswer
from keyhole.dicom.query import SEARCHES
from keyhole.dicom.route import Kind, Refusal
from keyhole.errors import ArchiveFailed
from keyhole.gateway import dicomjson
from keyhole.gateway.multipart import boundary_in, parameters

OCTETS: Final = "application/octet-stream"
DICOM: Final = "application/dicom"
ZIP: Final = "application/zip"
MULTIPART: Final = "multipart/related"

_STILLS = ("image/jpeg", "image/png", "image/gif")
_COMPRESSED = ("image/jpeg", "image/dicom-rle", "image/jls", "image/jp2", "image/jpx", "image/jphc", "image/jxl")
_MOVING = ("video/mp4", "video/mpeg", "video/mpeg2", "video/h264", "video/h265")
_FRAMES = (OCTETS, *_COMPRESSED, *_STILLS, *_MOVING)
_JSON = (dicomjson.MEDIA_TYPE, "application/json")

SINGLE: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    dict.fromkeys((*SEARCHES, Kind.METADATA, Kind.STORE), _JSON)
    | {
        Kind.RENDERED: _STILLS,
        Kind.THUMBNAIL: _STILLS,
        Kind.FRAMES: _FRAMES,
        Kind.BULKDATA: (OCTETS, "application/pdf", *_COMPRESSED, *_STILLS, *_MOVING),
        Kind.INSTANCES: (DICOM, ZIP),
        Kind.PIXELDATA: _FRAMES,
    }
)
"""What may pass as a body of its own. The first is asked for when a client takes anything."""

RELATED: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {
        Kind.FRAMES: _FRAMES,
        Kind.BULKDATA: SINGLE[Kind.BULKDATA],
        Kind.INSTANCES: (DICOM,),
        Kind.PIXELDATA: _FRAMES,
    }
)
"""What may pass as parts of ``multipart/related``."""

ANY_SYNTAX: Final = "*"
_DOCUMENTS = frozenset({"application/pdf", *_MOVING})
"""What Orthanc answers when it is asked to render what is no image."""

_ACCEPT_LONGEST = 4096
_MOST_RANGES = 64
_RANGE = re.compile(r"(?:[^,\"]|\"[^\"\\]*\")+")
_Q = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")

SAFETY: Mapping[str, str] = MappingProxyType(
    {
        "cache-control": "private, no-store",
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "same-origin",
        "content-security-policy": "sandbox; default-src 'none'",
    }
)
"""On everything that comes from an archive."""


@dataclass(frozen=True, slots=True)
class Range:
    """One media range of an Accept header: the type, the type of its parts if it is multipart, the transfer syntax."""

    kind: str
    part: str | None = None
    syntax: str | None = None
    quality: float = 1.0

    def __str__(self) -> str:
        """The range as it is sent on: what PS3.18 §8.7.3 writes, with the type in quotes."""
        part = "" if self.part is None else f'; type="{self.part}"'
        return self.kind + part + ("" if self.syntax is None else f"; transfer-syntax={self.syntax}")


def ranges(accept: str) -> list[Range] | None:
    """The media ranges of an Accept header (RFC 9110 §12.5.1), best first; None when it cannot be read.

    What has quality 0 is left out. ``type=application/octet-stream`` without quotes is read as viewers mean it.
    """
    if len(accept) > _ACCEPT_LONGEST or accept.count('"') % 2:
        return None
    texts = [text.strip() for text in _RANGE.findall(accept)]
    try:
        found = [_range(text) for text in texts if text]
    except (ArchiveFailed, ValueError):
        return None
    if len(found) > _MOST_RANGES:
        return None
    return sorted((each for each in found if each.quality > 0), key=lambda each: -each.quality)


def _range(text: str) -> Range:
    kind, values = parameters(text)
    quality = values.get("q", "1")
    if _Q.fullmatch(quality) is None:
        raise ValueError("a quality is between 0 and 1")
    part = values.get("type") if kind == MULTIPART else None
    return Range(kind, None if part is None else part.lower(), values.get("transfer-syntax"), float(quality))


@lru_cache(maxsize=64)  # a viewer asks for every image in the same words; what is kept is at most a head's worth each
def accepted(kind: Kind, header: str | None, parameter: str | None = None) -> str | Refusal:
    """The Accept to send to an archive for a client that sends *header*, or the query parameter that overrides it.

    One range, the best that is known; of equals, what is stored as it is. Never several: Orthanc reads a list as one
    range in which the last word wins (DICOMweb 1.7), or takes its first range alone (1.20). NOT_ACCEPTABLE when none
    is known.
    """
    asked = ranges(parameter or header or "*/*") if kind in SINGLE else None
    known = [(text, each.quality) for each in asked or () if (text := _known(kind, each)) is not None]
    if not known:
        return Refusal(Reason.NOT_ACCEPTABLE, "none of the media types asked for can be had here")
    best = [text for text, quality in known if quality == known[0][1]]
    return next((text for text in _as_stored(kind) if text in best), best[0])


def _as_stored(kind: Kind) -> tuple[str, ...]:
    """What to ask for rather than anything else that the client takes as gladly."""
    if kind not in RELATED:
        return ()
    return _default(kind), str(Range(MULTIPART, RELATED[kind][0]))


def _known(kind: Kind, asked: Range) -> str | None:
    """What to ask the archive for, for a client that asks for *asked*."""
    if _JSON[0] in SINGLE[kind]:
        return _JSON[0] if asked.kind in (*_JSON, "application/*", "*/*") else None
    if asked.kind in ("*/*", "multipart/*") or (asked.kind == MULTIPART and asked.part in (None, "*/*")):
        return _default(kind)
    if asked.kind == "image/*" and SINGLE[kind] is _STILLS:
        return _STILLS[0]
    if asked.syntax not in (None, ANY_SYNTAX) and not is_uid(asked.syntax or ""):
        return None
    offered = RELATED.get(kind, ()) if asked.kind == MULTIPART else SINGLE[kind]
    return str(asked) if (asked.part or asked.kind) in offered else None


def _default(kind: Kind) -> str:
    """What a client gets that takes anything: one picture, or parts as they are stored."""
    if kind not in RELATED:
        return SINGLE[kind][0]
    return str(Range(MULTIPART, RELATED[kind][0], None if kind is Kind.BULKDATA else ANY_SYNTAX))


@dataclass(frozen=True, slots=True)
class Passing:
    """How an answer passes: its Content-Type written anew, further header fields, its boundary if it has parts."""

    content_type: str
    fields: Mapping[str, str] = field(default_factory=lambda: SAFETY)
    boundary: str | None = None


def passing(kind: Kind, answer: ArchiveAnswer) -> Passing:
    """How *answer* to a request of *kind* passes; ArchiveFailed when it is not of a type that was asked for.

    What is not in the list but may be there (bulk data of any type, a document where a picture was asked for) is a
    file to save.
    """
    media_type, values = parameters(answer.content_type)
    if media_type == MULTIPART and kind in RELATED:
        boundary = boundary_in(values)
        part = values.get("type", "").lower()
        part = part if part in RELATED[kind] else OCTETS
        return Passing(f'{MULTIPART}; type="{part}"; boundary="{boundary}"', boundary=boundary)
    if media_type in SINGLE[kind]:
        return Passing(_with_syntax(media_type, values))
    if kind is Kind.BULKDATA or (kind in (Kind.RENDERED, Kind.THUMBNAIL) and media_type in _DOCUMENTS):
        return Passing(OCTETS, {**SAFETY, "content-disposition": "attachment"})
    raise ArchiveFailed("the archive answered with another media type than asked")


def part_type(kind: Kind) -> Callable[[str], str]:
    """What becomes of the Content-Type of a part in the answer to a request of *kind*: a known one, or bytes."""
    return partial(_part_type, kind)


@lru_cache(maxsize=256)  # as above: every part of a series has the same type
def _part_type(kind: Kind, content_type: str) -> str:
    media_type, values = parameters(content_type)
    return _with_syntax(media_type if media_type in RELATED[kind] else OCTETS, values)


def _with_syntax(media_type: str, values: Mapping[str, str]) -> str:
    syntax = values.get("transfer-syntax", "")
    return f"{media_type}; transfer-syntax={syntax}" if is_uid(syntax) else media_type
