"""Searches of our own go the gateway's way: its tables, its narrowing, its errors."""

from __future__ import annotations

import pytest

from keyhole.access.decision import Event, Reason, Scope
from keyhole.access.resource import Resource
from keyhole.errors import ArchiveFailed, Refused
from keyhole.gateway.dicomjson import Item
from tests.gateway.gate import BAD, OK, OTHER_SERIES, SECOND, SERIES, Gate

WHOLE = Scope(frozenset({Resource.whole("main")}))


@pytest.fixture
def gate() -> Gate:
    return Gate()


def within(*names: tuple[str, ...]) -> Scope:
    return Scope(frozenset(Resource.of("main", *each) for each in names))


def uids(items: list[Item], tag: str = "0020000D") -> list[str]:
    return [item[tag]["Value"][0] for item in items]


async def test_studies_in_scope_are_found_and_no_others(gate: Gate) -> None:
    assert uids(await gate.finder.studies("main", within((OK,), (SECOND, "1.2.2.1")), b"")) == [OK, SECOND]
    assert await gate.finder.studies("main", within((OK,)), f"StudyInstanceUID={BAD}".encode()) == []


async def test_nothing_in_scope_asks_the_archive_nothing(gate: Gate) -> None:
    assert await gate.finder.studies("main", Scope(), b"") == []
    assert await gate.finder.studies("main", within(), b"StudyInstanceUID=") == []
    assert gate.archive.begun == 0


async def test_an_archive_that_ignores_the_filter_gives_nothing_away_and_is_on_the_trail(gate: Gate) -> None:
    gate.archive.ignores = frozenset({"StudyInstanceUID", "0020000D"})
    assert uids(await gate.finder.studies("main", within((OK,)), b"")) == [OK]
    [row] = await gate.trail(Event.FAILURE)
    assert (row.reason, row.archive, row.times) == (Reason.FOREIGN_ANSWER, "main", 3)


async def test_series_are_those_of_the_study_in_scope(gate: Gate) -> None:
    assert uids(await gate.finder.series("main", WHOLE, OK), "0020000E") == [SERIES, OTHER_SERIES]
    assert uids(await gate.finder.series("main", within((OK, SERIES)), OK), "0020000E") == [SERIES]


@pytest.mark.parametrize("study", ["", "x", "1..2", "1.2/series", "1" * 65])
async def test_what_is_no_uid_has_no_series(study: str, gate: Gate) -> None:
    assert await gate.finder.series("main", WHOLE, study) == []
    assert gate.archive.begun == 0


async def test_a_query_that_is_none_is_refused(gate: Gate) -> None:
    with pytest.raises(Refused):
        await gate.finder.studies("main", WHOLE, b"limit=x")


async def test_an_archive_that_is_not_set_up_has_failed(gate: Gate) -> None:
    with pytest.raises(ArchiveFailed):
        await gate.finder.studies("old", WHOLE, b"")
    with pytest.raises(ArchiveFailed):
        await gate.finder.series("old", WHOLE, OK)
