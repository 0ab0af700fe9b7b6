"""Whoever holds one series, at an archive that looks at the last name of a path only, tries every other way in."""

from __future__ import annotations

import pytest

from keyhole.access.decision import Event, Reason
from keyhole.gateway.fetch import Source
from keyhole.gateway.scoping import Capabilities
from tests.gateway.gate import BAD, OK, OTHER_SERIES, SERIES, Gate, Visitor
from tests.gateway.strict_archive import StrictArchive, picture_of

ASTRAY = f"/studies/{OK}/series/{SERIES}/instances/{OTHER_SERIES}.1"
"""An instance of the study that is not in the series."""


@pytest.fixture
def gate() -> Gate:
    strict = StrictArchive().holding(OK, SERIES, OTHER_SERIES).holding(BAD, "9.9.9.1")
    assert isinstance(strict, StrictArchive)
    made = Gate(strict)
    made.sources["main"] = Source(strict, Capabilities(parents=True))
    return made


@pytest.fixture
async def visitor(gate: Gate) -> Visitor:
    return await gate.visitor((OK, SERIES))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "path",
    [
        f"{ASTRAY}/frames/1",
        f"{ASTRAY}/frames/1,2",
        f"{ASTRAY}/frames/1/rendered",
        f"{ASTRAY}/rendered?viewport=64,64",
        f"{ASTRAY}/thumbnail",
        f"{ASTRAY}/bulkdata",
        f"{ASTRAY}/bulk/7FE00010",
        f"{ASTRAY}/bulkdata/7FE00010",
        f"{ASTRAY}/metadata",
        f"/studies/{OK}/series/{SERIES}/instances/9.9.9.1.1/frames/1",
        f"/studies/{OK}/series/{OTHER_SERIES}/instances/{SERIES}.1/frames/1",
        f"/studies/{BAD}/series/{SERIES}/instances/{SERIES}.1/frames/1",
    ],
)
async def test_is_as_if_it_were_not_there(gate: Gate, visitor: Visitor, method: str, path: str) -> None:
    there = await gate.ask(method, visitor, path)
    nowhere = await gate.ask(method, visitor, path.replace(f"{OTHER_SERIES}.1", "1.2.3.4.5.6"))
    assert (there.status, there.body) == (nowhere.status, nowhere.body) == (404, there.body)
    assert there.headers == nowhere.headers
    assert not any(picture_of(item) in there.body for item in gate.archive.instances)
    assert not any("/frames/" in asked or "/rendered" in asked for asked in gate.archive.asked)


async def test_an_archive_that_is_honest_once_is_not_believed_about_the_next_instance(
    gate: Gate, visitor: Visitor
) -> None:
    right = f"/studies/{OK}/series/{SERIES}/instances/{SERIES}.1/frames/1"
    assert (await gate.get(visitor, right)).status == 200
    assert (await gate.get(visitor, f"{ASTRAY}/frames/1")).status == 404
    other = await gate.visitor((OK, OTHER_SERIES))
    elsewhere = f"/studies/{OK}/series/{OTHER_SERIES}/instances/{OTHER_SERIES}.1/frames/1"
    assert (await gate.get(other, elsewhere)).status == 200
    # What one visitor made known is no key for the other.
    assert (await gate.get(visitor, f"{ASTRAY}/frames/1")).status == 404
    assert (await gate.get(visitor, elsewhere)).status == 404


async def test_what_was_tried_is_on_the_trail(gate: Gate, visitor: Visitor) -> None:
    await gate.get(visitor, f"{ASTRAY}/frames/1")
    rows = await gate.trail(Event.REFUSAL, Event.FAILURE)
    assert [(row.reason, row.study, row.visit) for row in rows] == [(Reason.NOT_THERE, OK, visitor.visit.id)]
