"""The two HTTP clients that could ask the archive: ``python bench/clients.py``.

Two Keyholes that differ in nothing else, before the same nginx that serves files as an archive would: frames of 2 KB,
64 KB and 512 KB over 8 keep-alive connections, and one body of 1 GB at a time. Interleaved, medians; the rate with
pyreqwest as a ratio to that with aiohttp, both as ratios to nginx ``proxy_pass`` with its defaults, and the CPU time of
Keyhole for each.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import frames
from rig.client import Phase
from rig.measure import Leg, ask, cpu_seconds, interleaved
from rig.proxy import nginx, nginx_before

from tests.servers.keyhole import Keyhole, at_rest

GIGABYTE = 1 << 30
ROOT = Path(__file__).parents[1]
PYREQWEST = str(Path(__file__).parent / "rig" / "with_pyreqwest.py")


@dataclass(frozen=True, slots=True)
class Case:
    """An answer, and over how many connections it is asked for at once."""

    name: str
    below: str
    connections: int = 8


CASES = (
    Case("2 KB", frames.frame(3)),
    Case("64 KB", frames.frame(2)),
    Case("512 KB", frames.frame(1)),
    Case("1 GB", frames.frame(4), connections=1),
)


def write_gigabyte(folder: Path) -> None:
    """A frame of 1 GB, most of which takes no room on the disk."""
    head, tail = frames.multipart(0).split(b"\r\n\r\n")
    head = head.replace(b"Content-Length: 0", b"Content-Length: %d" % GIGABYTE) + b"\r\n\r\n"
    file = folder / "dicom-web" / frames.frame(4).lstrip("/")
    file.parent.mkdir(parents=True)
    with file.open("wb") as out:
        out.write(head)
        out.seek(GIGABYTE, os.SEEK_CUR)
        out.write(b"\r\n" + tail)
    for place in (file.parent.parent, file.parent, file):
        place.chmod(0o755 if place.is_dir() else 0o644)


@contextmanager
def serving(folder: Path, archive: int, *, pyreqwest: bool) -> Iterator[Keyhole]:
    """A Keyhole with one of the clients."""
    server = at_rest(folder, {"KEYHOLE_ARCHIVE": f"http://127.0.0.1:{archive}/dicom-web"})
    server.process.environment = {**server.environment, "PYTHONPATH": os.pathsep.join((str(ROOT), *sys.path))}
    if pyreqwest:
        server.process.command = [sys.executable, PYREQWEST, "serve"]
    with server.process:
        yield server


class Asking:
    """One case by one way; remembers the CPU time of the server for each answer."""

    def __init__(self, port: int, case: Case, root: str, seconds: float, pid: int, **headers: str) -> None:
        """Ask *port* for *seconds* at a time; *pid* is the server's."""
        self._port, self._pid = port, pid
        self._phase = Phase(
            targets=[root + case.below],
            headers={"Accept": frames.FRAMES, **headers},
            connections=case.connections,
            seconds=seconds,
        )
        self.cpu: list[float] = []

    def __call__(self) -> float:
        """Ask once; the seconds per request."""
        before = cpu_seconds(self._pid)
        result = ask(self._port, [self._phase])
        self.cpu.append((cpu_seconds(self._pid) - before) / result["requests"])
        return sum(result["seconds"]) / result["requests"]


def measure(case: Case, proxy: tuple[int, int], servers: dict[str, Keyhole], seconds: float, rounds: int) -> None:
    """Print a line about *case*; *proxy* is nginx's port and process."""
    ways = {"nginx": Asking(proxy[0], case, "/dicom-web", seconds, proxy[1])}
    for name, server in servers.items():
        visit = server.open(server.share(frames.STUDY))
        bearer = {"Authorization": f"Bearer {visit.bearer}"}
        ways[name] = Asking(server.port, case, f"{visit.below}dicom-web", seconds, server.process.pid, **bearer)
    measured = interleaved([Leg(name, way) for name, way in ways.items()], rounds)
    rates = {name: 1 / each.seconds for name, each in measured.items()}
    cpu = {name: sorted(way.cpu)[len(way.cpu) // 2] * 1e6 for name, way in ways.items()}
    told = "  ".join(f"{name} {rate:8.1f}/s, {cpu[name]:9.0f} µs of CPU" for name, rate in rates.items())
    ratios = "  ".join(f"{name} to nginx {rates[name] / rates['nginx']:.2f}" for name in servers)
    print(f"{case.name:7} {told}   {ratios}   pyreqwest to aiohttp {rates['pyreqwest'] / rates['aiohttp']:.2f}")


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    return parser.parse_args()


def main() -> None:
    """Start everything, measure, print, end everything."""
    chosen = options()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyhole-bench-")))
        files = folder / "files"
        files.mkdir()
        frames.write(files)
        write_gigabyte(files)
        folder.chmod(0o755)
        archive = stack.enter_context(nginx(folder, "archive", frames.ARCHIVE.format(folder=files)))
        proxy = stack.enter_context(nginx_before(folder, archive.port))
        servers = {
            name: stack.enter_context(serving(folder / name, archive.port, pyreqwest=name == "pyreqwest"))
            for name in ("aiohttp", "pyreqwest")
        }
        print(
            f"medians of {chosen.rounds} interleaved runs of {chosen.seconds:g} s, or of one answer if that is longer"
        )
        for case in CASES:
            measure(case, (proxy.port, proxy.process.pid), servers, chosen.seconds, chosen.rounds)


if __name__ == "__main__":
    main()
