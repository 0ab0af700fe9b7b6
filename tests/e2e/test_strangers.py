"""A flood of refused strangers stops nobody, and is on the trail without filling it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keyhole.gateway.ledger import MOST_REFUSALS
from tests.e2e import dataset
from tests.servers.keyhole import Keyhole, keyhole
from tests.servers.process import wait_until

STRANGERS = 8
REQUESTS = 1500
LOOKS = 40


@pytest.fixture
def running(studies: Path, tmp_path: Path) -> Iterator[Keyhole]:
    with keyhole(tmp_path, {"KEYHOLE_ARCHIVE": str(studies)}) as server:
        yield server


def test_running_visits_go_on_while_strangers_are_refused(running: Keyhole) -> None:
    visit = running.open(running.share(dataset.STUDY))
    path = f"{visit.below}dicom-web/studies/{dataset.STUDY}/metadata"
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    begun = threading.Event()

    def knock(_: int) -> int:
        begun.set()
        made_up = "".join(secrets.choice(letters) for _ in range(16))
        return running.get(f"/v/{made_up}/dicom-web/studies/{dataset.STUDY}/metadata").status

    def look(_: int) -> int:
        begun.wait()
        return running.get(path, visit.as_cookie).status

    with ThreadPoolExecutor(STRANGERS) as crowd, ThreadPoolExecutor(1) as recipient:
        knocks = crowd.map(knock, range(REQUESTS))
        looks = recipient.map(look, range(LOOKS))
        assert set(looks) == {200}
        assert set(knocks) == {401}

    def refused() -> list[int]:
        rows = running.trail("--refusals")
        return [row["times"] for row in rows if row["reason"] == "no-credential"]

    wait_until(lambda: sum(refused()) == REQUESTS, 15, "the trail does not tell of every stranger")
    assert len(refused()) <= 6 * (MOST_REFUSALS + 1)
    running.verify_trail()
