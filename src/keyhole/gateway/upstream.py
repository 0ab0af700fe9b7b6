"""An archive over HTTP, and servers of JSON. The only module that knows the HTTP client.

What goes out is built here and nothing of a client's request is in it; what comes back is not trusted: no cookies, no
redirects, no encodings, bounded heads, and every wait has an end.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from ssl import SSLContext
from typing import Final
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ClientResponse
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from keyhole.archive.answer import ArchiveAnswer
from keyhole.errors import ArchiveFailed, ArchiveTimeout, Misconfigured, ProviderFailed

HEAD_LONGEST: Final = 8192
"""Bytes of path and query together that are sent at most; nginx takes no more in a line by default."""

_ROOT_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")
_PATH = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._,-]*)+")
_QUERY = re.compile(r"[!-\"$-~]*")
_FIELD = re.compile(r"[ -~]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = frozenset({"host", "accept", "accept-encoding", "content-type", "content-length", "transfer-encoding"})
_PORTS = {"http": 80, "https": 443}
_REFUSES_US = frozenset({401, 403, 407})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds: to connect, for the head of an answer, and for each next piece of its body."""

    connect: float = 5.0
    head: float = 30.0
    chunk: float = 30.0


def basic(user: str, password: str) -> dict[str, str]:
    """The header of Basic credentials (RFC 7617)."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")}


@contextmanager
def upstream_errors() -> Iterator[None]:
    """Turn any failure of the HTTP client into ours, in words without addresses; let everything else through."""
    try:
        yield
    except TimeoutError as error:
        raise ArchiveTimeout("the archive took too long to answer") from error
    except aiohttp.ClientConnectorError as error:
        raise ArchiveFailed("the archive cannot be reached") from error
    except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, OSError) as error:
        raise ArchiveFailed("the archive broke off") from error
    except (aiohttp.ClientError, HttpProcessingError, ValueError) as error:
        raise ArchiveFailed("the archive's answer is not HTTP as it should be") from error


class _CleanRequest(ClientRequest):
    """A request that is never sent over a connection which holds bytes nobody asked for.

    An archive that sends more than it announced, or a late 408, would otherwise answer the next request with it.
    """

    async def send(self, conn: Connection) -> ClientResponse:
        protocol: ResponseHandler | None = conn.protocol
        if protocol is None or protocol.should_close:
            conn.close()
            raise aiohttp.ServerDisconnectedError("bytes that nobody asked for")
        return await super().send(conn)


def _new_session(connections: int, tls: SSLContext | None, connect: float) -> aiohttp.ClientSession:
    """A client that adds nothing to what it is told to send, and keeps nothing of what it gets."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, ssl=tls or True, keepalive_timeout=15),
        cookie_jar=aiohttp.DummyCookieJar(),
        request_class=_CleanRequest,
        auto_decompress=False,
        trust_env=False,
        requote_redirect_url=False,
        headers={"Accept-Encoding": "identity"},
        skip_auto_headers=("User-Agent",),
        timeout=aiohttp.ClientTimeout(sock_connect=connect),
    )


