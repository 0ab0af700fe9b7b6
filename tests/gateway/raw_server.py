"""A server made by hand, which misbehaves in any way that a test writes down."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable


class Exchange:
    """One connection's next request: its head as received, and the socket to answer on."""

    def __init__(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = head
        self.reader = reader
        self.writer = writer

    @property
    def target(self) -> bytes:
        return self.head.split(b" ")[1]

    @property
    def fields(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:-2]
        return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def gone(self) -> None:
        """Return when the client has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    async def flood(self) -> None:
        """Send until the client has gone."""
        with contextlib.suppress(ConnectionError):
            while True:
                await self.send(b"x" * 65536)
                await asyncio.sleep(0)


Script = Callable[[Exchange], Awaitable[bool | None]]


class RawServer:
    """Runs a script for each request; a script that returns True keeps the connection for another request."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.exchanges: list[Exchange] = []
        self.connections = 0
        self.closed = 0
        self.port = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                exchange = Exchange(await reader.readuntil(b"\r\n\r\n"), reader, writer)
                self.exchanges.append(exchange)
                if not await self.script(exchange):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.closed += 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[RawServer]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def settled(self) -> None:
        """Return when every connection is closed."""
        while self.closed < self.connections:  # noqa: ASYNC110 - there is no event for what the client does
            await asyncio.sleep(0.01)


def answer(body: bytes = b"", *fields: bytes, status: bytes = b"200 OK", length: int | None = None) -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % (len(body) if length is None else length), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
