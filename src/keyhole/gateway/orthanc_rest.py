"""From an allowed request to Orthanc's REST API to its answer.

Lists are cut by :mod:`keyhole.gateway.orthanc_lists`; everything else is of the one resource that was decided on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from keyhole.access.decision import Reason
from keyhole.access.resource import Action, Level, Resource
from keyhole.archive.answer import ArchiveAnswer
from keyhole.dicom.orthanc_call import Body, Call, Form, OrthancQuery, call_of
from keyhole.dicom.orthanc_find import LONGEST, Find, parse_find, parse_identifier
from keyhole.dicom.route import Kind, Refusal
from keyhole.errors import ArchiveFailed
from keyhole.gateway import media
from keyhole.gateway.answer import Answer, no_images
from keyhole.gateway.dicomjson import Item
from keyhole.gateway.fetch import Fetch, Order, Unanswerable
from keyhole.gateway.multipart import parameters
from keyhole.gateway.orthanc_lists import JSON, LONGEST_ITEM, Lists, Rest, judge, plain
from keyhole.gateway.question import Lineages
from keyhole.gateway.reach import Reach

_TEXT = "text/plain"
_PICTURES = ("image/png", "image/jpeg", "image/x-portable-arbitrarymap")
_SHOWN = frozenset({JSON, _TEXT, *_PICTURES})
"""What may pass as it is. The rest is a file to save."""

_SAVED: Mapping[str, str] = {"application/dicom": "dcm", "application/zip": "zip", "application/gzip": "gz"}
_ANY_CALLS = ("", media.OCTETS, "application/x-www-form-urlencoded")
"""How programs call what they do not name; the last is curl's word for everything."""

_TYPES: Mapping[Body, tuple[str, frozenset[str]]] = {
    Body.FIND: (JSON, frozenset({JSON, *_ANY_CALLS})),
    Body.JSON: (JSON, frozenset({JSON, _TEXT, *_ANY_CALLS})),
    Body.IDENTIFIER: (_TEXT, frozenset({_TEXT, *_ANY_CALLS})),
    Body.FILE: (media.DICOM, frozenset({media.DICOM, "application/zip", *_ANY_CALLS})),
}
"""What each kind of body is called on its way to Orthanc, and may be called on its way here."""

_LISTED = {"patients": Level.PATIENT, "studies": Level.STUDY, "series": Level.SERIES, "instances": Level.INSTANCE}


@dataclass(frozen=True, slots=True)
class OrthancSource:
    """An archive that is Orthanc: its REST API, and what its names stand for."""

    rest: Rest
    lineage: Lineages


@dataclass(frozen=True, slots=True)
class Fetchers:
    """One per process: what is asked of Orthanc's REST API goes to *native*, everything else to *dicomweb*."""

    dicomweb: Fetch
    native: Fetch

    def __call__(self, order: Order) -> AbstractAsyncContextManager[Answer]:
        """Ask the archive. Raises ArchiveFailed and Unanswerable."""
        return (self.native if isinstance(order.query, OrthancQuery) else self.dicomweb)(order)


@dataclass(frozen=True, slots=True)
class OrthancFetcher:
    """One per process; the archives that are Orthanc by name."""

    sources: Mapping[str, OrthancSource]

    @asynccontextmanager
    async def __call__(self, order: Order) -> AsyncIterator[Answer]:
        """Ask Orthanc. Raises ArchiveFailed and Unanswerable."""
        source, route, call = self.sources[order.archive], order.found.route, call_of(order.found.route)
        body = await _understood(order, call)
        asked = order.resource or Resource.whole(order.archive)
        holds_all = order.held.covers(Resource.whole(order.archive))
        if route.kind is Kind.LIST and not holds_all:
            yield await _cut(source, order, body)
            return
        sending = source.rest.send(
            route.method,
            order.found.path(),
            _query(order).telling_nothing_above(asked.level).encode(),
            _accept(call, order.accept),
            content_type=_TYPES[call.body][0] if call.body in _TYPES else None,
            body=_written(body) if call.body in (Body.FIND, Body.IDENTIFIER) else _passed_on(order, call),
        )
        async with sending as answer:
            judge(answer.status)
            described = route.action is Action.RETRIEVE and route.template.endswith("/{id}")
            yield _passed(answer, order, call) if holds_all or not described else await _plain(answer)


def _query(order: Order) -> OrthancQuery:
    if not isinstance(order.query, OrthancQuery):
        raise TypeError("not a query to Orthanc's REST API")
    return order.query


