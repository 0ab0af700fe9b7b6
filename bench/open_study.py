"""Opening a 500-slice CT as OHIF does, through Keyhole and directly: ``python bench/open_study.py``.

A study of 500 slices (512 x 512 x 16 bit, 262 MB of frames) in a real Orthanc, opened with the requests that OHIF makes
(two searches for the study, its series, the search for priors, the metadata of the series, then every frame by itself
over 6 keep-alive connections): directly with Orthanc's credentials, and through a real ``keyhole serve`` with a visit's
bearer. Interleaved, medians, printed as a ratio. The first opening of each is not counted: in it, every frame that
came through Keyhole is compared with the one that came directly.

``--orthanc debian`` takes the distribution's own Orthanc instead of the next release's; ``--postgresql`` puts Keyhole's
database there; ``--workers N`` starts several; ``--nginx`` adds nginx with ``proxy_pass`` and nothing else as a third
leg; ``--line MBIT`` lets the client take no more than that many Mbit/s, as over a line.
"""

from __future__ import annotations

import argparse
import base64
import io
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rig.client import Phase, Result
from rig.measure import Leg, Measured, ask, interleaved, verdict
from rig.postgresql import postgresql
from rig.proxy import nginx_before

from tests.e2e.dataset import ANNA, ROOT, Study, ct
from tests.servers.keyhole import Keyhole, keyhole
from tests.servers.orthanc import TRIXIE, Orthanc, orthanc

STUDY = f"{ROOT}.9.1"
SERIES = f"{STUDY}.1"
SIDE = 512
FRAME = SIDE * SIDE * 2
CONNECTIONS = 6
FIRST_TARGET, TARGET, LINE_TARGET = 1.5, 1.19, 1.05

JSON = "application/dicom+json"
FRAMES = "multipart/related; type=application/octet-stream; transfer-syntax=*"
FIELDS = "includefield=00081030%2C00080060%2C00080090%2C00100030"


@dataclass(frozen=True, slots=True)
class Way:
    """A way to the study: the port, the path of the DICOMweb root there, and what to show."""

    port: int
    root: str
    credential: str

    def phases(self, slices: int) -> list[Phase]:
        """What OHIF asks for, in its order."""
        page = "limit=101&offset=0&fuzzymatching=false"
        search = f"/studies?{page}&{FIELDS}&StudyInstanceUID={STUDY}"
        series = f"/studies/{STUDY}/series"
        described = [
            search,
            search,
            f"{series}?includefield=00080021%2C00080031%2C0008103E%2C00200011",
            f"/studies?00100020={ANNA.id}&{page}&{FIELDS}",
            f"{series}/{SERIES}/metadata",
        ]
        frames = [f"{series}/{SERIES}/instances/{SERIES}.{n}/frames/1" for n in range(1, slices + 1)]
        return [self._phase(described, JSON, 1), self._phase(frames, FRAMES, CONNECTIONS)]

    def _phase(self, targets: list[str], accept: str, connections: int) -> Phase:
        headers = {"Accept": accept, "Authorization": self.credential}
        where = [self.root + target for target in targets]
        return Phase(targets=where, headers=headers, connections=connections, seconds=None)


def store(archive: Orthanc, slices: int) -> None:
    """Put the study into *archive*."""
    study = Study(STUDY, ANNA, "a long CT")
    for made in ct(study, SERIES, slices, SIDE):
        file = io.BytesIO()
        made.save_as(file, enforce_file_format=True)
        status, _ = archive.ask("POST", "/instances", file.getvalue())
        assert status == 200, f"Orthanc refused a slice: {status}"


def directly(archive: Orthanc, port: int | None = None) -> Way:
    """The way around Keyhole; through what listens on *port*, if that is given."""
    shown = base64.b64encode(f"{archive.user}:{archive.password}".encode()).decode()
    return Way(port or archive.port, "/dicom-web", f"Basic {shown}")


def through(server: Keyhole) -> Way:
    """The way of a recipient."""
    visit = server.open(server.share(STUDY))
    return Way(server.port, f"{visit.below}dicom-web", f"Bearer {visit.bearer}")


def compare(direct: Way, others: list[Way], slices: int) -> None:
    """Fail unless every frame is the same whichever way it comes; this also warms everything up."""
    wanted = _frames(direct, ask(direct.port, direct.phases(slices), keep=FRAME))
    assert len(set(wanted.values())) == slices
    for way in others:
        got = _frames(way, ask(way.port, way.phases(slices), keep=FRAME))
        assert got == wanted, "a frame came through changed"


