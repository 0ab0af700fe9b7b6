"""``keyhole doctor --orthanc``, and what of deploy/orthanc-plugin can be run: real Orthanc, real nginx, real Keyhole.

The plugin in front of Orthanc is its model, whose holes are the plugin's own.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from keyhole.operations.auth_service import comments
from keyhole.operations.doctor import live
from tests.servers.keyhole import COMMAND, Keyhole, keyhole
from tests.servers.nginx import nginx
from tests.servers.orthanc import TRIXIE, Orthanc, orthanc
from tests.servers.plugin.front import Front, fronted

pytestmark = pytest.mark.e2e

DEPLOY = Path(__file__).parents[2] / "deploy/orthanc-plugin"
USER, PASSWORD = "orthanc", "a-password-of-some-length"
WRITES = "orthanc-link-writes"


@dataclass
class World:
    """Everything that runs; the studies of others are in that Orthanc as well."""

    archive: Orthanc
    server: Keyhole
    front: Front
    proxy: str
    credentials: Path

    def doctor(self, *words: str) -> dict[str, dict[str, Any]]:
        """The findings about the Orthanc that was tried, by check; the worst last."""
        done = subprocess.run(
            [COMMAND, "doctor", "--json", *words],
            capture_output=True,
            text=True,
            env=dict(self.server.environment),
            timeout=90,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert self.credentials.read_text().split()[1] not in done.stdout + done.stderr
        assert "kht_" not in done.stdout + done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return {row["check"]: row for row in rows if row["part"].startswith("Orthanc at")}

    def tried(self, outside: str, *words: str) -> dict[str, dict[str, Any]]:
        inside = ("--orthanc-inside", self.front.url, "--orthanc-credentials", str(self.credentials))
        return self.doctor("--orthanc", outside, *inside, *words)

    def studies(self) -> list[str]:
        return sorted(self.archive.json("/studies"))


@pytest.fixture(scope="module")
def world(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("deployment")
    with ExitStack() as stack:
        archive = stack.enter_context(orthanc(tmp_path_factory.mktemp("orthanc"), TRIXIE))
        archive.upload(studies)
        settings = {
            **archive.settings,
            "KEYHOLE_ARCHIVE_ORTHANC": archive.rest,
            "KEYHOLE_PLUGIN_USER": USER,
            "KEYHOLE_PLUGIN_PASSWORD": PASSWORD,
        }
        server = stack.enter_context(keyhole(place, settings))
        root = f"http://127.0.0.1:{server.internal_port}/plugin"
        front = stack.enter_context(fronted(archive, root, USER, PASSWORD))
        credentials = place / "credentials"
        credentials.write_text(f"token: {server.key('doctor', 'administrator')}\n")
        credentials.chmod(0o600)
        instead = {"server orthanc:8042;": f"server {urlsplit(front.url).netloc};"}
        proxy = stack.enter_context(nginx(tmp_path_factory.mktemp("nginx"), DEPLOY / "nginx.conf", 8080, instead))
        yield World(archive, server, front, proxy, credentials)


def severities(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {check: row["severity"] for check, row in found.items()}


def test_the_plugin_by_itself_lets_links_write_and_that_is_told(world: World) -> None:
    before = world.studies()
    found = world.tried(world.front.url)
    assert severities(found) | {"orthanc-open": "-"} == {
        "orthanc-study": "ok",
        "orthanc-plugin": "ok",
        "orthanc-open": "-",
        "orthanc-lookup": "note",
        "orthanc-link-reads": "ok",
        "orthanc-link-dicomweb": "ok",
        WRITES: "error",
    }
    for what in ("anonymise it", "modify it"):
        assert what in found[WRITES]["fact"]
    assert world.studies() == before


def test_behind_the_proxy_links_read_and_change_nothing(world: World) -> None:
    before = world.studies()
    found = world.tried(world.proxy)
    assert severities(found)[WRITES] == "ok", found[WRITES]
    assert severities(found)["orthanc-link-reads"] == "ok"
    assert severities(found)["orthanc-link-dicomweb"] == "ok"
    assert severities(found)["orthanc-lookup"] == "note"
    assert world.studies() == before


def test_an_orthanc_without_the_plugin_is_an_error(world: World, tmp_path: Path) -> None:
    with orthanc(tmp_path, AuthenticationEnabled=False) as open_:
        found = world.doctor("--orthanc", open_.rest, "--orthanc-credentials", str(world.credentials))
        assert severities(found)["orthanc-plugin"] == "error"
        assert severities(found)["orthanc-open"] == "warning"
        assert found["orthanc-study"]["severity"] == "warning"
        assert "making a link" in found["orthanc-study"]["fact"]
        assert open_.json("/studies") == []


def test_credentials_that_may_not_upload_are_told(world: World, tmp_path: Path) -> None:
    reader = tmp_path / "reader"
    reader.write_text(f"token: {world.server.key('reader', 'reader')}")
    before = world.studies()
    found = world.doctor("--orthanc", world.front.url, "--orthanc-credentials", str(reader))
    assert severities(found) == {"orthanc-study": "warning"}
    assert "uploading a study" in found["orthanc-study"]["fact"]
    assert world.studies() == before


def test_nobody_there_is_told(world: World) -> None:
    found = world.doctor("--orthanc", "http://127.0.0.1:9", "--orthanc-credentials", str(world.credentials))
    assert severities(found) == {"orthanc-answers": "error"}


@pytest.mark.parametrize("how", ["it is interrupted", "it breaks"])
def test_the_study_is_removed_whatever_happens(world: World, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    seen: list[list[str]] = []

    async def never(*_: object) -> dict[str, int]:
        seen.append(world.studies())
        if how == "it breaks":
            raise RuntimeError("broken")
        await asyncio.Event().wait()
        return {}

    monkeypatch.setattr(live._Trial, "_writes", never)
    name, _, value = world.credentials.read_text().strip().partition(": ")
    before = world.studies()
    at = live.Deployment(world.front.url, world.front.url, {name: value})
    with pytest.raises((TimeoutError, RuntimeError)):
        asyncio.run(asyncio.wait_for(live.look(at), 5))
    assert [len(studies) for studies in seen] == [len(before) + 1]
    assert world.studies() == before


# -- the proxy, as a stranger with a link


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/studies/{id}/anonymize", {}),
        ("POST", "/studies/{id}/anonymize/../../../auth/tokens/decode", {}),
        ("POST", "/auth/tokens/decode/../../../studies/{id}/anonymize", {}),
        ("POST", "/auth/tokens/decode/", {}),
        ("POST", "//studies/{id}/anonymize", {}),
        ("POST", "/instances", {}),
        ("POST", "/dicom-web/studies", {}),
        ("PUT", "/studies/{id}/labels/mine", {}),
        ("PUT", "/auth/tokens/decode", {}),
        ("PUT", "/tools/lookup", {}),
        ("DELETE", "/studies/{id}", {}),
        ("PATCH", "/studies/{id}", {}),
        ("PROPFIND", "/", {}),
        ("MKCOL", "/webdav/x", {}),
        ("get", "/studies/{id}", {}),
        ("GET", "/studies/{id}?_method=DELETE", {}),
        ("GET", "/studies/{id}?a=b&_method=PUT", {}),
        ("GET", "/studies/{id}?%5Fmethod=DELETE", {}),
        ("GET", "/studies/{id}?%5fmethod=DELETE", {}),
    ],
)
def test_the_proxy_lets_nothing_through_that_changes_something(
    world: World, method: str, path: str, headers: dict[str, str]
) -> None:
    study = world.studies()[0]
    asked = len(world.front.plugin.asked)
    status, _ = send(world.proxy, method, path.format(id=study), b"{}", headers)
    # The one that looks like the way to decode goes to decode, whatever else was written.
    assert status in (400, 403, 405) or path.endswith("../auth/tokens/decode")
    assert not [question for question in world.front.plugin.asked[asked:] if "validate" in question[1]]


def test_the_header_that_names_another_method_stops_at_the_proxy(world: World) -> None:
    study = world.studies()[0]
    token = world.credentials.read_text().split()[1]
    send(world.proxy, "GET", f"/studies/{study}", b"", {"token": token, "X-HTTP-Method-Override": "DELETE"})
    assert study in world.studies()


def test_the_landing_page_and_viewers_get_what_they_need(world: World) -> None:
    body = json.dumps({"TokenKey": "token", "TokenValue": "kht_nonsense"}).encode()
    status, answer = send(world.proxy, "POST", "/auth/tokens/decode", body, {"Content-Type": "application/json"})
    assert (status, json.loads(answer)["ErrorCode"]) == (200, "invalid")
    status, answer = send(world.proxy, "POST", "/tools/lookup", b"1.2.3.4", {})
    assert (status, json.loads(answer)) == (200, [])


# -- Orthanc's configuration


def test_the_real_orthanc_starts_with_the_configuration(tmp_path: Path) -> None:
    written = comments.loads((DEPLOY / "orthanc.json").read_text(encoding="utf-8"))
    assert isinstance(written, dict)
    # Where it is started, and what it asks with: everything else as it is in the file.
    ours = {"HttpPort", "StorageDirectory", "IndexDirectory", "RemoteAccessAllowed", "AuthenticationEnabled"}
    options = {name: value for name, value in written.items() if name not in ours}
    with orthanc(tmp_path, TRIXIE, **options) as running:
        assert running.json("/system")["Name"] == "Orthanc behind Keyhole"
        assert running.json("/dicom-web/studies") == []
        said = running.process.said()
        assert "is deprecated" not in said
        assert "Unknown configuration" not in said


def send(root: str, method: str, target: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    """One request as it is written: nothing in the target is put right."""
    connection = HTTPConnection(urlsplit(root).netloc, timeout=30)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
