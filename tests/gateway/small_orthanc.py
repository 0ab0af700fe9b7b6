"""Orthanc's REST API in memory, as far as lists, searches and single resources go; it remembers what it was asked."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from keyhole.access.resource import Level
from keyhole.archive.answer import ArchiveAnswer

JSON = "application/json; charset=utf-8"
PATIENT = "P1"
TYPES = {Level.STUDY: "Study", Level.SERIES: "Series", Level.INSTANCE: "Instance"}
KINDS = {Level.STUDY: "studies", Level.SERIES: "series", Level.INSTANCE: "instances"}
UIDS = {
    Level.STUDY: ("StudyInstanceUID", "0020,000d"),
    Level.SERIES: ("SeriesInstanceUID", "0020,000e"),
    Level.INSTANCE: ("SOPInstanceUID", "0008,0018"),
}
PARENTS = {Level.STUDY: "ParentPatient", Level.SERIES: "ParentStudy", Level.INSTANCE: "ParentSeries"}


def name_of(*parts: str) -> str:
    """The name that Orthanc derives from a PatientID and UIDs."""
    digest = hashlib.sha1("|".join(parts).encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[at : at + 8] for at in range(0, 40, 8))


Path = tuple[str, ...]


@dataclass
class SmallOrthanc:
    """*paths*: the UIDs of each instance. All belong to one patient."""

    paths: Sequence[Path]
    name: str = "main"
    root: str = "http://orthanc.internal"
    ignores_queries: bool = False
    status: int = 200
    answers: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """By path: a media type and a body to answer with instead."""
    asked: list[str] = field(default_factory=list)
    sent: list[tuple[str | None, bytes]] = field(default_factory=list)
    accepts: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """When there is one, nothing is answered before it is set."""

    def nodes(self, level: Level) -> list[Path]:
        depth = level - Level.PATIENT
        return list(dict.fromkeys(path[:depth] for path in self.paths))

    def item(self, path: Path, form: str = "") -> dict[str, Any]:
        level = Level(Level.PATIENT + len(path))
        keyword, tag = UIDS[level]
        value: Any = {"Name": keyword, "Type": "String", "Value": path[-1]} if form == "full" else path[-1]
        return {
            "ID": name_of(PATIENT, *path),
            "Type": TYPES[level],
            "MainDicomTags": {tag if form else keyword: value},
            PARENTS[level]: name_of(PATIENT, *path[:-1]),
            "Labels": ["secret"],
            "AnonymizedFrom": name_of("somebody"),
        }

    @asynccontextmanager
    async def get(self, path: str, query: str, accept: str) -> AsyncIterator[ArchiveAnswer]:
        async with self.send("GET", path, query, accept) as answer:
            yield answer

    @asynccontextmanager
    async def send(
        self,
        method: str,
        path: str,
        query: str,
        accept: str,
        *,
        content_type: str | None = None,
        body: AsyncIterator[bytes] | None = None,
    ) -> AsyncIterator[ArchiveAnswer]:
        self.asked.append(f"{method} {path}?{query}" if query else f"{method} {path}")
        self.accepts.append(accept)
        if self.gate is not None:
            await self.gate.wait()
        received = b"".join([piece async for piece in body]) if body is not None else b""
        self.sent.append((content_type, received))
        if path in self.answers:
            kind, answered = self.answers[path]
            yield ArchiveAnswer(self.status, kind, _pieces(answered))
            return
        found = self._found(method, path, dict(parse_qsl(query, keep_blank_values=True)), received)
        status = 404 if found is None else self.status
        yield ArchiveAnswer(status, JSON, _pieces(json.dumps(found).encode()))

    def _found(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        first, _, rest = path.strip("/").partition("/")
        if path == "/tools/find":
            return self._find(json.loads(body))
        if path == "/tools/lookup":
            return [
                {"ID": name_of(PATIENT, *node), "Path": "/x", "Type": TYPES[level]}
                for level in KINDS
                for node in self.nodes(level)
                if node[-1] == body.decode()
            ]
        if method != "GET":
            return {"did": method}
        level = next((level for level, kind in KINDS.items() if kind == first), None)
        return None if level is None else self._read(level, rest, query)

    def _read(self, level: Level, rest: str, query: dict[str, str]) -> Any:
        if not rest:
            return self._shown(self.nodes(level), expand="expand" in query)
        name, _, kind = rest.partition("/")
        found = [node for node in self.nodes(level) if name_of(PATIENT, *node) == name]
        if not found:
            return None
        if not kind:
            return self.item(found[0])
        below = next(each for each, spelt in KINDS.items() if spelt == kind)
        inside = [node for node in self.nodes(below) if node[: len(found[0])] == found[0]]
        return self._shown(inside, expand=query.get("expand", "true") == "true")

    def _find(self, request: dict[str, Any]) -> Any:
        level = next(level for level, kind in TYPES.items() if kind == request["Level"])
        query = {} if self.ignores_queries else request["Query"]
        wanted = query.get("StudyInstanceUID", "").split("\\") if query.get("StudyInstanceUID") else None
        found = [node for node in self.nodes(level) if wanted is None or node[0] in wanted]
        for depth, (_, tag) in enumerate(UIDS.values(), 1):
            if query.get(tag):
                found = [node for node in found if len(node) >= depth and node[depth - 1] in query[tag].split("\\")]
        form = "full" if request.get("Full") else "short" if request.get("Short") else ""
        since, limit = request.get("Since", 0), request.get("Limit", 0)
        page = found[since : since + limit if limit else None]
        return self._shown(page, expand=bool(request.get("Expand")), form=form)

    def _shown(self, nodes: Iterable[Path], *, expand: bool, form: str = "") -> Any:
        return [self.item(node, form) if expand else name_of(PATIENT, *node) for node in nodes]

    def post(self, *_: object) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        pass


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    yield body
