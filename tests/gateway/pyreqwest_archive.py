"""The other HTTP client that was considered, in the place of the one that is used (docs/adr: the HTTP client).

Held to the same contract by test_upstream.py, and measured by bench/clients.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import ConnectError, PyreqwestError
from pyreqwest.http import Url
from pyreqwest.request import StreamRequest
from pyreqwest.response import Response

from keyhole.archive.answer import ArchiveAnswer
from keyhole.errors import ArchiveFailed, ArchiveTimeout
from keyhole.gateway import upstream

_REFUSES_US = (401, 403, 407)
_IDLE = timedelta(seconds=15)


@contextmanager
def _errors() -> Iterator[None]:
    """As :func:`keyhole.gateway.upstream.upstream_errors`; a header outside ASCII is a plain ValueError here."""
    try:
        yield
    except TimeoutError as error:
        raise ArchiveTimeout("the archive took too long to answer") from error
    except ConnectError as error:
        raise ArchiveFailed("the archive cannot be reached") from error
    except PyreqwestError as error:
        raise ArchiveFailed("the archive broke off") from error
    except ValueError as error:
        raise ArchiveFailed("the archive's answer is not HTTP as it should be") from error


class PyreqwestArchive(upstream.HttpArchive):
    """An archive at an HTTP address, asked with pyreqwest."""

    _pool: Client | None = None

    async def close(self) -> None:
        """Let go of all connections."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: AsyncIterator[bytes] | None = None
    ) -> AsyncIterator[ArchiveAnswer]:
        upload = None if body is None else upstream._Upload(body, self._timeouts.head)
        request = self._request(method, path, query, headers, upload)
        try:
            with _errors():
                async with asyncio.timeout(self._timeouts.head) as deadline:
                    if upload is not None:
                        upload.deadline = deadline
                    response = await request.__aenter__()
        except ArchiveFailed:
            if upload is not None and upload.failure is not None:
                raise upload.failure from None
            raise
        left = asyncio.Event()
        try:
            yield self._read(response, left)
        finally:
            left.set()
            await request.__aexit__(None, None, None)

    def _request(
        self, method: str, path: str, query: str, headers: Mapping[str, str], upload: Any | None
    ) -> StreamRequest:
        written = str(self._url(path, query))
        url = Url(written)
        if str(url) != written:
            raise ValueError("the HTTP client changed the URL")
        builder = self._client_of_pool().request(method, url).headers({**self._headers, **headers})
        builder = builder.streamed_read_buffer_limit(1)  # with more, it holds back the head and the first bytes
        return (builder if upload is None else builder.body_stream(upload.pieces())).build_streamed()

    def _client_of_pool(self) -> Client:
        if self._pool is None:
            builder = ClientBuilder().no_proxy().follow_redirects(False).default_cookie_store(False).referer(False)
            builder = builder.gzip(False).brotli(False).zstd(False).deflate(False).http1_only()
            builder = builder.max_connections(self._connections).pool_max_idle_per_host(self._connections)
            builder = builder.pool_idle_timeout(_IDLE).pool_timeout(timedelta(seconds=self._timeouts.head))
            builder = builder.connect_timeout(timedelta(seconds=self._timeouts.connect))
            builder = builder.read_timeout(timedelta(seconds=self._timeouts.chunk))
            self._pool = builder.default_headers({"Accept-Encoding": "identity"}).build()
        return self._pool

    def _read(self, response: Response, left: asyncio.Event) -> ArchiveAnswer:
        status = response.status
        if status in _REFUSES_US:
            raise ArchiveFailed("the archive refused Keyhole's own credentials")
        if status == 429 or status // 100 not in (2, 4):
            raise ArchiveFailed(f"the archive answered with status {status}")
        with _errors():
            encoding = response.get_header("Content-Encoding") or ""
            length = response.get_header("Content-Length")
        if encoding.strip().lower() not in ("", "identity"):
            raise ArchiveFailed("the archive encoded its answer although it was asked not to")
        try:
            content_type = response.get_header("Content-Type") or ""
        except ValueError:
            content_type = ""
        return ArchiveAnswer(
            status=status,
            content_type=content_type,
            body=self._chunks(response, left),
            length=None if length is None else int(length),
        )

    async def _chunks(self, response: Response, left: asyncio.Event) -> AsyncIterator[bytes]:
        reader, asked = response.body_reader, _cancellations()
        while True:
            with _errors():
                async with asyncio.timeout(self._timeouts.chunk):
                    piece = await reader.read_chunk()
                    if _cancellations() > asked:
                        raise asyncio.CancelledError  # a cancellation that meets an arriving piece is swallowed
            if left.is_set():
                raise ArchiveFailed("the archive broke off")  # the rest of an answer that was left looks like its end
            if piece is None:
                return
            yield bytes(piece)


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
