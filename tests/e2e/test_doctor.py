"""``keyhole doctor`` beside real servers: Orthanc, PostgreSQL, a pooler between, TLS, and a running Keyhole."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from keyhole.archive.sample import write_sample
from keyhole.gateway import capabilities_file
from tests.operations.doctor.tls import made
from tests.postgres import Cluster
from tests.servers.keyhole import COMMAND, keyhole
from tests.servers.orthanc import Orthanc, orthanc
from tests.servers.pgbouncer import pgbouncer
from tests.servers.process import free_port
from tests.servers.viewer import FOLDER as VIEWER


def examined(environment: Mapping[str, str], *words: str) -> dict[str, dict[str, Any]]:
    """The last finding of each check, worst last; the exit status under ``status``."""
    done = subprocess.run(
        [COMMAND, "doctor", "--json", *words],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment},
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    order = ["ok", "note", "warning", "error"]
    rows = sorted(map(json.loads, done.stdout.splitlines()), key=lambda row: order.index(row["severity"]))
    for name, value in environment.items():
        if name.endswith(("PASSWORD", "TOKEN")):
            assert value not in done.stdout + done.stderr
    return {row["check"]: row for row in rows} | {"status": {"severity": str(done.returncode)}}


def severities(found: Mapping[str, Mapping[str, Any]], *checks: str) -> list[str | None]:
    return [found.get(check, {}).get("severity") for check in checks]


def has_other_addresses() -> bool:
    """Whether this machine is in a network; asked in a process whose sockets are not guarded."""
    code = "from keyhole.operations.doctor.archives import own_addresses as own; print(len(own()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip() != "0"


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    """The settings of a Keyhole that does not run."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    ports = {name: f"127.0.0.1:{free_port()}" for name in ("BIND", "STAFF_BIND", "INTERNAL_BIND")}
    return {
        "KEYHOLE_DATA": str(data),
        "KEYHOLE_ARCHIVE_NAME": "main",
        "KEYHOLE_PUBLIC_URL": f"http://{ports['BIND']}",
        "KEYHOLE_VIEWER": str(VIEWER),
        **{f"KEYHOLE_{name}": value for name, value in ports.items()},
    }


@pytest.fixture
def folder(tmp_path: Path) -> dict[str, str]:
    """The settings of an archive that is a folder."""
    write_sample(tmp_path / "sample")
    return {"KEYHOLE_ARCHIVE": str(tmp_path / "sample")}


class TestOrthanc:
    def test_that_asks_for_credentials_is_well(self, place: dict[str, str], orthanc_debian: Orthanc) -> None:
        found = examined({**place, **orthanc_debian.settings})
        assert severities(found, "archive-open", "archive-answers", "archive-orthanc") == ["ok", "ok", "ok"]
        assert (
            found["archive-orthanc"]["fact"] == f"archive main is Orthanc {orthanc_debian.json('/system')['Version']}"
        )
        assert "unfinished" not in found

    def test_leaves_a_record_of_what_it_is_able_to_do(self, place: dict[str, str], orthanc_debian: Orthanc) -> None:
        found = examined({**place, **orthanc_debian.settings})
        assert found["abilities-kept"]["severity"] == "note"
        data = Path(place["KEYHOLE_DATA"])
        record = capabilities_file.read(data)["main"]
        assert record.root == orthanc_debian.root
        assert [path.name for path in data.iterdir()] == [capabilities_file.NAME], "and nothing else"
        assert "abilities-kept" not in examined({**place, **orthanc_debian.settings}), "it is the same the second time"

    def test_that_refuses_keyhole_is_told(self, place: dict[str, str], orthanc_debian: Orthanc) -> None:
        found = examined({**place, "KEYHOLE_ARCHIVE": orthanc_debian.root})
        assert severities(found, "archive-open", "archive-answers") == ["ok", "error"]
        assert "credentials" in found["archive-answers"]["fact"]

    @pytest.mark.parametrize("remote", [False, True], ids=["on the loopback", "to the network"])
    def test_that_asks_nobody_is_told(self, place: dict[str, str], tmp_path: Path, remote: bool) -> None:
        with orthanc(tmp_path, AuthenticationEnabled=False, RemoteAccessAllowed=remote) as running:
            found = examined({**place, "KEYHOLE_ARCHIVE": running.root})
        severity = "error" if remote and has_other_addresses() else "warning"
        assert severities(found, "archive-open", "archive-answers") == [severity, "ok"]
        assert "AuthenticationEnabled" in found["archive-open"]["advice"]
        assert "DICOMweb" in found["archive-open"]["fact"]
        assert "Orthanc REST API" in found["archive-open"]["fact"]

    def test_with_the_password_it_comes_with_is_told(
        self, place: dict[str, str], tmp_path: Path, orthanc_debian: Orthanc
    ) -> None:
        (tmp_path / "secret").touch(mode=0o600)
        (tmp_path / "secret").write_text("orthanc\n")
        given = {"KEYHOLE_ARCHIVE": orthanc_debian.root, "KEYHOLE_ARCHIVE_USER": "orthanc"}
        found = examined({**place, **given, "KEYHOLE_ARCHIVE_PASSWORD_FILE": str(tmp_path / "secret")})
        assert severities(found, "secret-default", "secret-file", "archive-answers") == ["error", "ok", "error"]


