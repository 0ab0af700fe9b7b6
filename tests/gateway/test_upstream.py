"""The contract of an archive over HTTP, against a server that misbehaves in each way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import pytest

from keyhole.errors import ArchiveFailed, ArchiveTimeout, Misconfigured
from keyhole.gateway.upstream import HttpArchive, Timeouts, basic
from tests.gateway.pyreqwest_archive import PyreqwestArchive
from tests.gateway.raw_server import Exchange, RawServer, Script, answer

pytestmark = pytest.mark.loopback

SOON = 5  # how long a test waits for what happens at once
QUICK = Timeouts(connect=1, head=0.2, chunk=0.2)
JSON = "application/dicom+json"
Pair = tuple[HttpArchive, RawServer]

DEVIATIONS = {
    "test_on_the_wire_is_exactly_what_was_built_and_nothing_else": "it always names itself",
    "test_what_is_no_answer_is_a_failure_without_addresses[a huge header]": "heads are not bounded",
    "test_a_cancelled_request_ends_at_the_archive[silent-waits_for_head]": "the read timeout ends it, nothing sooner",
    "test_requests_aborted_before_the_head_never_exhaust_the_pool": "an aborted request holds its connection till then",
    "test_an_upload_may_take_longer_than_the_wait_for_an_answer": "the read timeout counts while it is sent",
}
"""What pyreqwest does otherwise, by test. Should it change, the test says so."""


class Behind(Protocol):
    """Runs a server that follows a script, and an archive that asks it."""

    def __call__(
        self, script: Script, *, timeouts: Timeouts | None = None, connections: int = 40
    ) -> AbstractAsyncContextManager[Pair]: ...


@pytest.fixture(params=[HttpArchive, PyreqwestArchive], ids=["aiohttp", "pyreqwest"])
def archive_behind(request: pytest.FixtureRequest) -> Behind:
    """The client that is used, and the one that is not: what that one does not keep is listed, and watched."""
    if request.param is PyreqwestArchive and (why := DEVIATIONS.get(_name_of(request.node))) is not None:
        request.applymarker(pytest.mark.xfail(reason=why, strict=True))

    @contextlib.asynccontextmanager
    async def behind(script: Script, *, timeouts: Timeouts | None = None, connections: int = 40) -> AsyncIterator[Pair]:
        async with RawServer(script).running() as server:
            root = f"http://127.0.0.1:{server.port}/dicom-web"
            archive = request.param(
                "main", root, headers=basic("keyhole", "pw"), timeouts=timeouts, connections=connections
            )
            try:
                yield archive, server
            finally:
                await archive.close()

    return behind


def _name_of(node: pytest.Item) -> str:
    """The test's name with its parameters, without that of the client."""
    return node.name.replace("[pyreqwest-", "[").removesuffix("[pyreqwest]")


async def fetch(archive: HttpArchive, path: str = "/studies", query: str = "") -> bytes:
    async with archive.get(path, query, JSON) as got:
        return b"".join([piece async for piece in got.body])


def says(*pieces: bytes, keep: bool = False) -> Script:
    async def script(exchange: Exchange) -> bool:
        await exchange.send(*pieces)
        return keep

    return script


async def test_an_answer_is_its_status_type_length_and_body(archive_behind: Behind) -> None:
    said = says(answer(b"[]", b"Content-Type: application/dicom+json"))
    async with archive_behind(said) as (archive, _), archive.get("/studies", "limit=1", JSON) as got:
        body = b"".join([piece async for piece in got.body])
    assert (got.status, got.content_type, got.length, body, got.headers) == (200, JSON, 2, b"[]", {})


