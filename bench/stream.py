"""Long answers through Keyhole and through nginx: ``python bench/stream.py``.

nginx serves files as an archive would: frames of 512 KB, and a study of 1 GB (2 000 instances of 512 KB) in the parts
of one multipart answer. They are asked for directly, through a second nginx with ``proxy_pass`` and its default
buffers, and through ``keyhole serve`` with a visit's bearer: the study in parts as it came, and as a ZIP file with its
DICOMDIR. Interleaved, medians, MB/s, the ratio to the proxy, and by how much the memory of the worker grew at most.
Besides, the same study from a folder of its own. Every server has one worker.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from rig.client import Phase
from rig.measure import Leg, ask, interleaved, verdict
from rig.proxy import nginx, nginx_before

from tests.archive.makers import image
from tests.gateway.download.files import written
from tests.servers.keyhole import Keyhole, keyhole
from tests.servers.process import wait_until

STUDY, SERIES = "1.2.826.1", "1.2.826.1.1"
INSTANCES = 2000
PIXELS = 512 * 512 * 2
BOUNDARY = "a-boundary-as-long-as-they-usually-are"
FRAME = f"/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1/frames/1"
WHOLE = f"/studies/{STUDY}"
PARTS = 'multipart/related; type="application/dicom"; transfer-syntax=*'
FRAMES = "multipart/related; type=application/octet-stream; transfer-syntax=*"

ARCHIVE = f"""
    root {{folder}};
    types {{{{ }}}}
    location = /dicom-web/studies {{{{ default_type application/dicom+json; try_files /found.json =404; }}}}
    location ~ /(instances|metadata)$ {{{{ default_type application/dicom+json; try_files /instances.json =404; }}}}
    location = /dicom-web{WHOLE} {{{{
      default_type 'multipart/related; type="application/dicom"; boundary={BOUNDARY}'; try_files /study =404;
    }}}}
    location ~ /frames/1$ {{{{
      default_type 'multipart/related; type="application/octet-stream"; boundary={BOUNDARY}'; try_files /frame =404;
    }}}}
