from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from keyhole.access.resource import Level, Resource
from keyhole.archive.answer import ArchiveAnswer
from keyhole.dicom.orthanc import OrthancName
from keyhole.errors import ArchiveFailed
from keyhole.gateway.lineage import OrthancLineage


def identifier(number: int) -> str:
    return "-".join([f"{number:08x}"] * 5)


PATIENT, STUDY, SERIES, INSTANCE = (
    OrthancName(level, identifier(level)) for level in (Level.PATIENT, Level.STUDY, Level.SERIES, Level.INSTANCE)
)


class FakeOrthanc:
    """Orthanc's REST API as far as lineage asks it; it counts, and can be made to wait."""

    def __init__(self) -> None:
        self.nodes: dict[str, Any] = {
            f"/patients/{PATIENT.id}": {"ID": PATIENT.id, "Type": "Patient", "MainDicomTags": {"PatientID": "P1"}},
            f"/studies/{STUDY.id}": {
                "ID": STUDY.id, "Type": "Study", "MainDicomTags": {"StudyInstanceUID": "1.2"},
                "ParentPatient": PATIENT.id,
            },
            f"/series/{SERIES.id}": {
                "ID": SERIES.id, "Type": "Series", "MainDicomTags": {"SeriesInstanceUID": "1.2.3"},
                "ParentStudy": STUDY.id, "Instances": [],
            },
            f"/instances/{INSTANCE.id}": {
                "ID": INSTANCE.id, "Type": "Instance", "MainDicomTags": {"SOPInstanceUID": "1.2.3.4"},
                "ParentSeries": SERIES.id,
            },
        }  # fmt: skip
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.status = 200
        self.name = "orthanc"
        self.root = "http://orthanc:8042"

    @asynccontextmanager
    async def get(self, path: str, query: str, accept: str) -> AsyncIterator[ArchiveAnswer]:
        self.asked.append(path)
        await self.open.wait()
        status = self.status if path in self.nodes else 404
        yield ArchiveAnswer(status, accept, self._body(self.nodes.get(path, {})))

    async def _body(self, node: object) -> AsyncIterator[bytes]:
        yield node if isinstance(node, bytes) else json.dumps(node).encode()

    def post(self, *_: object) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        pass


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        (PATIENT, Resource.patient("main", "P1")),
        (STUDY, Resource.of("main", "1.2")),
        (SERIES, Resource.of("main", "1.2", "1.2.3")),
        (INSTANCE, Resource.of("main", "1.2", "1.2.3", "1.2.3.4")),
    ],
)
async def test_a_name_of_orthancs_is_a_node_of_the_tree(name: OrthancName, resource: Resource) -> None:
    assert await OrthancLineage(FakeOrthanc(), "main").resource(name) == resource


@pytest.mark.parametrize("level", [Level.PATIENT, Level.STUDY, Level.SERIES, Level.INSTANCE])
async def test_an_unknown_name_is_nobody(level: Level) -> None:
    lineage = OrthancLineage(FakeOrthanc(), "main")
    assert await lineage.resource(OrthancName(level, identifier(99))) is None


async def test_a_name_of_one_level_is_none_of_another() -> None:
    assert await OrthancLineage(FakeOrthanc(), "main").resource(OrthancName(Level.STUDY, SERIES.id)) is None


async def test_a_patient_without_id_is_nobody() -> None:
    orthanc = FakeOrthanc()
    orthanc.nodes[f"/patients/{PATIENT.id}"]["MainDicomTags"] = {"PatientID": ""}
    assert await OrthancLineage(orthanc, "main").resource(PATIENT) is None


async def test_what_lost_its_parent_is_nobody() -> None:
    orthanc = FakeOrthanc()
    del orthanc.nodes[f"/studies/{STUDY.id}"]
    assert await OrthancLineage(orthanc, "main").resource(INSTANCE) is None


async def test_an_answer_is_believed_for_a_short_while() -> None:
    orthanc, clock = FakeOrthanc(), Clock()
    lineage = OrthancLineage(orthanc, "main", life=10, clock=clock)
    await lineage.resource(STUDY)
    clock.now = 9.9
    await lineage.resource(STUDY)
    assert len(orthanc.asked) == 1
    clock.now = 10
    orthanc.nodes.clear()
    assert await lineage.resource(STUDY) is None


async def test_the_parents_of_many_are_asked_for_once() -> None:
    orthanc = FakeOrthanc()
    lineage = OrthancLineage(orthanc, "main")
    await lineage.resource(INSTANCE)
    await lineage.resource(SERIES)
    assert len(orthanc.asked) == 3


async def test_the_cache_is_bounded_and_keeps_what_is_used() -> None:
    orthanc = FakeOrthanc()
    lineage = OrthancLineage(orthanc, "main", most=2)
    await lineage.resource(STUDY)
    await lineage.resource(PATIENT)
    await lineage.resource(STUDY)
    await lineage.resource(SERIES)
    orthanc.asked.clear()
    await lineage.resource(STUDY)
    assert orthanc.asked == []
    await lineage.resource(PATIENT)
    assert len(orthanc.asked) == 1


async def test_the_same_question_is_asked_once_at_a_time_and_survives_who_asked_first() -> None:
    orthanc = FakeOrthanc()
    orthanc.open.clear()
    lineage = OrthancLineage(orthanc, "main")
    first, *others = [asyncio.ensure_future(lineage.resource(STUDY)) for _ in range(20)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    orthanc.open.set()
    assert set(await asyncio.gather(*others)) == {Resource.of("main", "1.2")}
    assert first.cancelled()
    assert len(orthanc.asked) == 1


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"<html>", id="a page"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"ID": 7}', id="other types"),
        pytest.param(b'"\xff"', id="no UTF-8"),
        pytest.param(b"[" * 200_000, id="a bomb"),
        pytest.param(b" " * (2 << 20), id="too much"),
        pytest.param({"ID": SERIES.id, "Type": "Study", "MainDicomTags": {}}, id="another resource"),
        pytest.param({"ID": STUDY.id, "Type": "Series", "MainDicomTags": {}}, id="another level"),
        pytest.param({"ID": STUDY.id, "Type": "Study", "MainDicomTags": {"StudyInstanceUID": "x"}}, id="no UID"),
        pytest.param({"ID": STUDY.id, "Type": "Study", "MainDicomTags": {}}, id="no name"),
    ],
)
async def test_nonsense_is_a_failure_and_not_believed(said: object) -> None:
    orthanc = FakeOrthanc()
    lineage = OrthancLineage(orthanc, "main")
    right, orthanc.nodes[f"/studies/{STUDY.id}"] = orthanc.nodes[f"/studies/{STUDY.id}"], said
    with pytest.raises(ArchiveFailed):
        await lineage.resource(STUDY)
    orthanc.nodes[f"/studies/{STUDY.id}"] = right
    assert await lineage.resource(STUDY) == Resource.of("main", "1.2")


async def test_a_parent_that_is_no_name_is_a_failure() -> None:
    orthanc = FakeOrthanc()
    orthanc.nodes[f"/series/{SERIES.id}"]["ParentStudy"] = "../system"
    with pytest.raises(ArchiveFailed):
        await OrthancLineage(orthanc, "main").resource(SERIES)


async def test_an_answer_of_another_status_is_a_failure() -> None:
    orthanc = FakeOrthanc()
    orthanc.status = 400
    with pytest.raises(ArchiveFailed):
        await OrthancLineage(orthanc, "main").resource(STUDY)
