"""A client that calls an ASGI application in the same loop, byte for byte as given."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Answer:
    status: int
    fields: Sequence[tuple[str, str]]
    body: bytes

    @property
    def headers(self) -> Mapping[str, str]:
        assert len({name for name, _ in self.fields}) == len(self.fields), "a header is repeated"
        return dict(self.fields)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    app: ASGIApp
    headers: Sequence[tuple[str, str]] = ()
    address: str = "192.0.2.7"
    bodies_read: int = field(default=0)

    async def ask(
        self, method: str, target: str, body: object = None, headers: Sequence[tuple[str, str]] | None = None
    ) -> Answer:
        fields = list(self.headers if headers is None else headers)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            fields.append(("content-type", "application/json"))
        return await self.send(method, target, body if isinstance(body, bytes) else b"", fields)

    async def send(self, method: str, target: str, body: bytes, fields: Sequence[tuple[str, str]]) -> Answer:
        path, _, query = target.partition("?")
        sent: list[Message] = []

        async def receive() -> Message:
            self.bodies_read += 1
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in fields],
            "client": (self.address, 40000),
            "server": ("127.0.0.1", 8002),
        }
        try:
            await self.app(scope, receive, send)
        except Exception:
            if not sent:  # a server answers 500 then; what was answered before is looked at
                raise
        start, *rest = sent
        heads = [(name.decode(), value.decode("latin-1")) for name, value in start["headers"]]
        return Answer(start["status"], heads, b"".join(message.get("body", b"") for message in rest))
