"""Searches and metadata, cut to what is in scope (design section 8; PS3.18 §8.3.4, §10.6).

A filter that an archive does not know disappears silently, so narrowing the query is never enough: every item of the
answer is judged as well. What has to be dropped then was foreign, and is counted for the trail.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import takewhile

from keyhole.access.decision import Reason, Scope
from keyhole.access.resource import Level
from keyhole.archive.answer import Archive, ArchiveAnswer
from keyhole.dicom.attribute import ABOVE_SERIES, OF_PATIENT, OF_SERIES, OF_STUDY
from keyhole.dicom.query import MOST_UIDS, SEARCHES, SearchQuery
from keyhole.dicom.route import Match
from keyhole.errors import ForeignAnswer
from keyhole.gateway.asking import MOST_CALLS, Asking, Call, NoSuchSearch, SearchRefused, Uids, bounded
from keyhole.gateway.dicomjson import Item, items
from keyhole.gateway.reach import Reach
from keyhole.gateway.rewrite import text

UID_TAGS = ("0020000D", "0020000E", "00080018")
"""What names a study, a series and an instance."""


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


def _uids(item: Item, level: Level) -> Uids:
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
    telling = OF_PATIENT
    if not reach.covers(*named[:1]):
        telling |= OF_STUDY
    if not reach.covers(*named[:2]):
        telling |= OF_SERIES
    for tag in telling & item.keys():
        del item[tag]
    return item


class _Search:
    """One search on its way."""

    def __init__(
        self, archive: Archive, found: Match, query: SearchQuery, scope: Scope, capabilities: Capabilities
    ) -> None:
        self._asking = Asking(archive, capabilities.largest_page, self._judge)
        self._path = found.path()
        self._level = SEARCHES[found.route.kind]
        self._within = found.resource(archive.name).path
        self._reach = Reach.of(scope, archive.name)
        self._lists = capabilities.uid_lists
        self._relational = capabilities.relational
        if self._level - Level.STUDY <= len(self._within):
            self._relational = True  # no relational search at all, but one that every archive has
        self._asked = query
        self._studies = self._effective(query)
        self._query = self._narrowed(query)
        self._calls_made = 0
        self._foreign = 0

    async def result(self) -> Found:
        """Ask the archive as often as it takes; study by study when it turns out to have no relational search."""
        try:
            return await self._result()
        except NoSuchSearch:
            if self._relational is not None:
                raise
        except SearchRefused as refused:
            if self._relational is not None or refused.reason is not Reason.BAD_QUERY:
                raise
        self._relational = False
        self._studies = self._effective(self._asked)
        return await self._result()

    async def _result(self) -> Found:
        limit, offset = self._asked.limit, self._asked.offset
        if self._studies == ():
            return Found([])
        if self._studies is None and not self._within:
            everywhere = Call(self._path, self._level)
            return Found(await self._from(everywhere, limit, offset), self._foreign)
        first = None if limit is None else offset + limit
        if self._level is Level.STUDY:
            found = sorted(await self._all(None), key=lambda item: _uids(item, Level.STUDY))
            found.sort(key=_moment, reverse=True)
        else:
            found = await self._all(first)
        return Found(found[offset:first], self._foreign)

    # -- what to ask

    def _effective(self, query: SearchQuery) -> tuple[str, ...] | None:
        """The studies to ask for: those in scope among those asked for; None for all there are, or the path's."""
        if self._within:
            return None
        if self._reach.everything:
            if query.studies is None and self._relational is False:
                raise SearchRefused(Reason.SEARCH_TOO_BROAD, "the archive searches series and instances by study only")
            return query.studies and tuple(sorted(query.studies))
        if self._reach.unnamed:
            raise SearchRefused(Reason.SEARCH_TOO_BROAD, "what is in scope cannot be named by study")
        asked = None if query.studies is None else frozenset(query.studies)
        return tuple(study for study in self._reach.studies if asked is None or study in asked)

    def _narrowed(self, query: SearchQuery) -> SearchQuery:
        """*query* without what would tell of things out of scope, asking for the UIDs by which answers are judged."""
        if not self._reach.everything:
            query = query.without(OF_PATIENT)
        studies = self._within[:1] or self._studies or ()
        divided = not all(map(self._reach.covers, studies))
        if divided:
            query = query.without(OF_STUDY | OF_SERIES)
            if self._level is Level.STUDY:
                query = query.within(ABOVE_SERIES)
        if query.includefield == ("all",) or (not query.includefield and not (divided and self._within)):
            return query
        return replace(query, includefield=tuple(dict.fromkeys((*query.includefield, *self._tags))))

    @property
    def _tags(self) -> tuple[str, ...]:
        return UID_TAGS[: self._level - Level.PATIENT]

    async def _calls(self) -> AsyncGenerator[Call, None]:
        """The requests to make."""
        if self._relational is False:
            for study in self._within or self._studies or ():
                async for call in self._below(study):
                    yield call
        elif self._studies is None:
            yield Call(self._path, self._level, self._within)
        else:
            size = 1 if self._lists is False else MOST_UIDS
            for at in range(0, len(self._studies), size):
                yield self._for(self._studies[at : at + size])

    def _for(self, studies: tuple[str, ...]) -> Call:
        return Call(self._path, self._level, studies=studies)

    async def _below(self, study: str) -> AsyncIterator[Call]:
        """The requests that together are a relational search in *study*."""
        all_series = Call(f"/studies/{study}/series", Level.SERIES, (study,))
        if self._level is Level.SERIES:
            yield all_series
            return
        for series in await self._from(all_series, None, query=SearchQuery()):
            uid = text(series, UID_TAGS[1])
            if uid is not None:
                yield Call(f"/studies/{study}/series/{uid}/instances", Level.INSTANCE, (study, uid))

    # -- what comes back

    async def _all(self, wanted: int | None) -> list[Item]:
        """The first *wanted* results of all calls, one after the other; None for all."""
        found: list[Item] = []
        async with aclosing(self._calls()) as under_way:
            async for call in under_way:
                await self._add(found, call, wanted)
                if self._lists is None and len(call.studies or ()) > 1:
                    for study in await self._missed(call, found):
                        await self._add(found, self._for((study,)), wanted)
                if wanted is not None and len(found) >= wanted:
                    break
        return found

    async def _add(self, found: list[Item], call: Call, wanted: int | None) -> None:
        """Add to *found* what *call* finds, up to *wanted*."""
        self._calls_made += 1
        if self._calls_made > MOST_CALLS:
            raise SearchRefused(Reason.SEARCH_TOO_BROAD, "the search would take too many requests")
        try:
            found += await self._from(call, None if wanted is None else max(0, wanted - len(found)))
        except SearchRefused as refused:
            # Whoever reads one UID finds a list malformed; where that is not known each study is asked for yet.
            a_list = self._lists is None and len(call.studies or ()) > 1
            if refused.reason is not Reason.BAD_QUERY or not a_list:
                raise
        bounded(found)

    async def _missed(self, call: Call, found: Sequence[Item]) -> Sequence[str]:
        """The studies of *call*'s list that may have been missed, because the archive may know no lists.

        One that answered with two of them does; where the query leaves that open, the list is asked for by itself.
        """
        studies = call.studies or ()
        seen = {text(item, UID_TAGS[0]) for item in found} & set(studies)
        if len(seen) < len(studies[:2]) and self._query.matches:
            alone = Call("/studies", Level.STUDY, studies=studies)
            try:
                there = await self._asking.results(alone, SearchQuery(), None)
            except SearchRefused:
                there = []
            listed = {text(item, UID_TAGS[0]) for item in there}
            if len(listed) > 1:
                return ()
        return () if len(seen) > 1 else [study for study in studies if study not in seen]

    async def _from(
        self, call: Call, wanted: int | None, offset: int = 0, *, query: SearchQuery | None = None
    ) -> list[Item]:
        """The first *wanted* results of one call; none of a study that is gone."""
        try:
            return await self._asking.results(call, query or self._query, wanted, offset)
        except NoSuchSearch:
            if not call.within or self._relational is None:
                raise
            return []

    def _judge(self, item: Item, call: Call) -> tuple[Uids, Item | None]:
        """The UIDs of *item*, and as it may be passed on; None for what is foreign or out of scope."""
        for tag, uid in zip(UID_TAGS, call.within, strict=False):
            item.setdefault(tag, {"vr": "UI", "Value": [uid]})
        uids = _uids(item, call.level)
        if not call.expects(uids):
            self._foreign += 1
            return uids, None
        return uids, _silenced(item, self._reach, uids) if _in_reach(self._reach, uids) else None


def _moment(item: Item) -> tuple[str, str]:
    return text(item, "00080020") or "", text(item, "00080030") or ""