class HttpArchive:
    """An :class:`keyhole.archive.answer.Archive` at an HTTP address, with one pool of connections per process.

    Statuses 200 to 299 and 400 to 499 are answers, except those that refuse Keyhole itself (401, 403, 407) or say
    that the archive is busy (429); everything else is a failure.
    """

    def __init__(
        self,
        name: str,
        root: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        connections: int = 40,
        tls: SSLContext | None = None,
    ) -> None:
        """Ask the DICOMweb (or other) *root*; raise Misconfigured when it is no plain http or https URL.

        *headers* are sent with every request: the credentials. Orthanc gives each connection a thread of its 50, so
        that all processes together should have fewer *connections*.
        """
        self._name = name
        self._root = _checked_root(root)
        self._root_path = urlsplit(self._root).path
        self._origin = URL(self._root).origin()
        self._headers = _checked_headers(headers or {})
        self._timeouts = timeouts or Timeouts()
        self._connections = connections
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        """The archive's name."""
        return self._name

    @property
    def root(self) -> str:
        """The root, without a slash at its end."""
        return self._root

    def get(self, path: str, query: str, accept: str) -> AbstractAsyncContextManager[ArchiveAnswer]:
        """Ask for *path*; leaving the context, or being cancelled, ends the request at once."""
        return self._answer("GET", path, query, {"Accept": accept})

    def post(
        self, path: str, content_type: str, body: AsyncIterator[bytes], accept: str
    ) -> AbstractAsyncContextManager[ArchiveAnswer]:
        """Send what *body* streams, no faster than the archive takes it.

        The wait for the answer's head begins anew with each piece sent. What *body* raises is raised here.
        """
        return self._answer("POST", path, "", {"Accept": accept, "Content-Type": content_type}, body)

    def send(
        self,
        method: str,
        path: str,
        query: str,
        accept: str,
        *,
        content_type: str | None = None,
        body: AsyncIterator[bytes] | None = None,
    ) -> AbstractAsyncContextManager[ArchiveAnswer]:
        """Any other request, as Orthanc's own REST API has them."""
        typed = {} if content_type is None else {"Content-Type": content_type}
        return self._answer(method, path, query, {"Accept": accept, **typed}, body)

    async def close(self) -> None:
        """Let go of all connections. The archive can be asked again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: AsyncIterator[bytes] | None = None
    ) -> AsyncIterator[ArchiveAnswer]:
        url = self._url(path, query)
        upload = None if body is None else _Upload(body, self._timeouts.head)
        response = await self._head(method, url, headers, upload)
        try:
            yield self._judged(response)
        finally:
            response.close()  # a connection whose answer was read to its end is in the pool again, and not closed

    async def _head(self, method: str, url: URL, headers: Mapping[str, str], upload: _Upload | None) -> ClientResponse:
        try:
            with upstream_errors():
                async with asyncio.timeout(self._timeouts.head) as deadline:
                    if upload is not None:
                        upload.deadline = deadline
                    return await self._client().request(
                        method,
                        url,
                        headers={**self._headers, **headers},
                        data=None if upload is None else upload.pieces(),
                        allow_redirects=False,
                    )
        except ArchiveFailed:
            if upload is not None and upload.failure is not None:
                raise upload.failure from None
            raise

    def _url(self, path: str, query: str) -> URL:
        """The URL to ask; ValueError when *path* or *query* is not what this side builds, or came out changed."""
        if _PATH.fullmatch(path) is None or "./" in path or path.endswith(".") or _QUERY.fullmatch(query) is None:
            raise ValueError("not a path and query of ours")
        target = f"{path}?{query}" if query else path
        if len(target) > HEAD_LONGEST:
            raise ValueError("a path and query too long to send")
        url = URL(self._root + target, encoded=True)
        if url.raw_path_qs != self._root_path + target or url.origin() != self._origin:
            raise ValueError("the HTTP client changed the URL")
        return url

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = _new_session(self._connections, self._tls, self._timeouts.connect)
        return self._session

    def _judged(self, response: ClientResponse) -> ArchiveAnswer:
        """The answer, if it is one (see the class)."""
        status = response.status
        if status in _REFUSES_US:
            raise ArchiveFailed("the archive refused Keyhole's own credentials")
        if status == HTTPStatus.TOO_MANY_REQUESTS or status // 100 not in (2, 4):
            raise ArchiveFailed(f"the archive answered with status {status}")
        if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            raise ArchiveFailed("the archive encoded its answer although it was asked not to")
        content_type = response.headers.get("Content-Type", "")
        return ArchiveAnswer(
            status=status,
            content_type=content_type if _FIELD.fullmatch(content_type) else "",
            body=self._pieces(response),
            length=response.content_length,
        )

    async def _pieces(self, response: ClientResponse) -> AsyncIterator[bytes]:
        """The body as it comes, so that the first byte does not wait for the second."""
        content = response.content
        while not content.at_eof():
            with upstream_errors():
                piece = content.read_nowait()  # what has come already needs no deadline
                if not piece:
                    async with asyncio.timeout(self._timeouts.chunk):
                        piece = await content.readany()
            if piece:
                yield piece


class JsonServer:
    """JSON from servers that are no archive: of bounded size, in bounded time, and from nowhere else than asked.

    Every failure is a ProviderFailed: no answer in time, a redirect, a status from 500 on, too many bytes, no JSON.
    """

    def __init__(self, *, seconds: float = 2.0, longest: int = 1 << 20, connections: int = 4) -> None:
        """Wait *seconds* for an answer of at most *longest* bytes, over as many *connections* to each server."""
        self._seconds = seconds
        self._longest = longest
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> tuple[int, object]:
        """The status (200 to 299, or 400 to 499) and, when it is the former, what is at *url*."""
        return _decoded(*await self._ask("GET", url, headers or {}))

    async def post(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> tuple[int, object]:
        """The same, of the answer to *form*."""
        typed = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return _decoded(*await self._ask("POST", url, typed, urlencode(form).encode("ascii")))

    async def post_json(
        self, url: str, content: object, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes | None]:
        """The status and, when it is no refusal, the bytes of the answer to *content*, which is sent as JSON."""
        typed = {"Content-Type": "application/json", "Accept": "*/*", **(headers or {})}
        return await self._ask("POST", url, typed, msgspec.json.encode(content))

    async def close(self) -> None:
        """Let go of all connections. It can be asked again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> tuple[int, bytes | None]:
        try:
            with upstream_errors():
                async with asyncio.timeout(self._seconds), self._sent(method, url, headers, body) as response:
                    return await self._content(response)
        except ArchiveTimeout:
            raise ProviderFailed("the identity provider took too long to answer") from None
        except ArchiveFailed:  # its words are about archives
            raise ProviderFailed("the identity provider cannot be reached, or broke off") from None

    def _sent(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> AbstractAsyncContextManager[ClientResponse]:
        if self._session is None:
            self._session = _new_session(self._connections, None, self._seconds)
        asked = {"Accept": "application/json", **headers}
        return self._session.request(method, URL(url, encoded=True), headers=asked, data=body, allow_redirects=False)

    async def _content(self, response: ClientResponse) -> tuple[int, bytes | None]:
        status = response.status
        if status // 100 == 4:  # noqa: PLR2004 - a refusal; its body is not read
            return status, None
        if status // 100 != 2:  # noqa: PLR2004 - of redirects as well: nobody is followed anywhere
            raise ProviderFailed(f"the identity provider answered with status {status}")
        content = bytearray()
        async for piece in response.content.iter_any():
            content += piece
            if len(content) > self._longest:
                raise ProviderFailed("the identity provider answered with too much")
        return status, bytes(content)


def _decoded(status: int, content: bytes | None) -> tuple[int, object]:
    """What the JSON in *content* says; None for a refusal."""
    try:
        return status, None if content is None else msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ProviderFailed("the identity provider's answer is not JSON") from None


class _Upload:
    """A request body on its way, which moves the deadline of the answer's head and remembers how it failed."""

    def __init__(self, body: AsyncIterator[bytes], patience: float) -> None:
        """Send *body*, waiting *patience* seconds after each piece."""
        self._body = body
        self._patience = patience
        self.deadline: asyncio.Timeout | None = None
        self.failure: Exception | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The pieces of the body."""
        try:
            async for piece in self._body:
                self._wait_on()
                yield piece
            self._wait_on()
        except Exception as error:
            self.failure = error
            raise

    def _wait_on(self) -> None:
        if self.deadline is not None and not self.deadline.expired():
            self.deadline.reschedule(asyncio.get_running_loop().time() + self._patience)


def _checked_root(root: str) -> str:
    try:
        parts = urlsplit(root)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Misconfigured("the archive's address is not a URL") from None
    plain = not (parts.query or parts.fragment or "@" in parts.netloc or "?" in root or "#" in root)
    path = parts.path.rstrip("/")
    if parts.scheme not in _PORTS or not host or not plain:
        raise Misconfigured("the archive's address is no plain http or https URL: credentials have their own settings")
    if not root.isascii() or _ROOT_PATH.fullmatch(path) is None or "./" in path or path.endswith("."):
        raise Misconfigured("the path in the archive's address can be read in two ways")
    netloc = parts.netloc.lower()
    if port == _PORTS[parts.scheme]:
        netloc = netloc.removesuffix(f":{port}")  # as the archive will write it in its links
    return f"{parts.scheme}://{netloc}{path}"


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if _TOKEN.fullmatch(name) is None or _FIELD.fullmatch(value) is None or name.lower() in _OURS:
            raise Misconfigured(f"the archive cannot be sent this header: {name!r}")
    return dict(headers)
