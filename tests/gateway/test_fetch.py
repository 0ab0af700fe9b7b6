"""From an allowed request to an answer that names nothing but what was asked for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from keyhole.access.decision import Reason, Scope
from keyhole.access.resource import Resource
from keyhole.archive.answer import ArchiveAnswer
from keyhole.dicom import dicomweb
from keyhole.dicom.query import SEARCHES, parse_retrieve, parse_search
from keyhole.dicom.route import Match
from keyhole.errors import ArchiveFailed
from keyhole.gateway.fetch import Answer, Fetcher, Order, Source, Unanswerable
from keyhole.gateway.scoping import Capabilities
from tests.gateway.gate import FRAME, INSTANCE, OK, PUBLIC, SERIES, archive
from tests.gateway.small_archive import END, PICTURE, SmallArchive, endless, instance, of, part

ROOT = "http://archive.internal/dicom-web"
STORED = 'multipart/related; type="application/dicom"; boundary=xyz'


def order(path: str, method: str = "GET", query: bytes = b"", **more: Any) -> Order:
    found = dicomweb.match(method, path.encode())
    assert isinstance(found, Match)
    level = SEARCHES.get(found.route.kind)
    read = parse_retrieve(query, found.route.kind) if level is None else parse_search(query, level)
    values: dict[str, Any] = {
        "archive": "main",
        "found": found,
        "query": read,
        "reach": Scope(frozenset({Resource.of("main", OK)})),
        "held": Scope(frozenset({Resource.whole("main")})),
        "public_root": f"{PUBLIC}/v/abc/dicom-web",
    }
    return Order(**{**values, **more})


@pytest.fixture
def small() -> SmallArchive:
    return archive()


async def fetch(small: Any, wanted: Order) -> tuple[Answer, bytes]:
    async with Fetcher({"main": Source(small, Capabilities())})(wanted) as answer:
        return answer, b"".join([piece async for piece in answer.body])


async def why_not(small: Any, wanted: Order) -> Reason:
    with pytest.raises(Unanswerable) as refused:
        await fetch(small, wanted)
    return refused.value.reason


async def test_links_lead_to_the_caller_and_elsewhere_none(small: SmallArchive) -> None:
    small.instances[0]["00081190"]["Value"] = ["http://evil.example/", f"{ROOT}/studies/9.9.9", f"{ROOT}/studies/{OK}"]
    _, body = await fetch(small, order(f"/studies/{OK}/metadata"))
    items = json.loads(body)
    assert items[0]["00081190"]["Value"] == [f"{PUBLIC}/v/abc/dicom-web/studies/{OK}"]
    assert items[0]["7FE00010"]["BulkDataURI"] == f"{PUBLIC}/v/abc/dicom-web{INSTANCE}/bulk/7FE00010"
    assert b"archive.internal" not in body


async def test_long_metadata_come_in_pieces_and_are_one_array(small: SmallArchive) -> None:
    small.instances += [instance(OK, SERIES, f"{SERIES}.{n}", ROOT) for n in range(3, 600)]
    async with Fetcher({"main": Source(small, Capabilities())})(order(f"/studies/{OK}/metadata")) as answer:
        pieces = [piece async for piece in answer.body]
    assert len(pieces) > 1
    assert len(json.loads(b"".join(pieces))) == 597 + 4


async def test_no_metadata_are_an_empty_array(small: SmallArchive) -> None:
    reach = Scope(frozenset({Resource.of("main", OK, "5.5")}))
    _, body = await fetch(small, order(f"/studies/{OK}/metadata", reach=reach))
    assert body == b"[]"


async def test_images_are_counted_as_their_heads_pass(small: SmallArchive) -> None:
    answer, body = await fetch(small, order(FRAME.replace("frames/1", "frames/1,2")))
    assert answer.images() == 2
    assert body.count(PICTURE) == 2
    answer, _ = await fetch(small, order(f"{INSTANCE}/rendered"))
    assert answer.images() == 1
    answer, _ = await fetch(small, order(f"{INSTANCE}/bulk/7FE00010"))
    assert answer.images() == 0


async def test_leaving_ends_the_request_to_the_archive(small: SmallArchive) -> None:
    small.answers[FRAME] = endless()
    async with Fetcher({"main": Source(small, Capabilities())})(order(FRAME)) as answer:
        await anext(answer.body)
        assert small.under_way == 1
    assert (small.under_way, small.read) == (0, 1)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, Reason.NOT_THERE),
        (410, Reason.NOT_THERE),
        (406, Reason.NOT_ACCEPTABLE),
        (400, Reason.BAD_QUERY),
    ],
)
async def test_a_refusal_of_the_archive_has_our_reason(status: int, reason: Reason, small: SmallArchive) -> None:
    small.answers[FRAME] = of(b"no", status=status)
    assert await why_not(small, order(FRAME)) is reason
    assert small.read == 0


@pytest.mark.parametrize("path", ["/rendered?window=40,400,linear", "/frames/1/rendered", "/thumbnail"])
async def test_what_an_archive_cannot_make_a_picture_of_is_told_as_that(path: str, small: SmallArchive) -> None:
    path, _, query = path.partition("?")
    small.answers[INSTANCE + path] = of(b"no", status=400)
    assert await why_not(small, order(INSTANCE + path, query=query.encode())) is Reason.NOT_ACCEPTABLE


@pytest.mark.parametrize("status", [201, 202, 206, 304, 409, 418, 429])
async def test_any_other_status_is_a_failure(status: int, small: SmallArchive) -> None:
    small.answers[FRAME] = of(b"no", status=status)
    with pytest.raises(ArchiveFailed):
        await fetch(small, order(FRAME))


async def test_a_media_type_nobody_has_is_not_asked_for(small: SmallArchive) -> None:
    assert await why_not(small, order(FRAME, accept="text/html")) is Reason.NOT_ACCEPTABLE
    assert await why_not(small, order(FRAME, query=b"accept=text/html")) is Reason.NOT_ACCEPTABLE
    assert small.begun == 0


async def test_a_page_where_a_picture_was_asked_for_is_not_passed_on(small: SmallArchive) -> None:
    for content_type in ("text/html", "image/svg+xml", "application/xhtml+xml", ""):
        small.answers[f"{INSTANCE}/rendered"] = of(b"<svg onload=alert(1)>", content_type=content_type)
        with pytest.raises(ArchiveFailed):
            await fetch(small, order(f"{INSTANCE}/rendered"))


async def test_bulk_data_of_any_type_is_a_file_to_save_in_a_sandbox(small: SmallArchive) -> None:
    path = f"{INSTANCE}/bulk/00420011"
    small.answers[path] = of(b"<html>", content_type="text/html")
    answer, _ = await fetch(small, order(path))
    assert answer.content_type == "application/octet-stream"
    assert answer.fields["content-disposition"] == "attachment"
    assert "sandbox" in answer.fields["content-security-policy"]


async def test_a_part_of_any_type_is_bytes(small: SmallArchive) -> None:
    small.answers[FRAME] = of(part(content_type="text/html") + b"<html>", END)
    _, body = await fetch(small, order(FRAME))
    assert b"Content-Type: application/octet-stream" in body
    assert b"text/html" not in body


async def test_an_archive_that_is_not_set_up_has_failed(small: SmallArchive) -> None:
    with pytest.raises(ArchiveFailed):
        await fetch(small, order(FRAME, archive="old"))


class Storing:
    """An archive that answers uploads with *receipt*."""

    name, root = "main", ROOT

    def __init__(self, receipt: bytes = b"{}", status: int = 200) -> None:
        self.receipt, self.status = receipt, status

    def post(self, *_: object) -> AbstractAsyncContextManager[ArchiveAnswer]:
        return self._post()

    @asynccontextmanager
    async def _post(self) -> AsyncIterator[ArchiveAnswer]:
        async def body() -> AsyncIterator[bytes]:
            for at in range(0, len(self.receipt), 1 << 16):
                yield self.receipt[at : at + (1 << 16)]

        yield ArchiveAnswer(self.status, "application/dicom+json", body())


async def nothing() -> AsyncIterator[bytes]:
    yield b""


def upload(path: str = "/studies", **more: Any) -> Order:
    return order(path, "POST", content_type=STORED, body=nothing(), **more)


class TestReceipts:
    LINKS = json.dumps({"00081190": {"vr": "UR", "Value": [f"{ROOT}/studies/{OK}"]}}).encode()

    @pytest.mark.parametrize("status", [200, 202, 409])
    async def test_keep_their_status(self, status: int) -> None:
        answer, body = await fetch(Storing(status=status), upload())
        assert (answer.status, body) == (status, b"{}")

    async def test_keep_links_to_the_study_that_was_named_and_no_others(self) -> None:
        _, body = await fetch(Storing(self.LINKS), upload(f"/studies/{OK}"))
        assert json.loads(body)["00081190"]["Value"] == [f"{PUBLIC}/v/abc/dicom-web/studies/{OK}"]
        for path in ("/studies/9.9", "/studies"):
            _, body = await fetch(Storing(self.LINKS), upload(path))
            assert body == b"{}"

    async def test_that_are_empty_are_an_empty_object(self) -> None:
        assert (await fetch(Storing(b""), upload()))[1] == b"{}"

    @pytest.mark.parametrize("receipt", [b"[]", b"<xml/>", b"\xff", b'{"a":' * 5000, b'"' + b"a" * (5 << 20) + b'"'])
    async def test_that_are_none_are_a_failure(self, receipt: bytes) -> None:
        with pytest.raises(ArchiveFailed):
            await fetch(Storing(receipt), upload())

    @pytest.mark.parametrize(("status", "reason"), [(404, Reason.NOT_THERE), (400, Reason.BAD_QUERY)])
    async def test_refusals_have_our_reason(self, status: int, reason: Reason) -> None:
        assert await why_not(Storing(status=status), upload()) is reason

    async def test_there_is_none_without_a_body_or_for_who_takes_no_uploads(self, small: SmallArchive) -> None:
        assert await why_not(small, order("/studies", "POST", content_type=STORED)) is Reason.UNSUPPORTED_MEDIA
        small.takes_uploads = False
        assert await why_not(small, upload()) is Reason.METHOD_NOT_ALLOWED


@pytest.mark.parametrize(
    ("able", "path", "asked"),
    [
        (False, "/thumbnail", "/rendered?viewport=256,256"),
        (False, "/thumbnail?viewport=64,64", "/rendered?viewport=64,64"),
        (False, "/frames/1/thumbnail", "/frames/1/rendered?viewport=256,256"),
        (True, "/thumbnail", "/thumbnail"),
        (None, "/thumbnail", "/thumbnail"),
    ],
)
async def test_a_small_picture_stands_for_a_thumbnail_that_an_archive_does_not_make(
    small: SmallArchive, able: bool | None, path: str, asked: str
) -> None:
    below, _, query = path.partition("?")
    source = Source(small, Capabilities(thumbnails=able))
    async with Fetcher({"main": source})(order(INSTANCE + below, query=query.encode())) as answer:
        assert answer.content_type == "image/jpeg"
    assert small.asked == [INSTANCE + asked]
