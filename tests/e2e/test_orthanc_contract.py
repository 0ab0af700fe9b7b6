"""What the gateway believes about Orthanc, asked of the real one: the distribution's, and the next release's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from keyhole.access.decision import Scope
from keyhole.access.resource import Level, Resource
from keyhole.dicom import dicomweb
from keyhole.dicom.orthanc import OrthancName
from keyhole.dicom.query import SEARCHES, SearchQuery, parse_search
from keyhole.dicom.route import Match
from keyhole.errors import ArchiveFailed
from keyhole.gateway import media
from keyhole.gateway.dicomjson import MEDIA_TYPE, Item, encode
from keyhole.gateway.lineage import OrthancLineage
from keyhole.gateway.multipart import Parts, part_heads, passed_on
from keyhole.gateway.rewrite import Links
from keyhole.gateway.scoping import Found, metadata, search
from keyhole.gateway.upstream import HttpArchive, basic
from tests.e2e.dataset import EARLIER, PRIOR, STRANGER, STUDY
from tests.servers.orthanc import Orthanc

PUBLIC = "https://keyhole.example/v/aaaabbbbccccdddd/dicom-web"
CT = f"/studies/{STUDY}/series/{STUDY}.1/instances/{STUDY}.1.1"
JLS = f"/studies/{STUDY}/series/{STUDY}.6/instances/{STUDY}.6.1"
PDF = f"/studies/{STUDY}/series/{STUDY}.5/instances/{STUDY}.5.1"
DOCUMENT = 'multipart/related; type="application/pdf", multipart/related; type="application/octet-stream"'
STORED = "multipart/related; type=application/octet-stream; transfer-syntax=*"


@pytest.fixture(params=["orthanc_debian", "orthanc_trixie"])
def server(request: pytest.FixtureRequest) -> Orthanc:
    running: Orthanc = request.getfixturevalue(request.param)
    return running


@pytest.fixture
async def archive(server: Orthanc) -> AsyncIterator[HttpArchive]:
    made = HttpArchive("main", server.root, headers=basic(server.user, server.password))
    yield made
    await made.close()


def asked(path: str) -> Match:
    found = dicomweb.match("GET", path.encode())
    assert isinstance(found, Match)
    return found


def reach(*paths: str) -> Scope:
    return Scope(frozenset(Resource.of("main", *path.split("/")) for path in paths))


async def find(archive: HttpArchive, path: str, query: str, scope: Scope) -> Found:
    found = asked(path)
    parsed = parse_search(query.encode(), SEARCHES[found.route.kind])
    assert isinstance(parsed, SearchQuery)
    return await search(archive, found, parsed, scope)


def values(items: list[Item], tag: str) -> list[str]:
    return [item[tag]["Value"][0] for item in items]


async def described(archive: HttpArchive, path: str, scope: Scope) -> list[Item]:
    links = Links(archive.root, PUBLIC, path)
    async with archive.get(path, "", MEDIA_TYPE) as answer:
        found = [links.rewrite(item, STUDY) async for item in metadata(answer, asked(path), scope, "main")]
    assert links.dropped == 0
    return found


async def fetched(archive: HttpArchive, path: str, accept: str) -> tuple[str, bytes, int]:
    """The type, the body and the number of images of an answer, as they would be passed on."""
    found = asked(path)
    sent = media.accepted(found.route.kind, accept)
    assert isinstance(sent, str)
    async with archive.get(path, "", sent) as answer:
        assert answer.status == 200, (answer.status, sent)
        passing = media.passing(found.route.kind, answer)
        if passing.boundary is None:
            return passing.content_type, b"".join([piece async for piece in answer.body]), 1
        links = Links(archive.root, PUBLIC, path)
        parts = Parts(passing.boundary, part_heads(links, found, media.part_type(found.route.kind)))
        body = b"".join([piece async for piece in passed_on(answer.body, parts)])
    return passing.content_type, body, parts.count


async def test_a_search_finds_what_is_shared_and_nothing_else(archive: HttpArchive) -> None:
    found = await find(archive, "/studies", "00100020=PAT-A-0001&limit=101", reach(STUDY, EARLIER))
    assert (values(found.items, "0020000D"), found.foreign) == ([STUDY, EARLIER], 0)
    second = await find(archive, "/studies", "limit=1&offset=1", reach(STUDY, PRIOR, EARLIER))
    assert values(second.items, "0020000D") == [PRIOR]


async def test_a_relational_search_knows_lists_of_studies(archive: HttpArchive) -> None:
    found = await find(archive, "/series", "Modality=CT", reach(PRIOR, EARLIER, STRANGER))
    assert sorted(values(found.items, "0020000E")) == sorted([f"{PRIOR}.1", f"{EARLIER}.1", f"{STRANGER}.1"])
    found = await find(archive, "/instances", "limit=7&offset=1", reach(PRIOR, EARLIER))
    assert (len(found.items), found.foreign) == (7, 0)


async def test_a_shared_series_is_all_there_is(archive: HttpArchive) -> None:
    scope = reach(f"{STUDY}/{STUDY}.2")
    for path in (f"/studies/{STUDY}/series", "/series"):
        found = await find(archive, path, "includefield=0008103E", scope)
        assert (values(found.items, "0020000E"), found.foreign) == ([f"{STUDY}.2"], 0)
    assert values(await described(archive, f"/studies/{STUDY}/metadata", scope), "00080018") == [f"{STUDY}.2.1"]


async def test_metadata_names_keyhole_and_never_the_archive(archive: HttpArchive) -> None:
    found = await described(archive, f"/studies/{STUDY}/metadata", reach(STUDY))
    assert len(found) == 67
    text = b"".join(map(encode, found)).decode()
    assert urlsplit(archive.root).netloc not in text
    assert f"{PUBLIC}{PDF}/bulk/00420011" in text


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        (f"{CT}/frames/1", STORED),
        (f"{CT}/frames/1", "*/*"),
        (f"{CT}/frames/1", 'multipart/related; type="application/octet-stream"'),
        (f"{JLS}/frames/1", STORED),
        (f"{PDF}/bulk/00420011", DOCUMENT),
        (f"{PDF}/bulk/00420011", "*/*"),
        (CT, 'multipart/related; type="application/dicom"'),
        (f"/studies/{STUDY}/series/{STUDY}.6", "*/*"),
    ],
)  # fmt: skip
async def test_parts_are_passed_on_without_the_archives_address(archive: HttpArchive, path: str, accept: str) -> None:
    content_type, body, images = await fetched(archive, path, accept)
    assert content_type.startswith("multipart/related; type=")
    assert images == 1
    assert urlsplit(archive.root).netloc.encode() not in body


async def test_a_frame_is_the_archives_frame(archive: HttpArchive, server: Orthanc) -> None:
    _, body, _ = await fetched(archive, f"{CT}/frames/1", STORED)
    _, direct = server.ask("GET", f"/dicom-web{CT}/frames/1", accept=STORED)
    pixels = direct.partition(b"\r\n\r\n")[2][: 128 * 128 * 2]
    assert len(pixels) == 128 * 128 * 2
    assert body.partition(b"\r\n\r\n")[2].startswith(pixels + b"\r\n--")
    assert b"transfer-syntax=1.2.840.10008.1.2.1" in body[:500]


@pytest.mark.parametrize("accept", ["image/jpeg", "image/png", "*/*"])
async def test_a_picture_is_a_picture(archive: HttpArchive, accept: str) -> None:
    content_type, body, _ = await fetched(archive, f"{CT}/rendered", accept)
    assert content_type == ("image/png" if accept == "image/png" else "image/jpeg")
    assert body[:4] == (b"\x89PNG" if accept == "image/png" else b"\xff\xd8\xff\xe0")


async def test_a_file_that_is_no_part_is_not_to_be_had(archive: HttpArchive) -> None:
    async with archive.get(CT, "", "application/dicom") as answer:
        assert answer.status == 400


async def test_wrong_credentials_are_our_failure_and_nobody_elses(server: Orthanc) -> None:
    archive = HttpArchive("main", server.root, headers=basic(server.user, "wrong"))
    with pytest.raises(ArchiveFailed, match="credentials"):
        await find(archive, "/studies", "", reach(STUDY))
    await archive.close()


async def test_orthancs_names_lead_to_the_study(server: Orthanc) -> None:
    rest = HttpArchive("rest", server.rest, headers=basic(server.user, server.password))
    lineage = OrthancLineage(rest, "main")
    try:
        for level, path in ((Level.PATIENT, "patients"), (Level.STUDY, "studies"), (Level.SERIES, "series"),
                            (Level.INSTANCE, "instances")):  # fmt: skip
            for name in server.json(f"/{path}")[:20]:
                found = await lineage.resource(OrthancName(level, name))
                assert found is not None
                assert found.level is level
                if level is Level.INSTANCE:
                    tags = server.json(f"/instances/{name}/simplified-tags")
                    keys = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
                    assert found == Resource.of("main", *(tags[key] for key in keys))
        assert await lineage.resource(OrthancName(Level.STUDY, "-".join(["00000000"] * 5))) is None
    finally:
        await rest.close()