def _frames(way: Way, result: Result) -> dict[str, str]:
    return {t.removeprefix(way.root): digest for t, digest in result["digests"].items() if "/frames/" in t}


class Opening:
    """One opening of the study, again and again; remembers what the client did."""

    def __init__(self, way: Way, slices: int, bytes_per_second: float | None) -> None:
        """Open by *way*."""
        self._ask = partial(ask, way.port, way.phases(slices), bytes_per_second=bytes_per_second)
        self.results: list[Result] = []

    def __call__(self) -> float:
        """Open once; the seconds from the first search to the last frame."""
        self.results.append(self._ask())
        return sum(self.results[-1]["seconds"])

    def busiest(self) -> float:
        """The largest share of an opening's time that the client itself was at work."""
        return max(result["cpu"] / sum(result["seconds"]) for result in self.results)


def report(name: str, measured: Measured, opening: Opening) -> None:
    """One line about one leg."""
    used = ", ".join(f"{server} {seconds:.2f} s" for server, seconds in measured.cpu.items())
    size = opening.results[-1]["bodies"] / 1e6
    described = sorted(result["seconds"][0] for result in opening.results)[len(opening.results) // 2]
    print(
        f"{name:12} {measured.seconds:6.3f} s for {opening.results[-1]['requests']} requests and {size:.0f} MB"
        f" (searches and metadata {described:.3f} s)   CPU: {used}, client {opening.busiest():.0%} busy at most"
    )


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orthanc", choices=["trixie", "debian"], default="trixie" if TRIXIE.is_dir() else "debian")
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--nginx", action="store_true")
    parser.add_argument("--line", type=float, metavar="MBIT")
    parser.add_argument("--slices", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    return parser.parse_args()


def main() -> None:
    """Start everything, measure, print, end everything."""
    chosen = options()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyhole-bench-")))
        tree = TRIXIE if chosen.orthanc == "trixie" else None
        archive = stack.enter_context(orthanc(folder, tree))
        archive.ask("PUT", "/tools/log-level", b"default")
        store(archive, chosen.slices)
        url = stack.enter_context(postgresql()) if chosen.postgresql else None
        server = stack.enter_context(keyhole(folder, archive.settings, workers=chosen.workers, database=url))
        ways = {"direct": directly(archive), "Keyhole": through(server)}
        pids = {"direct": {"Orthanc": archive.process.pid}}
        pids["Keyhole"] = {"Orthanc": archive.process.pid, "Keyhole": server.process.pid}
        if chosen.nginx:
            proxy = stack.enter_context(nginx_before(folder, archive.port))
            ways["nginx"] = directly(archive, proxy.port)
            pids["nginx"] = {"Orthanc": archive.process.pid, "nginx": proxy.process.pid}
        compare(ways["direct"], [way for name, way in ways.items() if name != "direct"], chosen.slices)
        limit = chosen.line * 1e6 / 8 if chosen.line else None
        openings = {name: Opening(way, chosen.slices, limit) for name, way in ways.items()}
        measured = interleaved([Leg(name, run, pids[name]) for name, run in openings.items()], chosen.rounds)
        version = archive.json("/system")["Version"]
        print(
            f"{chosen.slices} slices of {SIDE} x {SIDE} x 16 bit in Orthanc {version}, {CONNECTIONS} connections,"
            f" Keyhole with {chosen.workers} worker(s) on {'PostgreSQL' if url else 'SQLite'},"
            f" medians of {chosen.rounds} interleaved openings"
            + (f", the client taking at most {chosen.line:g} Mbit/s" if limit else "")
        )
        for name, opening in openings.items():
            report(name, measured[name], opening)
        ratio = measured["Keyhole"].seconds / measured["direct"].seconds
        if limit:
            print("Keyhole to direct:", verdict(ratio, LINE_TARGET))
        else:
            print("Keyhole to direct:", verdict(ratio, FIRST_TARGET), "then", verdict(ratio, TARGET))
        if chosen.nginx:
            print(f"Keyhole to nginx: {measured['Keyhole'].seconds / measured['nginx'].seconds:.2f}")
            print(f"nginx to direct: {measured['nginx'].seconds / measured['direct'].seconds:.2f}")


if __name__ == "__main__":
    main()
