"""Binding, certificates, and where a request comes from."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from keyhole.errors import Misconfigured
from keyhole.serving.listeners import Apps, addresses, bind, run, tls_context
from keyhole.settings import Settings, load_settings
from tests.serving.certificates import self_signed
from tests.serving.raw import Client

IN_USE = "another program listens there already: stop it, or choose another port"
Configure = Callable[..., Settings]


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    def settings(**options: Any) -> Settings:
        off = dict.fromkeys(("bind", "staff_bind", "internal_bind"), "off")
        given = {"archive": tmp_path, "data": tmp_path, "public_url": "http://127.0.0.1", **off, **options}
        return load_settings({}, None, given)

    return settings


@pytest.fixture
def taken() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.loopback
class TestBinding:
    def test_what_is_off_is_not_bound(self, configure: Configure) -> None:
        settings = configure(bind="127.0.0.1:0", internal_bind="[::1]:0")
        sockets = bind(settings)
        found = addresses(settings, sockets)
        for listener in sockets.values():
            listener.close()
        assert found.keys() == {"public", "internal"}
        assert found["internal"].startswith("http://[::1]:")
        assert not found["public"].endswith(":0")

    def test_every_address_that_cannot_be_had_is_named_at_once(self, configure: Configure, taken: str) -> None:
        with pytest.raises(Misconfigured) as caught:
            bind(configure(bind=taken, staff_bind="127.0.0.1:0", internal_bind="192.0.2.1:8001", insecure_http=True))
        assert caught.value.problems == (
            f"KEYHOLE_BIND cannot be bound: {taken} ({IN_USE})",
            "KEYHOLE_INTERNAL_BIND cannot be bound: 192.0.2.1:8001 (this machine has no such address)",
        )

    def test_serving_nothing_is_a_mistake(self, configure: Configure) -> None:
        with pytest.raises(Misconfigured, match="every listener is off"):
            bind(configure())


class TestCertificates:
    @pytest.fixture
    def with_files(self, configure: Configure) -> Callable[[Path, Path], Settings]:
        return lambda cert, key: configure(public_url="https://localhost", tls_cert=cert, tls_key=key)

    def test_without_a_certificate_there_is_no_tls(self, configure: Configure) -> None:
        assert tls_context(configure()) is None

    def test_a_certificate_and_its_key_are_taken(self, with_files: Any, tmp_path: Path) -> None:
        assert tls_context(with_files(*self_signed(tmp_path))) is not None

    def test_the_key_of_another_certificate_is_told(self, with_files: Any, tmp_path: Path) -> None:
        certificate, _ = self_signed(tmp_path, "one")
        _, key = self_signed(tmp_path, "two")
        with pytest.raises(Misconfigured, match="KEYHOLE_TLS_KEY is not the key of the certificate"):
            tls_context(with_files(certificate, key))

    def test_what_is_no_certificate_is_told(self, with_files: Any, tmp_path: Path) -> None:
        _, key = self_signed(tmp_path)
        (tmp_path / "rubbish").write_text("rubbish")
        with pytest.raises(Misconfigured, match="are no PEM certificate and key"):
            tls_context(with_files(tmp_path / "rubbish", key))

    def test_an_encrypted_key_is_told_and_not_asked_for_at_the_terminal(self, with_files: Any, tmp_path: Path) -> None:
        with pytest.raises(Misconfigured, match="KEYHOLE_TLS_KEY is encrypted"):
            tls_context(with_files(*self_signed(tmp_path, password=b"secret")))


class Lived:
    """An application that tells where requests come from, and the notes of its life."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = scope["client"][0].encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        try:
            if scope["path"] == "/endless":
                while (await receive())["type"] != "http.disconnect":
                    pass
                self.notes.append("left")
                return
            if scope["path"] == "/deaf":
                await asyncio.sleep(1000)
            await asyncio.sleep(0.1 if scope["path"] == "/slow" else 0)
            await send({"type": "http.response.body", "body": body})
            self.notes.append("answered")
        except asyncio.CancelledError:
            self.notes.append("cancelled")
            raise

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.notes.append("begun")
        yield
        self.notes.append("ended")