async def test_on_the_wire_is_exactly_what_was_built_and_nothing_else(archive_behind: Behind) -> None:
    async with archive_behind(says(answer())) as (archive, server):
        await fetch(archive, "/studies/1.2/series", "PatientName=A%2BB*,%41&StudyInstanceUID=1.2,3")
        exchange = server.exchanges[0]
        assert exchange.target == b"/dicom-web/studies/1.2/series?PatientName=A%2BB*,%41&StudyInstanceUID=1.2,3"
        assert exchange.fields == {
            "host": f"127.0.0.1:{server.port}",
            "accept": JSON,
            "accept-encoding": "identity",
            "authorization": "Basic a2V5aG9sZTpwdw==",
        }


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/studies/../system", ""),
        ("/studies/%2e%2e/system", ""),
        ("/studies//1", ""),
        ("/studies/1.", ""),
        ("/studies/1?x", ""),
        ("/studies/1#x", ""),
        ("studies", ""),
        ("//evil.example/studies", ""),
        ("/studies/1;x", ""),
        ("/studies\\1", ""),
        ("/studies/é", ""),
        ("/studies", "a b"),
        ("/studies", "a=1#b"),
        ("/studies", "a=é"),
        ("/studies", "a=\r\nHost: evil"),
        ("/studies", "a=" + "x" * 8192),
    ],
)
async def test_what_this_side_never_builds_is_not_sent(archive_behind: Behind, path: str, query: str) -> None:
    async with archive_behind(says(answer())) as (archive, server):
        with pytest.raises(ValueError):
            await fetch(archive, path, query)
        assert not server.exchanges


@pytest.mark.parametrize(
    "root",
    [
        "",
        "orthanc:8042",
        "ftp://orthanc/dicom-web",
        "http://",
        "http://user:pw@orthanc/dicom-web",
        "http://orthanc/dicom-web?x=1",
        "http://orthanc/dicom-web#x",
        "http://orthanc/a/../b",
        "http://orthanc/a//b",
        "http://orthanc/%61",
        "http://orthanc:port/",
        "http://orthanc/é",
    ],
)
def test_a_root_that_can_be_read_in_two_ways_is_no_root(root: str) -> None:
    with pytest.raises(Misconfigured):
        HttpArchive("main", root)


@pytest.mark.parametrize(
    ("root", "clean"),
    [
        ("http://Orthanc:8042/dicom-web/", "http://orthanc:8042/dicom-web"),
        ("https://pacs.example:443", "https://pacs.example"),
        ("http://[::1]:80/rs", "http://[::1]/rs"),
    ],
)
def test_a_root_is_written_as_the_archive_writes_it(root: str, clean: str) -> None:
    archive = HttpArchive("main", root)
    assert (archive.name, archive.root) == ("main", clean)


@pytest.mark.parametrize("field", [{"Host": "x"}, {"X Y": "x"}, {"X": "a\r\nb"}, {"Accept": "x"}, {"X": "é"}])
def test_a_configured_header_cannot_replace_ours_or_break_the_head(field: dict[str, str]) -> None:
    with pytest.raises(Misconfigured):
        HttpArchive("main", "http://orthanc", headers=field)


