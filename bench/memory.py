"""What an idle worker holds: ``python bench/memory.py``.

One worker before a folder of 1 000 studies (two small files each), with few shares in its SQLite database and with a
million. Resident memory of the serving process once it is ready and has been asked a few things, and for scale that of
a Python that imports nothing. MB are 10^6 bytes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from index import write
from rig.measure import children, verdict
from rig.shares import keep, prepare, some

from keyhole.gateway import keys_file
from tests.servers.keyhole import Keyhole, keyhole

STUDIES, FILES_EACH = 1_000, 2
FEW, MANY = 1_000, 1_000_000
TARGET = 120.0
_SETTLE = 3.0
_MB = 1_000_000


def resident(pid: int) -> float:
    """Resident memory of one process, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / _MB
    raise AssertionError(f"process {pid} tells no memory")


def bare() -> float:
    """What a Python without any import of ours holds."""
    with subprocess.Popen([sys.executable, "-I", "-c", "input()"], stdin=subprocess.PIPE) as process:
        time.sleep(1)
        found = resident(process.pid)
        process.communicate(b"\n")
    return found


def used(server: Keyhole) -> float:
    """The serving process's memory after a few requests and a rest."""
    key = server.key("bench", "reader")
    for _ in range(5):
        server.ask("GET", "/dicom-web/studies?limit=10", {"Authorization": f"Bearer {key}"})
        server.get("/s/aaaaaaaaaaaaaaaa")
    time.sleep(_SETTLE)
    return max(resident(pid) for pid in (server.process.pid, *children(server.process.pid)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--many", type=int, default=MANY)
    options = parser.parse_args()
    print(f"a Python that imports nothing: {bare():.0f} MB")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = folder / "files"
        write(files, STUDIES * FILES_EACH, in_study=FILES_EACH)
        for count in (FEW, options.many):
            data = folder / str(count)
            url = prepare(data / "data")
            keep(url, some(count, keys_file.load(data / "data").current))
            with keyhole(data, {"KEYHOLE_ARCHIVE": str(files)}) as server:
                print(f"one worker, {STUDIES:,} studies, {count:,} shares, MB: {verdict(used(server), TARGET)}")


if __name__ == "__main__":
    main()
