"""The load client: asks for targets over keep-alive connections and does as little else as possible.

A program: it reads a JSON :class:`Order` from standard input and writes a :class:`Result` to standard output. One
thread, one buffer, bodies counted and not looked at, so that it costs about as much as reading the sockets does. It
tells its own CPU time, so that a run in which it was the bottleneck shows. Standard library only: it starts at once.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import resource
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, TypedDict

_BUFFER = 256 * 1024
_LONGEST_WAIT = 30.0
_END = b"\r\n\r\n"


class Phase(TypedDict):
    """Targets asked for over so many connections, each one once; or round and round for ``seconds``."""

    targets: list[str]
    headers: dict[str, str]
    connections: int
    seconds: float | None


class Order(TypedDict):
    """What to ask of which port of the loopback.

    ``keep``: digest the first part of each answer's body, of that many bytes; 0 for not looking. ``bytes_per_second``:
    take no more than that, as a line would; None for no limit.
    """

    port: int
    phases: list[Phase]
    keep: int
    bytes_per_second: float | None


class Result(TypedDict):
    """What it took. ``bodies`` is bytes of bodies without their framing, ``cpu`` the client's own seconds."""

    seconds: list[float]
    requests: int
    bodies: int
    cpu: float
    statuses: dict[str, int]
    digests: dict[str, str]
    waits: list[float]


class Connection:
    """One connection, and where in an answer it is."""

    def __init__(self, port: int, keep: int) -> None:
        """Connect to *port*; keep the first part of each body when *keep*."""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_LONGEST_WAIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.target = ""
        self._keep = keep
        self._reset()

    def _reset(self) -> None:
        self.status = self.size = self._left = 0
        self._head: bytes | None = b""
        self._chunked = self._last = False
        self._line = b""
        self.kept = bytearray()
        self.asked_at = 0.0

    def ask(self, target: str, rest: bytes) -> None:
        """Send a request for *target*."""
        self._reset()
        self.target = target
        self.asked_at = time.perf_counter()
        self.socket.sendall(b"GET " + target.encode() + rest)

    def take(self, data: memoryview) -> bool:
        """Take what has come of the answer; whether that was the end of it."""
        if self._head is not None:
            self._head += data
            end = self._head.find(_END)
            if end < 0:
                return False
            data = memoryview(self._head)[end + len(_END) :]
            self._understand(self._head[:end])
            self._head = None
        return self._chunks(data) if self._chunked else self._plain(data)

    def _understand(self, head: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        self.status = int(lines[0].split()[1])
        self._chunked = fields.get("transfer-encoding", "").lower() == "chunked"
        self._left = 0 if self._chunked else int(fields["content-length"])

    def _plain(self, data: memoryview) -> bool:
        self._body(data)
        self._left -= len(data)
        return self._left == 0

    def _chunks(self, data: memoryview) -> bool:
        at = 0
        while at < len(data):
            if self._left:  # of this chunk, with the line end after it
                step = min(self._left, len(data) - at)
                self._body(data[at : at + max(0, min(step, self._left - 2))])
                self._left -= step
                at += step
                if self._last and not self._left:
                    return True
                continue
            piece = bytes(data[at : at + 20])
            end = piece.find(b"\n")
            self._line += piece if end < 0 else piece[:end]
            at += len(piece) if end < 0 else end + 1
            if end >= 0:
                size = int(self._line, 16)
                self._line, self._left, self._last = b"", size + 2, size == 0
        return False

    def _body(self, data: memoryview) -> None:
        self.size += len(data)
        if self._keep:
            self.kept += data

    def digest(self) -> str:
        """Of the first part's body, whatever its head says."""
        part = bytes(self.kept).partition(_END)[2][: self._keep]
        return hashlib.sha256(part).hexdigest()


class Client:
    """One run of an order."""

    def __init__(self, order: Order) -> None:
        """Nothing is connected yet."""
        self._order = order
        self._idle: list[Connection] = []
        self._buffer = memoryview(bytearray(_BUFFER))
        self._taken = 0
        self._since = 0.0
        self.result = Result(seconds=[], requests=0, bodies=0, cpu=0.0, statuses={}, digests={}, waits=[])
        self._statuses: Counter[str] = Counter()

    def run(self) -> Result:
        """Do the phases one after the other."""
        before = resource.getrusage(resource.RUSAGE_SELF)
        self._since = time.perf_counter()
        for phase in self._order["phases"]:
            begun = time.perf_counter()
            self._phase(phase)
            self.result["seconds"].append(time.perf_counter() - begun)
        after = resource.getrusage(resource.RUSAGE_SELF)
        self.result["cpu"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.result["statuses"] = dict(self._statuses)
        return self.result

    def _phase(self, phase: Phase) -> None:
        fields = {"Host": f"127.0.0.1:{self._order['port']}", **phase["headers"]}
        rest = " HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
        targets = self._targets(phase)
        with selectors.EpollSelector() as selector:
            for target in itertools.islice(targets, phase["connections"]):
                connection = self._connection()
                selector.register(connection.socket, selectors.EVENT_READ, connection)
                connection.ask(target, rest.encode())
            while selector.get_map():
                ready = selector.select(_LONGEST_WAIT)
                if not ready:
                    raise TimeoutError("no answer")
                for key, _ in ready:
                    if self._read(key.data):
                        self._answered(key.data)
                        target = next(targets, None)
                        if target is None:
                            selector.unregister(key.data.socket)
                            self._idle.append(key.data)
                        else:
                            key.data.ask(target, rest.encode())

    @staticmethod
    def _targets(phase: Phase) -> Iterator[str]:
        if phase["seconds"] is None:
            yield from phase["targets"]
            return
        end = time.perf_counter() + phase["seconds"]
        for target in itertools.cycle(phase["targets"]):
            if time.perf_counter() > end:
                return
            yield target

    def _connection(self) -> Connection:
        return self._idle.pop() if self._idle else Connection(self._order["port"], self._order["keep"])

    def _read(self, connection: Connection) -> bool:
        size = connection.socket.recv_into(self._buffer)
        if not size:
            raise ConnectionError(f"the connection ended within the answer to {connection.target}")
        self._taken += size
        limit = self._order["bytes_per_second"]
        if limit is not None:
            ahead = self._taken / limit - (time.perf_counter() - self._since)
            if ahead > 0:
                time.sleep(ahead)
        return connection.take(self._buffer[:size])

    def _answered(self, connection: Connection) -> None:
        self.result["requests"] += 1
        self.result["bodies"] += connection.size
        self.result["waits"].append(time.perf_counter() - connection.asked_at)
        self._statuses[str(connection.status)] += 1
        if self._order["keep"]:
            self.result["digests"][connection.target] = connection.digest()


def main() -> None:
    """Run the order on standard input."""
    order: Any = json.load(sys.stdin)
    json.dump(Client(order).run(), sys.stdout)


if __name__ == "__main__":
    main()
