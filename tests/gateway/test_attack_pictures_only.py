"""Whoever may look at pictures only tries to have what they are made of, at an archive that answers everything."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from keyhole.access.decision import Event
from keyhole.access.share import ShareKind
from keyhole.archive.answer import ArchiveAnswer
from keyhole.gateway.fetch import Source
from keyhole.gateway.orthanc_rest import OrthancSource
from keyhole.gateway.scoping import Capabilities
from tests.gateway.fake_archive import Item, element
from tests.gateway.gate import INSTANCE, OK, SECOND, SERIES, Gate, Visitor
from tests.gateway.small_archive import SmallArchive, instance

STUDY = f"/studies/{OK}"
WHOLE = f"{STUDY}/series/{SERIES}"
WADO = f"/wado?requestType=WADO&studyUID={OK}&seriesUID={SERIES}&objectUID={SERIES}.1"
SECRET = b"pixel data as they are stored"
JPEG = b"\xff\xd8\xff\xe0 a picture"
PERSON = ("Doe^Jane", "PAT-1", "19700203", "Dr. House", "ACC-1", "stored values")


@dataclass
class Generous(SmallArchive):
    """Answers every path; what is no search with ``content`` as ``kind``, whatever was asked for."""

    kind: str = "image/jpeg"
    content: tuple[bytes, ...] = (JPEG,)

    @asynccontextmanager
    async def _get(self, path: str, query: str, accept: str) -> AsyncIterator[ArchiveAnswer]:
        if path.endswith(("/studies", "/series", "/instances")):
            async with super()._get(path, query, accept) as answer:
                yield answer
            return
        self.asked.append(path + query)
        yield ArchiveAnswer(200, self.kind, self._content())

    async def _content(self) -> AsyncIterator[bytes]:
        for piece in self.content:
            yield piece

    def _shown(self, item: Item) -> Item:
        return item


def described(study: str, series: str, sop: str, root: str) -> Item:
    """An instance with everything that an archive could tell of it, wherever it is asked."""
    return instance(study, series, sop, root) | {
        "00080020": element("20260301", vr="DA"),
        "00080050": element("ACC-1", vr="SH"),
        "00080090": element({"Alphabetic": "Dr. House"}, vr="PN"),
        "0008103E": {"vr": "LO", "InlineBinary": "c3RvcmVkIHZhbHVlcw=="},
        "00100020": element("PAT-1"),
        "00100030": element("19700203", vr="DA"),
        "00280010": element(512, vr="US"),
        "00281050": {
            "vr": "DS",
            "BulkDataURI": f"{root}/studies/{study}/series/{series}/instances/{sop}/bulk/00281050",
        },
        "00291010": {"vr": "OB", "InlineBinary": "c3RvcmVkIHZhbHVlcw=="},
        "00400275": element({"00400007": element("for Jane Doe")}, vr="SQ"),
        "stored values": element("stored values"),
    }


@pytest.fixture
def gate() -> Gate:
    generous = Generous([described(study, series, f"{series}.{n}", Generous.root) for study, series, n in _held()])
    made = Gate(generous)
    made.sources["main"] = Source(generous, Capabilities(parents=True))
    return made


def _held() -> Iterator[tuple[str, str, int]]:
    for n in (1, 2):
        yield OK, SERIES, n
        yield SECOND, "1.2.2.1", n


@pytest.fixture
async def visitor(gate: Gate) -> Visitor:
    return await gate.visitor((OK,), kind=ShareKind.VIEW_RENDERED)


KEPT = [
    f"{INSTANCE}",
    f"{WHOLE}",
    f"{STUDY}",
    f"{STUDY}?accept=application/zip",
    f"{WHOLE}?accept=application/zip",
    f"{INSTANCE}?accept=application/dicom%3Btransfer-syntax%3D*",
    f"{STUDY}/metadata",
    f"{WHOLE}/metadata",
    f"{INSTANCE}/metadata",
    f"{INSTANCE}/frames/1",
    f"{INSTANCE}/frames/1,2",
    f"{INSTANCE}/frames/1?accept=image/jpeg",
    f"{INSTANCE}/bulkdata",
    f"{INSTANCE}/bulk/7FE00010",
    f"{INSTANCE}/bulkdata/7FE00010",
    f"{INSTANCE}/pixeldata",
    f"{WHOLE}/pixeldata",
    f"{STUDY}/pixeldata",
    f"{INSTANCE}/file",
    f"{INSTANCE}/renderedmpr",
    f"{INSTANCE}/rendered/",
    f"{INSTANCE}/frames/1/rendered/../..",
    f"{INSTANCE}/frames/1%2Frendered",
    f"{WADO}&contentType=application/dicom",
    f"{WADO}&contentType=application/dicom&transferSyntax=1.2.840.10008.1.2.1",
    f"{WADO}&contentType=application/dicom,image/jpeg",
]
ACCEPTS = [
    None,
    "*/*",
    "image/jpeg",
    "application/dicom",
    'multipart/related; type="application/dicom"',
    'multipart/related; type="application/octet-stream"; transfer-syntax=*',
    "application/octet-stream",
    "application/zip",
]


@pytest.mark.parametrize("accept", ACCEPTS)
@pytest.mark.parametrize("path", KEPT)
async def test_what_pictures_are_made_of_is_refused_and_the_archive_not_asked(
    gate: Gate, visitor: Visitor, path: str, accept: str | None
) -> None:
    gate.archive.content = (SECRET,)  # type: ignore[attr-defined]
    for method in ("GET", "HEAD"):
        answer = await gate.ask(method, visitor, path, {} if accept is None else {"accept": accept})
        assert answer.status in (400, 403, 404), answer.body
        assert SECRET not in answer.body
    assert gate.archive.asked == []


@pytest.mark.parametrize("root", ["/dicom-web", "/archives/main/dicom-web", "/v/{visit}/dicom-web"])
@pytest.mark.parametrize("path", KEPT)
async def test_nor_does_its_bearer_have_it_at_any_other_root(
    gate: Gate, visitor: Visitor, path: str, root: str
) -> None:
    answer = await gate.caller.call("GET", root.format(visit=visitor.visit.id) + path, visitor.bearer)
    assert answer.status in (400, 403, 404)
    assert gate.archive.asked == []


NATIVE = [
    "/studies",
    "/instances",
    "/series?expand",
    "/system",
    "/tools/generate-uid",
    *(f"/instances/{'-'.join(['0' * 8] * 5)}{end}" for end in ("/preview", "/rendered", "/image-uint16", "/file", "")),
    *(f"/instances/{'-'.join(['0' * 8] * 5)}/frames/0/{end}" for end in ("image-uint16", "raw", "rendered")),
]


@pytest.mark.parametrize("path", [*NATIVE, *(f"/dicom-web{path}" for path in KEPT)])
@pytest.mark.parametrize("root", ["/orthanc", "/archives/main/orthanc"])
async def test_orthancs_own_api_is_closed_for_it(root: str, path: str) -> None:
    class Rest:
        def send(self, *_: object, **__: object) -> Any:
            raise AssertionError("Orthanc was asked")

    class Lineage:
        async def resource(self, *_: object) -> Any:
            raise AssertionError("Orthanc was asked what a name stands for")

    gate = Gate(orthanc={"main": OrthancSource(Rest(), Lineage())})
    visitor = await gate.visitor((OK,), kind=ShareKind.VIEW_RENDERED)
    answer = await gate.caller.call("GET", f"{root}{path}", visitor.bearer)
    assert answer.status in (400, 403, 404)
    assert gate.archive.asked == []


PICTURES = [
    f"{INSTANCE}/rendered",
    f"{INSTANCE}/frames/1/rendered?window=40,400,linear&viewport=256,256",
    f"{INSTANCE}/thumbnail",
    f"{WHOLE}/thumbnail",
    f"{WHOLE}/rendered",
    f"{STUDY}/thumbnail",
    WADO,
]


@pytest.mark.parametrize("path", PICTURES)
async def test_a_picture_is_had(gate: Gate, visitor: Visitor, path: str) -> None:
    answer = await gate.get(visitor, path)
    assert (answer.status, answer.header("content-type"), answer.body) == (200, "image/jpeg", JPEG)


@pytest.mark.parametrize("accept", [accept for accept in ACCEPTS if accept not in (None, "*/*", "image/jpeg")])
@pytest.mark.parametrize("path", PICTURES[:-1])
async def test_but_in_no_other_form(gate: Gate, visitor: Visitor, path: str, accept: str) -> None:
    assert (await gate.get(visitor, path, {"accept": accept})).status == 406
    overriding = f"{path}{'&' if '?' in path else '?'}accept={accept.replace(';', '%3B').replace(' ', '')}"
    assert (await gate.get(visitor, overriding)).status in (400, 406)
    assert gate.archive.asked == []


@pytest.mark.parametrize(
    "kind",
    [
        "application/dicom",
        "application/pdf",
        "application/octet-stream",
        "video/mp4",
        "text/html",
        "application/dicom+json",
        'multipart/related; type="application/dicom"; boundary=b',
        'multipart/related; type="image/jpeg"; boundary=b',
        "",
    ],
)
@pytest.mark.parametrize("path", PICTURES)
async def test_what_comes_as_something_else_does_not_pass(gate: Gate, visitor: Visitor, path: str, kind: str) -> None:
    gate.archive.kind, gate.archive.content = kind, (SECRET,)  # type: ignore[attr-defined]
    answer = await gate.get(visitor, path)
    assert answer.status in (406, 502)
    assert SECRET not in answer.body


@pytest.mark.parametrize(
    "content",
    [
        (SECRET,),
        (b"\0" * 128 + b"DICM", SECRET),
        (b"P", b"K", b"\3\4" + SECRET),
        (b"%PDF-1.7",),
        (b"\xff\xd8",),
        (b"",),
        (),
    ],
)
async def test_nor_does_what_is_only_called_a_picture(gate: Gate, visitor: Visitor, content: tuple[bytes, ...]) -> None:
    gate.archive.content = content  # type: ignore[attr-defined]
    answer = await gate.get(visitor, f"{INSTANCE}/rendered")
    assert answer.status == 502
    assert SECRET not in answer.body


@pytest.mark.parametrize(
    "content", [(JPEG,), (b"\x89PNG\r\n", b"more"), (b"G", b"I", b"", b"F89a", b"x"), (b"\xff\xd8\xff\xe1",)]
)
async def test_a_picture_in_pieces_stays_whole(gate: Gate, visitor: Visitor, content: tuple[bytes, ...]) -> None:
    gate.archive.content = content  # type: ignore[attr-defined]
    answer = await gate.get(visitor, f"{INSTANCE}/rendered")
    assert (answer.status, answer.body) == (200, b"".join(content))


async def test_a_name_is_not_burnt_into_it(gate: Gate, visitor: Visitor) -> None:
    for asked in (
        f"{INSTANCE}/rendered?annotation=patient,technique&quality=50",
        f"{WADO}&annotation=patient&imageQuality=50",
    ):
        assert (await gate.get(visitor, asked)).status == 200
        assert gate.archive.asked[-1] == f"{INSTANCE}/renderedquality=50"


SEARCHES = ["/studies", f"{STUDY}/series", f"{WHOLE}/instances", f"{STUDY}/instances", "/series", "/instances"]


@pytest.mark.parametrize("query", ["", "?includefield=all", "?includefield=00100010,00291010,7FE00010,00400275"])
@pytest.mark.parametrize("path", SEARCHES)
async def test_lists_hold_what_it_takes_to_look_and_nothing_of_the_person(
    gate: Gate, visitor: Visitor, path: str, query: str
) -> None:
    answer = await gate.get(visitor, path + query)
    found = json.loads(answer.body)
    assert found
    assert all(item["0020000D"]["Value"] == [OK] for item in found)
    assert all(set(element) <= {"vr", "Value"} for item in found for element in item.values())
    for said in (*PERSON, "BulkDataURI", "InlineBinary", "c3RvcmVk", "/bulk/", "http"):
        assert said.encode() not in answer.body, said


@pytest.mark.parametrize(
    "key", ["PatientName=Doe*", "00100020=PAT-2", "00100030=19000101-19600101", "00400275.00400007=x"]
)
@pytest.mark.parametrize("path", SEARCHES)
async def test_nor_can_the_person_be_guessed_by_asking(gate: Gate, visitor: Visitor, path: str, key: str) -> None:
    plain, asking = await gate.get(visitor, path), await gate.get(visitor, f"{path}?{key}")
    assert (asking.status, asking.body) == (200, plain.body)


async def test_a_share_to_view_has_the_whole_list(gate: Gate) -> None:
    visitor = await gate.visitor((OK,), kind=ShareKind.VIEW)
    assert b"Doe^Jane" in (await gate.get(visitor, "/studies")).body
    gate.archive.kind, gate.archive.content = "application/pdf", (b"%PDF",)  # type: ignore[attr-defined]
    assert (await gate.get(visitor, f"{INSTANCE}/rendered")).status == 200


async def test_what_was_looked_at_and_what_was_tried_is_on_the_trail(gate: Gate, visitor: Visitor) -> None:
    await gate.get(visitor, f"{INSTANCE}/rendered")
    await gate.get(visitor, f"{INSTANCE}/frames/1")
    [row] = await gate.trail(Event.ACCESS)
    assert (row.visit, row.study, row.action) == (visitor.visit.id, OK, "render")
    [row] = await gate.trail(Event.REFUSAL)
    assert (row.visit, row.study, row.reason) == (visitor.visit.id, OK, "ceiling")
