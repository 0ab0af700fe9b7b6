"""The plugin's calls on the wire. Plain ASGI: this is asked before every image.

The plugin sends chunked bodies without a length, waits 10 s at most, takes a missing answer for no, and breaks off
towards the browser on anything but JSON. Hence one place for what holds for every
route: who asks, how much is read, how long it may take, and what is answered when something goes wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any

import msgspec

from keyhole.access.decision import Event, Reason, Record
from keyhole.access.subject import ANONYMOUS
from keyhole.errors import ArchiveFailed, KeyholeError, Refused, StoreFailed
from keyhole.gateway import fault
from keyhole.gateway.client import client_of
from keyhole.gateway.office import NotAllowed
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.relay import Message, Receive, Send
from keyhole.web.plugin.call import Answer, Call, Handler, Route, Unreadable
from keyhole.web.plugin.credentials import Credentials, Guesses
from keyhole.web.plugin.deadline import within

MOUNT = b"/plugin/"
DEADLINE = 5.0
"""Seconds until there is an answer: half of what the plugin waits for."""

_NAME = re.compile(rb"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_NAMED = b"/{name}"
_NOT_KEPT = ((b"cache-control", b"no-store"),)
_ASK = (b"www-authenticate", b'Basic realm="keyhole plugin", charset="UTF-8"')
_WORDS: Mapping[int, str] = {
    400: "The body is not what is sent here.",
    401: "Show the credentials of an Orthanc that is set up here.",
    404: "There is nothing here.",
    405: "This method is not possible here.",
    408: "The body took too long.",
    413: "The body is too long.",
    429: "Too many wrong credentials.",
    500: "Something went wrong in Keyhole.",
    502: "The archive could not answer.",
    503: "Keyhole cannot answer just now.",
}

Fields = Iterable[tuple[bytes, bytes]]


class _TooLong(Exception):
    """More of a body than the route takes."""


class _TooSlow(Exception):
    """A body that does not end."""


class _Left(Exception):
    """The caller is gone."""


_STATUS: Sequence[tuple[type[Exception], int]] = (
    (NotAllowed, 403),
    (Refused, 400),
    (Unreadable, 400),
    (_TooLong, 413),
    (_TooSlow, 408),
    (ArchiveFailed, 502),
    (KeyholeError, 503),
)
"""The narrower kinds first. Everything else is our fault."""


class Plugin:
    """ASGI for everything below ``/plugin/``."""

    def __init__(
        self,
        routes: Iterable[Route],
        credentials: Credentials,
        refuse: Callable[[Record], None],
        now: Callable[[], datetime],
        *,
        deadline: float = DEADLINE,
    ) -> None:
        """Answer *routes* to whoever has one of *credentials*; *refuse* puts refusals and failures on the trail."""
        self._routes: dict[bytes, dict[str, Route]] = {}
        for route in routes:
            self._routes.setdefault(MOUNT + route.path.encode(), {})[route.method] = route
        self._credentials = credentials
        self._guesses = Guesses()
        self._refuse = refuse
        self._now = now
        self._deadline = deadline

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request. Nothing of a stranger's body is read, and nobody but a caller learns what is here."""
        caller = self._credentials.caller(scope["headers"])
        if isinstance(caller, Reason):
            await self._turn_away(scope, caller, send)
            return
        methods, name = self._below(scope["raw_path"])
        route = methods.get(scope["method"])
        if route is None:
            status = 405 if methods else 404
            await _say(send, status, ((b"allow", ", ".join(methods).encode()),) if methods else ())
            return
        reading = _Reading(receive, route.longest)
        try:
            answering = reading.answered(route.handler, caller, name, scope)
            answer = await within(route.deadline or self._deadline, answering)
        except _Left:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the plugin gets an answer that it can read
            if isinstance(error, TimeoutError):
                error = StoreFailed("no answer in time") if reading.done else _TooSlow()
            answer = route.safe or _told(error)
            self._note(caller.principal, error)
        await _send(send, answer, _NOT_KEPT if route.method == "GET" else ())

    def _below(self, raw_path: bytes) -> tuple[Mapping[str, Route], str]:
        """The routes at a path, by method, and the name that it ends in."""
        known = self._routes.get(raw_path)
        if known is not None and not raw_path.endswith(_NAMED):
            return known, ""
        above, _, name = raw_path.rpartition(b"/")
        if _NAME.fullmatch(name) is None:
            return {}, ""
        return self._routes.get(above + _NAMED, {}), name.decode("ascii")

    async def _turn_away(self, scope: Mapping[str, Any], reason: Reason, send: Send) -> None:
        client, now = client_of(scope), self._now()
        self._refuse(
            Record(at=now, event=Event.REFUSAL, subject=ANONYMOUS.name, reason=reason, personal=client.personal())
        )
        wait = self._guesses.wait(client.address, now)
        if wait:
            await _say(send, 429, ((b"retry-after", str(wait).encode()), (b"connection", b"close")))
        else:
            await _say(send, 401, (_ASK,))

    def _note(self, subject: str, error: Exception) -> None:
        """Put on the trail what is not the caller's own mistake."""
        if isinstance(error, (Refused, Unreadable, _TooLong, _TooSlow)):
            return
        self._refuse(Record(at=self._now(), event=Event.FAILURE, subject=subject, reason=fault.named(error)))


class _Reading:
    """A body that is being read, chunked or not, of at most *longest* bytes; and what is then done with it."""

    __slots__ = ("_longest", "_receive", "done")

    def __init__(self, receive: Receive, longest: int) -> None:
        self._receive = receive
        self._longest = longest
        self.done = False

    async def answered(self, handler: Handler, caller: Caller, name: str, scope: Mapping[str, Any]) -> Answer:
        """What *handler* answers to the whole body."""
        message = await self._receive()
        body: bytes = message.get("body", b"")
        if message["type"] == "http.disconnect" or message.get("more_body"):
            body = await self._rest(message)
        if len(body) > self._longest:
            raise _TooLong
        self.done = True
        return await handler(Call(caller, body, name, scope))

    async def _rest(self, message: Message) -> bytes:
        pieces = bytearray()
        while len(pieces) <= self._longest:
            if message["type"] == "http.disconnect":
                raise _Left
            pieces += message.get("body", b"")
            if not message.get("more_body"):
                break
            message = await self._receive()
        return bytes(pieces)


def _told(error: Exception) -> Answer:
    """What a caller is told of *error*: our own words, or those that were written to be read."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    return _answer(status, error.problem if isinstance(error, Refused) else None)


def _answer(status: int, detail: str | None = None) -> Answer:
    problem = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail or _WORDS[status]}
    return Answer(msgspec.json.encode(problem), status)


async def _say(send: Send, status: int, fields: Fields) -> None:
    await _send(send, _answer(status), fields)


async def _send(send: Send, answer: Answer, fields: Fields = ()) -> None:
    start = answer.start
    await send({**start, "headers": [*start["headers"], *fields]} if fields else start)
    await send({"type": "http.response.body", "body": answer.body})
