"""What an archive, or whoever stands in for a part of the installation, can make the doctor say or do."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from keyhole.operations.doctor import archives, asking, running, ways_in
from keyhole.operations.doctor.asking import Heard
from keyhole.operations.doctor.finding import Severity
from keyhole.operations.doctor.running import Seen
from tests.operations.doctor.looks import found, settings
from tests.operations.doctor.test_asking import saying, server
from tests.operations.doctor.tls import made

pytestmark = pytest.mark.loopback

PASSWORD = "kT9vQ2xWz7LmB4nR8sYd"


async def looked(root: str, **variables: str) -> archives.ArchiveFacts:
    given = settings(archive=root, **variables)
    return await archives.look("main", given.every_archive()["main"], given)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "own_addresses", tuple)
    for module, name in ((asking, "PATIENCE"), (archives, "_PATIENCE"), (archives, "_PROBING")):
        monkeypatch.setattr(module, name, 0.5)


async def test_an_archive_that_only_listens_is_left() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        await asyncio.sleep(3600)

    async with server(talk) as place:
        facts = await looked(f"http://{place}/dicom-web")
    assert facts.ours is not None
    assert found(ways_in.strangers(facts)) == {"archive-open": Severity.NOTE}


async def test_credentials_are_shown_to_the_archive_alone_and_never_by_the_stranger() -> None:
    heads: list[bytes] = []
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: 2\r\n\r\n[]"
    async with server(saying(answer, heads)) as place:
        await looked(f"http://{place}/dicom-web", archive_user="keyhole", archive_password=PASSWORD)
    strange = [head for head in heads if b"Connection: close\r\n\r\n" in head]
    assert len(strange) == 2, "the DICOMweb root and Orthanc's"
    assert not any(b"authorization" in head.lower() for head in strange)
    assert any(b"authorization" in head.lower() for head in heads)


@pytest.mark.parametrize("version", [PASSWORD, "1.2\\u001b[2J", "9" * 500, "a b"])
async def test_what_an_archive_says_of_itself_is_not_repeated(version: str) -> None:
    body = f'{{"DicomAet": "X", "Version": "{version}"}}'.encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    async with server(saying(answer)) as place:
        facts = await looked(f"http://{place}/dicom-web", archive_user="keyhole", archive_password=PASSWORD)
    told = [*ways_in.reachable(facts), *ways_in.orthanc(facts), *ways_in.strangers(facts), *ways_in.able(facts)]
    assert facts.orthanc
    assert facts.version is None
    assert PASSWORD not in str(told)


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
async def test_an_archive_called_loopback_that_others_reach_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secure: bool
) -> None:
    """It listens on every address, and Keyhole is told the loopback one: 127.0.0.2 stands for the network's."""
    monkeypatch.setattr(archives, "own_addresses", lambda: ("127.0.0.2",))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if secure else None
    if tls is not None:
        tls.load_cert_chain(*made(tmp_path, "127.0.0.1"))
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
    async with server(saying(answer), tls, host="0.0.0.0") as place:
        port = place.rpartition(":")[2]
        facts = await looked(f"{'https' if secure else 'http'}://127.0.0.1:{port}/dicom-web")
    assert facts.local
    [told] = ways_in.strangers(facts)
    assert told.severity is Severity.ERROR
    assert f"127.0.0.2:{port}" in told.fact


@pytest.mark.parametrize(
    "body",
    [b'{"parts": {"\\u001b[2Jdatabase": "failed"}}', b'{"parts": ["failed"]}', b'{"parts": {"x": {"y": 1}}}', b"\xff"],
)
def test_whoever_answers_as_the_internal_listener_steers_no_terminal(body: bytes) -> None:
    [told] = running.ready(Seen(url="http://127.0.0.1:8001/readyz", heard=Heard(503, {}, body)))
    assert told.severity is Severity.ERROR
    assert told.fact.isprintable()