"""


def instances() -> Iterator[bytes]:
    """The study's files, which differ in their numbers alone."""
    first = 1000
    dataset = image(STUDY, SERIES, f"{SERIES}.{first}", InstanceNumber=first, StudyID="1", SeriesNumber=1)
    dataset.Rows = dataset.Columns = 512
    for element in range(0x1000, 0x1050):  # about as many elements as a scanner writes
        dataset.add_new(0x00180000 + element, "DS", "0.5")
    dataset.add_new(0x7FE00010, "OW", bytes(range(256)) * (PIXELS // 256))
    content = written(dataset)
    head, pixels = content[:-PIXELS], content[-PIXELS:]
    for number in range(first, first + INSTANCES):
        yield head.replace(str(first).encode(), str(number).encode()) + pixels


def named(*tags: str) -> dict[str, object]:
    """What the archive finds: the study, or with more tags its one instance that has a frame."""
    uids = STUDY, SERIES, f"{SERIES}.1"
    return {tag: {"vr": "UI", "Value": [uid]} for tag, uid in zip(tags, uids, strict=False)}


def part(content_type: str, content: bytes) -> bytes:
    """A part with its delimiter."""
    head = f"\r\n--{BOUNDARY}\r\nContent-Type: {content_type}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def write(files: Path, folder: Path) -> None:
    """Write what the archive answers, and the same study as a *folder* of files."""
    end = f"\r\n--{BOUNDARY}--\r\n".encode()
    with (files / "study").open("wb") as study:
        for number, content in enumerate(instances()):
            (folder / f"{number}").write_bytes(content)
            study.write(part("application/dicom", content))
        study.write(end)
    (files / "frame").write_bytes(part("application/octet-stream", bytes(PIXELS)) + end)
    (files / "found.json").write_text(json.dumps([named("0020000D")]))
    (files / "instances.json").write_text(json.dumps([named("0020000D", "0020000E", "00080018")]))
    for place in (files, *files.iterdir()):
        place.chmod(0o755 if place.is_dir() else 0o644)


class Asking:
    """One way, again and again; remembers how many bytes it had, how busy the client was, and the server's memory."""

    def __init__(self, port: int, phase: Phase, server: int) -> None:
        """Ask *port*; *server* is the process whose memory is looked at, and its CPU."""
        self._port, self._phase = port, phase
        self.server = server
        self.busiest = self.grown = 0.0
        self.size = 1.0

    def __call__(self) -> float:
        """Ask once; the seconds per MB."""
        Path(f"/proc/{self.server}/clear_refs").write_text("5")  # the peak begins anew (proc(5))
        before = self._memory("VmRSS")
        result = ask(self._port, [self._phase])
        self.busiest = max(self.busiest, result["cpu"] / sum(result["seconds"]))
        self.grown = max(self.grown, self._memory("VmHWM") - before)
        self.size = result["bodies"] / 1e9
        return sum(result["seconds"]) / (result["bodies"] / 1e6)

    def _memory(self, name: str) -> float:
        lines = Path(f"/proc/{self.server}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def measure(title: str, ways: dict[str, Asking], rounds: int, target: float) -> None:
    """Print a line for each of *ways*; those through Keyhole are to reach *target* of what the proxy does."""
    measured = interleaved([Leg(name, way, {"server": way.server}) for name, way in ways.items()], rounds)
    print(title)
    for name, each in measured.items():
        ratio = measured["nginx"].seconds / each.seconds
        told = verdict(ratio, target, at_least=True) if name.startswith("Keyhole") else f"{ratio:.2f}"
        way = ways[name]
        cpu = each.cpu["server"] / way.size
        print(
            f"  {name:20} {1 / each.seconds:5.0f} MB/s   to nginx {told}   {cpu:.2f} ms CPU per MB"
            f"   memory grew by {way.grown:.0f} MB at most   (client busy {way.busiest:.0%} at most)"
        )


def indexed(server: Keyhole) -> bool:
    """Whether the folder's study is there to be shared."""
    with closing(sqlite3.connect(server.data / "archive-archive.db")) as index:
        return bool(index.execute("SELECT count(*) = ? FROM instances", (INSTANCES,)).fetchone()[0])


def bearer(server: Keyhole) -> tuple[str, dict[str, str]]:
    """The DICOMweb root of a visit that may download, and the header to show."""
    visit = server.open(server.share(STUDY, download=True))
    return f"{visit.below}dicom-web", visit.as_bearer


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    return parser.parse_args(arguments)


def main() -> None:
    """Start everything, measure, print, end everything."""
    chosen = options()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyhole-bench-")))
        place.chmod(0o755)
        files, folder, own = place / "files", place / "folder", place / "own"
        for each in (files, folder, own):
            each.mkdir()
        write(files, folder)
        archive = stack.enter_context(nginx(place, "archive", ARCHIVE.format(folder=files)))
        proxy = stack.enter_context(nginx_before(place, archive.port))
        settings = {"KEYHOLE_ARCHIVE": f"http://127.0.0.1:{archive.port}/dicom-web"}
        server = stack.enter_context(keyhole(place, settings))
        embedded = stack.enter_context(keyhole(own, {"KEYHOLE_ARCHIVE": str(folder)}))
        wait_until(lambda: indexed(embedded), 60, "the folder is not indexed")
        root, shown = bearer(server)
        own_root, own_shown = bearer(embedded)

        def frames(port: int, pid: int, before: str, **headers: str) -> Asking:
            fields = {"Accept": FRAMES, **headers}
            return Asking(
                port, Phase(targets=[before + FRAME], headers=fields, connections=8, seconds=chosen.seconds), pid
            )

        def study(port: int, pid: int, before: str, accept: str = PARTS, **headers: str) -> Asking:
            fields = {"Accept": accept, **headers}
            return Asking(port, Phase(targets=[before + WHOLE], headers=fields, connections=1, seconds=None), pid)

        print(f"medians of {chosen.rounds} interleaved runs")
        ways = {
            "direct": frames(archive.port, archive.process.pid, "/dicom-web"),
            "nginx": frames(proxy.port, proxy.process.pid, "/dicom-web"),
            "Keyhole": frames(server.port, server.process.pid, root, **shown),
        }
        measure(f"frames of {PIXELS >> 10} KB, 8 connections", ways, chosen.rounds, 1.0)
        ways = {
            "direct": study(archive.port, archive.process.pid, "/dicom-web"),
            "nginx": study(proxy.port, proxy.process.pid, "/dicom-web"),
            "Keyhole, parts": study(server.port, server.process.pid, root, **shown),
            "Keyhole, ZIP": study(server.port, server.process.pid, root, "application/zip", **shown),
            "Keyhole's own, ZIP": study(embedded.port, embedded.process.pid, own_root, "application/zip", **own_shown),
        }
        measure(f"a study of {INSTANCES} x {PIXELS >> 10} KB, 1 connection", ways, chosen.rounds, 1.0)


if __name__ == "__main__":
    main()
