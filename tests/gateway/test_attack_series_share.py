"""Who was given one series searches for the study, to learn what its other series are."""

from __future__ import annotations

import pytest

from keyhole.access.decision import Scope
from keyhole.access.resource import Resource
from keyhole.dicom import dicomweb
from keyhole.dicom.query import SEARCHES, SearchQuery, parse_search
from keyhole.dicom.route import Match
from keyhole.gateway.scoping import Found, search
from tests.gateway.fake_archive import FakeArchive, Item, element

SERIES = Scope(frozenset({Resource.of("main", "1.1", "1.1.2")}))
STUDY = Scope(frozenset({Resource.of("main", "1.1")}))


def instance(series: str, modality: str, rows: int) -> Item:
    return {
        "00080020": element("20260101", vr="DA"),
        "00080060": element(modality, vr="CS"),
        "00081030": element("a knee"),
        "0020000D": element("1.1", vr="UI"),
        "0020000E": element(series, vr="UI"),
        "00080018": element(f"{series}.1", vr="UI"),
        "00280010": element(rows, vr="US"),
    }


@pytest.fixture
def archive() -> FakeArchive:
    """As Orthanc does, it answers for a study with the values of its first instance; here of a series not shared."""
    return FakeArchive([instance("1.1.1", "CT", 512), instance("1.1.2", "MR", 64)])


async def find(archive: FakeArchive, query: str, scope: Scope = SERIES) -> Found:
    found = dicomweb.match("GET", b"/studies")
    assert isinstance(found, Match)
    parsed = parse_search(query.encode(), SEARCHES[found.route.kind])
    assert isinstance(parsed, SearchQuery)
    return await search(archive, found, parsed, scope)


@pytest.mark.parametrize("query", ["", "includefield=all", "includefield=Modality,Rows,SOPInstanceUID,00091001"])
async def test_the_values_of_another_series_do_not_stand_for_the_study(archive: FakeArchive, query: str) -> None:
    (item,) = (await find(archive, query)).items
    assert set(item) == {"00080020", "00081030", "0020000D"}


@pytest.mark.parametrize("key", ["Rows=512", "Rows=1", "BodyPartExamined=KNEE", "00091001=x", "00400275.00400009=*"])
async def test_no_key_below_the_study_tells_by_matching(archive: FakeArchive, key: str) -> None:
    assert len((await find(archive, key)).items) == 1
    assert archive.asked == ["/studies?StudyInstanceUID=1.1"]


async def test_keys_of_the_study_still_match(archive: FakeArchive) -> None:
    assert (await find(archive, "StudyDescription=a%20hip")).items == []
    assert len((await find(archive, "StudyDescription=a%20knee&PatientID=")).items) == 1


async def test_who_was_given_the_study_asks_for_what_it_likes(archive: FakeArchive) -> None:
    (item,) = (await find(archive, "includefield=Rows", STUDY)).items
    assert "00280010" in item
    assert (await find(archive, "Rows=1", STUDY)).items == []
