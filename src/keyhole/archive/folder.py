"""The embedded archive: a folder of DICOM files as a DICOMweb server (PS3.18 sections 10.4 and 10.6).

Frames, instances and bulk data are answered as they are stored; nothing is transcoded. Pictures are rendered in
processes of their own.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from keyhole.archive import media
from keyhole.archive.answer import ArchiveAnswer
from keyhole.archive.answers import Problem, json_answer, not_acceptable, not_found, problem_answer
from keyhole.archive.attributes import Level
from keyhole.archive.bulk import TAG_PATH
from keyhole.archive.content import Chunks
from keyhole.archive.decoders import Decoders
from keyhole.archive.entries import DUPLICATE
from keyhole.archive.index import Index
from keyhole.archive.indexing import Outcome, Progress
from keyhole.archive.order import Order, Rendered
from keyhole.archive.pictures import Pictures
from keyhole.archive.query import FUZZY_IGNORED, BadQuery, parse_query
from keyhole.archive.receiver import Receiver, receipt
from keyhole.archive.retrieve import Body, Retriever
from keyhole.archive.search import Search
from keyhole.archive.threads import Threads
from keyhole.archive.upkeep import Upkeep
from keyhole.archive.uploads import Uploads
from keyhole.errors import ArchiveFailed, Misconfigured, Refused

_PARTS = {
    "{study}": r"(?P<study>[0-9.]{1,64})",
    "{series}": r"(?P<series>[0-9.]{1,64})",
    "{instance}": r"(?P<instance>[0-9.]{1,64})",
    "{frames}": r"(?P<frames>[1-9][0-9]{0,8}(?:,[1-9][0-9]{0,8})*)",
    "{bulk}": rf"(?P<bulk>{TAG_PATH})",
}
_S = "/studies/{study}"
_E = f"{_S}/series/{{series}}"
_I = f"{_E}/instances/{{instance}}"
_STORES = re.compile(r"/studies(?:/(?P<study>[0-9.]{1,64}))?")
_PICTURED = (_S, _E, _I, f"{_I}/frames/{{frames}}")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, taken apart."""

    uids: tuple[str, ...]
    named: dict[str, str]
    query: str
    accept: str


@dataclass(frozen=True, slots=True)
class _Answer:
    body: Body
    headers: dict[str, str]


