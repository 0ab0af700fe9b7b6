"""The plugin's way of asking over real HTTP, as libcurl sends it: chunked, without a length, in pieces."""

from __future__ import annotations

import base64
import json
import socket
from dataclasses import dataclass
from typing import Any

from tests.e2e import dataset
from tests.servers.keyhole import Keyhole

USER, PASSWORD = "orthanc", "a-password-of-some-length"
INSTANT, PAGE = "viewer-instant-link", "ohif-viewer-publication"


def request(method: str, path: str, content: Any, *, user: str = USER, more: str = "") -> bytes:
    """One request in the plugin's form: chunked, without a length, in pieces that end anywhere."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    credential = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
    head = (
        f"{method} /plugin/{path} HTTP/1.1\r\nHost: keyhole:8001\r\nAccept: */*\r\n"
        f"Authorization: Basic {credential}\r\n"
        f"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n{more}\r\n"
    )
    pieces = [body[:7], body[7:8], body[8:]]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    return head.encode() + chunks + b"0\r\n\r\n"


@dataclass
class Plugin:
    """One connection after the other, or one that is kept."""

    server: Keyhole

    def send(self, raw: bytes, *, slowly: bool = False) -> tuple[int, Any]:
        """Send bytes, all at once or one by one; the status and the JSON of the answer."""
        with socket.create_connection(("127.0.0.1", self.server.internal_port), timeout=30) as connection:
            pieces = [raw[at : at + 1] for at in range(len(raw))] if slowly else [raw]
            for piece in pieces:
                connection.sendall(piece)
            return answer(connection)

    def ask(self, method: str, path: str, content: Any, **more: Any) -> tuple[int, Any]:
        return self.send(request(method, path, content, **more))

    def make(self, kind: str, *resources: dict[str, str], **more: Any) -> dict[str, Any]:
        status, made = self.ask("PUT", f"tokens/{kind}", {"type": kind, "resources": resources, **more})
        assert status == 200, made
        self.server.secrets.add(made["token"])
        return dict(made)

    def validate(self, token: str, uid: str = dataset.STUDY, orthanc_id: str = "", method: str = "get") -> Any:
        question = {
            "method": method,
            "level": "study",
            "dicom-uid": uid,
            "orthanc-id": orthanc_id,
            "server-id": None,
            "token-key": "Authorization",
            "token-value": f"Bearer {token}",
        }
        status, told = self.ask("POST", "tokens/validate", question, more=f"token: {token}\r\n")
        assert status == 200
        return told


def answer(connection: socket.socket) -> tuple[int, Any]:
    """Read one answer."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += _more(connection)
    return int(head.split(b" ")[1]), json.loads(body)


def _more(connection: socket.socket) -> bytes:
    piece = connection.recv(65536)
    assert piece, "the connection ended within an answer"
    return piece
