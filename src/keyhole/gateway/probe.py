"""What an archive is able to do, found out by asking it: a few small requests, each with an end (PS3.18 §8.3, §10.6).

Servers ignore what they do not know, so that an answer proves something only where a server without the capability
would have answered otherwise: a list is asked for with UIDs that nobody has before and after the one that is there,
and a picture under a series that it is not in. What cannot be told stays None.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import Final

from keyhole.access.resource import is_uid
from keyhole.archive.answer import Archive, ArchiveAnswer
from keyhole.dicom.query import SearchQuery
from keyhole.errors import ArchiveFailed, ArchiveTimeout
from keyhole.gateway.capabilities_file import Probed
from keyhole.gateway.dicomjson import MEDIA_TYPE, Item, items
from keyhole.gateway.rewrite import text

PATIENCE: Final = 20.0
"""Seconds for one request, body and all."""

PAGES: Final = (201, 200, 100, 50, 10)
"""Limits to try, from the largest: what is answered to the first that is taken shows the most there is at a time.

Larger pages than the first are not looked for: a search goes on by itself after one that looks cut.
"""

_LONGEST_ITEM = 1 << 20
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_NOBODYS = tuple(f"2.25.{number}" for number in (314159265358979323846, 271828182845904523536, 161803398874989484820))
"""UIDs in the range of random ones (PS3.5 annex B.2), too short to be any that was drawn."""
_WITHOUT_PIXELS = frozenset({"SR", "PR", "KO", "DOC", "SEG", "RTSTRUCT", "RTPLAN", "RTRECORD", "REG", "AU", "ECG"})
_PICTURE = "image/jpeg"
_FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


async def probe(archive: Archive, root: str, now: datetime) -> Probed:
    """What *archive* is able to do, at *root* and *now*; ArchiveFailed when it answers no search for studies at all.

    Reads at most some hundred search results and no picture further than its head.
    """
    return await _Probe(archive).result(Probed(root=root, at=now.isoformat(timespec="seconds")))


@dataclass(frozen=True, slots=True)
class _Picture:
    """An instance that was rendered or gave out its first frame."""

    study: str
    series: str
    instance: str

    @property
    def path(self) -> str:
        return f"/studies/{self.study}/series/{self.series}/instances/{self.instance}"


class _Probe:
    """One archive while it is asked."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def result(self, blank: Probed) -> Probed:
        studies = [uid for item in await self._sample() if is_uid(uid := text(item, _STUDY) or "")]
        studies = list(dict.fromkeys(studies))
        if not studies:
            return replace(blank, empty=await self._empty())
        picture = await self._picture(studies)
        return replace(
            blank,
            uid_lists=await self._uid_lists(studies),
            relational=await self._relational(studies[0]),
            largest_page=await self._largest_page(),
            empty=await self._empty(),
            thumbnails=None if picture is None else await self._passes(f"{picture.path}/thumbnail", _PICTURE),
            parents=None if picture is None else await self._parents(picture, studies),
        )

    # -- one request

    @asynccontextmanager
    async def _asked(self, path: str, query: str, accept: str = MEDIA_TYPE) -> AsyncIterator[ArchiveAnswer]:
        try:
            async with asyncio.timeout(PATIENCE), self._archive.get(path, query, accept) as answer:
                yield answer
        except TimeoutError as error:
            raise ArchiveTimeout("the archive took too long to answer a question about itself") from error

    async def _found(self, path: str, query: SearchQuery, studies: Sequence[str] | None, most: int) -> list[Item]:
        """The first *most* results of a search; nothing more is read, whatever limit the archive heeds."""
        async with self._asked(path, query.encode(studies)) as answer:
            if answer.status not in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
                raise ArchiveFailed(f"the archive answered a search with status {answer.status}")
            found: list[Item] = []
            async for item in items(answer, _LONGEST_ITEM):
                found.append(item)
                if len(found) == most:
                    break
            return found

    async def _named(self, path: str, studies: Sequence[str] | None, tag: str) -> list[str | None] | None:
        """The values of *tag* in what a search finds; None when the archive refuses it."""
        try:
            return [text(item, tag) for item in await self._found(path, SearchQuery(limit=5), studies, 5)]
        except ArchiveTimeout:
            raise
        except ArchiveFailed:
            return None

    async def _passes(self, path: str, accept: str) -> bool:
        """Whether *path* is answered with something; no more than the head is read."""
        try:
            async with self._asked(path, "", accept) as answer:
                return answer.status == HTTPStatus.OK
        except ArchiveTimeout:
            raise
        except ArchiveFailed:
            return False

    # -- one capability

    async def _sample(self) -> list[Item]:
        return await self._found("/studies", SearchQuery(limit=5), None, 5)

    async def _empty(self) -> int | None:
        """How nothing is said; None when the archive answers with something even then."""
        async with self._asked("/studies", SearchQuery(limit=1).encode(_NOBODYS[:1])) as answer:
            if answer.status == HTTPStatus.NO_CONTENT:
                return answer.status
            async for _ in items(answer, _LONGEST_ITEM):
                return None
            return answer.status

    async def _uid_lists(self, studies: Sequence[str]) -> bool:
        """Whether a list finds exactly what is in it.

        A server that takes the list as one UID finds nothing; one that reads its first or last UID only, nothing
        either, for those are nobody's; one that ignores it, what a list of nobody's UIDs finds as well.
        """
        known = studies[:2]
        between = [uid for pair in zip(_NOBODYS, known, strict=False) for uid in pair]
        nothing = await self._named("/studies", _NOBODYS[:2], _STUDY)
        some = await self._named("/studies", (*between, _NOBODYS[2]), _STUDY)
        return nothing == [] and some is not None and sorted(map(str, some)) == sorted(known)

    async def _relational(self, study: str) -> bool:
        """Whether series and instances are found by study, below no study and below one, and say whose they are."""
        for path in ("/series", "/instances"):
            if await self._named(path, _NOBODYS[:1], _STUDY) != []:
                return False
            if set(await self._named(path, (study,), _STUDY) or [None]) != {study}:
                return False
        return bool(await self._named(f"/studies/{study}/instances", None, _INSTANCE))

    async def _largest_page(self) -> int | None:
        """How many studies are answered at most at a time; None when there are too few to tell, or no end was seen."""
        for limit in PAGES:
            try:
                found = await self._found("/studies", SearchQuery(limit=limit), None, limit)
            except ArchiveTimeout:
                raise
            except ArchiveFailed:
                continue  # some refuse a limit above theirs
            if limit == PAGES[0] and len(found) == limit:
                return None if len(await self._found("/studies", SearchQuery(), None, limit)) == limit else limit
            more = await self._found("/studies", SearchQuery(limit=1, offset=len(found)), None, 1)
            seen = {text(item, _STUDY) for item in found}
            cut = bool(more) and text(more[0], _STUDY) not in seen
            return len(found) if cut or limit < PAGES[0] else None
        return None

    async def _picture(self, studies: Sequence[str]) -> _Picture | None:
        """An instance that has a picture, if one of the first few has: of a study of several series if there is one."""
        series_of = {study: await self._series(study) for study in studies}
        for study in sorted(studies, key=lambda uid: len(series_of[uid]) < 2):  # noqa: PLR2004 - several
            for series in series_of[study]:
                named = await self._named(f"/studies/{study}/series/{series}/instances", None, _INSTANCE)
                found = _Picture(study, series, (named or [None])[0] or "")
                if is_uid(found.instance) and await self._passes(f"{found.path}/rendered", _PICTURE):
                    return found
        return None

    async def _series(self, study: str) -> list[str]:
        found = await self._found(f"/studies/{study}/series", SearchQuery(limit=5), None, 5)
        with_pixels = [item for item in found if text(item, "00080060") not in _WITHOUT_PIXELS]
        return [uid for item in with_pixels if is_uid(uid := text(item, _SERIES) or "")]

    async def _parents(self, picture: _Picture, studies: Sequence[str]) -> bool | None:
        """Whether *picture* is refused under another series of its study, and under another study.

        Only parents that are there prove that it is the place that is refused, and not the parent.
        """
        study = next((uid for uid in studies if uid != picture.study), None)
        series = next((uid for uid in await self._series(picture.study) if uid != picture.series), None)
        wrong = [replace(picture, study=study or _NOBODYS[0]), replace(picture, series=series or _NOBODYS[0])]
        for place in wrong:
            for below, accept in (("/rendered", _PICTURE), ("/frames/1", _FRAMES)):
                if await self._passes(place.path + below, accept):
                    return False
        return True if study and series else None