class FolderArchive:
    """A folder of DICOM files as an archive; see :class:`keyhole.archive.answer.Archive`.

    Any number of processes may serve one folder over one *index* file, which is made when it is not there. One of them
    is elected to write it; the others only read. New, changed and removed files are noticed within *every* seconds,
    later in large folders: looking over the folder takes at most a tenth of the time.
    """

    def __init__(
        self, name: str, folder: Path, index: Path, *, uploads: bool = False, every: float = 5.0, threads: int = 4
    ) -> None:
        """Serve *folder*; nothing is read yet. Raises Misconfigured when it is not a folder.

        Nothing is ever written into it unless *uploads* are taken.
        """
        if not folder.is_dir():
            raise Misconfigured(f"{folder} is not a folder of DICOM files")
        folder = folder.resolve()
        self._name = name
        self._index = Index(index)
        self._upkeep = Upkeep(folder, index, every)
        self._threads = Threads(threads, "keyhole-folder")
        self._retriever = Retriever(self._index, os.fsencode(folder), self.root)
        self._pictures = Pictures(self._index, os.fsencode(folder))
        self._decoders = Decoders()
        self._uploads = Uploads(folder, index) if uploads else None

    @property
    def name(self) -> str:
        """The archive's name."""
        return self._name

    @property
    def root(self) -> str:
        """What the archive's own links start with; nothing answers there."""
        return f"http://{self._name}.keyhole.invalid/dicom-web"

    async def start(self) -> None:
        """Look over the folder from now on, when elected. What is not indexed yet is not found meanwhile."""
        await self._upkeep.begin()

    async def rescan(self, progress: Progress | None = None) -> Outcome | None:
        """Bring the index up to date now; None when that is another process's task.

        *progress* is called in another thread with the number of files done and of all. Raises ArchiveFailed, or
        Misconfigured when the index file is something else.
        """
        return await self._upkeep.once(progress)

    @property
    def elected(self) -> bool:
        """Whether this process writes the index."""
        return self._upkeep.elected

    @property
    def studies(self) -> int:
        """How many studies are indexed."""
        return int(self._index.rows("SELECT count(*) FROM studies")[0][0])

    @property
    def unreadable(self) -> list[tuple[str, str]]:
        """The files that hold no whole DICOM instance: path below the folder, and why."""
        return self._index.listed(
            f"SELECT path, problem FROM files WHERE problem NOT LIKE '{DUPLICATE}%' ORDER BY path"  # noqa: S608 - a constant
        )

    @property
    def duplicates(self) -> list[tuple[str, str]]:
        """The files whose instance another file has, whose path is lower: path below the folder, and which."""
        return self._index.listed(
            f"SELECT path, problem FROM files WHERE problem LIKE '{DUPLICATE}%' ORDER BY path"  # noqa: S608 - a constant
        )

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """The studies to look after: StudyInstanceUID, and why."""
        why = "its files name several patients; the one of the file with the lowest path counts"
        return self._index.listed(f"SELECT uid, '{why}' FROM studies WHERE mixed ORDER BY uid")  # noqa: S608 - a constant

    @asynccontextmanager
    async def get(self, path: str, query: str, accept: str) -> AsyncIterator[ArchiveAnswer]:
        """Answer *path* below the root; see :class:`keyhole.archive.answer.Archive`."""
        try:
            found = await self._threads.run(lambda: self._answer(path, query, accept))
            answer = await self._picture(found) if isinstance(found, Order) else found
        except BadQuery as bad:
            yield problem_answer(Problem(400, str(bad)))
        except Problem as problem:
            yield problem_answer(problem)
        else:
            body = self._threads.stream(_without_problems(answer.body.chunks))
            try:
                known = answer.body
                yield ArchiveAnswer(200, known.content_type, body, known.length, answer.headers, known.parts)
            finally:
                await body.aclose()

    def post(
        self,
        path: str,
        content_type: str,
        body: AsyncIterator[bytes],
        accept: str,  # noqa: ARG002 - the receipt is DICOM JSON
    ) -> AbstractAsyncContextManager[ArchiveAnswer]:
        """Store what *body* streams in the folder, when the operator allowed uploads."""
        if self._uploads is None:
            raise Refused("this archive is a folder of files and takes no uploads", "put the files into the folder")
        return self._post(self._uploads, path, content_type, body)

    @asynccontextmanager
    async def _post(
        self, uploads: Uploads, path: str, content_type: str, body: AsyncIterator[bytes]
    ) -> AsyncIterator[ArchiveAnswer]:
        try:
            answer = await self._received(uploads, path, content_type, body)
        except Problem as problem:
            answer = problem_answer(problem)
        yield answer

    async def _received(
        self, uploads: Uploads, path: str, content_type: str, body: AsyncIterator[bytes]
    ) -> ArchiveAnswer:
        if (match := _STORES.fullmatch(path)) is None:
            raise not_found()
        receiver = Receiver(uploads, content_type, match["study"])
        await self._threads.run(uploads.ready)
        try:
            async for chunk in body:
                await self._threads.run(partial(receiver.feed, chunk))
            receiver.finish()
        finally:
            # Also when the sender has left: a thread may be writing still, and is waited for in there.
            self._threads.later(receiver.abandon)
        status, dataset = receipt(receiver.results, self.root, match["study"])
        return json_answer(status, dataset)

    async def close(self) -> None:
        """Stop looking over the folder, let another process be elected, and let go of files and threads."""
        await self._decoders.close()
        await self._upkeep.end()
        await asyncio.to_thread(self._threads.shutdown)
        if self._uploads is not None:
            self._uploads.close()
        self._index.close()

    def _answer(self, path: str, query: str, accept: str) -> _Answer | Order:
        for pattern, handler in _ROUTES:
            if (match := pattern.fullmatch(path)) is not None:
                named = match.groupdict()
                uids = tuple(named[level] for level in ("study", "series", "instance") if named.get(level))
                return handler(self, Request(uids, named, query, accept))
        raise not_found()

    def _search(self, request: Request, level: Level) -> _Answer:
        if not media.accepts_json(request.accept):
            raise not_acceptable("A search")
        query = parse_query(request.query)
        search = Search(self._index, self.root, level, request.uids, query)
        ids, beyond = search.run()
        warnings = [FUZZY_IGNORED] if query.fuzzy else []
        if beyond:
            warnings.append(f"299 keyhole: There are {beyond} additional results that can be requested")
        return _Answer(Body(media.DICOM_JSON, search.body(ids)), {"warning": ", ".join(warnings)} if warnings else {})

    def _metadata(self, request: Request) -> _Answer:
        return _Answer(self._retriever.metadata(request.uids, request.accept), {})

    def _instances(self, request: Request) -> _Answer:
        return _Answer(self._retriever.instances(request.uids, request.accept), {})

    def _frames(self, request: Request) -> _Answer:
        numbers = [int(number) for number in request.named["frames"].split(",")]
        return _Answer(self._retriever.frames(request.uids, numbers, request.accept), {})

    def _bulk(self, request: Request) -> _Answer:
        return _Answer(self._retriever.bulk(request.uids, request.named["bulk"], request.accept), {})

    def _rendered(self, request: Request) -> Order:
        return self._pictures.rendered(request.uids, request.named.get("frames"), request.query, request.accept)

    def _thumbnail(self, request: Request) -> Order:
        return self._pictures.thumbnail(request.uids, request.named.get("frames"), request.query, request.accept)

    async def _picture(self, order: Order) -> _Answer:
        reply = await self._decoders.render(order)
        if isinstance(reply, Rendered):
            return _Answer(Body(order.media_type, _whole(reply.content), len(reply.content)), {})
        if reply.why == "gone":
            raise not_found()
        if reply.why == "changed":
            raise ArchiveFailed("a file of the folder has changed and is not indexed again yet")
        raise Problem(406, "This image cannot be rendered: ask for its frames, which come as they are stored.")


