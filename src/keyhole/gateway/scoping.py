"""Searches and metadata, cut to what is in scope (design section 8; facts: PS3.18 §8.3.4, §10.6).

A filter that an archive does not know disappears silently, so narrowing the query is never enough: every item of the
answer is judged as well. What has to be dropped then was foreign, and is counted for the trail.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import takewhile

from keyhole.access.decision import Reason, Scope
from keyhole.access.resource import Level
from keyhole.archive.answer import Archive, ArchiveAnswer
from keyhole.dicom.attribute import ABOVE_SERIES
from keyhole.dicom.query import MOST_UIDS, SEARCHES, SearchQuery
from keyhole.dicom.route import Match
from keyhole.errors import ArchiveFailed, ForeignAnswer, Refused
from keyhole.gateway.dicomjson import MEDIA_TYPE, Item, items
from keyhole.gateway.reach import Reach
from keyhole.gateway.rewrite import text

UID_TAGS = ("0020000D", "0020000E", "00080018")
"""What names a study, a series and an instance."""

MOST_CALLS = 100
"""Requests to the archive for one search, and pages of each."""

MOST_RESULTS = 20_000
_LONGEST_RESULT = 4 << 20
_LONGEST_ANSWER = 64 << 20
"""Bytes of one result, and of all answers to one search together: these are held in memory."""

_OF_PATIENT = frozenset({"00201200", "00201202", "00201204"})
_OF_STUDY = frozenset({"00080061", "00080062", "00080063", "00201206", "00201208"})
_OF_SERIES = frozenset({"00201209"})


class SearchRefused(Refused):
    """A search that cannot be made: ``reason`` is SEARCH_TOO_BROAD, or BAD_QUERY when the archive finds it bad."""

    def __init__(self, reason: Reason, problem: str) -> None:
        """Refuse for *reason*."""
        super().__init__(problem, "name studies, or ask for fewer results")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an archive is able to do: lists of UIDs in a search, relational search, results at a time, thumbnails.

    None is not known, and found out on the way where it matters. ``largest_page`` None says that no limit was seen.
    ``parents`` says that it refuses pictures under a series or study that they are not in.
    """

    uid_lists: bool | None = None
    relational: bool | None = None
    largest_page: int | None = None
    thumbnails: bool | None = None
    parents: bool | None = None


