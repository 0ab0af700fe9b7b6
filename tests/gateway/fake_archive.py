"""A DICOMweb archive in memory that works, and can be told to be as little able as real ones are."""

from __future__ import annotations

import copy
import fnmatch
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from keyhole.archive.answer import ArchiveAnswer

Item = dict[str, Any]
JSON = "application/dicom+json"
UIDS = ("0020000D", "0020000E", "00080018")
CONTROLS = ("includefield", "fuzzymatching", "limit", "offset")


def element(*values: object, vr: str = "LO") -> Item:
    return {"vr": vr, "Value": list(values)}


@dataclass
class FakeArchive:
    """*instances*: one item each, with all its UIDs; in the order in which they are answered."""

    instances: list[Item]
    name: str = "main"
    root: str = "http://archive.internal/dicom-web"
    uid_lists: bool = True
    relational: bool = True
    largest_page: int | None = None
    ignores: frozenset[str] = frozenset()
    """Tags and parameters that it does not know."""
    leaves_out: frozenset[str] = frozenset()
    """Tags that are missing in its answers."""
    intruders: list[Item] = field(default_factory=list)
    """Items that are in every answer."""
    says_204: bool = False
    status: int = 200
    piece: int = 64
    asked: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def get(self, path: str, query: str, accept: str) -> AsyncIterator[ArchiveAnswer]:
        assert accept == JSON
        self.asked.append(f"{path}?{query}" if query else path)
        status, found = self._answer(path.strip("/").split("/"), dict(self._pairs(query)))
        if self.says_204 and status == 200 and not found:
            status = 204
        yield ArchiveAnswer(status, JSON, self._pieces(json.dumps(found).encode() if status == 200 else b""))

    @staticmethod
    def _pairs(query: str) -> Iterator[tuple[str, str]]:
        for pair in filter(None, query.split("&")):
            name, _, value = pair.partition("=")
            yield name, unquote(value)

    async def _pieces(self, body: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(body), self.piece):
            yield body[at : at + self.piece]

    def _answer(self, path: list[str], query: dict[str, str]) -> tuple[int, list[Item]]:
        if self.status != 200:
            return self.status, []
        uids, what = path[1:-1:2] if path[0] == "studies" and len(path) > 1 else [], path[-1]
        if len(path) == 1 or path[0] != "studies":
            uids = []
        if what in ("series", "instances") and not self.relational and len(path) < {"series": 3, "instances": 5}[what]:
            return 404, []
        below = [i for i in self.instances if self._uids(i)[: len(uids)] == tuple(uids)]
        if uids and not below:
            return 404, []
        if what == "metadata":
            return 200, [self._shown(item) for item in [*below, *self.intruders]]
        level = {"studies": 1, "series": 2, "instances": 3}[what]
        query = {name: value for name, value in query.items() if name not in self.ignores}
        found = [item for item in self._nodes(below, level) if self._matches(item, query)]
        return 200, [*self._page(found, query), *map(self._shown, self.intruders)]

    @staticmethod
    def _uids(item: Item) -> tuple[str, ...]:
        return tuple(item[tag]["Value"][0] for tag in UIDS)

    def _nodes(self, instances: list[Item], level: int) -> list[Item]:
        """The first instance of each study, series or instance stands for it."""
        nodes: dict[tuple[str, ...], Item] = {}
        for item in instances:
            nodes.setdefault(self._uids(item)[:level], item)
        hidden = UIDS[level:]
        return [{tag: value for tag, value in item.items() if tag not in hidden} for item in nodes.values()]

    def _matches(self, item: Item, query: dict[str, str]) -> bool:
        return all(
            self._value_matches(tag, str(item.get(tag, {}).get("Value", [""])[0]), wanted)
            for tag, wanted in (("0020000D" if name == "StudyInstanceUID" else name, v) for name, v in query.items())
            if tag not in CONTROLS and wanted
        )

    def _value_matches(self, tag: str, value: str, wanted: str) -> bool:
        if tag in UIDS:
            return value in (wanted.split(",") if self.uid_lists else [wanted])
        return fnmatch.fnmatchcase(value, wanted)

    def _page(self, found: list[Item], query: dict[str, str]) -> list[Item]:
        offset = int(query.get("offset", 0))
        most = [n for n in (self.largest_page, int(query["limit"]) if "limit" in query else None) if n is not None]
        return [self._shown(item) for item in (found[offset:][: min(most)] if most else found[offset:])]

    def _shown(self, item: Item) -> Item:
        return copy.deepcopy({tag: value for tag, value in item.items() if tag not in self.leaves_out})

    def post(self, *_: object) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        pass
