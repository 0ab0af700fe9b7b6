"""The viewer's files over HTTP: exact names from the manifest, compressed forms, nothing by joining paths."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import BinaryIO

from starlette.types import Receive, Scope, Send

from keyhole.web.install_viewer import FILES, TYPES, File, Manifest

_CHUNK = 256 * 1024
_KEPT_EACH = 512 * 1024
_KEPT_IN_ALL = 24 * 1024 * 1024
"""Bytes of small files that a worker holds in memory. About what one first load of the viewer needs."""
_INDEX = "index.html"

ROUTES = ("viewer", "notfoundstudy", "notfoundserver")
"""Pages below ``/v/<visit>/`` that are the viewer's ``index.html``: its own router tells them apart."""

_CSP = (
    "default-src 'none'; script-src 'self' 'unsafe-eval' 'wasm-unsafe-eval' {inline}blob:; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' blob: data:; object-src 'self' blob:; frame-src 'self' blob:; media-src 'self' blob:; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; {framing}"
)
"""Measured: without ``unsafe-eval`` JPEG 2000 and JPEG-LS do not decode. Scripts in the page itself pass by hash."""


@dataclass(frozen=True, slots=True)
class _Constant:
    """A file of our own that the viewer asks for at its root."""

    type: str
    content: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:20]


def _constants() -> dict[str, _Constant]:
    config = resources.files("keyhole.web").joinpath("ohif", "app-config.js").read_bytes()
    # The shipped script only unregisters what was never registered, and throws on plain http.
    return {"app-config.js": _Constant(TYPES[".js"], config), "init-service-worker.js": _Constant(TYPES[".js"], b"")}


class ViewerFiles:
    """A plain ASGI application. One per worker; *folder* is read when it is made."""

    def __init__(self, folder: Path, framing: str = "frame-ancestors 'none'") -> None:
        """Serve what :func:`keyhole.web.install_viewer.install_viewer` left in *folder*, framed as *framing* says."""
        manifest = Manifest.read(folder)
        self._folder = folder / FILES
        self._files: Mapping[str, File] = manifest.files if manifest is not None and manifest.current else {}
        self._constants = _constants()
        self._kept: dict[tuple[str, str], bytes] = {}
        self._room = _KEPT_IN_ALL
        inline = "".join(f"{source} " for source in manifest.inline_scripts) if manifest is not None else ""
        self.csp = _CSP.format(inline=inline, framing=framing)

    @property
    def installed(self) -> bool:
        """Whether there is a viewer to serve."""
        return _INDEX in self._files

    def __contains__(self, path: str) -> bool:
        """Whether *path* (with its leading slash) is a file of the viewer. Its page is not: that needs a visit."""
        name = path[1:]
        return name in self._constants or (name in self._files and name != _INDEX)

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Answer a GET or HEAD of a path that is ``in`` this."""
        name = scope["path"][1:]
        constant = self._constants.get(name)
        if constant is not None:
            await _answer(scope, send, _headers(constant.type, "no-cache"), constant.digest, constant.content)
        else:
            file = self._files[name]
            caching = "public, max-age=31536000, immutable" if file.immutable else "no-cache"
            await self._send(name, file, caching, scope, send)

    async def page(self, scope: Scope, _: Receive, send: Send) -> None:
        """Answer with the viewer's page, whichever the path; to be called only when ``installed``."""
        await self._send(_INDEX, self._files[_INDEX], "no-store", scope, send)

    async def _send(self, name: str, file: File, caching: str, scope: Scope, send: Send) -> None:
        coding, ending, size = _form(file, scope["headers"])
        headers = [*_headers(file.type, caching), (b"content-security-policy", self.csp.encode())]
        if file.br or file.gz:
            headers.append((b"vary", b"Accept-Encoding"))
        if coding:
            headers.append((b"content-encoding", coding))
        tag = f"{file.digest}{ending}"
        if size <= _KEPT_EACH:
            await _answer(scope, send, headers, tag, await self._small(name, ending))
        elif await _begin(scope, send, headers, tag, size):
            async for chunk in _chunks(self._folder / f"{name}{ending}"):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _small(self, name: str, ending: str) -> bytes:
        kept = self._kept.get((name, ending))
        if kept is None:
            kept = await asyncio.to_thread((self._folder / f"{name}{ending}").read_bytes)
            if len(kept) <= self._room and (name, ending) not in self._kept:
                self._room -= len(kept)
                self._kept[name, ending] = kept
        return kept


def _headers(media_type: str, caching: str) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", media_type.encode()), (b"cache-control", caching.encode())]


def _form(file: File, headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, str, int]:
    """The best form of *file* that the client takes: its content coding, its ending, its size."""
    takes = accepted_codings(b",".join(value for name, value in headers if name == b"accept-encoding"))
    if file.br and "br" in takes:
        return b"br", ".br", file.br
    if file.gz and "gzip" in takes:
        return b"gzip", ".gz", file.gz
    return b"", "", file.size


def accepted_codings(header: bytes) -> frozenset[str]:
    """Which of ``br`` and ``gzip`` an Accept-Encoding takes (RFC 9110 section 12.5.3)."""
    weights = {}
    for item in header.decode("latin-1").lower().split(","):
        coding, _, parameter = item.partition(";")
        weights[coding.strip()] = parameter.replace(" ", "").removeprefix("q=") or "1"
    refused = {"0", "0.", "0.0", "0.00", "0.000"}
    return frozenset(coding for coding in ("br", "gzip") if weights.get(coding, weights.get("*", "0")) not in refused)


async def _answer(scope: Scope, send: Send, headers: list[tuple[bytes, bytes]], tag: str, content: bytes) -> None:
    if await _begin(scope, send, headers, tag, len(content)):
        await send({"type": "http.response.body", "body": content})


async def _begin(scope: Scope, send: Send, headers: list[tuple[bytes, bytes]], tag: str, size: int) -> bool:
    """Send status and headers; whether a body is to follow."""
    headers = [*headers, (b"etag", f'"{tag}"'.encode())]
    if scope["method"] not in ("GET", "HEAD"):
        await _whole(send, 405, [(b"allow", b"GET, HEAD")])
        return False
    if _known(scope["headers"], tag):
        unsent = (b"content-type", b"content-encoding")
        await _whole(send, 304, [pair for pair in headers if pair[0] not in unsent])
        return False
    headers.append((b"content-length", str(size).encode()))
    if scope["method"] == "HEAD":
        await _whole(send, 200, headers)
        return False
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    return True


async def _whole(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _known(headers: Iterable[tuple[bytes, bytes]], tag: str) -> bool:
    """Whether If-None-Match names *tag*, by the weak comparison (RFC 9110 section 13.1.2)."""
    named = b",".join(value for name, value in headers if name == b"if-none-match").decode("latin-1")
    tags = {item.strip().removeprefix("W/") for item in named.split(",")}
    return f'"{tag}"' in tags or "*" in tags


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    file: BinaryIO = await asyncio.to_thread(path.open, "rb")
    try:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
    finally:
        file.close()
