"""A real Orthanc: the distribution's own, or that of another release in a directory tree."""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.process import Process, free_port

PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
TRIXIE = Path.home() / ".cache/keyhole/orthanc-trixie"
"""Where scripts/install-test-servers.sh puts the next release's tree."""


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running Orthanc with DICOMweb, that answers to one user only."""

    port: int
    user: str
    password: str = field(repr=False)
    process: Process = field(repr=False)

    @property
    def root(self) -> str:
        """Its DICOMweb root."""
        return f"http://127.0.0.1:{self.port}/dicom-web"

    @property
    def rest(self) -> str:
        """The root of its own REST API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        """The settings with which Keyhole reaches it."""
        return {
            "KEYHOLE_ARCHIVE": self.root,
            "KEYHOLE_ARCHIVE_USER": self.user,
            "KEYHOLE_ARCHIVE_PASSWORD": self.password,
        }

    def ask(self, method: str, path: str, body: bytes | None = None, accept: str = "*/*") -> tuple[int, bytes]:
        """One request to its own port: status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        credential = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        try:
            connection.request(method, path, body, {"Authorization": f"Basic {credential}", "Accept": accept})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def upload(self, folder: Path) -> int:
        """Store every DICOM file below *folder*; the number of them."""
        files = sorted(folder.rglob("*.dcm"))
        for file in files:
            status, body = self.ask("POST", "/instances", file.read_bytes())
            assert status == 200, f"Orthanc refused {file.name}: {status} {body[:500]!r}"
        return len(files)

    def json(self, path: str) -> Any:
        """What it answers to GET *path*."""
        status, body = self.ask("GET", path)
        assert status == 200, f"Orthanc answered {status} to {path}"
        return json.loads(body)


@contextmanager
def orthanc(folder: Path, tree: Path | None = None, **options: Any) -> Iterator[Orthanc]:
    """Run the distribution's Orthanc, or the one in *tree*; *options* are added to its configuration.

    Logs and configuration lie in *folder*; the database does too, unless the program lives in a tree of its own.
    """
    port, user, password = free_port(), "keyhole", secrets.token_hex(16)
    home = folder if tree is None else tree / "tmp" / f"keyhole-{port}"
    home.mkdir(parents=True, exist_ok=True)
    inside = home if tree is None else Path("/tmp") / home.name
    configuration = {
        "Name": "keyhole-test",
        "StorageDirectory": str(inside / "storage"),
        "IndexDirectory": str(inside / "storage"),
        "HttpPort": port,
        "HttpThreadsCount": 20,
        "KeepAlive": True,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {user: password},
        "Plugins": [PLUGIN],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": True},
    } | options
    (home / "orthanc.json").write_text(json.dumps(configuration))
    command = ["/usr/sbin/Orthanc", "--verbose", str(inside / "orthanc.json")]
    if tree is not None:
        command = ["chroot", str(tree), *command]
    running: Orthanc | None = None

    def ready() -> bool:
        try:
            return running is not None and running.ask("GET", "/system")[0] == 200
        except OSError:
            return False

    process = Process(command, folder / "orthanc.log", ready)
    running = Orthanc(port, user, password, process)
    try:
        with process:
            yield running
    finally:
        if tree is not None:
            shutil.rmtree(home, ignore_errors=True)
