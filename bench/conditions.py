"""What openings cost those who are looking already: ``python bench/conditions.py``.

Eight visits fetch frames of 64 KB at the pace of people who scroll, while sixteen recipients at a time open links, one
after the other and each from an address of their own: not at all, links that ask for nothing, and links that ask for
a passcode, whose check takes 19 MiB and some 30 ms of a core each time (argon2id). The three in turns; for each the
median and the 95th percentile of how long a frame took, and their ratio to the same without openings. One worker,
SQLite; nginx serves the frames from files. ``--pause 0`` lets the visits ask as fast as they can, which nobody does.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from frames import ARCHIVE, FRAMES, STUDY, frame, write
from rig.crowd import Order, Request, Result
from rig.measure import verdict
from rig.proxy import nginx
from rig.shares import keep, prepare, some

from keyhole.access.condition import NO_CONDITIONS, Conditions
from keyhole.access.share import Share
from keyhole.gateway import keys_file
from keyhole.gateway.passcode import HASHER
from keyhole.sharing.link import KeyRing, secret_of
from tests.servers.keyhole import Keyhole, keyhole

TARGET = 1.2
VISITS, RECIPIENTS = 8, 16
PASSCODE = "correct horse battery"
LEGS = {
    "no openings": None,
    "links that ask nothing": NO_CONDITIONS,
    "links with passcodes": Conditions(passcode=HASHER.hash(PASSCODE)),
}
_CROWD = Path(__file__).with_name("rig") / "crowd.py"
_PERCENT = 95
_MOST_A_SECOND = 200
"""Links for so many openings are prepared."""


@dataclass
class Leg:
    """One of what is compared: the openings that go on meanwhile, and what was measured."""

    openings: Iterator[Request] | None
    medians: list[float] = field(default_factory=list)
    tails: list[float] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)


def opening(number: int, share: Share, ring: KeyRing) -> Request:
    """What the recipient of *share* sends, from an address that nobody else has."""
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    headers = {"Content-Type": "application/json", "X-Forwarded-For": address}
    body = json.dumps({"secret": secret_of(share, ring).reveal(), "passcode": PASSCODE})
    return Request(method="POST", path=f"/s/{share.id}/visits", headers=headers, body=body)


def prepared(data: Path, conditions: Conditions, count: int, first: int) -> Iterator[Request]:
    """Openings of *count* new links that ask *conditions*."""
    url, ring = prepare(data), keys_file.load(data)
    shares = [replace(each, conditions=conditions) for each in some(count, ring.current, studies=[STUDY])]
    keep(url, shares)
    return iter([opening(first + number, share, ring) for number, share in enumerate(shares)])


def crowd(order: Order) -> subprocess.Popen[str]:
    """The people of *order*, as a process of their own that has begun."""
    started = subprocess.Popen(
        [sys.executable, "-I", str(_CROWD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert started.stdin is not None
    started.stdin.write(json.dumps(order))
    started.stdin.close()
    return started


def told(process: subprocess.Popen[str], status: str) -> Result:
    """What they measured; fail unless every answer had *status*."""
    assert process.stdout is not None
    result: Result = json.loads(process.stdout.read())
    assert process.wait() == 0
    assert set(result["statuses"]) <= {status}, f"not everything was answered: {result['statuses']}"
    return result


def measure(leg: Leg, visits: Order, port: int) -> None:
    """Let the visits look, and the recipients open, at the same time."""
    openers = None
    if leg.openings is not None:
        each = int(visits["seconds"] * _MOST_A_SECOND / RECIPIENTS)
        people = [list(islice(leg.openings, each)) for _ in range(RECIPIENTS)]
        openers = crowd(Order(port=port, seconds=visits["seconds"], pause=0, once=True, people=people))
    waits = told(crowd(visits), "200")["waits"]
    opened = len(told(openers, "201")["waits"]) if openers else 0
    leg.medians.append(statistics.median(waits))
    leg.tails.append(statistics.quantiles(waits, n=100)[_PERCENT - 1])
    leg.opened.append(opened / visits["seconds"])


def looking(server: Keyhole, seconds: float, pause: float) -> Order:
    """Visits that fetch frames."""
    people = []
    for _ in range(VISITS):
        visit = server.open(server.share(STUDY))
        headers = {**visit.as_bearer, "Accept": FRAMES}
        path = f"{visit.below}dicom-web{frame(2)}"
        people.append([Request(method="GET", path=path, headers=headers, body="")])
    return Order(port=server.port, seconds=seconds, pause=pause, once=False, people=people)


def give(legs: dict[str, Leg]) -> None:
    """Print what was measured."""
    alone = next(iter(legs.values()))
    for name, leg in legs.items():
        middle, tail = statistics.median(leg.medians), statistics.median(leg.tails)
        line = f"{name:24} median {middle * 1000:6.2f} ms  p{_PERCENT} {tail * 1000:6.2f} ms"
        if leg.openings is not None:
            ratios = (middle / statistics.median(alone.medians), tail / statistics.median(alone.tails))
            line += f"  {statistics.median(leg.opened):5.1f} openings/s"
            line += f"  to none: median {verdict(ratios[0], TARGET)}, p{_PERCENT} {verdict(ratios[1], TARGET)}"
        print(line)


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--pause", type=float, default=0.015, help="seconds before a visit asks again")
    return parser.parse_args(words)


def main() -> None:
    """Start everything, measure, print, end everything."""
    chosen = options()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyhole-bench-")))
        files = folder / "files"
        files.mkdir()
        write(files)
        folder.chmod(0o755)
        archive = stack.enter_context(nginx(folder, "archive", ARCHIVE.format(folder=files)))
        count = int(chosen.rounds * chosen.seconds * _MOST_A_SECOND)
        legs = {
            name: Leg(None if asked is None else prepared(folder / "data", asked, count, number * count))
            for number, (name, asked) in enumerate(LEGS.items())
        }
        settings = {
            "KEYHOLE_ARCHIVE": f"http://127.0.0.1:{archive.port}/dicom-web",
            "KEYHOLE_TRUSTED_PROXIES": "127.0.0.1",
        }
        server = stack.enter_context(keyhole(folder, settings))
        visits = looking(server, chosen.seconds, chosen.pause)
        load = os.getloadavg()[0]
        for turn in range(chosen.rounds):
            for leg in (*list(legs.values())[turn % len(legs) :], *list(legs.values())[: turn % len(legs)]):
                measure(leg, visits, server.port)
        print(
            f"{VISITS} visits, {RECIPIENTS} recipients at a time, medians of {chosen.rounds} interleaved runs of"
            f" {chosen.seconds:g} s, load of the machine {load:.1f} before"
        )
        give(legs)


if __name__ == "__main__":
    main()
