"""ASGI at its barest: refusals, small answers and streams, each watching for a reader who leaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from keyhole.access.decision import Reason
from keyhole.gateway.streams import Stream

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SOON = 0.05
"""Seconds within which nobody looks whether a reader has left."""

ALWAYS = {"cache-control": "private, no-store", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
"""On every answer that may hold something of a patient."""

STATUS: Mapping[Reason, int] = {
    Reason.NO_CREDENTIAL: 401,
    Reason.BAD_CREDENTIAL: 401,
    Reason.VISIT_ENDED: 401,
    Reason.EXPIRED: 401,
    Reason.WITHDRAWN: 401,
    Reason.NOT_YET: 401,
    Reason.USED_UP: 401,
    Reason.WRONG_SECRET: 404,
    Reason.LOCKED: 401,
    Reason.ANSWERS_NEEDED: 403,
    Reason.WRONG_ANSWER: 403,
    Reason.CONFLICTING_CREDENTIALS: 400,
    Reason.NOT_CANONICAL: 400,
    Reason.BAD_QUERY: 400,
    Reason.UNKNOWN_ROUTE: 404,
    Reason.NO_GRANT: 404,
    Reason.NOT_THERE: 404,
    Reason.METHOD_NOT_ALLOWED: 405,
    Reason.NOT_ACCEPTABLE: 406,
    Reason.UNSUPPORTED_MEDIA: 415,
    Reason.CEILING: 403,
    Reason.CROSS_SITE: 403,
    Reason.SEARCH_TOO_BROAD: 413,
    Reason.TOO_MANY: 429,
    Reason.SLOW_READER: 429,
    Reason.ARCHIVE_FAILED: 502,
    Reason.FOREIGN_ANSWER: 404,  # there is such a thing elsewhere: nobody is to learn that
    Reason.ARCHIVE_TIMEOUT: 504,
    Reason.STORE_FAILED: 503,
    Reason.PROVIDER_FAILED: 503,
    Reason.MAIL_OFF: 503,
    Reason.TERMS_OFF: 503,
    Reason.FAULT: 500,
}
"""The status a stranger gets for each reason below the DICOMweb roots (PS3.18 sections 8.5 and 8.11)."""

_WORDS: Mapping[int, str] = {
    400: "This request is not one that Keyhole understands.",
    401: "There is no running visit or valid key behind this request.",
    403: "This is not among the things that this credential may do.",
    404: "There is nothing here.",
    405: "This method is not possible here.",
    406: "None of the media types asked for can be had.",
    413: "This search is too broad: name studies.",
    415: "Only DICOM files in the parts of multipart/related can be stored.",
    429: "Too many requests at once: wait for the first ones to be answered.",
    500: "Something went wrong in Keyhole.",
    502: "The archive could not answer this.",
    503: "Keyhole cannot answer just now. Try again in a moment.",
    504: "The archive took too long to answer.",
}
"""What the body says: the same for every reason with that status, so that it tells nothing more than the status."""


def headers(fields: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """*fields* as ASGI wants them."""
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields.items()]


async def refuse(
    send: Send, reason: Reason, *, below_visit: bool, head: bool = False, extra: Mapping[str, str] | None = None
) -> None:
    """Answer with the status of *reason*, without the body for a *head*.

    Below a visit, what is malformed is simply not there (404).
    """
    status = STATUS[reason]
    if below_visit and reason in (Reason.NOT_CANONICAL, Reason.BAD_QUERY):
        status = 404
    fields = {**ALWAYS, **_ask_for(reason, status), **(extra or {})}
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": _WORDS[status]}
    await whole(send, status, "application/problem+json", json.dumps(body).encode(), fields, head=head)


def _ask_for(reason: Reason, status: int) -> dict[str, str]:
    if status == HTTPStatus.UNAUTHORIZED:
        error = "" if reason is Reason.NO_CREDENTIAL else ', error="invalid_token"'
        return {"www-authenticate": f'Bearer realm="keyhole"{error}'}
    if reason is Reason.CEILING:
        return {"www-authenticate": 'Bearer realm="keyhole", error="insufficient_scope"'}
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        return {"retry-after": "1"}
    return {}


async def whole(
    send: Send,
    status: int,
    content_type: str | None,
    body: bytes | None,
    fields: Mapping[str, str],
    *,
    head: bool = False,
) -> None:
    """Answer with *body*, or with the *head* that belongs to it; None for a body whose length is not known."""
    known = {} if content_type is None else {"content-type": content_type}
    if body:
        known["content-length"] = str(len(body))
    await send({"type": "http.response.start", "status": status, "headers": headers({**known, **fields})})
    await send({"type": "http.response.body", "body": b"" if head else body or b""})


class Begun:
    """A ``send`` that knows whether the head of the answer has left."""

    def __init__(self, send: Send) -> None:
        """Pass everything on to *send*."""
        self._send = send
        self.yet = False

    def __call__(self, message: Message) -> Awaitable[None]:
        """Pass *message* on."""
        self.yet = True
        return self._send(message)


class Cut(Exception):
    """The answer broke off after its head was sent: the connection must end without a proper end of the body."""


async def stream(
    send: Send,
    status: int,
    content_type: str,
    fields: Mapping[str, str],
    body: AsyncIterator[bytes],
    sent: Callable[[int], None],
) -> None:
    """Pass *body* on chunk by chunk, no faster than the reader takes it; tell *sent* the size of each chunk.

    The head leaves with the first chunk, so that an archive that fails at once can still be told by a status. Raises
    :class:`Cut` from what broke the body off after that.
    """
    chunk = await anext(body, None)
    head = headers({"content-type": content_type, **fields})
    await send({"type": "http.response.start", "status": status, "headers": head})
    while chunk is not None:
        if chunk:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            sent(len(chunk))
        chunk = await _next(body)
    await send({"type": "http.response.body", "body": b""})


async def _next(body: AsyncIterator[bytes]) -> bytes | None:
    try:
        return await anext(body, None)
    except Exception as error:
        raise Cut from error


class SenderLeft(Exception):
    """Whoever sent a request left before the end of its body, which is therefore no body at all."""


async def body_of(receive: Receive) -> AsyncIterator[bytes]:
    """The body of a request, read as fast as it is taken.

    Raises :class:`SenderLeft` rather than ending: to the archive, an end would make a whole upload of half of one.
    """
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise SenderLeft
        more = message.get("more_body", False)
        if message.get("body"):
            yield message["body"]


@contextmanager
def watched(receive: Receive, running: Stream) -> Iterator[None]:
    """End *running* when its reader leaves: ``send`` does not tell, only ``receive`` does.

    It is looked for after :data:`SOON`: most answers are over by then, and a watch costs more than many of them.
    """
    watches: list[asyncio.Future[None]] = []
    begin = asyncio.get_running_loop().call_later(
        SOON, lambda: watches.append(asyncio.ensure_future(_watch(receive, running)))
    )
    try:
        yield
    finally:
        begin.cancel()
        for watch in watches:
            watch.cancel()


async def _watch(receive: Receive, running: Stream) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        while (await receive())["type"] != "http.disconnect":
            pass
        running.leave()
