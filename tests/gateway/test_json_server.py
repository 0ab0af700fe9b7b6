"""JSON from an identity provider, against a server that misbehaves in each way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from keyhole.errors import ProviderFailed
from keyhole.gateway.upstream import JsonServer
from tests.gateway.raw_server import Exchange, RawServer, Script, answer

pytestmark = pytest.mark.loopback

DEEP = b'{"a":' * 50_000 + b"1" + b"}" * 50_000


@contextlib.asynccontextmanager
async def asking(script: Script, *, seconds: float = 5) -> AsyncIterator[tuple[JsonServer, RawServer, str]]:
    client = JsonServer(seconds=seconds, longest=10_000)
    try:
        async with RawServer(script).running() as server:
            yield client, server, f"http://127.0.0.1:{server.port}/realms/orthanc/keys"
    finally:
        await client.close()


def giving(*pieces: bytes) -> Script:
    async def script(exchange: Exchange) -> bool:
        await exchange.send(*pieces)
        return False

    return script


async def test_what_is_there_is_given_and_nothing_is_sent_but_the_question() -> None:
    async with asking(giving(answer(b'{"keys": []}'))) as (client, server, url):
        assert await client.get(url, {"Authorization": "Bearer t"}) == (200, {"keys": []})
        (exchange,) = server.exchanges
        assert exchange.head.startswith(b"GET /realms/orthanc/keys HTTP/1.1\r\n")
        assert {name.lower() for name in exchange.fields} == {"host", "accept", "accept-encoding", "authorization"}


async def test_a_form_is_posted() -> None:
    async with asking(giving(answer(b"{}"))) as (client, server, url):
        assert await client.post(url, {"client_secret": "a&b=c d"}) == (200, {})
        (exchange,) = server.exchanges
        assert exchange.fields["content-type"] == "application/x-www-form-urlencoded"
        assert await exchange.reader.read(100) == b"client_secret=a%26b%3Dc+d"


@pytest.mark.parametrize("status", [b"400 Bad Request", b"401 Unauthorized", b"404 Not Found"])
async def test_a_refusal_is_told_and_its_body_is_not_read(status: bytes) -> None:
    async with asking(giving(b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\nwords")) as (client, _, url):
        assert await client.get(url) == (int(status[:3]), None)


@pytest.mark.parametrize("status", [b"301", b"302", b"303", b"307", b"308", b"300"])
async def test_nobody_is_followed_anywhere(status: bytes) -> None:
    """A provider, or whoever can make it redirect, does not send Keyhole to other servers of its network."""
    async with RawServer(giving(answer(b'{"secret": 1}'))).running() as inside:
        where = f"Location: http://127.0.0.1:{inside.port}/latest/meta-data\r\n".encode()
        redirect = b"HTTP/1.1 " + status + b" Elsewhere\r\n" + where + b"Content-Length: 0\r\n\r\n"
        async with asking(giving(redirect)) as (client, _, url):
            with pytest.raises(ProviderFailed):
                await client.get(url)
        assert inside.exchanges == []


@pytest.mark.parametrize(
    "pieces",
    [
        [answer(b"x" * 10_001)],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"] * 1,
        [answer(DEEP[:9_000])],
        [answer(b'{"a":' * 1_500 + b"1" + b"}" * 1_500)],
        [answer(b"")],
        [answer(b"<html>")],
        [answer(b"\xff")],
        [answer(b'{"a": NaN}')],
        [b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}"],
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b"],
        [b"SSH-2.0-OpenSSH\r\n"],
        [b""],
    ],
    ids=lambda pieces: repr(pieces)[:50],
)
async def test_what_is_no_answer_is_a_failure_without_addresses(pieces: list[bytes]) -> None:
    async with asking(giving(*pieces)) as (client, server, url):
        with pytest.raises(ProviderFailed) as failed:
            await client.get(url)
        assert str(server.port) not in str(failed.value)
        assert failed.value.__cause__ is None


async def test_an_endless_answer_ends_when_it_is_too_long() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
        await exchange.flood()

    async with asking(script) as (client, _, url):
        with pytest.raises(ProviderFailed, match="too much"):
            await client.get(url)


async def test_a_trickled_answer_ends_in_time() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                await exchange.send(b" ")
                await asyncio.sleep(0.05)

    async with asking(script, seconds=0.3) as (client, _, url):
        began = time.monotonic()
        with pytest.raises(ProviderFailed, match="too long"):
            await client.get(url)
        assert time.monotonic() - began < 10


async def test_a_provider_that_is_down_cannot_be_reached() -> None:
    async with asking(giving(answer(b"{}"))) as (client, _, url):
        pass
    with pytest.raises(ProviderFailed):
        await client.get(url)
    await client.close()


async def test_no_proxy_of_the_environment_and_no_cookie_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\n{}"
    async with asking(giving(cookie)) as (client, server, url):
        await client.get(url)
        await client.get(url)
        assert "cookie" not in server.exchanges[1].fields
