"""Answers of one size through Keyhole and through nginx: ``python bench/frames.py``.

nginx serves files as an archive would: frames of 512 KB, 64 KB and 2 KB, each the one part of a multipart answer, and
metadata of 64 KB and 2 KB, which Keyhole reads and writes anew. They are asked for over 8 keep-alive connections:
directly, through a second nginx with ``proxy_pass`` and its default buffers, and through ``keyhole serve`` with a
visit's bearer. Interleaved, medians, requests per second and the ratio to the proxy. Every server has one worker.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rig.client import Phase
from rig.measure import Leg, ask, interleaved, verdict
from rig.proxy import nginx, nginx_before

from tests.servers.keyhole import Keyhole, keyhole

STUDY, SERIES = "1.2.826.1", "1.2.826.1.1"
UIDS = ("0020000D", "0020000E", "00080018")
CONNECTIONS = 8
JSON = "application/dicom+json"
BOUNDARY = "a-boundary-as-long-as-they-usually-are"
FRAMES = "multipart/related; type=application/octet-stream; transfer-syntax=*"

ARCHIVE = f"""
    root {{folder}};
    types {{{{ }}}}
    location = /dicom-web/studies {{{{ default_type {JSON}; try_files /found.json =404; }}}}
    location ~ /instances$ {{{{ default_type {JSON}; try_files /instances.json =404; }}}}
    location ~ /metadata$ {{{{ default_type {JSON}; }}}}
    location ~ /frames/1$ {{{{
      default_type 'multipart/related; type="application/octet-stream"; boundary={BOUNDARY}';
    }}}}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of answer, and the least rate that is wanted of it, as a ratio to the proxy's."""

    name: str
    below: str
    accept: str
    target: float | None


def frame(number: int) -> str:
    """The path of the frame of an instance."""
    return f"/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.{number}/frames/1"


def metadata(series: int) -> str:
    """The path of the metadata of a series."""
    return f"/studies/{STUDY}/series/{SERIES}.{series}/metadata"


CASES = (
    Case("frames of 512 KB", frame(1), FRAMES, 1.0),
    Case("frames of 64 KB", frame(2), FRAMES, 0.4),
    Case("frames of 2 KB", frame(3), FRAMES, 0.15),
    Case("metadata of 64 KB", metadata(1), JSON, None),
    Case("metadata of 2 KB", metadata(2), JSON, None),
)


def multipart(size: int) -> bytes:
    """A multipart body with one part of *size* bytes."""
    head = f"--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + bytes(range(256)) * (size // 256) + f"\r\n--{BOUNDARY}--\r\n".encode()


def described(series: str, size: int) -> bytes:
    """The metadata of so many instances that they have about *size* bytes."""
    values = {
        "00080018": {"vr": "UI", "Value": [f"{series}.1"]},
        "0020000D": {"vr": "UI", "Value": [STUDY]},
        "0020000E": {"vr": "UI", "Value": [series]},
        "00280010": {"vr": "US", "Value": [512]},
        **{f"0018{tag:04X}": {"vr": "DS", "Value": [0.5, 0.5]} for tag in range(0x1000, 0x1025)},
    }
    one = len(json.dumps(values))
    return json.dumps([values] * max(1, size // one)).encode()


def write(folder: Path) -> None:
    """Write what the archive answers."""
    root = folder / "dicom-web"
    answers = {
        frame(1): multipart(512 * 1024),
        frame(2): multipart(64 * 1024),
        frame(3): multipart(2 * 1024),
        metadata(1): described(f"{SERIES}.1", 64 * 1024),
        metadata(2): described(f"{SERIES}.2", 2 * 1024),
    }
    for path, content in answers.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    study = {"0020000D": {"vr": "UI", "Value": [STUDY]}, "00100020": {"vr": "LO", "Value": ["A"]}}
    (folder / "found.json").write_text(json.dumps([study]))
    instances = [
        {tag: {"vr": "UI", "Value": [uid]} for tag, uid in zip(UIDS, (STUDY, SERIES, f"{SERIES}.{n}"), strict=True)}
        for n in (1, 2, 3)
    ]
    (folder / "instances.json").write_text(json.dumps(instances))
    for number, described_one in enumerate(instances, 1):
        (root / frame(number).lstrip("/")).parent.with_name("metadata").write_text(json.dumps([described_one]))
    for place in (folder, *folder.rglob("*")):
        place.chmod(0o755 if place.is_dir() else 0o644)


class Asking:
    """One case by one way, again and again; remembers how busy the client was."""

    def __init__(self, port: int, case: Case, root: str, seconds: float, **headers: str) -> None:
        """Ask *port* for *seconds* at a time."""
        self._port = port
        fields = {"Accept": case.accept, **headers}
        self._phase = Phase(targets=[root + case.below], headers=fields, connections=CONNECTIONS, seconds=seconds)
        self.busiest = 0.0

    def __call__(self) -> float:
        """Ask once; the seconds per request."""
        result = ask(self._port, [self._phase])
        self.busiest = max(self.busiest, result["cpu"] / sum(result["seconds"]))
        return sum(result["seconds"]) / result["requests"]


def measure(case: Case, ports: tuple[int, int], server: Keyhole, seconds: float, rounds: int) -> None:
    """Print a line about *case*; *ports* are those of the archive and of the proxy."""
    visit = server.open(server.share(STUDY))
    bearer = {"Authorization": f"Bearer {visit.bearer}"}
    ways = {
        "direct": Asking(ports[0], case, "/dicom-web", seconds),
        "nginx": Asking(ports[1], case, "/dicom-web", seconds),
        "Keyhole": Asking(server.port, case, f"{visit.below}dicom-web", seconds, **bearer),
    }
    measured = interleaved([Leg(name, way) for name, way in ways.items()], rounds)
    rates = {name: 1 / each.seconds for name, each in measured.items()}
    ratio = rates["Keyhole"] / rates["nginx"]
    told = f"{ratio:.2f}" if case.target is None else verdict(ratio, case.target, at_least=True)
    busy = ", ".join(f"{way.busiest:.0%}" for way in ways.values())
    each = "  ".join(f"{name} {rate:7.0f}/s" for name, rate in rates.items())
    print(f"{case.name:18} {each}   Keyhole to nginx: {told}   (client busy {busy} at most)")


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
        write(files)
        folder.chmod(0o755)
        archive = stack.enter_context(nginx(folder, "archive", ARCHIVE.format(folder=files)))
        proxy = stack.enter_context(nginx_before(folder, archive.port))
        settings = {"KEYHOLE_ARCHIVE": f"http://127.0.0.1:{archive.port}/dicom-web"}
        server = stack.enter_context(keyhole(folder, settings))
        print(f"{CONNECTIONS} connections, medians of {chosen.rounds} interleaved runs of {chosen.seconds:g} s")
        for case in CASES:
            measure(case, (archive.port, proxy.port), server, chosen.seconds, chosen.rounds)


if __name__ == "__main__":
    main()
