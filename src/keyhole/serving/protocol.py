"""HTTP/1.1 as uvicorn's httptools protocol speaks it, with bounds on what a client may make us read, hold and wait for.

llhttp below httptools refuses most malformed framing itself (RFC 9112 §5.1, §5.2, §6.3, §11.2: folded lines, control
bytes, two Content-Length, Content-Length beside Transfer-Encoding). It bounds neither sizes nor times, and leaves the
target, Host, trailers and upgrades to us. What we refuse gets a short answer and the end of its connection.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import ClassVar, NoReturn

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

_HOST = re.compile(rb"(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_AROUND_A_CHUNK = 20
"""Bytes that a chunk costs besides its content: at most 16 digits and two line ends."""
_AROUND_A_FIELD = 4
_SPECIAL = frozenset({b"host", b"transfer-encoding", b"upgrade"})
_WHITE = b" \t"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for one connection. Times are in seconds."""

    head_bytes: int = 32 * 1024
    head_fields: int = 100
    head_seconds: float = 10.0
    """From the connection, or the first byte of the next request, to the end of the head."""
    body_seconds: float = 30.0
    body_progress: int = 256
    """Bytes that a body must gain in ``body_seconds`` while we are reading, unless it ends."""
    body_overhead: int = 32 * 1024
    """Bytes of a chunked body that are neither content nor plain chunk heads: extensions and trailers."""
    pipelined: int = 16
    """Requests that may wait behind the one that is being answered."""
    stalled_seconds: float = 300.0
    """How long a client may take nothing of an answer that it has asked for."""
    linger_seconds: float = 1.0
    """How long we go on reading, and throw away, after a refusal, so that the client can read it (RFC 9112 §9.6)."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a client is told whose request is not taken."""

    status: HTTPStatus
    text: str

    def answer(self) -> bytes:
        """The whole answer."""
        body = self.text.encode("ascii") + b"\n"
        return STATUS_LINE[self.status] + (
            b"content-type: text/plain; charset=utf-8\r\nx-content-type-options: nosniff\r\n"
            b"cache-control: no-store\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )


NOT_HTTP = Refusal(HTTPStatus.BAD_REQUEST, "This is not well-formed HTTP.")
BAD_TARGET = Refusal(HTTPStatus.BAD_REQUEST, "The request target must begin with a slash and hold no fragment.")
BAD_HOST = Refusal(HTTPStatus.BAD_REQUEST, "A request has exactly one Host.")
BAD_VERSION = Refusal(HTTPStatus.BAD_REQUEST, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
BAD_CODING = Refusal(HTTPStatus.BAD_REQUEST, "A body may be chunked, and nothing else.")
NO_UPGRADE = Refusal(HTTPStatus.BAD_REQUEST, "Nothing is upgraded or tunnelled here.")
TOO_MANY_PIPELINED = Refusal(HTTPStatus.BAD_REQUEST, "Too many requests are waiting on this connection.")
HEAD_TOO_LARGE = Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The head of the request is too large.")
BODY_TOO_WORDY = Refusal(HTTPStatus.BAD_REQUEST, "The body has too many chunk extensions or trailers.")
HEAD_TOO_SLOW = Refusal(HTTPStatus.REQUEST_TIMEOUT, "The head of the request took too long.")
BODY_TOO_SLOW = Refusal(HTTPStatus.REQUEST_TIMEOUT, "The body of the request took too long.")


class _Stop(Exception):
    """Ends the parser's run from one of its callbacks."""


class _Reading(Enum):
    """Where in a request the next byte lies."""

    NOTHING = "between requests"
    HEAD = "in a head"
    BODY = "in a body"


_NOTHING, _HEAD, _BODY = _Reading


class Timer:
    """One call at a time, some seconds from now."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        """Make *call* when the time set by :meth:`start` is over."""
        self._loop, self._call = loop, call
        self._handle: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        """Whether a call is to come."""
        return self._handle is not None

    def start(self, seconds: float) -> None:
        """Make the call in so many *seconds*, and not at an earlier set time."""
        self.stop()
        self._handle = self._loop.call_later(seconds, self._ring)

    def stop(self) -> None:
        """Make no call."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _ring(self) -> None:
        self._handle = None
        self._call()


class HardenedProtocol(HttpToolsProtocol):
    """One connection. Tests subclass it with smaller ``limits``."""

    limits: ClassVar[Limits] = Limits()

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the client its time for the first head."""
        super().connection_made(transport)
        self._reading = _NOTHING
        self._refusal: Refusal | None = None
        self._closing = False
        self._active: RequestResponseCycle | None = None
        self._fed = self._fields = 0
        self._content = self._chunks = self._overhead = 0
        self._gained, self._held = 0, False
        self._head_timer = Timer(self.loop, self._head_is_late)
        self._body_timer = Timer(self.loop, self._body_is_late)
        self._stall_timer = Timer(self.loop, transport.abort)
        self._linger_timer = Timer(self.loop, self._close)
        self._head_timer.start(self.limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered too; uvicorn tells only the last one that was read."""
        for timer in (self._head_timer, self._body_timer, self._stall_timer, self._linger_timer):
            timer.stop()
        self._unset_keepalive_if_required()
        self.pipeline.clear()
        _disconnect(self._active)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Give the client its time to take some of the answer."""
        super().pause_writing()
        self._stall_timer.start(self.limits.stalled_seconds)

    def resume_writing(self) -> None:
        """The client takes its answer; what is left of the last one has its own time."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._stall_timer.stop()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that nobody uses."""
        self._close()

    def _close(self) -> None:
        """Close when all is sent, or when the client has not taken it in its time."""
        self.transport.close()
        self._stall_timer.start(self.limits.stalled_seconds)

    # What arrives

    def data_received(self, data: bytes) -> None:
        """Parse *data*, unless we only wait for the client to read what we said last."""
        if self._closing:
            return
        self._unset_keepalive_if_required()
        before = self._reading
        self._fed += len(data)
        self._content = self._chunks = 0
        try:
            self.parser.feed_data(data)
            if self._reading is _BODY:
                self._check_body(len(data) if before is _BODY else 0)
            elif self._reading is _HEAD or self._fed:
                self._check_pending_head()
        except (_Stop, httptools.HttpParserError):
            self._refuse(self._refusal or NOT_HTTP)

    def on_message_begin(self) -> None:
        """Begin to count a head; what came before it in the same piece belongs to others."""
        super().on_message_begin()
        self._reading = _HEAD
        self._fed = 0

    def on_headers_complete(self) -> None:
        """Hand a request on that is one, and stop at one that is not."""
        refusal = self._judge()
        if refusal is not None:
            self._stop(refusal)
        if self._head_timer.running:
            self._head_timer.stop()
        self._reading = _BODY
        self._overhead = self._gained = 0
        self._held = False
        super().on_headers_complete()
        self.headers = []  # for trailers: the application has the fields of the head, and gets no others

    def on_chunk_header(self) -> None:
        """Count a chunk."""
        self._chunks += 1

    def on_body(self, body: bytes) -> None:
        """Count what the body gains."""
        self._content += len(body)
        self._gained += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        if self.headers and self._fields + len(self.headers) > self.limits.head_fields:
            self._stop(HEAD_TOO_LARGE)
        self._reading = _NOTHING
        self._fed = 0
        if self._body_timer.running:
            self._body_timer.stop()
        super().on_message_complete()

    # What is refused

    def _judge(self) -> Refusal | None:
        """What is wrong with a complete head, beyond what the parser refuses."""
        self._fields = len(self.headers)
        size = len(self.url) + _AROUND_A_FIELD * self._fields
        special = []
        for index, (name, value) in enumerate(self.headers):
            size += len(name) + len(value)
            if name in _SPECIAL:
                special.append((name, value))
            if value[-1:] in _WHITE:  # RFC 9112 §5.1: not part of the value
                self.headers[index] = (name, value.rstrip(_WHITE))
        if size > self.limits.head_bytes or self._fields > self.limits.head_fields:
            return HEAD_TOO_LARGE
        if len(self.pipeline) >= self.limits.pipelined:
            return TOO_MANY_PIPELINED
        if self.parser.should_upgrade():
            return NO_UPGRADE
        if not self.url.startswith(b"/") or b"#" in self.url:
            return BAD_TARGET
        return self._judge_special(special)

    def _judge_special(self, fields: list[tuple[bytes, bytes]]) -> Refusal | None:
        """What is wrong with the version and the fields that say where a request belongs and where it ends."""
        version = self.parser.get_http_version()
        if version == "1.1" and len(fields) == 1 and fields[0][0] == b"host":  # nearly always
            return None if _HOST.fullmatch(fields[0][1].rstrip(_WHITE)) else BAD_HOST
        if version not in {"1.1", "1.0"}:
            return BAD_VERSION
        found = {name: [value.rstrip(_WHITE) for other, value in fields if other == name] for name in _SPECIAL}
        if found[b"upgrade"]:
            return NO_UPGRADE
        hosts, codings = found[b"host"], found[b"transfer-encoding"]
        if len(hosts) > 1 or (version == "1.1" and not hosts) or not all(map(_HOST.fullmatch, hosts)):
            return BAD_HOST
        if codings and (version == "1.0" or [coding.lower() for coding in codings] != [b"chunked"]):
            return BAD_CODING
        return None

    def _check_pending_head(self) -> None:
        """Bound what the parser holds back of a head that has not ended, and the time until it does."""
        if self._fed > self.limits.head_bytes:
            self._stop(HEAD_TOO_LARGE)
        if not self._head_timer.running:
            self._head_timer.start(self.limits.head_seconds)

    def _check_body(self, size: int) -> None:
        """Bound what a body has beside its content, in pieces of it that lie wholly inside, and look at the clock."""
        if size:
            self._overhead += size - self._content - _AROUND_A_CHUNK * self._chunks
        if self._overhead > self.limits.body_overhead:
            self._stop(BODY_TOO_WORDY)
        if not self._body_timer.running:
            self._body_timer.start(self.limits.body_seconds)

    def _head_is_late(self) -> None:
        """End a connection without a request; while an answer is under way, it may be we who do not read."""
        if self._answering():
            self._head_timer.start(self.limits.head_seconds)
        elif self._reading is _NOTHING and not self._fed:
            self._close()
        else:
            self._refuse(HEAD_TOO_SLOW)

    def _body_is_late(self) -> None:
        """Refuse a body that has gained too little in a time in which we were reading throughout."""
        waits_for_us = self.flow.read_paused or self.cycle.waiting_for_100_continue
        if not (waits_for_us or self._held or self._gained >= self.limits.body_progress):
            self._refuse(BODY_TOO_SLOW)
            return
        self._held, self._gained = waits_for_us, 0
        self._body_timer.start(self.limits.body_seconds)

    def _stop(self, refusal: Refusal) -> NoReturn:
        self._refusal = refusal
        raise _Stop(refusal.text)

    def _refuse(self, refusal: Refusal) -> None:
        """Read no more. Answer with *refusal*, where an answer that is under way leaves room for one."""
        self._closing = True
        self._head_timer.stop()
        self._body_timer.stop()
        self.pipeline.clear()
        if self._answering() and self._active is not None:
            if self._active is not self.cycle or self._reading is not _BODY:
                self._active.keep_alive = False
                return
            _disconnect(self._active)
            if self._active.response_started:
                self._close()
                return
        self.transport.write(refusal.answer())
        self._linger()

    def _linger(self) -> None:
        """Close after a while in which what arrives is thrown away; at once, the answer could be lost."""
        self._closing = True
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if not self.transport.can_write_eof():
            self._close()
            return
        self.transport.write_eof()
        self._stall_timer.stop()
        self._linger_timer.start(self.limits.linger_seconds)

    # What is answered

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._active = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Go on with the next request, unless the client is still sending what nobody wants to read."""
        unread = self._reading is _BODY and self._active is self.cycle
        super().on_response_complete()
        if self.transport.is_closing():
            self._close()
        elif unread:
            self._body_timer.stop()
            self._linger()

    def _answering(self) -> bool:
        return self._active is not None and not self._active.response_complete


def _disconnect(cycle: RequestResponseCycle | None) -> None:
    """Let the application know that nobody waits for its answer any more."""
    if cycle is not None and not cycle.response_complete:
        cycle.disconnected = True
        cycle.message_event.set()
