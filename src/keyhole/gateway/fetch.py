"""From an allowed request to the archive's answer, made fit for whoever asked: narrowed, rewritten, streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from http import HTTPStatus

import msgspec

from keyhole.access.decision import Reason, Scope
from keyhole.access.resource import Resource
from keyhole.archive.answer import Archive, ArchiveAnswer
from keyhole.dicom.orthanc_call import OrthancQuery
from keyhole.dicom.query import RetrieveQuery, SearchQuery
from keyhole.dicom.route import Kind, Match, Refusal
from keyhole.errors import ArchiveFailed, Refused
from keyhole.gateway import dicomjson, media, multipart, pictures, scoping
from keyhole.gateway.answer import Answer, no_images
from keyhole.gateway.asking import SearchRefused
from keyhole.gateway.dicomjson import Item
from keyhole.gateway.download.delivery import Form, delivered
from keyhole.gateway.places import Places
from keyhole.gateway.rewrite import Links, text

_PIECE = 64 * 1024
_RECEIPT_LONGEST = 4 << 20
_WITHOUT_UPLOADS = ("GET", "HEAD", "OPTIONS")
_STORE_RESULTS = frozenset({HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT})


class Unanswerable(Exception):
    """The request was allowed, and cannot be answered: ``reason`` says why, ``allow`` which methods would do."""

    def __init__(self, reason: Reason, allow: tuple[str, ...] = ()) -> None:
        """Refuse for *reason*."""
        super().__init__(reason)
        self.reason = reason
        self.allow = allow


@dataclass(slots=True, kw_only=True)
class Order:
    """What to fetch: *found* and *query* as understood, ``reach`` as decided, in the form that ``accept`` asks for.

    ``public_root`` is the caller's own DICOMweb root, which every link in the answer is to begin with. ``body`` is
    what to store, of ``content_type``. ``held`` is everything to which the caller may do this: a path that leads
    astray matters to whoever does not hold it all. ``resource`` is what was asked for, which a name of Orthanc's does
    not say. ``pictures_only``: what leaves are pictures, and what it takes to list them (:mod:`.pictures`).
    """

    archive: str
    found: Match
    query: SearchQuery | RetrieveQuery | OrthancQuery
    reach: Scope
    public_root: str
    accept: str | None = None
    content_type: str | None = None
    body: AsyncIterator[bytes] | None = None
    held: Scope = field(default_factory=Scope)
    resource: Resource | None = None
    pictures_only: bool = False


Fetch = Callable[[Order], AbstractAsyncContextManager[Answer]]


@dataclass(slots=True)
class Source:
    """An archive, and what it is able to do, as far as is known by now."""

    archive: Archive
    capabilities: scoping.Capabilities


def source_of(sources: Mapping[str, Source], archive: str) -> Source:
    """The source called *archive*; ArchiveFailed when the settings name none so any more, while shares of it live."""
    try:
        return sources[archive]
    except KeyError:
        raise ArchiveFailed("there is no archive of this name any more") from None


_PICTURES = frozenset({Kind.FRAMES, Kind.RENDERED, Kind.THUMBNAIL, Kind.INSTANCES, Kind.PIXELDATA})
"""What counts as images on the trail. Bulk data are parts of them."""


_RENDERED = frozenset({Kind.RENDERED, Kind.THUMBNAIL})

_SMALL = "256,256"
"""The viewport of a thumbnail."""

_UNNAMED = _PICTURES - {Kind.INSTANCES} | {Kind.BULKDATA}
"""What does not say which instance it belongs to."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """One per process; its archives by name."""

    sources: Mapping[str, Source]
    places: Places = field(default_factory=Places)

    @asynccontextmanager
    async def __call__(self, order: Order) -> AsyncIterator[Answer]:
        """Ask the archive. Raises ArchiveFailed and :class:`Unanswerable`."""
        source = source_of(self.sources, order.archive)
        kind = order.found.route.kind
        parameter = order.query.accept if isinstance(order.query, RetrieveQuery) else None
        accept = media.accepted(kind, order.accept, parameter)
        if isinstance(accept, Refusal):
            raise Unanswerable(accept.reason)
        links = Links(source.archive.root, order.public_root, order.found.path())
        if isinstance(order.query, SearchQuery):
            search = pictures.searched(order.query) if order.pictures_only else order.query
            yield await _searched(source, order, search, links)
        elif kind is Kind.STORE:
            async with _stored(source.archive, order, accept) as answer:
                yield await _receipt(answer, links, order.found.ids.get("study"))
        elif kind is Kind.INSTANCES:
            async with _whole(source.archive, order, accept, links) as whole:
                yield whole
        else:
            await self._verify(source, order)
            if order.pictures_only and isinstance(order.query, RetrieveQuery):
                order.query = pictures.rendered(order.query)
            path, query = _target(order.found, order.query, source.capabilities)
            async with source.archive.get(path, query, accept) as answer:
                _judge(answer.status, kind)
                yield self._retrieved(_pictured(answer, order), order, links)

    async def _verify(self, source: Source, order: Order) -> None:
        """Refuse what is not where its path says, unless the archive does so, or the caller holds it all anyway.

        What an archive was found to do is enough where the whole study is held, and not where a part of it is.
        """
        if order.found.route.kind not in _UNNAMED or order.held.covers(_whole_of(order.archive)):
            return
        path = order.found.resource(order.archive).path
        checked = source.capabilities.parents is True and order.held.covers(Resource.of(order.archive, path[0]))
        if not checked and not await self.places.holds(source.archive, path):
            raise Unanswerable(Reason.NOT_THERE)

    def _retrieved(self, answer: ArchiveAnswer, order: Order, links: Links) -> Answer:
        if order.found.route.kind is not Kind.METADATA:
            return _unnamed(answer, order, links)
        described = scoping.metadata(answer, order.found, order.reach, order.archive)
        rewritten = self._rewritten(described, order, links)
        return Answer(body=_array(rewritten), content_type=dicomjson.MEDIA_TYPE)

    async def _rewritten(self, described: AsyncIterator[Item], order: Order, links: Links) -> AsyncIterator[Item]:
        study = order.found.ids["study"]
        async for item in described:
            self.places.learn(order.archive, item)
            yield links.rewrite(item, study)


@lru_cache(maxsize=64)
def _whole_of(archive: str) -> Resource:
    """The archive itself as a resource: one for all images."""
    return Resource.whole(archive)


def _target(found: Match, query: RetrieveQuery | OrthancQuery, capabilities: scoping.Capabilities) -> tuple[str, str]:
    """The path and query to ask: for a small picture where an archive makes no thumbnails of an instance."""
    path = found.path()
    thumbnail = found.route.kind is Kind.THUMBNAIL and "instance" in found.ids
    if thumbnail and capabilities.thumbnails is False and isinstance(query, RetrieveQuery):
        path, query = path.removesuffix("thumbnail") + "rendered", replace(query, viewport=query.viewport or _SMALL)
    return path, query.encode()


@asynccontextmanager
async def _whole(archive: Archive, order: Order, accept: str, links: Links) -> AsyncIterator[Answer]:
    """Whole instances, each of which says itself where it belongs."""
    form = Form.of(accept, order.found)
    if form is None:
        raise Unanswerable(Reason.NOT_ACCEPTABLE)
    async with archive.get(order.found.path(), "", form.upstream) as answer:
        _judge(answer.status)
        yield delivered(answer, form, links, order.found)


async def _searched(source: Source, order: Order, query: SearchQuery, links: Links) -> Answer:
    try:
        result = await scoping.search(source.archive, order.found, query, order.reach, source.capabilities)
    except SearchRefused as refused:
        raise Unanswerable(refused.reason) from None
    path_study = order.found.ids.get("study")
    found = pictures.listed(result.items) if order.pictures_only else result.items
    for item in found:
        links.rewrite(item, path_study or text(item, scoping.UID_TAGS[0]))
    return Answer(body=_array(_each(found)), content_type=dicomjson.MEDIA_TYPE, foreign=result.foreign)


def _pictured(answer: ArchiveAnswer, order: Order) -> ArchiveAnswer:
    """*answer* as it may pass for whoever may have no more than pictures."""
    judged = pictures.judged(order.found.route.kind, answer) if order.pictures_only else answer
    if isinstance(judged, Refusal):
        raise Unanswerable(judged.reason)
    return judged


def _unnamed(answer: ArchiveAnswer, order: Order, links: Links) -> Answer:
    kind = order.found.route.kind
    passing = media.passing(kind, answer)
    if passing.boundary is None:
        images = _one if kind in _PICTURES else no_images
        return Answer(body=answer.body, content_type=passing.content_type, images=images, fields=passing.fields)
    heads = multipart.part_heads(links, order.found, media.part_type(kind))
    parts = multipart.Parts(passing.boundary, heads)
    return Answer(
        body=multipart.passed_on(answer.body, parts),
        content_type=passing.content_type,
        images=(lambda: parts.count) if kind in _PICTURES else no_images,
        fields=passing.fields,
    )


def _one() -> int:
    return 1


@asynccontextmanager
async def _stored(archive: Archive, order: Order, accept: str) -> AsyncIterator[ArchiveAnswer]:
    content_type = _upload_type(order.content_type)
    if order.body is None or content_type is None:
        raise Unanswerable(Reason.UNSUPPORTED_MEDIA)
    try:
        storing = archive.post(order.found.path(), content_type, order.body, accept)
    except Refused:
        raise Unanswerable(Reason.METHOD_NOT_ALLOWED, _WITHOUT_UPLOADS) from None
    async with storing as answer:
        yield answer


def _upload_type(received: str | None) -> str | None:
    """The Content-Type of an upload written anew (PS3.18 section 10.5.1); None for what is no DICOM files in parts."""
    try:
        kind, values = multipart.parameters(received or "")
        boundary = multipart.boundary_of(received or "")
    except ArchiveFailed:  # said by a client this time
        return None
    if kind != media.MULTIPART or values.get("type", media.DICOM).lower() != media.DICOM:
        return None
    return f'{media.MULTIPART}; type="{media.DICOM}"; boundary="{boundary}"'


async def _receipt(answer: ArchiveAnswer, links: Links, study: str | None) -> Answer:
    """The result of a store (PS3.18 section 10.5.3): an object, not an array, and small.

    Its links are kept only where the path named the study: who may store may not yet retrieve.
    """
    if answer.status not in _STORE_RESULTS:
        _judge(answer.status)
    received = bytearray()
    async for piece in answer.body:
        received += piece
        if len(received) > _RECEIPT_LONGEST:
            raise ArchiveFailed("the archive's receipt is too long")
    try:
        item = msgspec.json.decode(bytes(received) or b"{}", type=Item)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ArchiveFailed("the archive's receipt is not DICOM JSON") from error
    body = dicomjson.encode(links.rewrite(item, study))
    return Answer(body=_pieces(body), content_type=dicomjson.MEDIA_TYPE, status=answer.status)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _judge(status: int, kind: Kind = Kind.INSTANCES) -> None:
    """What an archive's status means to whoever may see the study: there, not there, not in that form, or broken.

    Orthanc finds the request bad when it is the image that it can make no picture of.
    """
    if status == HTTPStatus.BAD_REQUEST and kind in _RENDERED:
        raise Unanswerable(Reason.NOT_ACCEPTABLE)
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise Unanswerable(Reason.NOT_THERE)
    if status == HTTPStatus.NOT_ACCEPTABLE:
        raise Unanswerable(Reason.NOT_ACCEPTABLE)
    if status == HTTPStatus.BAD_REQUEST:
        raise Unanswerable(Reason.BAD_QUERY)
    if status != HTTPStatus.OK:
        raise ArchiveFailed("the archive answered with a status that it should not")


async def _each(items: list[Item]) -> AsyncIterator[Item]:
    for item in items:
        yield item


async def _array(items: AsyncIterator[Item]) -> AsyncIterator[bytes]:
    """*items* as one JSON array, in pieces worth sending."""
    held = bytearray(b"[")
    begun = False
    async for item in items:
        if begun:
            held += b","
        begun = True
        held += dicomjson.encode(item)
        if len(held) >= _PIECE:
            yield bytes(held)
            held.clear()
    held += b"]"
    yield bytes(held)
