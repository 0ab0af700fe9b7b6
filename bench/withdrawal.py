"""From withdrawal to refusal, on every worker: ``python bench/withdrawal.py``.

Four workers, each asked for an image every 10 ms over a connection of its own by the same visit, while staff withdraw
the share through the API. The delay is the time from the API's answer to the last request that was still answered, on
whichever worker that was, the request's own time included; over several withdrawals the median and the worst.
``--postgresql`` puts the database there. nginx serves the image from a file.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path

from frames import ARCHIVE, STUDY, frame, write
from rig.measure import children, verdict
from rig.postgresql import postgresql
from rig.proxy import nginx

from tests.servers.keyhole import Keyhole, Opened, keyhole, share_id

WORKERS = 4
PAUSE = 0.01
TARGET = 1.0
_MOST_TRIES = 2000
_ESTABLISHED = "01"


def inodes(port: int) -> dict[int, str]:
    """The sockets of a server on *port* of the loopback: the other end's port, and the inode (proc_net_tcp(5))."""
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, here, there, state, *_, inode = line.split()[:10]
        if state == _ESTABLISHED and int(here.partition(":")[2], 16) == port:
            found[int(there.partition(":")[2], 16)] = f"socket:[{inode}]"
    return found


def owner(pids: list[int], inode: str) -> int | None:
    """Which of the processes holds a socket."""
    for pid in pids:
        if any(inode == str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()):
            return pid
    return None


def a_connection_each(server: Keyhole, target: str, visit: Opened) -> dict[int, http.client.HTTPConnection]:
    """A connection to every worker, by the worker's id."""
    pids = children(server.process.pid)
    found: dict[int, http.client.HTTPConnection] = {}
    for _ in range(_MOST_TRIES):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        assert status(connection, target, visit) == 200
        worker = owner(pids, inodes(server.port)[connection.sock.getsockname()[1]])
        if worker is None or worker in found:
            connection.close()
        else:
            found[worker] = connection
        if len(found) == WORKERS:
            return found
    raise AssertionError(f"only {len(found)} workers take connections")


def status(connection: http.client.HTTPConnection, target: str, visit: Opened) -> int:
    """Ask once."""
    connection.request("GET", target, headers={**visit.as_bearer, "Accept": "*/*"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def ask_until_refused(
    connection: http.client.HTTPConnection, target: str, visit: Opened, answered: list[float]
) -> None:
    """Note when the last answer came that was none of refusal; give up a while after it should have ended."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if status(connection, target, visit) != 200:
            return
        answered.append(time.monotonic())
        time.sleep(PAUSE)


def withdraw(server: Keyhole, link: str, key: str) -> None:
    """Withdraw the share of *link* through the API."""
    bearer = {"Authorization": f"Bearer {key}"}
    answer = server.ask("DELETE", f"/api/v1/shares/{share_id(link)}", bearer, port=server.staff_port)
    assert answer.status == 204, f"the share was not withdrawn: {answer.status} {answer.body[:200]!r}"


def delay(server: Keyhole, key: str) -> float:
    """One withdrawal; the seconds until the last worker refused."""
    link = server.share(STUDY)
    visit = server.open(link)
    target = f"{visit.below}dicom-web{frame(3)}"
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(each)) for each in a_connection_each(server, target, visit).values()]
        answered: list[float] = []
        askers = [
            threading.Thread(target=ask_until_refused, args=(each, target, visit, answered)) for each in connections
        ]
        for asker in askers:
            asker.start()
        time.sleep(0.3)
        withdraw(server, link, key)
        withdrawn = time.monotonic()
        for asker in askers:
            asker.join()
    return max(0.0, max(answered) - withdrawn)


def main() -> None:
    """Start everything, measure, print, end everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--rounds", type=int, default=10)
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyhole-bench-")))
        files = folder / "files"
        files.mkdir()
        write(files)
        folder.chmod(0o755)
        archive = stack.enter_context(nginx(folder, "archive", ARCHIVE.format(folder=files)))
        url = stack.enter_context(postgresql()) if chosen.postgresql else None
        settings = {"KEYHOLE_ARCHIVE": f"http://127.0.0.1:{archive.port}/dicom-web"}
        server = stack.enter_context(keyhole(folder, settings, workers=WORKERS, database=url))
        key = server.key("bench", "administrator")
        delays = [delay(server, key) for _ in range(chosen.rounds)]
        where = "PostgreSQL" if url else "SQLite"
        print(
            f"{where}, {WORKERS} workers, {chosen.rounds} withdrawals: median {statistics.median(delays):.3f} s,"
            f" worst {verdict(max(delays), TARGET)} s"
        )


if __name__ == "__main__":
    main()
