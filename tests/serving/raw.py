"""A listener on the loopback with small limits, and bytes sent to it as they are."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from keyhole.serving import listeners
from keyhole.serving.protocol import HardenedProtocol, Limits


class Asked:
    """An application that notes what it was asked and answers with the path."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self.bodies: list[bytes] = []
        self.disconnects = 0
        self.release = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["path"] == "/ignore":
            await self.answer(send, b"ignored")
        elif scope["path"] == "/hold":
            await self.hold(receive, send)
        elif scope["path"] == "/large":
            await self.large(receive, send)
        else:
            await self.echo(scope, receive, send)

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnects += 1
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.bodies.append(body)
        await self.answer(send, scope["raw_path"])

    async def hold(self, receive: Any, send: Any) -> None:
        """Begin an answer, end it when released, and notice when nobody waits for it any more."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"ho", "more_body": True})
        gone = asyncio.ensure_future(self.until_gone(receive))
        freed = asyncio.ensure_future(self.release.wait())
        await asyncio.wait({gone, freed}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        freed.cancel()
        await send({"type": "http.response.body", "body": b"ld"})

    async def until_gone(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.disconnects += 1

    async def large(self, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        gone = asyncio.ensure_future(self.until_gone(receive))
        while not gone.done():
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
            await asyncio.sleep(0)

    @staticmethod
    async def answer(send: Any, body: bytes) -> None:
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of the next answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length"))
        return int(head.split(b" ")[1]), await self.reader.readexactly(length)

    async def closed(self) -> bool:
        """Whether nothing more comes."""
        return await self.reader.read() == b""


@asynccontextmanager
async def listening(
    app: Any, monkeypatch: pytest.MonkeyPatch, limits: Limits, certificate: tuple[Path, Path] | None = None
) -> AsyncIterator[Any]:
    """Serve *app*, with TLS when there is a *certificate*; yields a function that opens connections."""

    class Protocol(HardenedProtocol):
        pass

    Protocol.limits = limits
    monkeypatch.setattr(listeners, "HardenedProtocol", Protocol)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
    trusting = ssl.create_default_context(cafile=certificate[0]) if certificate else None
    if serving and certificate:
        serving.load_cert_chain(*certificate)
    listener = listeners.Listener(app, (), serving)
    sock = socket.create_server(("127.0.0.1", 0))
    await listener.start(sock)
    opened: list[Client] = []

    async def connect() -> Client:
        opened.append(Client(*await asyncio.open_connection(*sock.getsockname(), limit=2**22, ssl=trusting)))
        return opened[-1]

    try:
        yield connect
    finally:
        for client in opened:
            client.writer.transport.abort()
        listener.stop_accepting()
        await listener.cut()
        sock.close()
