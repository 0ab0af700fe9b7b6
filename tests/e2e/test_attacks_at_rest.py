"""What whoever has the database, or reads the log, can do with it against the running server."""

from __future__ import annotations

import base64
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import dataset
from tests.servers.keyhole import COOKIE, Keyhole, Opened, keyhole, share_id

pytestmark = pytest.mark.e2e

PRINTABLE = re.compile(r"[!-~]{4,200}")


@pytest.fixture
def server(studies: Path, tmp_path: Path) -> Iterator[Keyhole]:
    with keyhole(tmp_path, {"KEYHOLE_ARCHIVE": str(studies)}) as running:
        yield running


def stolen(server: Keyhole) -> set[str]:
    """Every value that the database holds, in every spelling in which it could be a secret."""
    found: set[str] = set()
    with sqlite3.connect(f"file:{server.data / 'keyhole.db'}?mode=ro", uri=True) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    raw = value if isinstance(value, bytes) else str(value).encode()
                    encoded = base64.b32encode(raw).decode().lower().rstrip("=")
                    found |= {str(value), raw.hex(), encoded, encoded[:32], raw.hex()[:32]}
                    found |= set(re.findall(r"[a-z2-7]{16,}", str(value)))
    database.close()
    return {value for value in found if PRINTABLE.fullmatch(value)}


def opens(server: Keyhole, value: str, link: str, visit: Opened, key: str) -> bool:
    """Whether *value* passes for any secret that there is."""
    tries = [
        server.get(f"{visit.below}dicom-web/studies", {"Cookie": f"{COOKIE}={value}"}),
        *(
            server.get("/dicom-web/studies", {"Authorization": f"Bearer {bearer}"})
            for bearer in (f"khv_{visit.id}_{value}", f"khk_{key}_{value}", value)
        ),
        server.post_json(f"/s/{share_id(link)}/visits", {"secret": value}),
        server.post_json("/o", {"code": value}),
    ]
    return any(answer.status < 400 for answer in tries)


def test_a_stolen_database_opens_nothing(server: Keyhole) -> None:
    link = server.share(dataset.STUDY)
    visit = server.open(link)
    key = server.key("reader", "reader")
    values = stolen(server)
    assert {share_id(link), visit.id, key.split("_")[1]} <= values, "this looks in the wrong places"
    assert not [value for value in values if opens(server, value, link, visit, key.split("_")[1])]
    assert server.get(f"{visit.below}dicom-web/studies", visit.as_cookie).status == 200


def test_the_log_tells_no_secret_and_no_patient_whatever_is_sent(server: Keyhole) -> None:
    link = server.share(dataset.STUDY)
    visit, secret = server.open(link), link.partition("#")[2]
    key = server.key("reader", "reader")
    everything = {"Authorization": f"Bearer {key}"}
    assert server.get(f"/dicom-web/studies?PatientID={dataset.PATIENTS[0].id}", everything).status == 200
    for target in (
        f"/s/{share_id(link)}?secret={secret}",
        f"/s/{secret}",
        f"/v/{visit.id}/{visit.cookie}",
        f"/dicom-web/studies?token={key}",
        f"/dicom-web/{key}/%00",
        f"{visit.below}dicom-web/studies?PatientName={dataset.PATIENTS[0].name.split('^')[0]}&bearer={visit.bearer}",
    ):
        server.get(target)
        server.get(target, everything)
        server.get(target, visit.as_cookie)
    for shown in (f"Bearer {secret}", f"Basic {visit.bearer}", f"Bearer {key}x", f"{key}"):
        server.get("/dicom-web/studies", {"Authorization": shown})
    server.raw(f"GET /{key} HTTP/1.1\r\nX-Secret {visit.bearer}\r\n\r\n".encode())
    server.ask("POST", "/o", {"Content-Type": "application/json"}, f'{{"code": "{secret}", "more": '.encode())
    assert server.leaks() == []
