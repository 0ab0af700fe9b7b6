"""Call an ASGI application in this process: no socket, and the raw path exactly as written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``headers`` is in order, with lower-case names."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The field's value; None when it is not there. More than one is an error."""
        values = [value for key, value in self.headers if key == name.lower()]
        if len(values) > 1:
            raise AssertionError(f"{name} is sent {len(values)} times")
        return values[0] if values else None

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass(frozen=True, slots=True)
class Caller:
    """A client of *app*."""

    app: Any
    host: str = "127.0.0.1:8000"
    scheme: str = "http"
    client: tuple[str, int] = ("192.0.2.7", 50000)

    async def get(self, target: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.call("GET", target, headers)

    async def head(self, target: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.call("HEAD", target, headers)

    async def post_json(self, target: str, content: Any, headers: Mapping[str, str] | None = None) -> Answer:
        sent = {"content-type": "application/json", **(headers or {})}
        return await self.call("POST", target, sent, [msgspec.json.encode(content)])

    async def post_form(self, target: str, body: str, headers: Mapping[str, str] | None = None) -> Answer:
        sent = {"content-type": "application/x-www-form-urlencoded", **(headers or {})}
        return await self.call("POST", target, sent, [body.encode()])

    async def call(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: Iterable[bytes] = ()
    ) -> Answer:
        """Send one request; *target* is the raw path with its query, *body* is sent in these pieces."""
        raw_path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": self.scheme,
            "path": unquote(raw_path),
            "raw_path": raw_path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "headers": [(b"host", self.host.encode()), *_encoded(headers)],
            "client": self.client,
            "server": ("127.0.0.1", 8000),
            "state": {},
        }
        return await _run(self.app, scope, [*body])


def _encoded(headers: Mapping[str, str] | None) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]


async def _run(app: Any, scope: dict[str, Any], pieces: list[bytes]) -> Answer:
    start: dict[str, Any] = {}
    body = bytearray()
    pieces = pieces or [b""]

    async def receive() -> dict[str, Any]:
        if pieces:
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}
        await asyncio.Event().wait()  # a client that stays
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert not start, "two answers to one request"
            start.update(message)
        else:
            assert start, "a body before its head"
            body.extend(message.get("body", b""))

    await app(scope, receive, send)
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"])
    return Answer(start["status"], headers, bytes(body))