def _whole(content: bytes) -> Chunks:
    yield content


def _without_problems(chunks: Chunks) -> Chunks:
    """*chunks*, once the status has been sent: what is missing then is a failure."""
    try:
        yield from chunks
    except Problem as problem:
        raise ArchiveFailed("a file of the folder has gone meanwhile") from problem


_Handler = Callable[[FolderArchive, Request], _Answer | Order]


def _searching(level: Level) -> _Handler:
    return lambda archive, request: archive._search(request, level)  # noqa: SLF001 - the table of its own routes


def _route(template: str, handler: _Handler) -> tuple[re.Pattern[str], _Handler]:
    for part, expression in _PARTS.items():
        template = template.replace(part, expression)
    return re.compile(template), handler


_ROUTES = (
    _route("/studies", _searching(Level.STUDY)),
    _route("/series", _searching(Level.SERIES)),
    _route("/instances", _searching(Level.INSTANCE)),
    _route(f"{_S}/series", _searching(Level.SERIES)),
    _route(f"{_S}/instances", _searching(Level.INSTANCE)),
    _route(f"{_E}/instances", _searching(Level.INSTANCE)),
    *(_route(f"{place}/metadata", FolderArchive._metadata) for place in (_S, _E, _I)),  # noqa: SLF001
    *(_route(place, FolderArchive._instances) for place in (_S, _E, _I)),  # noqa: SLF001
    *(_route(f"{place}/rendered", FolderArchive._rendered) for place in _PICTURED),  # noqa: SLF001
    *(_route(f"{place}/thumbnail", FolderArchive._thumbnail) for place in _PICTURED),  # noqa: SLF001
    _route(f"{_I}/frames/{{frames}}", FolderArchive._frames),  # noqa: SLF001
    _route(f"{_I}/bulk/{{bulk}}", FolderArchive._bulk),  # noqa: SLF001
)
"""Everything that is answered. What is not here is not found."""
