"""A DICOMweb archive that keeps nothing to itself, and remembers what it was asked.

It answers a search with what it was asked for, and everything else with another patient's bytes: whatever a gateway
lets through shows, and so does every call.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

FOREIGN = "Foreign^Borislav"
"""The name of a patient who was never shared. It is in every answer that was not a search for one study."""


@dataclass
class Leaky:
    """The archive, while it runs."""

    port: int
    calls: list[str] = field(default_factory=list)
    """Request lines, with the names of the headers that came with each."""

    @property
    def root(self) -> str:
        """Its DICOMweb root."""
        return f"http://127.0.0.1:{self.port}/dicom-web"

    @property
    def settings(self) -> dict[str, str]:
        """The settings with which Keyhole reaches it."""
        return {"KEYHOLE_ARCHIVE": self.root}


def _study(uid: str, root: str) -> dict[str, object]:
    return {
        "00080020": {"vr": "DA", "Value": ["20260115"]},
        "00081190": {"vr": "UR", "Value": [f"{root}/studies/{uid}"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Quellwasser^Annabella"}]},
        "00100020": {"vr": "LO", "Value": ["PAT-A-0001"]},
        "0020000D": {"vr": "UI", "Value": [uid]},
    }


@contextmanager
def leaky() -> Iterator[Leaky]:
    """Run such an archive."""
    archive = Leaky(0)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            archive.calls.append(f"{self.requestline} {sorted(self.headers)}")
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            uids = parse_qs(parts.query).get("StudyInstanceUID") or parse_qs(parts.query).get("0020000D")
            if self.command == "GET" and parts.path == "/dicom-web/studies" and uids:
                items = [_study(uid, archive.root) for uid in uids[0].split(",")]
                body, kind = json.dumps(items).encode(), "application/dicom+json"
            else:
                body, kind = FOREIGN.encode() * 10, "application/octet-stream"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = _answer  # noqa: N815

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
