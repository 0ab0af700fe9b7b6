"""One request as a stranger sends it: no redirects followed, little read, and an end to the waiting."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import httptools

from keyhole.operations.doctor.apart import apart

PATIENCE = 4.0
"""Seconds for the whole of one question."""

_PORTS = {"http": 80, "https": 443}
_MOST = 64 * 1024
_CHUNK = 8192


class Unheard(Exception):
    """There was no answer; the text says why, and holds nothing of what was sent."""


class Untrusted(Unheard):
    """The certificate that was shown is not trusted."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer, and when it was asked for and had, in seconds since 1970. Header names are lower-case.

    ``trusted_until`` is the end of the certificate that was shown, if it was looked at.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)
    asked_at: float = 0.0
    heard_at: float = 0.0
    trusted_until: float | None = None


def unverified() -> ssl.SSLContext:
    """TLS to whoever it is: for finding out who answers strangers, with nothing to protect."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def place(url: str) -> tuple[str, int]:
    """The host and port of an http(s) *url*."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORTS[parts.scheme]


async def addresses(host: str, port: int) -> tuple[str, ...]:
    """The addresses of *host*; none when it has none, or nobody says so in time."""

    def look() -> tuple[str, ...]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))

    try:
        async with asyncio.timeout(PATIENCE):
            return await apart(look)
    except (OSError, TimeoutError, UnicodeError):
        return ()


@dataclass(frozen=True, slots=True)
class Sent:
    """What is sent beside the address. The header fields are added as they are, and have been looked at before."""

    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    patience: float = PATIENCE


_GET = Sent()


async def ask(url: str, sent: Sent = _GET, *, at: str | None = None, tls: ssl.SSLContext | None = None) -> Heard:
    """What is answered at *url*, or at the address *at* instead of its own; raises :class:`Unheard`."""
    try:
        async with asyncio.timeout(sent.patience):
            return await _asked(url, sent, at, tls or ssl.create_default_context())
    except TimeoutError:
        raise Unheard(f"no answer within {sent.patience:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise Untrusted(f"its certificate is not trusted ({error.verify_message})") from None
    except ssl.SSLError:
        raise Unheard("it does not speak TLS as it should") from None
    except (OSError, UnicodeError):
        raise Unheard("nothing can be reached there") from None
    except (httptools.HttpParserError, EOFError):
        raise Unheard("it does not speak HTTP") from None


async def _asked(url: str, sent: Sent, at: str | None, tls: ssl.SSLContext) -> Heard:
    host, port = place(url)
    at = at or next(iter(await addresses(host, port)), None)
    if at is None:
        raise Unheard("its name has no address")
    secure = url.startswith("https:")
    asked_at = time.time()
    reader, writer = await asyncio.open_connection(
        at, port, ssl=tls if secure else None, server_hostname=host if secure else None
    )
    try:
        writer.write(_request(url, sent))
        answer = _Answer()
        while not answer.whole and (piece := await reader.read(_CHUNK)):
            answer.take(piece)
        return replace(answer.heard(asked_at, time.time()), trusted_until=_end(writer))
    finally:
        writer.transport.abort()


def _end(writer: asyncio.StreamWriter) -> float | None:
    certificate = writer.get_extra_info("peercert") or {}
    return ssl.cert_time_to_seconds(certificate["notAfter"]) if "notAfter" in certificate else None


def _request(url: str, sent: Sent) -> bytes:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"{sent.method} {target} HTTP/1.1", f"Host: {parts.netloc}", "Accept: */*", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in sent.headers.items()]
    if sent.body:
        lines.append(f"Content-Length: {len(sent.body)}")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + sent.body


class _Answer:
    """An answer as far as it has come."""

    def __init__(self) -> None:
        self.whole = False
        self._headers: dict[str, str] = {}
        self._body = b""
        self._size = 0
        self._parser = httptools.HttpResponseParser(self)
        self._begun = False

    def take(self, piece: bytes) -> None:
        self._size += len(piece)
        self._parser.feed_data(piece)
        self.whole = self.whole or (self._begun and self._size > _MOST)
        if self._size > _MOST and not self._begun:
            raise EOFError

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._begun = True

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.whole = True

    def heard(self, asked_at: float, heard_at: float) -> Heard:
        if not self._begun:
            raise EOFError
        return Heard(self._parser.get_status_code(), self._headers, self._body, asked_at, heard_at)