async def _understood(order: Order, call: Call) -> Find | str | None:
    """The body, where it is one that has to be understood. Its type is judged for every body."""
    if call.body in _TYPES and _type(order.content_type) not in _TYPES[call.body][1]:
        raise Unanswerable(Reason.UNSUPPORTED_MEDIA)
    if call.body not in (Body.FIND, Body.IDENTIFIER):
        return None
    received = bytearray()
    async for piece in order.body or _pieces():
        received += piece
        if len(received) > LONGEST:
            raise Unanswerable(Reason.BAD_QUERY)
    parse = parse_find if call.body is Body.FIND else parse_identifier
    found = parse(bytes(received))
    if isinstance(found, Refusal):
        raise Unanswerable(found.reason)
    return found


def _type(content_type: str | None) -> str:
    try:
        return parameters(content_type or "")[0]
    except ArchiveFailed:  # said by a client this time
        return "unreadable"


def _written(body: Find | str | None) -> AsyncIterator[bytes]:
    return _pieces(body.encode(body.studies) if isinstance(body, Find) else str(body).encode("ascii"))


def _passed_on(order: Order, call: Call) -> AsyncIterator[bytes] | None:
    return None if call.body is Body.NOTHING else order.body or _pieces()


def _accept(call: Call, asked: str | None) -> str:
    """The one type to ask for. Orthanc turns JSON into XML for whoever asks so; nobody can judge that."""
    if call.form is Form.PICTURE:
        ranges = media.ranges(asked or "*/*")
        wanted = [each.kind for each in ranges or ()]
        found = next((kind for kind in wanted if kind in (*_PICTURES, "image/*", "*/*")), None)
        if found is None:
            raise Unanswerable(Reason.NOT_ACCEPTABLE)
        return found if found in _PICTURES else _PICTURES[0]
    return JSON if call.form is Form.JSON else "*/*"


def _passed(answer: ArchiveAnswer, order: Order, call: Call) -> Answer:
    kind = parameters(answer.content_type)[0]
    if kind in _SHOWN:
        charset = "; charset=utf-8" if kind == _TEXT else ""
        images = _one if call.form is Form.PICTURE else no_images
        return Answer(body=answer.body, content_type=kind + charset, images=images)
    name = "-".join(order.found.ids.values()) or "answer"
    saved = f'attachment; filename="{name}.{_SAVED[kind]}"' if kind in _SAVED else "attachment"
    return Answer(
        body=answer.body,
        content_type=kind if kind in _SAVED else media.OCTETS,
        images=_one if kind == media.DICOM else no_images,
        fields={**media.SAFETY, "content-disposition": saved},
    )


async def _plain(answer: ArchiveAnswer) -> Answer:
    """The description of one resource, for whoever does not have the archive."""
    received = bytearray()
    async for piece in answer.body:
        received += piece
        if len(received) > LONGEST_ITEM:
            raise ArchiveFailed("Orthanc's answer is too long")
    try:
        item = msgspec.json.decode(bytes(received), type=Item)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ArchiveFailed("Orthanc's answer cannot be read") from error
    return Answer(body=_pieces(msgspec.json.encode(plain(item))), content_type=JSON)


def _one() -> int:
    return 1


async def _cut(source: OrthancSource, order: Order, body: Find | str | None) -> Answer:
    """A list, cut to the reach."""
    lists = Lists(source.rest, source.lineage, order.archive, Reach.of(order.reach, order.archive))
    query, level = _query(order), _LISTED.get(order.found.path().rpartition("/")[2], Level.ARCHIVE)
    if isinstance(body, str):
        found, expand = await lists.looked_up(body), True
    elif isinstance(body, Find):
        found, expand = await lists.found(body), bool(body.more.get("Expand"))
    elif order.found.ids:
        expand = query.values.get("expand") != "false"
        found = await lists.below(order.found.path(), query.telling_nothing_above(level), level)
    else:
        found, expand = await lists.found(_as_find(query, level)), "expand" in query.values
    return Answer(body=_pieces(_encoded(found, expand=expand)), content_type=JSON, foreign=lists.foreign)


def _as_find(query: OrthancQuery, level: Level) -> Find:
    """The search that a list of the whole archive is."""
    requested = query.values.get("requested-tags") or query.values.get("requestedTags") or ""
    more: dict[str, Any] = {name: True for name in ("Full", "Short") if name.lower() in query.values}
    more |= {name: query.number(name.lower()) or 0 for name in ("Since", "Limit")}
    if requested:
        more["RequestedTags"] = [tag.replace("-", ",") for tag in requested.split(";")]
    return Find(level, more=more)


def _encoded(found: list[Item], *, expand: bool) -> bytes:
    return msgspec.json.encode(found if expand else [item["ID"] for item in found])


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
