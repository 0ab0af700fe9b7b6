"""What the HTTP protocol refuses, and when it loses patience. Raw bytes over the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from keyhole.serving import listeners
from keyhole.serving.protocol import Limits
from tests.serving.certificates import self_signed
from tests.serving.raw import Asked, Client, listening

pytestmark = pytest.mark.loopback

Connect = Callable[[], Awaitable[Client]]
HOST = b"Host: keyhole.test\r\n"
GET = b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKED = b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
PATIENT = Limits(linger_seconds=0.2)
SHORT = Limits(head_seconds=0.3, body_seconds=0.5, linger_seconds=0.2)


@pytest.fixture
def limits() -> Limits:
    return PATIENT


@pytest.fixture
async def app() -> Asked:
    return Asked()


@pytest.fixture
async def connect(app: Asked, limits: Limits, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connect]:
    async with listening(app, monkeypatch, limits) as opening:
        yield opening


def field(name: bytes, value: bytes) -> bytes:
    return b"GET /x HTTP/1.1\r\n" + HOST + name + b": " + value + b"\r\n\r\n"


REFUSED = {
    "an absolute-form target": b"GET http://evil.test/x HTTP/1.1\r\n" + HOST + b"\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT evil.test:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a fragment": b"GET /x#y HTTP/1.1\r\n" + HOST + b"\r\n",
    "an empty fragment": b"GET /x# HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target without a slash": b"GET x HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target with a space": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target with a control byte": b"GET /a\x01b HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target with bytes beyond ASCII": b"GET /\xc3\xa4 HTTP/1.1\r\n" + HOST + b"\r\n",
    "no Host": b"GET /x HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /x HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "two Hosts in HTTP/1.0": b"GET /x HTTP/1.0\r\n" + HOST + HOST + b"\r\n",
    "an empty Host": b"GET /x HTTP/1.1\r\nHost:\r\n\r\n",
    "a Host with a path": b"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "a Host with user information": b"GET /x HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "two Content-Length": b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "Content-Length with two values": b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 1\r\n\r\nx",
    "Content-Length with a sign": b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\nx",
    "Content-Length beyond all bounds": b"POST /x HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 99999999999999999999\r\n\r\n",
    "Content-Length, then Transfer-Encoding": b"POST /x HTTP/1.1\r\n"
    + HOST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding, then Content-Length": b"POST /x HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two Transfer-Encoding": b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "a coding that is not chunked": b"POST /x HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding before a space": b"POST /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /x HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded line": b"GET /x HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
    "a control byte in a value": field(b"X", b"a\x01b"),
    "a NUL in a value": field(b"X", b"a\x00b"),
    "DEL in a value": field(b"X", b"a\x7fb"),
    "a carriage return in a value": field(b"X", b"a\rb"),
    "a name with a parenthesis": field(b"X(", b"a"),
    "a name beyond ASCII": field(b"X\xff", b"a"),
    "no name": field(b"", b"a"),
    "line ends without carriage return": b"GET /x HTTP/1.1\nHost: a\n\n",
    "an unknown method": b"BREW /x HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method in lower case": b"get /x HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/2.0 in the line": b"GET /x HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/1.2": b"GET /x HTTP/1.2\r\n" + HOST + b"\r\n",
    "HTTP/0.9": b"GET /x\r\n\r\n",
    "HTTP/2 with prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an upgrade to a websocket": field(b"Connection: upgrade\r\nUpgrade", b"websocket"),
    "an upgrade to h2c": field(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade", b"h2c"),
    "an upgrade beside Connection": field(b"Upgrade", b"h2c"),
    "TLS on a plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a chunk size that is none": CHUNKED + b"x\r\n",
    "a chunk longer than its size": CHUNKED + b"1\r\nxy\r\n",
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
async def test_what_is_no_plain_request_is_refused_and_the_connection_ends(
    connect: Connect, app: Asked, data: bytes
) -> None:
    client = await connect()
    await client.send(data)
    status, body = await client.answer()
    assert (status, body[-1:]) == (400, b"\n")
    assert await client.closed()
    assert not app.bodies


TAKEN = {
    "HTTP/1.1": GET,
    "HTTP/1.0 without Host": b"GET /x HTTP/1.0\r\n\r\n",
    "empty lines before": b"\r\n\r\n" + GET,
    "a Host with a port": b"GET /x HTTP/1.1\r\nHost: [2001:db8::1]:8000\r\n\r\n",
    "a tab and bytes beyond ASCII in a value": field(b"X", b"a\tb\xe4"),
    "an empty value": field(b"X", b""),
    "100 fields": b"GET /x HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 99 + b"\r\n",
    "32 KB": field(b"X", b"y" * (32 * 1024 - 100)),
}


@pytest.mark.parametrize("data", TAKEN.values(), ids=TAKEN)
async def test_what_is_a_request_is_taken(connect: Connect, data: bytes) -> None:
    client = await connect()
    await client.send(data)
    assert await client.answer() == (200, b"/x")


async def test_the_raw_target_reaches_the_application(connect: Connect, app: Asked) -> None:
    client = await connect()
    await client.send(b"GET //a%2F/./..\\;b?c=%26&&d HTTP/1.1\r\n" + HOST + b"\r\n")
    assert await client.answer() == (200, b"//a%2F/./..\\;b")
    assert app.scopes[0]["query_string"] == b"c=%26&&d"


async def test_white_space_around_a_value_is_not_part_of_it(connect: Connect, app: Asked) -> None:
    client = await connect()
    await client.send(field(b"X", b" \t a b \t "))
    await client.answer()
    assert (b"x", b"a b") in app.scopes[0]["headers"]


TOO_LARGE = {
    "101 fields": b"GET /x HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 100 + b"\r\n",
    "more than 32 KB of fields": b"GET /x HTTP/1.1\r\n" + HOST + (b"X: " + b"y" * 1000 + b"\r\n") * 33 + b"\r\n",
    "a value of more than 32 KB": field(b"X", b"y" * 33_000),
    "a target of more than 32 KB": b"GET /" + b"y" * 33_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "an endless value": b"GET /x HTTP/1.1\r\nX: " + b"y" * 1_000_000,
    "an endless name": b"GET /x HTTP/1.1\r\n" + b"y" * 1_000_000,
    "an endless target": b"GET /" + b"y" * 1_000_000,
    "endless empty lines": b"\r\n" * 500_000,
    "too many trailers": CHUNKED + b"0\r\n" + b"X: y\r\n" * 100 + b"\r\n",
}


@pytest.mark.parametrize("data", TOO_LARGE.values(), ids=TOO_LARGE)
async def test_a_head_beyond_the_bounds_is_refused(connect: Connect, app: Asked, data: bytes) -> None:
    client = await connect()
    await client.send(data)
    status, _ = await client.answer()
    assert status == 431
    assert await client.closed()
    assert not app.bodies


async def test_the_bounds_hold_for_every_request_of_a_connection(connect: Connect) -> None:
    client = await connect()
    for _ in range(5):
        await client.send(field(b"X", b"y" * 20_000))
        assert (await client.answer())[0] == 200
    await client.send(field(b"X", b"y" * 33_000))
    assert (await client.answer())[0] == 431


@pytest.mark.parametrize("piece", [1, 7, 100])
async def test_a_head_may_come_in_pieces(connect: Connect, app: Asked, piece: int) -> None:
    client = await connect()
    data = field(b"X-Long", b"y" * 200) + GET
    for start in range(0, len(data), piece):
        await client.send(data[start : start + piece])
        await asyncio.sleep(0)
    assert [await client.answer() for _ in range(2)] == [(200, b"/x"), (200, b"/x")]
    assert (b"x-long", b"y" * 200) in app.scopes[0]["headers"]


class TestTime:
    @pytest.fixture
    def limits(self) -> Limits:
        return SHORT

    @pytest.mark.parametrize("data", [b"G", b"\r\n", GET[:-2]], ids=["one byte", "an empty line", "all but the end"])
    async def test_a_head_that_does_not_end_is_refused(self, connect: Connect, data: bytes) -> None:
        client = await connect()
        await client.send(data)
        assert (await client.answer())[0] == 408
        assert await client.closed()

    async def test_a_trickled_head_gets_no_more_time_for_its_trickle(self, connect: Connect) -> None:
        client = await connect()
        await client.send(GET[:-2] + b"X: ")
        answer = asyncio.ensure_future(client.answer())
        while not answer.done():
            client.writer.write(b"y")
            await asyncio.sleep(0.02)
        assert (await answer)[0] == 408

    async def test_the_next_head_has_its_own_time(self, connect: Connect) -> None:
        client = await connect()
        for _ in range(4):
            await client.send(GET)
            assert (await client.answer())[0] == 200
            await asyncio.sleep(0.1)
        await client.send(GET[:-2])
        assert (await client.answer())[0] == 408

    async def test_a_connection_that_asks_nothing_is_closed_without_a_word(self, connect: Connect) -> None:
        assert await (await connect()).closed()

    async def test_a_body_that_stands_still_is_refused(self, connect: Connect, app: Asked) -> None:
        client = await connect()
        await client.send(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nabc")
        assert (await client.answer())[0] == 408
        assert await client.closed()
        assert app.disconnects == 1
        assert not app.bodies

    async def test_a_trickled_body_is_refused(self, connect: Connect) -> None:
        client = await connect()
        await client.send(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 10000\r\n\r\n")
        answer = asyncio.ensure_future(client.answer())
        while not answer.done():
            client.writer.write(b"x")
            await asyncio.sleep(0.02)
        assert (await answer)[0] == 408

    async def test_a_trickled_chunk_extension_is_no_progress(self, connect: Connect) -> None:
        client = await connect()
        await client.send(CHUNKED + b"5;")
        answer = asyncio.ensure_future(client.answer())
        while not answer.done():
            client.writer.write(b"x" * 300)
            await asyncio.sleep(0.02)
        assert (await answer)[0] in {400, 408}

    async def test_a_body_that_goes_on_has_all_the_time_it_needs(self, connect: Connect, app: Asked) -> None:
        client = await connect()
        await client.send(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 4000\r\n\r\n")
        for _ in range(20):
            await client.send(bytes(200))
            await asyncio.sleep(0.04)
        assert await client.answer() == (200, b"/x")
        assert app.bodies == [bytes(4000)]

    async def test_a_body_is_not_late_while_the_application_does_not_read(self, connect: Connect, app: Asked) -> None:
        client = await connect()
        app.echo = _after(1.2, app.echo)  # type: ignore[method-assign]
        await client.send(b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 300000\r\n\r\n" + bytes(200_000))
        await asyncio.sleep(1.25)
        await client.send(bytes(100_000))
        assert await client.answer() == (200, b"/x")

    async def test_a_body_is_not_late_while_the_client_waits_to_be_told_to_go_on(
        self, connect: Connect, app: Asked
    ) -> None:
        client = await connect()
        app.echo = _after(1.2, app.echo)  # type: ignore[method-assign]
        await client.send(b"POST /x HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"ok")
        assert await client.answer() == (200, b"/x")

    async def test_an_answer_may_take_longer_than_a_head(self, connect: Connect, app: Asked) -> None:
        client = await connect()
        await client.send(b"GET /hold HTTP/1.1\r\n" + HOST + b"\r\n" + GET[:-2])
        await asyncio.sleep(0.5)
        app.release.set()
        assert await client.answer() == (200, b"hold")
        await client.send(b"\r\n")
        assert await client.answer() == (200, b"/x")


def _after(seconds: float, call: Any) -> Any:
    async def later(*arguments: Any) -> None:
        await asyncio.sleep(seconds)
        await call(*arguments)

    return later


async def test_trailers_do_not_become_headers(connect: Connect, app: Asked) -> None:
    client = await connect()
    await client.send(CHUNKED + b"2\r\nok\r\n0\r\nCookie: keyhole_visit=stolen\r\n\r\n")
    assert await client.answer() == (200, b"/x")
    assert app.bodies == [b"ok"]
    assert b"cookie" not in dict(app.scopes[0]["headers"])


async def test_chunk_extensions_are_bounded(connect: Connect, app: Asked) -> None:
    client = await connect()
    await client.send(CHUNKED)
    answer = asyncio.ensure_future(client.answer())
    while not answer.done():
        client.writer.write((b"1;" + b"x" * 400 + b"\r\ny\r\n") * 10)
        await asyncio.sleep(0.001)
    assert (await answer)[0] == 400
    assert not app.bodies


async def test_small_chunks_are_no_offence(connect: Connect, app: Asked) -> None:
    client = await connect()
    await client.send(CHUNKED)
    for _ in range(100):
        await client.send(b"1\r\nx\r\n" * 200)
    await client.send(b"0\r\n\r\n")
    assert await client.answer() == (200, b"/x")
    assert app.bodies == [b"x" * 20_000]


class TestPipelining:
    async def test_requests_in_a_row_are_answered_in_order(self, connect: Connect, app: Asked) -> None:
        client = await connect()
        for number in range(10):
            client.writer.write(b"POST /%d HTTP/1.1\r\n" % number + HOST + b"Content-Length: 1\r\n\r\nx")
        assert [await client.answer() for _ in range(10)] == [(200, b"/%d" % number) for number in range(10)]

    async def test_a_bad_request_behind_a_good_one_does_not_spoil_its_answer(
        self, connect: Connect, app: Asked
    ) -> None:
        client = await connect()
        await client.send(b"GET /hold HTTP/1.1\r\n" + HOST + b"\r\nrubbish\r\n\r\n")
        await asyncio.sleep(0.05)
        app.release.set()
        assert await client.answer() == (200, b"hold")
        assert await client.closed()

    async def test_no_more_than_sixteen_wait(self, connect: Connect, app: Asked) -> None:
        client = await connect()
        await client.send(b"GET /hold HTTP/1.1\r\n" + HOST + b"\r\n" + GET * 1000)
        await asyncio.sleep(0.05)
        app.release.set()
        assert await client.answer() == (200, b"hold")
        assert await client.closed()
        assert len(app.scopes) == 1

    async def test_whoever_leaves_is_missed_by_the_answer_under_way(self, connect: Connect, app: Asked) -> None:
        client = await connect()
        await client.send(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n" + GET)
        await client.reader.readexactly(10)
        client.writer.transport.abort()
        await _until(lambda: app.disconnects == 1)
        assert len(app.scopes) == 1

    async def test_whoever_leaves_alone_is_missed_at_once(self, connect: Connect, app: Asked) -> None:
        client = await connect()
        await client.send(b"GET /hold HTTP/1.1\r\n" + HOST + b"\r\n")
        await client.reader.readexactly(10)
        client.writer.transport.abort()
        await _until(lambda: app.disconnects == 1)


async def test_a_body_that_nobody_read_ends_the_connection_after_the_answer(connect: Connect, app: Asked) -> None:
    client = await connect()
    await client.send(b"POST /ignore HTTP/1.1\r\n" + HOST + b"Content-Length: 10000000\r\n\r\n" + bytes(1000))
    assert await client.answer() == (200, b"ignored")
    assert await client.closed()


async def test_the_rest_of_an_unread_body_is_never_a_request(connect: Connect, app: Asked) -> None:
    client = await connect()
    await client.send(b"POST /ignore HTTP/1.1\r\n" + HOST + b"Content-Length: 10000\r\n\r\n")
    assert await client.answer() == (200, b"ignored")
    client.writer.write(GET * 20)
    assert await client.closed()
    assert len(app.scopes) == 1


async def test_a_body_that_breaks_after_its_answer_has_begun_ends_the_connection(connect: Connect, app: Asked) -> None:
    client = await connect()
    await client.send(b"POST /hold HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
    assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    await client.send(b"rubbish\r\n")
    assert await client.reader.read() == b"ho"
    assert app.disconnects == 1


class TestKeepAlive:
    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listeners, "_KEEP_ALIVE_SECONDS", 0.3)

    async def test_a_connection_that_nobody_uses_is_closed_without_a_word(self, connect: Connect) -> None:
        client = await connect()
        await client.send(GET)
        assert await client.answer() == (200, b"/x")
        assert await client.closed()

    async def test_empty_lines_before_a_request_have_the_time_of_its_head(self, connect: Connect) -> None:
        client = await connect()
        await client.send(GET)
        assert await client.answer() == (200, b"/x")
        await client.send(b"\r\n")
        await asyncio.sleep(0.5)
        await client.send(GET)
        assert await client.answer() == (200, b"/x")


async def test_a_refusal_is_heard_over_tls(app: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with listening(app, monkeypatch, PATIENT, self_signed(tmp_path)) as connect:
        client = await connect()
        await client.send(REFUSED["no Host"])
        assert (await client.answer())[0] == 400
        assert await client.closed()


async def test_whoever_says_nothing_in_tls_is_closed(
    app: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with listening(app, monkeypatch, SHORT, self_signed(tmp_path)) as connect:
        assert await (await connect()).closed()


class TestStalled:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(stalled_seconds=0.3)

    async def test_whoever_takes_its_answer_is_not(self, connect: Connect, app: Asked) -> None:
        client = await connect()
        await client.send(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n")
        for _ in range(20):
            await client.reader.readexactly(2_000_000)
            await asyncio.sleep(0.03)
        assert not app.disconnects

    async def test_whoever_takes_nothing_of_its_answer_is_cut_off(self, connect: Connect, app: Asked) -> None:
        client = await connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n")
        await _until(lambda: app.disconnects == 1)


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - what is looked at tells nobody
            await asyncio.sleep(0.01)


async def test_two_hundred_idle_connections_keep_nobody_waiting(connect: Connect) -> None:
    idle = [await connect() for _ in range(200)]
    for client in idle[:100]:
        await client.send(GET[:20])
    busy = await connect()
    for _ in range(50):
        await busy.send(GET)
        assert await busy.answer() == (200, b"/x")
