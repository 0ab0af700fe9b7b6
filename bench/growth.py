"""With a thousand shares in the database and with a million: ``python bench/growth.py``, ``--postgresql``.

Two servers before the same folder of 50 studies, one worker each; the databases differ by the shares that are in them.
A thousand of these, spread evenly over all, are of the studies that are there; the others' studies are in no archive.
In turns: images of twenty visits of as many shares (a decision each); openings of links that were not opened before,
each of another share; searches of the visits; and what the staff see: the newest shares, shares from the middle of the
list on, those of one study, and the list of a key that may see none. Medians of the rounds, as ratios of many to few:
of the time, and of the CPU time of the server, which other programs on the machine move less.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rig.client import Phase
from rig.measure import Leg, ask, interleaved, verdict
from rig.postgresql import postgresql
from rig.shares import keep, prepare, some

from keyhole.access.share import Share
from keyhole.gateway import keys_file
from keyhole.sharing.link import link
from tests.e2e.dataset import ANNA, ROOT, Study, ct, write
from tests.servers.keyhole import Keyhole, Opened, keyhole

STUDIES = [f"{ROOT}.9.{number}" for number in range(1, 51)]
FEW, MANY, LINKED = 1_000, 1_000_000, 1_000
VISITS, IMAGES, SEARCHES = 20, 40, 16
OPENINGS, PAGES = 80, 40
TARGET = 1.2
_FRAMES = "multipart/related; type=application/octet-stream; transfer-syntax=*"


@dataclass
class Side:
    """One of the servers, and what is asked of it."""

    server: Keyhole
    shares: Sequence[Share]
    """Those of studies that are there, oldest first."""
    links: Iterator[str]
    """Theirs, each given out once."""

    def reads(self, targets: Mapping[str, Opened], accept: str, times: int) -> float:
        """Seconds that *times* requests for each of the visits' targets took, over four connections."""
        phases = [
            Phase(
                targets=[f"{visit.below}dicom-web{target}"] * times,
                headers={"Accept": accept, **visit.as_bearer},
                connections=4,
                seconds=None,
            )
            for target, visit in targets.items()
        ]
        return sum(ask(self.server.port, phases)["seconds"])

    def openings(self) -> float:
        """Seconds that openings took, one after the other, each of a link of its own."""
        links = [next(self.links) for _ in range(OPENINGS)]
        begun = time.perf_counter()
        for each in links:
            assert self.server.try_open(each).status == 201
        return time.perf_counter() - begun

    def pages(self, key: str, query: str, shares: int) -> float:
        """Seconds that a page of *shares* took, again and again."""
        headers = {"Authorization": f"Bearer {key}"}
        begun = time.perf_counter()
        for _ in range(PAGES):
            answer = self.server.ask("GET", f"/api/v1/shares?limit=100{query}", headers, port=self.server.staff_port)
            assert answer.status == 200, answer.body
            assert len(json.loads(answer.body)["shares"]) == shares
        return time.perf_counter() - begun

    def works(self) -> Mapping[str, Callable[[], float]]:
        """What is measured, each checked once before."""
        visits = [self.server.open(next(self.links)) for _ in range(VISITS)]
        frames, searches = {}, {}
        for number, visit in enumerate(visits):
            [found] = self.server.get(f"{visit.below}dicom-web/studies", visit.as_bearer).json()
            study = STUDIES[number]
            assert found["0020000D"]["Value"] == [study]
            frames[f"/studies/{study}/series/{study}.1/instances/{study}.1.1/frames/1"] = visit
            searches[f"/studies?StudyInstanceUID={study}"] = visit
        sharer, reader = self.server.key("sharer", "sharer"), self.server.key("reader", "reader")
        middle = self.shares[len(self.shares) // 2].id
        return {
            "an image": partial(self.reads, frames, _FRAMES, IMAGES),
            "a search": partial(self.reads, searches, "application/dicom+json", SEARCHES),
            "an opening": self.openings,
            "the newest shares": partial(self.pages, sharer, "", 100),
            "shares from the middle on": partial(self.pages, sharer, f"&after={middle}", 100),
            "shares of a study": partial(self.pages, sharer, f"&study={STUDIES[0]}", LINKED // len(STUDIES)),
            "the list of who may see none": partial(self.pages, reader, "", 0),
        }


def side(stack: ExitStack, folder: Path, files: Path, count: int, *, on_postgresql: bool) -> Side:
    """A server with *count* shares in its database."""
    database = stack.enter_context(postgresql()) if on_postgresql else None
    data = folder / "data"
    url = prepare(data, database)
    ring = keys_file.load(data)
    every, linked = count // LINKED, list[Share]()

    def made() -> Iterator[Share]:
        for number, share in enumerate(some(count, ring.current, studies=STUDIES, every=every)):
            if number % every == 0:
                linked.append(share)
            yield share

    keep(url, made())
    server = stack.enter_context(keyhole(folder, {"KEYHOLE_ARCHIVE": str(files)}, database=database))
    return Side(server, linked, (link(server.public_url, share, ring) for share in linked))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--many", type=int, default=MANY)
    parser.add_argument("--postgresql", action="store_true", help="on PostgreSQL instead of SQLite")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyhole-bench-")))
        for study in STUDIES:
            write(folder / "files", ct(Study(study, ANNA, "one slice"), f"{study}.1", 1, 128))
        counts = {"few": FEW, "many": options.many}
        sides = {
            name: side(stack, folder / name, folder / "files", count, on_postgresql=options.postgresql)
            for name, count in counts.items()
        }
        works = {name: each.works() for name, each in sides.items()}
        print(f"{options.many:,} shares to {FEW:,}, medians of {options.rounds} interleaved rounds")
        for what in works["few"]:
            legs = [Leg(name, each[what], {"worker": sides[name].server.process.pid}) for name, each in works.items()]
            measured = interleaved(legs, options.rounds)
            few, many = measured["few"], measured["many"]
            ratios = (
                f"time {many.seconds / few.seconds:.2f}, CPU {verdict(many.cpu['worker'] / few.cpu['worker'], TARGET)}"
            )
            print(f"{what:29} {few.seconds:6.3f} s  {many.seconds:6.3f} s   {ratios}")


if __name__ == "__main__":
    main()
