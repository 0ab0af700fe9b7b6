"""kill -9 under load, at random points: nothing that was answered for is lost, on either database.

A hundred points for each: the only process, or one worker of two and then the whole group, or PostgreSQL, or a Keyhole
that is just starting, its very first start included. They are drawn from a seed, which a failure tells.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
import pytest

from keyhole.archive.folder import FolderArchive
from tests.archive.makers import found
from tests.e2e import dataset
from tests.e2e.promises import RECENT, SLICES, Load, Made, fetch, look
from tests.postgres import Cluster
from tests.servers.keyhole import Keyhole, at_rest
from tests.servers.process import listens, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.filterwarnings("ignore:::pydicom")]

POINTS = 100
FIRST_STARTS = 5
VERIFIED_EVERY = 40
LONGEST = 0.5
"""Seconds of load before a kill, at most; an answer takes some milliseconds."""
START = 1.5
"""About as long as a start takes."""
LATE = 5
"""Seconds that counts may be late."""
BACK_WITHIN = 30


@dataclass
class Lives:
    """One Keyhole, killed again and again; each start is a comparison with what was answered for before."""

    server: Keyhole
    chance: random.Random
    cluster: Cluster | None
    load: Load
    reader: str
    points: int = 0
    must_be_counted: Counter[str] = field(default_factory=Counter)
    """Frames that were received so long before a kill that they have been counted, by visit."""
    shares_checked: int = 0
    uploads_checked: int = 0

    def live_and_die(self) -> None:
        """One life, of any kind."""
        kinds: dict[Callable[[], None], int] = {
            self.killed: 8,
            self.killed_while_starting: 2,
            self.worker_killed: 1,
            **({self.database_killed: 1} if self.cluster else {}),
        }
        self.chance.choices(list(kinds), weights=list(kinds.values()))[0]()

    def killed(self) -> None:
        """A process that clients were using."""
        self._start()
        with self.load.running():
            self._wait(LONGEST)
            self._kill()

    def killed_while_starting(self) -> None:
        """A process that nobody has used yet."""
        killed_while_starting(self.server, self.chance)
        self.points += 1

    def worker_killed(self) -> None:
        """One worker of two; later all there is."""
        self._start(workers=2)
        with self.load.running():
            self._wait(LONGEST)
            os.kill(self.chance.choice(_workers(self.server.process.pid)), signal.SIGKILL)
            self.points += 1
            self._wait(START + LONGEST)
            self._kill()

    def database_killed(self) -> None:
        """PostgreSQL, which comes back; later the process."""
        assert self.cluster is not None
        self._start()
        with self.load.running():
            self._wait(LONGEST)
            self.cluster.stop(signal.SIGKILL)
            self.points += 1
            self.cluster.start()
            wait_until(self.server.process.ready, BACK_WITHIN, "Keyhole does not find its database again")
            self._wait(LONGEST)
            self._kill()

    def killed_after_counting(self) -> None:
        """A process that had the time to count what was looked at."""
        self._start()
        before = Counter(self.load.promises.looked)
        with self.load.running():
            self._wait(1)
            self.must_be_counted += self.load.promises.looked - before
            time.sleep(2 * LATE)  # twice: the machine may be busy with other things
            self._kill()

    def _wait(self, at_most: float) -> None:
        time.sleep(self.chance.uniform(0, at_most))

    def _kill(self) -> None:
        kill(self.server)
        self.points += 1

    def _start(self, workers: int = 1) -> None:
        self.server.process.environment = {**self.server.environment, "KEYHOLE_WORKERS": str(workers)}
        self.server.process.start()
        self.compare_what_is_shown()

    # -- what must still be there

    def compare_what_is_shown(self) -> None:
        """With what was answered for since the comparison before: nothing is lost, and nothing is there in part."""
        promises = self.load.promises
        assert not promises.surprises
        wanted = {share.id: share for share in promises.shares[self.shares_checked :]}
        for shown in self.load.shown():
            if not wanted:
                break
            if shown["id"] in wanted:
                self._compare_share(wanted.pop(shown["id"]), shown)
        assert not wanted, "shares were lost"
        for uid in list(promises.sent)[self.uploads_checked :]:
            self._compare_upload(uid)
        self.shares_checked = max(0, len(promises.shares) - RECENT)  # the others are not used any more
        self.uploads_checked = len(promises.sent)

    def _compare_share(self, share: Made, shown: Mapping[str, Any]) -> None:
        assert len(share.begun) <= shown["visits"] <= len(share.begun) + share.unsure, shown
        assert share.limit is None or shown["visits"] <= share.limit
        assert not share.withdrawn or shown["state"] == "withdrawn"
        assert share.asked_back or shown["state"] != "withdrawn"
        if share.limit is not None and len(share.begun) == share.limit:
            assert self.server.try_open(share.link).status == 410
        if share.begun and shown["state"] != "withdrawn":
            visit = self.chance.choice(share.begun)
            self.load.promises.asked[visit.id] += 1
            assert look(self.server, visit, self.chance.randint(1, SLICES)).status == 200

    def _compare_upload(self, uid: str) -> None:
        answer = fetch(self.server, self.reader, uid)
        assert answer.status == 200 or (answer.status == 404 and uid not in self.load.promises.stored)
        assert answer.status == 404 or self.load.promises.sent[uid][128:] in answer.body

    def compare_the_trail(self) -> None:
        """The chain holds, and every row that was answered for is in it once."""
        self.server.verify_trail()
        rows: dict[tuple[str, str | None], list[Mapping[str, Any]]] = defaultdict(list)
        for row in self.server.trail():
            rows[row["event"], row["share"]].append(row)
            rows[row["event"], row["visit"]].append(row)
        for share in self.load.promises.shares:
            begun = Counter(row["visit"] for row in rows["visit-begun", share.id])
            assert set(begun.values()) <= {1}
            assert {visit.id for visit in share.begun} <= begun.keys()
            assert len(begun) <= len(share.begun) + share.unsure
            assert len(rows["share-created", share.id]) == 1
            assert bool(rows["share-withdrawn", share.id]) in {share.withdrawn, share.asked_back}
        for visit, number in self.load.promises.looked.items():
            counted = sum(row["images"] for row in rows["count", visit])
            assert rows["access", visit] or number == 0
            assert self.must_be_counted[visit] <= counted <= self.load.promises.asked[visit]


def killed_while_starting(server: Keyhole, chance: random.Random) -> None:
    """Start *server*, and kill it before it is ready, or just then."""
    process, end = server.process, time.monotonic() + chance.uniform(0, START)
    ready, process.ready = process.ready, lambda: time.monotonic() >= end
    process.start()
    process.ready = ready
    kill(server)


def kill(server: Keyhole) -> None:
    """Kill *server* and everything it started, at once."""
    server.process.kill()
    ports = (server.port, server.staff_port, server.internal_port)
    wait_until(lambda: not any(map(listens, ports)), BACK_WITHIN, "a killed Keyhole still listens")


def _workers(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.fixture(params=["sqlite", "postgresql"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster | None]:
    """A PostgreSQL of our own, which may be killed; None for SQLite."""
    if request.param == "sqlite":
        yield None
        return
    own = Cluster()
    try:
        own.start()
        own.run("CREATE ROLE keyhole LOGIN")
        own.run("CREATE DATABASE keyhole OWNER keyhole")
        yield own
    finally:
        own.remove()


def test_nothing_that_was_answered_for_is_lost(cluster: Cluster | None, tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    prior = dataset.ct(dataset.Study(dataset.PRIOR, dataset.ANNA, "the prior"), f"{dataset.PRIOR}.1", slices=SLICES)
    folder = dataset.write(tmp_path / "studies", prior)
    archive = {"KEYHOLE_ARCHIVE": str(folder), "KEYHOLE_ARCHIVE_UPLOADS": "yes"}
    server = at_rest(tmp_path, archive, database=cluster and cluster.url("keyhole"))
    try:
        lives = _after_its_first_starts(server, chance, cluster)
        lives.killed_after_counting()
        while lives.points < POINTS:
            verified = lives.points // VERIFIED_EVERY
            lives.live_and_die()
            if lives.points // VERIFIED_EVERY > verified:
                lives.compare_the_trail()
        lives.shares_checked = 0
        server.process.start()
        lives.compare_what_is_shown()
        lives.compare_the_trail()
    finally:
        server.process.stop()
    assert not server.leaks()
    assert len(lives.load.promises.stored) > POINTS / 2
    indexed = asyncio.run(_indexed(folder, server.data / "archive-archive.db"))
    files = {str(pydicom.dcmread(path).SOPInstanceUID) for path in folder.rglob("*.dcm")}
    assert lives.load.promises.stored <= indexed == files


def _after_its_first_starts(server: Keyhole, chance: random.Random, cluster: Cluster | None) -> Lives:
    for _ in range(FIRST_STARTS):
        killed_while_starting(server, chance)
    sender, uploader, reader = (server.key(role, role) for role in ("sharer", "uploader", "reader"))
    return Lives(server, chance, cluster, Load(server, sender, uploader, chance), reader, points=FIRST_STARTS)


async def _indexed(folder: Path, index: Path) -> set[str]:
    """What the index holds, which a look over the folder does not change."""
    archive = FolderArchive("archive", folder, index)
    try:
        outcome = await archive.rescan()
        assert outcome is not None
        assert not outcome.changed
        assert archive.unreadable == archive.duplicates == []
        return set(await found(archive, "/instances"))
    finally:
        await archive.close()
