"""A DICOMweb archive over HTTP that is able to do as little as may be, in front of a folder of real studies.

What it lacks are the least able rows of what servers do, all at once: no UID lists (several are read as one), no
relational search, every parameter but a few ignored, ``includefield=all`` refused, at most 100 results without a word,
204 for none, no thumbnails, links that lead elsewhere, media types without quotes, one media type for searches, and
parents that nobody looks at.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlencode

from keyhole.archive.folder import FolderArchive

ELSEWHERE = "http://storage.elsewhere.example/bucket"
MOST = 100
JSON = "application/dicom+json"
HEEDED = ("StudyInstanceUID", "00100020", "PatientID", "includefield", "offset")
_RELATIONAL = {"series": 2, "instances": 4}
_UIDS = ("0020000D", "0020000E", "00080018")

Reply = tuple[int, str, bytes]
_NOTHING: Reply = (204, "", b"")


@dataclass
class Strict:
    """The archive, while it runs."""

    port: int
    calls: list[str] = field(default_factory=list)
    """Request targets, as they came."""

    @property
    def root(self) -> str:
        """Its DICOMweb root."""
        return f"http://127.0.0.1:{self.port}/dicom-web"

    @property
    def settings(self) -> dict[str, str]:
        """The settings with which Keyhole reaches it."""
        return {"KEYHOLE_ARCHIVE": self.root}


class _Folder:
    """The studies, asked from any thread."""

    def __init__(self, folder: Path, index: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._archive = FolderArchive("strict", folder, index)
        self._run(self._archive.rescan())
        _, _, listed = self.ask("/instances", "", JSON)
        self.places = {}
        for item in json.loads(listed):
            uids = [item[tag]["Value"][0] for tag in _UIDS]
            self.places.update({uids[1]: uids[:2], uids[2]: uids})

    def _run(self, work: object) -> object:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)  # type: ignore[arg-type]

    def ask(self, path: str, query: str, accept: str) -> Reply:
        async def answer() -> Reply:
            async with self._archive.get(path, query, accept) as given:
                body = b"".join([piece async for piece in given.body])
                return given.status, given.content_type, body.replace(self._archive.root.encode(), ELSEWHERE.encode())

        reply = self._run(answer())
        assert isinstance(reply, tuple)
        return reply

    def close(self) -> None:
        self._run(self._archive.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _answer(folder: _Folder, target: str, accept: str) -> Reply:
    path, _, query = target.removeprefix("/dicom-web").partition("?")
    parts = path.strip("/").split("/")
    what = parts[-1]
    if "thumbnail" in parts or (what in _RELATIONAL and len(parts) <= _RELATIONAL[what]):
        return 404, "text/plain", b"no such thing"
    named = parts[1:6:2]
    if len(named) > 1 and (what != "series" or len(parts) > 3):
        # Whatever the parents are called: the last name is looked up by itself.
        right = folder.places.get(named[-1], named)
        parts[1 : 2 * len(right) : 2] = right
        path = "/" + "/".join(parts)
    if len(parts) % 2 and what in ("studies", "series", "instances"):
        return _search(folder, path, query, accept)
    status, content_type, body = folder.ask(path, query, accept)
    return status, content_type.replace('"', ""), body


def _search(folder: _Folder, path: str, query: str, accept: str) -> Reply:
    if accept != JSON:
        return 406, "text/plain", b"ask for application/dicom+json"
    pairs = [(name, unquote(value)) for name, _, value in (pair.partition("=") for pair in query.split("&"))]
    if ("includefield", "all") in pairs:
        return 400, "text/plain", b"includefield"
    if any("," in value for name, value in pairs if name == "StudyInstanceUID"):
        return _NOTHING
    heeded = [(name, value) for name, value in pairs if name in HEEDED]
    limit = min([MOST, *(int(value) for name, value in pairs if name == "limit")])
    status, content_type, body = folder.ask(path, urlencode([*heeded, ("limit", limit)]), JSON)
    return _NOTHING if status == 200 and body.strip() == b"[]" else (status, content_type, body)


@contextmanager
def strict(folder: Path, index: Path) -> Iterator[Strict]:
    """Run such an archive of the studies in *folder*."""
    archive = Strict(0)
    studies = _Folder(folder, index)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            archive.calls.append(self.path)
            status, kind, body = _answer(studies, self.path, self.headers.get("Accept", ""))
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        archive.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield archive
        finally:
            server.shutdown()
            thread.join()
            studies.close()