@asynccontextmanager
async def running(app: Any, settings: Settings, grace: float = 5.0) -> AsyncIterator[tuple[Any, asyncio.Event, Any]]:
    sockets = bind(settings)
    places = {name: listener.getsockname() for name, listener in sockets.items()}
    stop, ready = asyncio.Event(), asyncio.Event()
    apps = Apps(app, app, app, app.lifespan())
    task = asyncio.ensure_future(run(apps, settings, sockets, ready.set, stop, grace=grace))
    await ready.wait()

    opened: list[Client] = []

    async def connect(name: str = "public") -> Client:
        opened.append(Client(*await asyncio.open_connection(*places[name][:2])))
        return opened[-1]

    try:
        yield connect, stop, task
    finally:
        for client in opened:
            client.writer.transport.abort()
        stop.set()
        await task


def asking(path: bytes = b"/", *fields: bytes) -> bytes:
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: keyhole.test", *fields, b"", b""])


@pytest.mark.loopback
class TestRunning:
    async def test_the_lifespan_is_entered_once_for_all_listeners(self, configure: Configure) -> None:
        app = Lived()
        binds = dict.fromkeys(("bind", "staff_bind", "internal_bind"), "127.0.0.1:0")
        async with running(app, configure(**binds)) as (connect, _, _):
            for name in ("public", "staff", "internal"):
                client = await connect(name)
                await client.send(asking())
                assert await client.answer() == (200, b"127.0.0.1")
        assert app.notes == ["begun", "answered", "answered", "answered", "ended"]

    @pytest.mark.parametrize(("trusted", "seen"), [((), b"127.0.0.1"), (("127.0.0.1",), b"192.0.2.1")])
    async def test_a_forwarded_address_is_taken_from_trusted_proxies_alone(
        self, configure: Configure, trusted: tuple[str, ...], seen: bytes
    ) -> None:
        settings = configure(bind="127.0.0.1:0", trusted_proxies=trusted)
        async with running(Lived(), settings) as (connect, _, _):
            client = await connect()
            await client.send(asking(b"/", b"X-Forwarded-For: 192.0.2.1"))
            assert await client.answer() == (200, seen)

    async def test_nothing_is_said_about_the_server(self, configure: Configure) -> None:
        async with running(Lived(), configure(bind="127.0.0.1:0")) as (connect, _, _):
            client = await connect()
            await client.send(asking())
            assert b"server:" not in (await client.reader.readuntil(b"\r\n\r\n")).lower()

    async def test_an_answer_under_way_is_finished_before_the_end(self, configure: Configure) -> None:
        app = Lived()
        async with running(app, configure(bind="127.0.0.1:0")) as (connect, stop, task):
            idle, client = await connect(), await connect()
            await client.send(asking(b"/slow"))
            await client.reader.readuntil(b"\r\n\r\n")
            stop.set()
            assert await client.reader.read() == b"127.0.0.1"
            assert await idle.closed()
            await task
        assert app.notes == ["begun", "answered", "ended"]

    @pytest.mark.parametrize(("path", "note"), [(b"/endless", "left"), (b"/deaf", "cancelled")])
    async def test_an_answer_without_end_is_cut_when_its_time_is_over(
        self, configure: Configure, path: bytes, note: str
    ) -> None:
        app = Lived()
        async with running(app, configure(bind="127.0.0.1:0"), grace=0.1) as (connect, stop, task):
            client = await connect()
            await client.send(asking(path))
            await client.reader.readuntil(b"\r\n\r\n")
            stop.set()
            await task
        assert app.notes == ["begun", note, "ended"]

    async def test_nobody_is_let_in_after_the_end(self, configure: Configure) -> None:
        async with running(Lived(), configure(bind="127.0.0.1:0")) as (connect, stop, task):
            stop.set()
            await task
            with pytest.raises(OSError, match=r"refused|reset"):
                await connect()
