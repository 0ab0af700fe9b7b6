"""A question to a stranger has an end, whatever it answers, and carries nothing."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keyhole.operations.doctor import asking
from keyhole.operations.doctor.apart import apart
from keyhole.operations.doctor.asking import Unheard, Untrusted
from tests.operations.doctor.tls import made

pytestmark = pytest.mark.loopback

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(talk: Talk, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[str]:
    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(served, host, 0, ssl=tls)
    async with listening:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"


def saying(answer: bytes, heads: list[bytes] | None = None) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if heads is not None:
            heads.append(head)
        writer.write(answer)
        await writer.drain()

    return talk


async def test_an_answer_is_heard_and_nothing_but_the_question_is_sent() -> None:
    heads: list[bytes] = []
    answer = b"HTTP/1.1 401 No\r\nDate: Thu, 01 Jan 1970 00:01:40 GMT\r\nContent-Length: 2\r\n\r\nno"
    async with server(saying(answer, heads)) as place:
        heard = await asking.ask(f"http://{place}/dicom-web/studies?limit=1")
    assert (heard.status, heard.headers["date"], heard.body) == (401, "Thu, 01 Jan 1970 00:01:40 GMT", b"no")
    assert heard.asked_at <= heard.heard_at
    want = f"GET /dicom-web/studies?limit=1 HTTP/1.1\r\nHost: {place}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    assert heads == [want.encode()]


async def test_a_redirect_is_not_followed() -> None:
    async with server(saying(b"HTTP/1.1 302 F\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n")) as place:
        assert (await asking.ask(f"http://{place}")).status == 302


async def test_a_body_without_end_is_left() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    async with server(talk) as place:
        assert len((await asking.ask(f"http://{place}")).body) < 200_000


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000],
    ids=["nothing", "something else", "half a head", "a head without end"],
)
async def test_what_is_no_http_is_not_heard(answer: bytes) -> None:
    async with server(saying(answer)) as place:
        with pytest.raises(Unheard):
            await asking.ask(f"http://{place}")


async def test_silence_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PATIENCE", 0.1)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with server(talk) as place:
        with pytest.raises(Unheard, match="no answer within"):
            await asking.ask(f"http://{place}")


async def test_nobody_there_is_not_heard() -> None:
    async with server(saying(b"")) as place:
        pass
    with pytest.raises(Unheard, match="nothing can be reached"):
        await asking.ask(f"http://{place}")


async def test_a_certificate_nobody_knows_is_told_and_heard_all_the_same_without_care(tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*made(tmp_path, "127.0.0.1"))
    async with server(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), tls) as place:
        with pytest.raises(Untrusted):
            await asking.ask(f"https://{place}")
        heard = await asking.ask(f"https://{place}", tls=asking.unverified())
        assert (heard.status, heard.trusted_until) == (200, None)
        trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        heard = await asking.ask(f"https://{place}", tls=trusting)
        assert heard.trusted_until is not None
        assert heard.trusted_until > heard.heard_at


async def test_tls_to_what_speaks_none_is_not_heard() -> None:
    async with server(saying(b"HTTP/1.1 400 B\r\n\r\n")) as place:
        with pytest.raises(Unheard):
            await asking.ask(f"https://{place}")


async def test_a_name_without_address_has_none() -> None:
    assert await asking.addresses("does-not-exist.invalid", 80) == ()
    assert await asking.addresses("127.0.0.1", 80) == ("127.0.0.1",)
    with pytest.raises(Unheard):
        await asking.ask("http://does-not-exist.invalid")


async def test_what_hangs_is_waited_for_no_longer_than_asked() -> None:
    import threading  # noqa: PLC0415 - for this test alone

    released = threading.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await apart(released.wait)
    released.set()
    assert await apart(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        await apart(lambda: 1 // 0)
