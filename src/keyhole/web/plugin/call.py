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


@dataclass(frozen=True, slots=True)
class Call:
    """A request of a caller whose credentials were right. ``name`` is the last segment of a path that ends in one.

    Header fields are kept out of it on purpose: they repeat the token, and nothing in them is to be believed.
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


@dataclass(frozen=True, slots=True)
class Answer:
    """JSON, unless ``content_type`` says otherwise; never empty."""

    body: bytes
    status: int = 200
    content_type: bytes = b"application/json"


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
    status that says so.
    """

    method: str
    path: str
    handler: Handler
    safe: Answer | None = None
    longest: int = LONGEST_BODY