class TestADatabaseServer:
    def test_reached_directly_is_well(self, place: dict[str, str], folder: dict[str, str], postgresql_url: str) -> None:
        given = {**place, **folder, "KEYHOLE_DATABASE": postgresql_url}
        assert examined(given)["database-schema"]["severity"] == "warning", "it is empty"
        subprocess.run([COMMAND, "migrate"], env={"PATH": "/usr/bin:/bin", **given}, check=True, capture_output=True)
        found = examined(given)
        checks = ("database-schema", "database-version", "database-durable", "database-pooler", "database-plain")
        assert severities(found, *checks, "database-connections", "clock", "trail", "ring") == ["ok"] * 9

    @pytest.mark.parametrize(
        ("mode", "check", "severity"),
        [
            ("session", "database-pooler", "note"),
            ("transaction", "database-pooler", "error"),
            ("statement", "database-answers", "error"),
        ],
    )
    def test_behind_a_pooler_is_told(
        self,
        place: dict[str, str],
        folder: dict[str, str],
        postgresql_url: str,
        mode: str,
        check: str,
        severity: str,
    ) -> None:
        subprocess.run(
            [COMMAND, "migrate"],
            env={"PATH": "/usr/bin:/bin", **place, **folder, "KEYHOLE_DATABASE": postgresql_url},
            check=True,
            capture_output=True,
        )
        with pgbouncer(postgresql_url, mode) as pooled:
            found = examined({**place, **folder, "KEYHOLE_DATABASE": pooled})
        assert severities(found, check) == [severity]
        assert "pooler" in found[check]["fact"]

    def test_that_is_down_is_told(self, place: dict[str, str], folder: dict[str, str]) -> None:
        found = examined({**place, **folder, "KEYHOLE_DATABASE": f"postgresql://keyhole@127.0.0.1:{free_port()}/k"})
        assert severities(found, "database-answers", "folder", "viewer", "status") == ["error", "note", "ok", "2"]

    def test_with_too_few_connections_is_told(
        self, place: dict[str, str], folder: dict[str, str], postgresql_url: str, postgres: Cluster
    ) -> None:
        postgres.run(f"ALTER DATABASE {postgresql_url.rpartition('/')[2]} CONNECTION LIMIT 9")
        found = examined({**place, **folder, "KEYHOLE_DATABASE": postgresql_url})
        assert severities(found, "database-connections") == ["error"]