ALL_OF_IT = Capabilities(uid_lists=True, relational=True, thumbnails=True, parents=True)
"""What an archive of our own is able to do."""


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a search. ``foreign`` counts what the archive answered besides: a security event unless 0."""

    items: list[Item]
    foreign: int = 0


async def search(
    archive: Archive, found: Match, query: SearchQuery, scope: Scope, capabilities: Capabilities | None = None
) -> Found:
    """What *query* on *found* finds within *scope*, paged as asked.

    Studies of a scope that names them come latest first, then by UID; everything else in the archive's order, study
    by study where it has to be asked several times. Raises :class:`SearchRefused` and ArchiveFailed.
    """
    return await _Search(archive, found, query, scope, capabilities or Capabilities()).result()


async def metadata(answer: ArchiveAnswer, found: Match, scope: Scope, archive: str) -> AsyncIterator[Item]:
    """The items of *answer* to the metadata that *found* asks for, cut to *scope*, as they arrive.

    Raises ForeignAnswer instead of yielding an item of another study, series or instance than the path names.
    """
    reach = Reach.of(scope, archive)
    path = found.resource(archive).path
    async for item in items(answer):
        uids = _uids(item, Level.INSTANCE)
        if uids[: len(path)] != path:
            raise ForeignAnswer("the archive answered with metadata of something else than asked")
        if _in_reach(reach, uids):
            yield _silenced(item, reach, uids)


def _uids(item: Item, level: Level) -> tuple[str | None, ...]:
    return tuple(text(item, tag) for tag in UID_TAGS[: level - Level.PATIENT])


def _named(uids: Sequence[str | None]) -> tuple[str, ...]:
    """The node that *uids* name, as far down as they do without a gap."""
    return tuple(uid for uid in takewhile(lambda uid: uid is not None, uids) if uid is not None)


def _in_reach(reach: Reach, uids: Sequence[str | None]) -> bool:
    """Whether the node that *uids* name holds something in scope; one that is not named only with all above it."""
    named = _named(uids)
    return reach.touches(*named) if len(named) == len(uids) else reach.covers(*named)


def _silenced(item: Item, reach: Reach, uids: Sequence[str | None]) -> Item:
    """*item* without what tells about things that are not in scope: counts and lists, and values from below a study.

    Archives answer for a study with the values of any of its instances (Orthanc: of the first one).
    """
    if reach.everything:
        return item
    named = _named(uids)
    if len(uids) == 1 and not reach.covers(*named):
        return {tag: element for tag, element in item.items() if tag in ABOVE_SERIES}
    telling = _OF_PATIENT
    if not reach.covers(*named[:1]):
        telling |= _OF_STUDY
    if not reach.covers(*named[:2]):
        telling |= _OF_SERIES
    for tag in telling & item.keys():
        del item[tag]
    return item


@dataclass(frozen=True, slots=True)
class _Call:
    """One request to the archive: below the nodes that ``within`` names, or for ``studies``; None for all."""

    path: str
    level: Level
    within: tuple[str, ...] = ()
    studies: tuple[str, ...] | None = None

    def expects(self, uids: Sequence[str | None]) -> bool:
        """Whether an item with *uids* can be an answer to this call."""
        if None in uids[:1] or uids[: len(self.within)] != self.within:
            return False
        return self.studies is None or uids[0] in self.studies


class _Search:
    """One search on its way."""

    def __init__(
        self, archive: Archive, found: Match, query: SearchQuery, scope: Scope, capabilities: Capabilities
    ) -> None:
        self._archive = archive
        self._path = found.path()
        self._level = SEARCHES[found.route.kind]
        self._within = found.resource(archive.name).path
        self._reach = Reach.of(scope, archive.name)
        self._capabilities = capabilities
        self._limit = query.limit
        self._offset = query.offset
        self._studies = self._effective(query)
        self._query = self._narrowed(query)
        self._foreign = 0
        self._received = 0

    async def result(self) -> Found:
        """Ask the archive as often as it takes."""
        if self._studies == ():
            return Found([])
        if self._studies is None and not self._within:
            everywhere = _Call(self._path, self._level)
            return Found(await self._from(everywhere, self._limit, self._offset), self._foreign)
        first = None if self._limit is None else self._offset + self._limit
        if self._level is Level.STUDY:
            found = sorted(await self._all(None), key=lambda item: _uids(item, Level.STUDY))
            found.sort(key=_moment, reverse=True)
        else:
            found = await self._all(first)
        return Found(found[self._offset : first], self._foreign)

    # -- what to ask

    def _effective(self, query: SearchQuery) -> tuple[str, ...] | None:
        """The studies to ask for: those in scope among those asked for; None for all there are, or the path's."""
        if self._within:
            return None
        if self._reach.everything:
            if query.studies is None and not self._relational:
                raise SearchRefused(Reason.SEARCH_TOO_BROAD, "the archive searches series and instances by study only")
            return query.studies and tuple(sorted(query.studies))
        if self._reach.unnamed:
            raise SearchRefused(Reason.SEARCH_TOO_BROAD, "what is in scope cannot be named by study")
        asked = None if query.studies is None else frozenset(query.studies)
        return tuple(study for study in self._reach.studies if asked is None or study in asked)

    def _narrowed(self, query: SearchQuery) -> SearchQuery:
        """*query* without what would tell of things out of scope, asking for the UIDs by which answers are judged."""
        if not self._reach.everything:
            query = query.without(_OF_PATIENT)
        studies = self._within[:1] or self._studies or ()
        if not all(map(self._reach.covers, studies)):
            query = query.without(_OF_STUDY | _OF_SERIES)
            if self._level is Level.STUDY:
                query = query.within(ABOVE_SERIES)
        if query.includefield in ((), ("all",)):
            return query
        return replace(query, includefield=tuple(dict.fromkeys((*query.includefield, *self._tags))))

    @property
    def _tags(self) -> tuple[str, ...]:
        return UID_TAGS[: self._level - Level.PATIENT]

    @property
    def _relational(self) -> bool:
        """Whether the archive answers this path itself."""
        return self._capabilities.relational is not False or self._level - Level.STUDY <= len(self._within)

    async def _calls(self) -> AsyncGenerator[_Call, None]:
        """The requests to make."""
        if not self._relational:
            for study in self._within or self._studies or ():
                async for call in self._below(study):
                    yield call
        elif self._studies is None:
            yield _Call(self._path, self._level, self._within)
        else:
            size = 1 if self._capabilities.uid_lists is False else MOST_UIDS
            for at in range(0, len(self._studies), size):
                yield _Call(self._path, self._level, studies=self._studies[at : at + size])

    async def _below(self, study: str) -> AsyncIterator[_Call]:
        """The requests that together are a relational search in *study*."""
        all_series = _Call(f"/studies/{study}/series", Level.SERIES, (study,))
        if self._level is Level.SERIES:
            yield all_series
            return
        for series in await self._from(all_series, None, query=SearchQuery()):
            uid = text(series, UID_TAGS[1])
            if uid is not None:
                yield _Call(f"/studies/{study}/series/{uid}/instances", Level.INSTANCE, (study, uid))

    # -- what comes back

    async def _all(self, wanted: int | None) -> list[Item]:
        """The first *wanted* results of all calls, one after the other; None for all."""
        found: list[Item] = []
        calls = 0
        async with aclosing(self._calls()) as under_way:
            async for call in under_way:
                calls += 1
                if calls > MOST_CALLS:
                    raise SearchRefused(Reason.SEARCH_TOO_BROAD, "the search would take too many requests")
                found += await self._from(call, None if wanted is None else wanted - len(found))
                _bounded(found)
                if wanted is not None and len(found) >= wanted:
                    break
        return found

    async def _from(
        self, call: _Call, wanted: int | None, offset: int = 0, *, query: SearchQuery | None = None
    ) -> list[Item]:
        """The first *wanted* results of one call, page by page as the archive gives them; None for all."""
        found: list[Item] = []
        seen: set[tuple[str | None, ...]] = set()
        for _ in range(MOST_CALLS):
            limit = self._page_size(None if wanted is None else wanted - len(found))
            page = await self._page(call, (query or self._query).paged(limit, offset))
            before = len(seen)
            found += [kept for item in page if (kept := self._kept(item, call, seen)) is not None]
            offset += len(page)
            if wanted is not None and len(found) >= wanted:
                return found[:wanted]
            if len(seen) == before or limit is None or len(page) < limit:
                return found  # nothing new is the end too: an archive may know no offset
            _bounded(found)
        raise SearchRefused(Reason.SEARCH_TOO_BROAD, "the archive answers in too many pages")

    def _page_size(self, wanted: int | None) -> int | None:
        largest = self._capabilities.largest_page
        return largest if wanted is None else wanted if largest is None else min(wanted, largest)

    async def _page(self, call: _Call, query: SearchQuery) -> list[Item]:
        async with self._archive.get(call.path, query.encode(call.studies), MEDIA_TYPE) as answer:
            if answer.status == HTTPStatus.NOT_FOUND and call.within:
                return []
            _judge(answer.status)
            page: list[Item] = []
            async for item in items(replace(answer, body=self._counted(answer.body)), _LONGEST_RESULT):
                page.append(item)
                _bounded(page)
            return page

    async def _counted(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in body:
            self._received += len(piece)
            if self._received > _LONGEST_ANSWER:
                raise SearchRefused(Reason.SEARCH_TOO_BROAD, "the search finds too much")
            yield piece

    def _kept(self, item: Item, call: _Call, seen: set[tuple[str | None, ...]]) -> Item | None:
        """*item* as it may be passed on; None for what is foreign, out of scope, or was *seen* before."""
        for tag, uid in zip(UID_TAGS, call.within, strict=False):
            item.setdefault(tag, {"vr": "UI", "Value": [uid]})
        uids = _uids(item, call.level)
        if uids in seen and None not in uids:
            return None
        seen.add(uids)
        if not call.expects(uids):
            self._foreign += 1
            return None
        return _silenced(item, self._reach, uids) if _in_reach(self._reach, uids) else None


def _moment(item: Item) -> tuple[str, str]:
    return text(item, "00080020") or "", text(item, "00080030") or ""


def _bounded(found: Sequence[Item]) -> None:
    if len(found) > MOST_RESULTS:
        raise SearchRefused(Reason.SEARCH_TOO_BROAD, "the search finds too much")


def _judge(status: int) -> None:
    if status == HTTPStatus.BAD_REQUEST:
        raise SearchRefused(Reason.BAD_QUERY, "the archive does not understand the query")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise SearchRefused(Reason.SEARCH_TOO_BROAD, "the archive finds the search too broad")
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise ArchiveFailed(f"the archive answered a search with status {status}")
