"""A link for one visit, opened by many at once: exactly one gets in."""

from __future__ import annotations

import collections
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e import dataset
from tests.servers.keyhole import Answer, Keyhole, keyhole, share_id

OPENINGS = 200
WORKERS = 4


@pytest.fixture(params=["sqlite", "postgresql"])
def four_workers(request: pytest.FixtureRequest, studies: Path, tmp_path: Path) -> Iterator[Keyhole]:
    database = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else None
    with keyhole(tmp_path, {"KEYHOLE_ARCHIVE": str(studies)}, workers=WORKERS, database=database) as running:
        yield running


def test_exactly_one_of_many_simultaneous_openings_wins(four_workers: Keyhole) -> None:
    link = four_workers.share(dataset.STUDY, visits=1)
    together = threading.Barrier(OPENINGS)

    def opened(_: int) -> Answer:
        together.wait()
        return four_workers.try_open(link)

    with ThreadPoolExecutor(OPENINGS) as crowd:
        answers = list(crowd.map(opened, range(OPENINGS)))

    assert collections.Counter(answer.status for answer in answers) == {201: 1, 410: OPENINGS - 1}
    assert {answer.json()["reason"] for answer in answers if answer.status == 410} == {"used-up"}
    (won,) = (answer.json() for answer in answers if answer.status == 201)
    begun = [row for row in four_workers.trail("--share", share_id(link)) if row["event"] == "visit-begun"]
    assert [row["visit"] for row in begun] == [won["visit"]]
    four_workers.verify_trail()


def test_the_chain_stays_whole_with_four_writers(four_workers: Keyhole) -> None:
    link = four_workers.share(dataset.STUDY)

    def look(_: int) -> int:
        visit = four_workers.open(link)
        path = f"{visit.below}dicom-web/studies/{dataset.STUDY}/metadata"
        return four_workers.get(path, visit.as_cookie).status

    with ThreadPoolExecutor(16) as crowd:
        assert set(crowd.map(look, range(64))) == {200}
    four_workers.verify_trail()
    rows = four_workers.trail("--share", share_id(link))
    assert sum(row["event"] == "visit-begun" for row in rows) == 64
    assert sum(row["event"] == "access" for row in rows) == 64
