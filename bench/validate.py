"""Orthanc's question before every image: ``python bench/validate.py``.

``POST tokens/validate`` of 100 tokens in turn, chunked as the plugin sends it, from wrk over 32 connections, kept alive
and closed after each answer; with 1 000 shares in the database and with a million. Beside it, in the same rounds, an
application that does nothing behind the same listener: the ceiling of any route. Every token is asked about once before
the clock runs, and has to be granted; the first access of each is then on record. One worker, SQLite. ``--tokens``:
as many links are being looked at; what each one's images were is written every 3 s, so that more of them cost more.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rig.measure import cpu_seconds, verdict
from rig.shares import keep, prepare
from rig.wrk import script, wrk

from keyhole.access.resource import Resource
from keyhole.access.secret import new_id
from keyhole.access.share import Origin, Share, ShareKind
from keyhole.gateway import keys_file
from keyhole.sharing.link import KeyRing
from keyhole.sharing.token import token_of
from tests.servers.keyhole import Keyhole, keyhole
from tests.servers.process import Process, free_port, listens

CONNECTIONS = 32
FEW, MANY = 1_000, 1_000_000
CEILING, SPREAD, MORE_SHARES = 0.6, 3.0, 1.2
USER, PASSWORD = "orthanc", "a-password-of-some-length"
_HELLO = Path(__file__).parent / "rig" / "hello.py"


def shares(count: int, ring: KeyRing) -> Iterator[Share]:
    """Shares whose tokens open a study each in Orthanc."""
    now = datetime.now(UTC)
    for number in range(count):
        yield Share(
            id=new_id(),
            archive="archive",
            resources=(Resource.of("archive", f"1.2.826.0.1.3680043.10.9999.{number}"),),
            orthanc_ids=("-".join([f"{number:08x}"] * 5),),
            kind=ShareKind.VIEW,
            creator="plugin:orthanc",
            created_at=now,
            expires_at=now + timedelta(days=7),
            key_id=ring.current,
            origin=Origin.PLUGIN,
            token_type="viewer-instant-link",
            bearer=True,
        )


def fill(data: Path, count: int, tokens: int) -> list[tuple[Share, str]]:
    """Put *count* shares into a new database in *data*; as many of them as *tokens* says, with these."""
    url = prepare(data)
    ring = keys_file.load(data)
    chosen = set(random.Random(1).sample(range(count), tokens))
    asked = []

    def made() -> Iterator[Share]:
        for number, share in enumerate(shares(count, ring)):
            if number in chosen:
                asked.append((share, token_of(share, ring).reveal()))
            yield share

    keep(url, made())
    return asked


def request(share: Share, token: str, *, close: bool) -> str:
    """What the plugin sends before an image."""
    body = json.dumps(
        {
            "dicom-uid": share.resources[0].path[0],
            "level": "study",
            "method": "get",
            "orthanc-id": share.orthanc_ids[0],
            "server-id": None,
            "token-key": "token",
            "token-value": token,
        }
    )
    credential = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    head = (
        "POST /plugin/tokens/validate HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n"
        f"Authorization: Basic {credential}\r\nContent-Type: application/json\r\nToken: {token}\r\n"
        f"Transfer-Encoding: chunked\r\n{'Connection: close' + chr(13) + chr(10) if close else ''}\r\n"
    )
    return f"{head}{len(body):x}\r\n{body}\r\n0\r\n\r\n"


def check(server: Keyhole, asked: Sequence[tuple[Share, str]]) -> None:
    """Fail unless every token is granted its study, and refused another one's."""
    studies = [share for share, _ in asked]
    for (share, token), other in zip(asked, (*studies[1:], studies[0]), strict=True):
        for about, granted in ((share, True), (other, False)):
            head, _, rest = request(about, token, close=False).partition("\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[2:] if "chunked" not in line)
            answer = server.ask(
                "POST", "/plugin/tokens/validate", headers, rest.split("\r\n")[1].encode(), server.internal_port
            )
            assert answer.json()["granted"] is granted, answer


@contextmanager
def filled(folder: Path, count: int, tokens: int) -> Iterator[tuple[Keyhole, list[tuple[Share, str]]]]:
    """A running Keyhole with *count* shares, every token asked about has been granted once."""
    asked = fill(folder / "data", count, tokens)
    (folder / "studies").mkdir()
    settings = {
        "KEYHOLE_ARCHIVE": str(folder / "studies"),
        "KEYHOLE_PLUGIN_USER": USER,
        "KEYHOLE_PLUGIN_PASSWORD": PASSWORD,
    }
    with keyhole(folder, settings) as server:
        check(server, asked)
        yield server, asked


def memory(pid: int) -> tuple[float, float]:
    """The megabytes that a process holds now, and held at most."""
    said = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(said["VmRSS"].split()[0]) / 1024, int(said["VmHWM"].split()[0]) / 1024


@dataclass(frozen=True, slots=True)
class Found:
    """Requests per second, the milliseconds of half and of all but one in a hundred, the server's CPU µs for each."""

    rate: float
    p50: float
    p99: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Leg:
    """One of those that are compared."""

    name: str
    port: int
    pid: int
    sent: Path

    def run(self, seconds: int) -> Found:
        """Ask for so many *seconds*."""
        before = cpu_seconds(self.pid)
        ran = wrk(self.port, self.sent, connections=CONNECTIONS, seconds=seconds)
        return Found(ran.rate, ran.p50, ran.p99, (cpu_seconds(self.pid) - before) / ran.requests * 1e6)


def rounds(legs: Sequence[Leg], count: int, seconds: int) -> Mapping[str, Found]:
    """Run every leg in each of *count* rounds, each beginning with another; medians by name."""
    found: dict[str, list[Found]] = {leg.name: [] for leg in legs}
    for number in range(-1, count):
        for leg in (*legs[number % len(legs) :], *legs[: number % len(legs)]):
            ran = leg.run(seconds if number >= 0 else 1)
            if number >= 0:
                found[leg.name].append(ran)
    return {
        name: Found(*(statistics.median(getattr(run, what.name) for run in runs) for what in fields(Found)))
        for name, runs in found.items()
    }


def tell(found: Mapping[str, Found]) -> None:
    """Print a line each, and the ratios."""
    hello = found["nothing"]
    for name, ran in found.items():
        print(
            f"  {name:18} {ran.rate:7.0f}/s   p50 {ran.p50:6.2f} ms   p99 {ran.p99:6.2f} ms   CPU {ran.cpu:4.0f} µs",
            end="",
        )
        if ran is not hello:
            ceiling = verdict(ran.rate / hello.rate, CEILING, at_least=True)
            print(f"   of the ceiling {ceiling}, by CPU {hello.cpu / ran.cpu:.2f}", end="")
            print(f"   p99 to p50 {verdict(ran.p99 / ran.p50, SPREAD)}", end="")
        print()
    slower = found[f"{FEW:,} shares"].rate / found[f"{MANY:,} shares"].rate if len(found) > 2 else None
    if slower is not None:
        print(f"  times slower with {MANY:,} shares: {verdict(slower, MORE_SHARES)}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--few", action="store_true", help="leave the million out")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyhole-bench-")))
        port = free_port()
        command = [sys.executable, str(_HELLO), str(port)]
        nothing = stack.enter_context(Process(command, folder / "hello.log", lambda: listens(port)))
        servers = {}
        for count in (FEW,) if arguments.few else (FEW, MANY):
            (folder / str(count)).mkdir()
            servers[f"{count:,} shares"] = stack.enter_context(filled(folder / str(count), count, arguments.tokens))
        for close, what in ((False, "kept alive"), (True, "Connection: close")):
            legs = []
            for name, (server, asked) in servers.items():
                requests = [request(share, token, close=close) for share, token in asked]
                sent = script(folder, f"{name.replace(' ', '-')}-{close}", requests)
                legs += [Leg(name, server.internal_port, server.process.pid, sent)]
            legs.append(Leg("nothing", port, nothing.pid, legs[0].sent))
            print(f"{CONNECTIONS} connections, {what}, medians of {arguments.rounds} rounds")
            tell(rounds(legs, arguments.rounds, arguments.seconds))
        for name, (server, asked) in servers.items():
            now, most = memory(server.process.pid)
            print(f"memory of the worker with {name}: {now:.0f} MB, at most {most:.0f} MB")
            check(server, asked[:10])


if __name__ == "__main__":
    main()
