"""An archive answers in JSON that is not DICOM's, or that never ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from keyhole.access.decision import Reason, Scope
from keyhole.access.resource import Resource
from keyhole.archive.answer import ArchiveAnswer
from keyhole.dicom import dicomweb
from keyhole.dicom.query import SearchQuery
from keyhole.dicom.route import Match
from keyhole.gateway import asking
from keyhole.gateway.asking import SearchRefused
from keyhole.gateway.rewrite import Links
from keyhole.gateway.scoping import search
from tests.gateway.fake_archive import JSON, FakeArchive

ADDRESS = "http://10.0.0.1/secret"
LINK = {"00081190": {"vr": "UR", "Value": [ADDRESS]}, "7FE00010": {"vr": "OW", "BulkDataURI": ADDRESS}}


@pytest.mark.parametrize(
    "element",
    [
        pytest.param({"vr": "SQ", "Value": [[LINK]]}, id="items in a list in a list"),
        pytest.param({"vr": "SQ", "Value": [{"00400275": {"vr": "SQ", "Value": [[LINK]]}}]}, id="deeper"),
        pytest.param({"vr": "PN", "Value": [LINK]}, id="items for names"),
        pytest.param({"vr": "PN", "Value": [{"Alphabetic": LINK}]}, id="items in names"),
    ],
)
def test_no_link_hides_where_links_are_not_looked_for(element: Any) -> None:
    item = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}, None]}, "00400275": element}
    rewritten = Links("http://archive.example", "https://keyhole.example", "/studies/1.2").rewrite(item, "1.2")
    assert ADDRESS not in repr(rewritten)
    assert "00100010" in rewritten


class Endless(FakeArchive):
    """Every item is new, and there is no last one."""

    sent = 0

    @asynccontextmanager
    async def get(self, path: str, query: str, accept: str) -> AsyncIterator[ArchiveAnswer]:
        yield ArchiveAnswer(200, JSON, self._items())

    async def _items(self) -> AsyncIterator[bytes]:
        yield b"["
        while True:
            piece = b'{"0020000D":{"vr":"UI","Value":["1.2"]},"00104000":{"vr":"LT","Value":["%b"]}},' % (b"x" * 60_000)
            self.sent += len(piece)
            yield piece


async def test_what_a_search_holds_in_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_LONGEST_ANSWER", 1 << 20)
    found = dicomweb.match("GET", b"/studies")
    assert isinstance(found, Match)
    archive = Endless([])
    with pytest.raises(SearchRefused) as refused:
        await search(archive, found, SearchQuery(), Scope(frozenset({Resource.of("main", "1.2")})))
    assert refused.value.reason is Reason.SEARCH_TOO_BROAD
    assert archive.sent < 2 << 20
