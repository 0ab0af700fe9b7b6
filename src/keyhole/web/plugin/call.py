"""What the plugin's routes are made of: a call as handlers get it, what they answer, and where each is mounted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from keyhole.gateway.client import Client, client_of
from keyhole.gateway.plugin.caller import Caller

T = TypeVar("T")

LONGEST_BODY = 64 * 1024
"""Bytes of a body, where a route does not say otherwise. The plugin's own are below 2 KB."""


class Unreadable(Exception):
    """The body is not what was to be sent."""


class Call(msgspec.Struct, frozen=True):
    """A request of a caller whose credentials were right. ``name`` is the last segment of a path that ends in one.

    Handlers do not look at header fields: these repeat the token, and nothing in them is to be believed.
    """

    caller: Caller
    body: bytes
    name: str
    scope: Mapping[str, Any]

    def read(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body, decoded; raises :class:`Unreadable`."""
        try:
            return decoder.decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Unreadable from None

    @property
    def client(self) -> Client:
        """Where the call comes from: Orthanc's address, never that of whoever asked Orthanc."""
        return client_of(self.scope)


class Answer:
    """JSON, unless *content_type* says otherwise; never empty. One that is given often is best kept."""

    __slots__ = ("body", "start", "status")

    def __init__(self, body: bytes, status: int = 200, content_type: bytes = b"application/json") -> None:
        """What is sent: ``start`` is the head of it, as ASGI has it."""
        self.body = body
        self.status = status
        self.start: dict[str, Any] = {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", content_type),
                (b"content-length", b"%d" % len(body)),
            ],
        }


class Handler(Protocol):
    """Answers the calls of one route.

    Raises :class:`Unreadable`, :class:`keyhole.errors.Refused` with words for the log of Orthanc, and what
    else is below :class:`keyhole.errors.KeyholeError`; it is cancelled when it takes too long.
    """

    async def __call__(self, call: Call, /) -> Answer:
        """Answer *call*."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method and a path below the mount: ``tokens/validate``, or ``tokens/{name}`` for one segment more.

    ``safe`` is answered, with 200, whatever goes wrong once the credentials were right; without it the caller gets a
    status that says so. ``deadline``: seconds, where it is not the plugin that waits.
    """

    method: str
    path: str
    handler: Handler
    safe: Answer | None = None
    longest: int = LONGEST_BODY
    deadline: float | None = None
