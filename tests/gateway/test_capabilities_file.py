"""What was found out about archives is kept, and a record that is none is as if nobody had asked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from keyhole.gateway import capabilities_file
from keyhole.gateway.capabilities_file import NAME, Probed
from keyhole.gateway.fetch import Source
from keyhole.gateway.scoping import Capabilities
from tests.gateway.fake_archive import FakeArchive

ROOT = "http://archive.internal/dicom-web"
RECORD = Probed(
    root=ROOT,
    at="2026-03-01T12:00:00+00:00",
    uid_lists=False,
    relational=True,
    largest_page=100,
    empty=204,
    thumbnails=None,
    parents=False,
)
ABLE = Capabilities(uid_lists=False, relational=True, largest_page=100, thumbnails=None, parents=False)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    capabilities_file.write(tmp_path, {"main": RECORD})
    assert capabilities_file.read(tmp_path) == {"main": RECORD}
    assert capabilities_file.of(tmp_path, "main", ROOT) == ABLE
    assert list(tmp_path.iterdir()) == [tmp_path / NAME]


def test_a_record_of_another_server_is_none(tmp_path: Path) -> None:
    capabilities_file.write(tmp_path, {"main": RECORD})
    assert capabilities_file.of(tmp_path, "main", "http://elsewhere/dicom-web") == Capabilities()
    assert capabilities_file.of(tmp_path, "other", ROOT) == Capabilities()


@pytest.mark.parametrize(
    "wrong",
    [
        {"largest_page": 0},
        {"largest_page": -1},
        {"largest_page": True},
        {"largest_page": "100"},
        {"uid_lists": "yes"},
        {"parents": "False"},
        {"relational": []},
        {"thumbnails": 3},
    ],
)
def test_a_record_that_is_none_is_as_if_nobody_had_asked(tmp_path: Path, wrong: dict[str, Any]) -> None:
    capabilities_file.write(tmp_path, {"main": RECORD})
    content = json.loads((tmp_path / NAME).read_text())
    content["main"] |= wrong
    (tmp_path / NAME).write_text(json.dumps(content))
    assert capabilities_file.of(tmp_path, "main", ROOT) == Capabilities()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"main": []}', '{"main": {}}', "null", '{"main": null}'])
def test_a_file_that_is_none_holds_no_records(tmp_path: Path, content: str) -> None:
    (tmp_path / NAME).write_text(content)
    assert capabilities_file.read(tmp_path) == {}


async def test_a_new_record_is_taken_into_use_while_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities_file, "EVERY", 0.001)
    source = Source(FakeArchive([]), Capabilities())
    task = asyncio.ensure_future(capabilities_file.follow(tmp_path, {"main": source}))
    try:
        for record, able in ((RECORD, ABLE), (None, Capabilities()), (RECORD, ABLE)):
            capabilities_file.write(tmp_path, {} if record is None else {"main": record})
            async with asyncio.timeout(10):
                while source.capabilities != able:  # noqa: ASYNC110 - what is waited for is a value
                    await asyncio.sleep(0.001)
    finally:
        task.cancel()
