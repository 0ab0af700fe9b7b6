"""The requests that one search makes of an archive, page by page, bounded in number and size (PS3.18 §8.3.4, §10.6)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

from keyhole.access.decision import Reason
from keyhole.access.resource import Level
from keyhole.archive.answer import Archive
from keyhole.dicom.query import SearchQuery
from keyhole.errors import ArchiveFailed, Refused
from keyhole.gateway.dicomjson import MEDIA_TYPE, Item, items

MOST_CALLS = 100
"""Requests to the archive for one search, and pages of each."""

MOST_RESULTS = 20_000

ROUND = 100
"""A page of a multiple of this may be one that the archive cut without a word: the limits of real ones are round."""

_LONGEST_RESULT = 4 << 20
_LONGEST_ANSWER = 64 << 20
"""Bytes of one result, and of all answers to one search together: these are held in memory."""

Uids = tuple[str | None, ...]


class SearchRefused(Refused):
    """A search that cannot be made: ``reason`` is SEARCH_TOO_BROAD, or BAD_QUERY when the archive finds it bad."""

    def __init__(self, reason: Reason, problem: str) -> None:
        """Refuse for *reason*."""
        super().__init__(problem, "name studies, or ask for fewer results")
        self.reason = reason


class NoSuchSearch(ArchiveFailed):
    """The archive has nothing at this path."""


@dataclass(frozen=True, slots=True)
class Call:
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

    def over(self, found: int) -> bool:
        """Whether there can be no more than *found* different results."""
        return self.level is Level.STUDY and self.studies is not None and found >= len(self.studies)


Judge = Callable[[Item, Call], tuple[Uids, Item | None]]
"""The UIDs of an item that answers a call, and the item as it may be passed on, or None."""


class Asking:
    """The archive, while it is asked for one search."""

    def __init__(self, archive: Archive, largest_page: int | None, judge: Judge) -> None:
        """Ask for at most *largest_page* results at a time, and keep what *judge* keeps."""
        self._archive = archive
        self._largest_page = largest_page
        self._judge = judge
        self._received = 0
        self._plain = False
        """The archive refused what is optional."""

    async def results(self, call: Call, query: SearchQuery, wanted: int | None, offset: int = 0) -> list[Item]:
        """The first *wanted* results of *call* from *offset* on, as many pages as it takes; None for all.

        Raises :class:`SearchRefused` and ArchiveFailed, :class:`NoSuchSearch` among them.
        """
        found: list[Item] = []
        seen: set[Uids] = set()
        answered = 0
        for _ in range(MOST_CALLS):
            limit = self._page_size(None if wanted is None else wanted - len(found))
            page = await self._page(call, query.paged(limit, offset))
            before = len(seen)
            for item in page:
                uids, kept = self._judge(item, call)
                if (uids not in seen or None in uids) and kept is not None:
                    found.append(kept)
                answered += uids not in seen and call.expects(uids)
                seen.add(uids)
            offset += len(page)
            if wanted is not None and len(found) >= wanted:
                return found[:wanted]
            if len(seen) == before or not _cut(len(page), limit) or call.over(answered):
                return found  # nothing new is the end too: an archive may know no offset
            bounded(found)
        raise SearchRefused(Reason.SEARCH_TOO_BROAD, "the archive answers in too many pages")

    def _page_size(self, wanted: int | None) -> int | None:
        largest = self._largest_page
        return largest if wanted is None else wanted if largest is None else min(wanted, largest)

    async def _page(self, call: Call, query: SearchQuery) -> list[Item]:
        """One page. An archive that refuses what is optional in a query is asked without it."""
        plain = replace(query, includefield=(), fuzzymatching=None)
        if not self._plain and plain != query:
            try:
                return await self._answer(call, query)
            except SearchRefused as refused:
                if refused.reason is not Reason.BAD_QUERY:
                    raise
                self._plain = True
        return await self._answer(call, plain)

    async def _answer(self, call: Call, query: SearchQuery) -> list[Item]:
        async with self._archive.get(call.path, query.encode(call.studies), MEDIA_TYPE) as answer:
            if answer.status == HTTPStatus.NOT_FOUND and call.within[call.level - Level.STUDY - 1 :]:
                return []
            _check(answer.status)
            page: list[Item] = []
            async for item in items(replace(answer, body=self._counted(answer.body)), _LONGEST_RESULT):
                page.append(item)
                bounded(page)
            return page

    async def _counted(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in body:
            self._received += len(piece)
            if self._received > _LONGEST_ANSWER:
                raise SearchRefused(Reason.SEARCH_TOO_BROAD, "the search finds too much")
            yield piece


def bounded(found: Sequence[Item]) -> None:
    """Raise :class:`SearchRefused` when there are more results than are held in memory."""
    if len(found) > MOST_RESULTS:
        raise SearchRefused(Reason.SEARCH_TOO_BROAD, "the search finds too much")


def _cut(size: int, limit: int | None) -> bool:
    """Whether there may be more after a page of *size* results."""
    return (limit is not None and size >= limit) or size % ROUND == 0


def _check(status: int) -> None:
    if status == HTTPStatus.BAD_REQUEST:
        raise SearchRefused(Reason.BAD_QUERY, "the archive does not understand the query")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise SearchRefused(Reason.SEARCH_TOO_BROAD, "the archive finds the search too broad")
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        raise NoSuchSearch(f"the archive answered a search with status {status}")
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise ArchiveFailed(f"the archive answered a search with status {status}")