@pytest.mark.parametrize("status", [b"204 No Content", b"206 Partial", b"400 Bad", b"404 Not Found", b"406 No"])
async def test_successes_and_refusals_of_the_request_are_answers(archive_behind: Behind, status: bytes) -> None:
    async with archive_behind(says(answer(status=status))) as (archive, _), archive.get("/studies", "", JSON) as got:
        assert got.status == int(status[:3])


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([answer(status=b"302 Found") + b""], id="a redirect"),
        pytest.param([answer(b"", b"Location: /studies/9", status=b"301 Moved")], id="a redirect that names a place"),
        pytest.param([answer(status=b"304 Not Modified")], id="not modified"),
        pytest.param([answer(status=b"401 Unauthorized")], id="our credentials refused"),
        pytest.param([answer(status=b"403 Forbidden")], id="our credentials forbidden"),
        pytest.param([answer(status=b"429 Slow Down")], id="busy"),
        pytest.param([answer(status=b"500 Oops")], id="an internal error"),
        pytest.param([answer(status=b"700 What")], id="no status there is"),
        pytest.param([b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"], id="an upgrade"),
        pytest.param([b"SSH-2.0-OpenSSH_9.2\r\n\r\n"], id="another protocol"),
        pytest.param([b"HTTP/1.1 OK\r\n\r\n"], id="a garbage status line"),
        pytest.param([b"\x00\xff\x16\x03\x01" * 20], id="bytes"),
        pytest.param([b""], id="nothing"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Le"], id="half a head"),
        pytest.param([answer(b"", b"X: " + b"x" * 100_000)], id="a huge header"),
        pytest.param([answer(b"", *[b"X-%d: y" % i for i in range(5000)])], id="thousands of headers"),
        pytest.param([answer(b"[]", b"Content-Length: 3")], id="two lengths"),
        pytest.param([answer(b"[]", b"Content-Encoding: gzip")], id="encoded though asked not to"),
        pytest.param([answer(b"[]", length=-1)], id="a negative length"),
    ],
)
async def test_what_is_no_answer_is_a_failure_without_addresses(archive_behind: Behind, pieces: list[bytes]) -> None:
    async with archive_behind(says(*pieces)) as (archive, _):
        with pytest.raises(ArchiveFailed) as caught:
            await asyncio.wait_for(fetch(archive), SOON)
    assert not isinstance(caught.value, ArchiveTimeout)
    assert "127.0.0.1" not in str(caught.value)
    assert "studies" not in str(caught.value)


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([answer(b"[", length=10)], id="closes before the announced length"),
        pytest.param([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n"], id="closes between chunks"),
        pytest.param([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[\r\n"], id="a chunk of no size"),
    ],
)
async def test_a_body_that_breaks_off_is_a_failure(archive_behind: Behind, pieces: list[bytes]) -> None:
    async with archive_behind(says(*pieces)) as (archive, _):
        with pytest.raises(ArchiveFailed):
            await asyncio.wait_for(fetch(archive), SOON)


async def test_an_archive_that_is_down_cannot_be_reached(archive_behind: Behind) -> None:
    async with archive_behind(says(answer())) as (_, server):
        port = server.port
    down = HttpArchive("main", f"http://127.0.0.1:{port}")
    with pytest.raises(ArchiveFailed, match="cannot be reached"):
        await fetch(down)
    await down.close()


async def test_a_header_outside_ascii_harms_nobody(archive_behind: Behind) -> None:
    said = answer(b"[]", "X-Name: Müller".encode(), b"X-Raw: \xff\xfe", b"Content-Type: \xe9/\xff")
    async with archive_behind(says(said)) as (archive, _), archive.get("/studies", "", JSON) as got:
        assert got.content_type == ""
        assert [piece async for piece in got.body] == [b"[]"]


async def test_a_client_gets_no_cookies_back_and_sends_none(archive_behind: Behind) -> None:
    async with archive_behind(says(answer(b"", b"Set-Cookie: a=b; Path=/"), keep=True)) as (archive, server):
        await fetch(archive)
        await fetch(archive)
        assert "cookie" not in server.exchanges[1].fields


async def test_proxies_of_the_environment_are_not_used(archive_behind: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with archive_behind(says(answer(b"[]"))) as (archive, _):
        assert await fetch(archive) == b"[]"


async def test_a_connection_serves_again_after_a_whole_answer(archive_behind: Behind) -> None:
    async with archive_behind(says(answer(b"[]"), keep=True)) as (archive, server):
        assert [await fetch(archive) for _ in range(20)] == [b"[]"] * 20
        assert server.connections == 1


async def test_bytes_beyond_an_answer_are_never_the_next_answer(archive_behind: Behind) -> None:
    async def script(exchange: Exchange) -> bool:
        await exchange.send(answer(b"mine"))
        await asyncio.sleep(0.05)
        await exchange.send(answer(b"foreign"))
        await asyncio.sleep(0.05)
        return True

    async with archive_behind(script) as (archive, server):
        for _ in range(3):
            assert await fetch(archive) == b"mine"
            await asyncio.sleep(0.2)
        assert server.connections == 3


async def test_a_connection_that_closed_while_idle_is_replaced(archive_behind: Behind) -> None:
    async with archive_behind(says(answer(b"[]"))) as (archive, server):
        assert [await fetch(archive) for _ in range(3)] == [b"[]"] * 3
        assert server.connections == 3


async def test_a_slow_head_ends_in_time(archive_behind: Behind) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.gone()

    async with archive_behind(script, timeouts=QUICK) as (archive, server):
        with pytest.raises(ArchiveTimeout):
            await asyncio.wait_for(fetch(archive), SOON)
        await asyncio.wait_for(server.settled(), SOON)


async def test_a_trickled_head_ends_in_time(archive_behind: Behind) -> None:
    async def script(exchange: Exchange) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                await asyncio.sleep(0.01)

    async with archive_behind(script, timeouts=QUICK) as (archive, server):
        with pytest.raises(ArchiveTimeout):
            await asyncio.wait_for(fetch(archive), SOON)
        await asyncio.wait_for(server.settled(), SOON)


async def test_a_body_that_stops_ends_in_time(archive_behind: Behind) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(answer(b"[", length=10))
        await exchange.gone()

    async with archive_behind(script, timeouts=QUICK) as (archive, server):
        with pytest.raises(ArchiveTimeout):
            await asyncio.wait_for(fetch(archive), SOON)
        await asyncio.wait_for(server.settled(), SOON)


async def test_a_body_may_take_longer_than_each_wait_for_a_piece(archive_behind: Behind) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(answer(b"", length=8))
        for _ in range(8):
            await asyncio.sleep(0.05)
            await exchange.send(b"x")

    async with archive_behind(script, timeouts=QUICK) as (archive, _):
        assert await fetch(archive) == b"x" * 8


async def test_the_first_byte_does_not_wait_for_the_second(archive_behind: Behind) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(answer(b"a", length=2))
        await released.wait()
        await exchange.send(b"b")

    released = asyncio.Event()
    async with archive_behind(script) as (archive, _), archive.get("/studies", "", JSON) as got:
        assert await asyncio.wait_for(anext(got.body), SOON) == b"a"
        released.set()
        assert await anext(got.body) == b"b"


async def waits_for_head(archive: HttpArchive, begun: asyncio.Event) -> None:
    begun.set()
    await fetch(archive)


async def waits_in_body(archive: HttpArchive, begun: asyncio.Event) -> None:
    async with archive.get("/studies", "", JSON) as got:
        async for _ in got.body:
            begun.set()


async def silent(exchange: Exchange) -> None:
    await exchange.gone()


async def endless(exchange: Exchange) -> None:
    await exchange.send(answer(b"", length=1 << 40))
    await exchange.flood()


@pytest.mark.parametrize(("script", "asks"), [(silent, waits_for_head), (endless, waits_in_body)])
async def test_a_cancelled_request_ends_at_the_archive(
    archive_behind: Behind, script: Script, asks: Callable[[HttpArchive, asyncio.Event], Awaitable[None]]
) -> None:
    async with archive_behind(script) as (archive, server):
        begun = asyncio.Event()
        task = asyncio.ensure_future(asks(archive, begun))
        await begun.wait()
        while not server.exchanges:  # noqa: ASYNC110 - the server is polled, as it has no event
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.settled(), SOON)


async def test_a_cancelled_request_ends_at_the_latest_when_the_wait_for_its_head_does(archive_behind: Behind) -> None:
    async with archive_behind(silent, timeouts=QUICK) as (archive, server):
        task = asyncio.ensure_future(fetch(archive))
        while not server.exchanges:  # noqa: ASYNC110 - the server is polled, as it has no event
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.settled(), SOON)


async def test_no_cancellation_is_lost_to_a_piece_that_comes_at_the_same_moment(archive_behind: Behind) -> None:
    async with archive_behind(endless) as (archive, server):
        for _ in range(50):
            begun = asyncio.Event()
            task = asyncio.ensure_future(waits_in_body(archive, begun))
            await begun.wait()
            task.cancel()
            await asyncio.wait([task], timeout=SOON)
            assert task.cancelled()
        await asyncio.wait_for(server.settled(), SOON)


async def drained(body: AsyncIterator[bytes]) -> None:
    async for _ in body:
        pass


async def test_leaving_the_context_ends_the_request(archive_behind: Behind) -> None:
    async with archive_behind(endless) as (archive, server):
        async with archive.get("/studies", "", JSON) as got:
            await anext(got.body)
        await asyncio.wait_for(server.settled(), SOON)
        with pytest.raises(ArchiveFailed):
            await drained(got.body)


async def test_an_unread_answer_never_leaves_bytes_for_the_next_one(archive_behind: Behind) -> None:
    async with archive_behind(says(answer(b"x" * 1_000_000), keep=True)) as (archive, _):
        async with archive.get("/studies", "", JSON) as got:
            await anext(got.body)
        assert await fetch(archive) == b"x" * 1_000_000


def until(calm: asyncio.Event, script: Script) -> Script:
    """Follow *script*, and answer at once when it is *calm*."""

    async def either(exchange: Exchange) -> None:
        await (says(answer(b"[]")) if calm.is_set() else script)(exchange)

    return either


async def test_requests_aborted_before_the_head_never_exhaust_the_pool(archive_behind: Behind) -> None:
    calm = asyncio.Event()
    async with archive_behind(until(calm, silent), connections=2) as (archive, _):
        for _ in range(20):
            tasks = [asyncio.ensure_future(fetch(archive)) for _ in range(5)]
            await asyncio.sleep(0.005)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        calm.set()
        assert await asyncio.wait_for(fetch(archive), SOON) == b"[]"


async def test_requests_aborted_in_the_body_never_exhaust_the_pool(archive_behind: Behind) -> None:
    calm = asyncio.Event()
    async with archive_behind(until(calm, endless), connections=2) as (archive, _):
        for _ in range(20):
            begun = [asyncio.Event(), asyncio.Event()]
            tasks = [asyncio.ensure_future(waits_in_body(archive, each)) for each in begun]
            await asyncio.wait_for(asyncio.gather(*(each.wait() for each in begun)), SOON)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        calm.set()
        assert await asyncio.wait_for(fetch(archive), SOON) == b"[]"


async def test_waiting_for_a_free_connection_ends_in_time(archive_behind: Behind) -> None:
    behind = archive_behind(endless, timeouts=QUICK, connections=1)
    async with behind as (archive, _), archive.get("/studies", "", JSON):
        with pytest.raises(ArchiveTimeout):
            await asyncio.wait_for(fetch(archive), SOON)


async def test_a_reader_that_stops_stops_the_archive(archive_behind: Behind) -> None:
    sent = [0]

    async def script(exchange: Exchange) -> None:
        await exchange.send(answer(b"", length=1 << 40))
        with contextlib.suppress(ConnectionError):
            while True:
                await exchange.send(b"x" * 65536)
                sent[0] += 65536

    async with archive_behind(script) as (archive, _), archive.get("/studies", "", JSON) as got:
        await anext(got.body)
        before = -1
        while sent[0] != before:
            before = sent[0]
            await asyncio.sleep(0.2)
        assert sent[0] < 32 << 20


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def posted(archive: HttpArchive, body: AsyncIterator[bytes]) -> AbstractAsyncContextManager[object]:
    return archive.post("/studies", "multipart/related; boundary=b", body, JSON)


async def test_an_upload_is_streamed_with_its_type(archive_behind: Behind) -> None:
    async def script(exchange: Exchange) -> None:
        received = await exchange.reader.readuntil(b"0\r\n\r\n")
        await exchange.send(answer(received))

    async with archive_behind(script) as (archive, server):
        async with posted(archive, chunks(b"abc", b"de")) as got:
            body = b"".join([piece async for piece in got.body])  # type: ignore[attr-defined]
        assert body == b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        assert server.exchanges[0].fields["content-type"] == "multipart/related; boundary=b"
        assert server.exchanges[0].head.startswith(b"POST ")


async def test_an_upload_may_take_longer_than_the_wait_for_an_answer(archive_behind: Behind) -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(8):
            await asyncio.sleep(0.05)
            yield b"x"

    async def script(exchange: Exchange) -> None:
        await exchange.reader.readuntil(b"0\r\n\r\n")
        await exchange.send(answer(b"[]"))

    async with archive_behind(script, timeouts=QUICK) as (archive, _), posted(archive, slow()):
        pass


async def test_what_an_upload_raises_is_raised(archive_behind: Behind) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise KeyError("the uploader left")

    async with archive_behind(silent) as (archive, server):
        with pytest.raises(KeyError):
            async with posted(archive, broken()):
                pass
        await asyncio.wait_for(server.settled(), SOON)


async def test_an_upload_waits_for_a_slow_archive(archive_behind: Behind) -> None:
    taken = [0]

    async def long_body() -> AsyncIterator[bytes]:
        while taken[0] < 64 << 20:
            taken[0] += 65536
            yield b"x" * 65536

    async def script(exchange: Exchange) -> None:
        await asyncio.sleep(60)

    async with archive_behind(script, timeouts=Timeouts(head=0.5)) as (archive, _):
        with pytest.raises(ArchiveTimeout):
            async with posted(archive, long_body()):
                pass
    assert taken[0] < 32 << 20


async def test_an_archive_can_be_asked_again_after_it_was_closed(archive_behind: Behind) -> None:
    async with archive_behind(says(answer(b"[]"))) as (archive, _):
        assert await fetch(archive) == b"[]"
        await archive.close()
        assert await fetch(archive) == b"[]"
