"""The least able archive that may call itself an origin server: what real ones lack, all at once or one by one.

It answers the truth about what it holds, and takes no care at all where it was asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.gateway.fake_archive import UIDS, Item
from tests.gateway.small_archive import END, SmallArchive, of, part

ELSEWHERE = "http://storage.elsewhere.example/bucket"
"""Where its links lead: not below its own root."""

KNOWN = frozenset({"StudyInstanceUID", "PatientID", "00100020", "limit", "offset"})
"""The only parameters that it heeds."""


@dataclass
class StrictArchive(SmallArchive):
    """No UID lists, no relational search, few parameters, silent pages, 204, no parents, no thumbnails.

    ``lists``: what it makes of several UIDs with commas between them: one long UID (``whole``), the first of them
    (``first``), no search at all (``ignored``), or a bad request (``bad``); ``all`` of them when it knows lists.
    """

    lists: str = "whole"
    relational: bool = False
    says_204: bool = True
    largest_page: int | None = 100
    heeds: frozenset[str] = KNOWN
    refuses_fields: bool = True
    """``includefield=all`` is a bad request."""
    checks_parents: bool = False
    thumbnails: bool = False

    def _answer(self, path: list[str], query: dict[str, str]) -> tuple[int, list[Item]]:
        if self.refuses_fields and query.get("includefield") == "all":
            return 400, []
        query = {name: value for name, value in query.items() if name in self.heeds}
        asked = query.get("StudyInstanceUID", "")
        if "," in asked and self.lists != "all":
            if self.lists == "bad":
                return 400, []
            query["StudyInstanceUID"] = {"whole": "none", "first": asked.partition(",")[0]}.get(self.lists, "")
        if not self.checks_parents and path[0] == "studies" and len(path) in (5, 7):
            path = self._found(path)
        return super()._answer(path, query)

    def _found(self, path: list[str]) -> list[str]:
        """*path*, its last UID kept and what is above it made right: parents are not looked at."""
        at = len(path) // 2
        for item in self.instances:
            uids = self._uids(item)
            if uids[at - 1] == path[2 * at - 1]:
                names = [part for pair in zip(("studies", "series", "instances"), uids, strict=True) for part in pair]
                return [*names[: 2 * at], path[-1]]
        return path

    def _picture(self, path: str) -> Any:
        """A picture says which instance it is of, so that it shows whose was passed on; 404 for what is not there."""
        parts = path.strip("/").split("/")
        uids = tuple(parts[1:6:2])
        there = [i for i in self.instances if self._uids(i)[2:] == uids[2:] and len(uids) == 3]
        if self.checks_parents:
            there = [i for i in there if self._uids(i) == uids]
        if not there or ("/thumbnail" in path and not self.thumbnails):
            return of(content_type="text/plain", status=404)
        pixels = picture_of(there[0])
        if parts[-1] in ("rendered", "thumbnail"):
            return of(pixels, content_type="image/jpeg")
        frames = parts[-1].split(",") if "frames" in parts else ["1"]
        # Neither quotes nor a Content-Location of its own address.
        kind = "multipart/related; type=application/octet-stream; boundary=between"
        return of(*(part(ELSEWHERE + path) + pixels for _ in frames), END, content_type=kind)

    def _shown(self, item: Item) -> Item:
        shown = super()._shown(item)
        where = ELSEWHERE + "".join(f"/{self._uids(item)[n]}" for n in range(3)) if UIDS[2] in item else ELSEWHERE
        if "00081190" in shown:
            shown["00081190"]["Value"] = [where]
        if "7FE00010" in shown:
            shown["7FE00010"]["BulkDataURI"] = f"{where}/pixels"
        return shown


def picture_of(item: Item) -> bytes:
    """The pixels of an instance, by which they are recognised."""
    return f"pixels of <{item[UIDS[2]]['Value'][0]}>".encode() * 20