class TestARunningKeyhole:
    def test_is_well(self, tmp_path: Path, studies: Path) -> None:
        with keyhole(tmp_path, {"KEYHOLE_ARCHIVE": str(studies)}) as server:
            Path(server.data).chmod(0o700)
            found = examined(server.environment)
            server.verify_trail()
        checks = (
            "server",
            "server-ready",
            "public-url",
            "public-headers",
            "folder",
            "trail",
            "ring",
            "viewer",
            "status",
        )
        assert severities(found, *checks) == [*["ok"] * 8, "0"]

    def test_over_https_with_a_certificate_that_nobody_knows(self, tmp_path: Path, studies: Path) -> None:
        cert, key = made(tmp_path, "127.0.0.1", days=3)
        given = settings_with_tls(tmp_path, cert, key) | {"KEYHOLE_ARCHIVE": str(studies)}
        found = examined(given)
        assert severities(found, "certificate", "certificate-name") == ["warning", None], "it ends soon"

    def test_that_another_program_stands_in_for_is_told(self, place: dict[str, str], folder: dict[str, str]) -> None:
        with http_server() as port:
            found = examined({**place, **folder, "KEYHOLE_BIND": f"127.0.0.1:{port}"})
        assert severities(found, "server") == ["error"]

    def test_says_at_its_start_what_a_folder_holds_and_what_sets_nothing(self, tmp_path: Path, studies: Path) -> None:
        with keyhole(tmp_path, {"KEYHOLE_ARCHIVE": str(studies)}, KEYHOLE_WORKRES="2") as server:
            said = server.process.said()
        assert "KEYHOLE_WORKRES is no setting: did you mean KEYHOLE_WORKERS?" in said
        assert "archive archive holds 5 studies" in said

    def test_says_at_its_start_that_an_archive_does_not_answer(self, place: dict[str, str]) -> None:
        given = {**place, "KEYHOLE_ARCHIVE": f"http://127.0.0.1:{free_port()}/dicom-web"}
        with subprocess.Popen(
            [COMMAND, "serve"], env={"PATH": "/usr/bin:/bin", **given}, stderr=subprocess.PIPE, text=True
        ) as running:
            assert running.stderr is not None
            said = []
            for line in running.stderr:
                said.append(line)
                if "ready:" in line:
                    break
            running.terminate()
            running.communicate(timeout=30)
        assert "archive main does not answer (the archive cannot be reached)" in "".join(said)
        assert "See keyhole doctor" in "".join(said)


def settings_with_tls(folder: Path, cert: Path, key: Path) -> dict[str, str]:
    """A Keyhole that would speak https itself, on the loopback."""
    (folder / "data").mkdir(mode=0o700, exist_ok=True)
    port = free_port()
    return {
        "KEYHOLE_DATA": str(folder / "data"),
        "KEYHOLE_VIEWER": str(VIEWER),
        "KEYHOLE_PUBLIC_URL": f"https://127.0.0.1:{port}",
        "KEYHOLE_BIND": f"127.0.0.1:{port}",
        "KEYHOLE_STAFF_BIND": f"127.0.0.1:{free_port()}",
        "KEYHOLE_INTERNAL_BIND": "off",
        "KEYHOLE_TLS_CERT": str(cert),
        "KEYHOLE_TLS_KEY": str(key),
    }


@contextmanager
def http_server(tls: ssl.SSLContext | None = None, **headers: str) -> Iterator[int]:
    """A server that answers everything with an empty list, and with *headers*."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"[]"
            self.send_response_only(200)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class TestAnArchive:
    def test_whose_certificate_nobody_knows_is_told(self, place: dict[str, str], tmp_path: Path) -> None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*made(tmp_path, "127.0.0.1"))
        with http_server(tls) as port:
            found = examined({**place, "KEYHOLE_ARCHIVE": f"https://127.0.0.1:{port}/dicom-web"})
        assert "certificate is not trusted" in found["archive-answers"]["fact"]
        assert severities(found, "archive-answers", "archive-open") == ["error", "warning"]

    def test_whose_clock_is_wrong_is_told(self, place: dict[str, str]) -> None:
        with http_server(Date="Thu, 01 Jan 1970 00:01:40 GMT") as port:
            found = examined({**place, "KEYHOLE_ARCHIVE": f"http://127.0.0.1:{port}/dicom-web"})
        assert severities(found, "clock") == ["error"]
        with http_server() as port:
            found = examined({**place, "KEYHOLE_ARCHIVE": f"http://127.0.0.1:{port}/dicom-web"})
        assert severities(found, "clock") == [None]
