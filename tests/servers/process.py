"""Programs under test: started, waited for, stopped by their own id, their words kept."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Self

_STOPS_WITHIN = 15


_PORTS = range(10_200, 30_200)
"""Below those that the system gives to clients, so that none takes one while a server that is started again is down,
and above 10080, which browsers refuse (WHATWG Fetch section 2.9)."""

_AT_A_TIME = 200


@cache
def _own_ports() -> Iterator[int]:
    """Ports that no other test process on this machine takes, round and round; given back when this process ends."""
    folder = Path(tempfile.gettempdir()) / "keyhole-test-ports"
    folder.mkdir(exist_ok=True)
    for first in _PORTS[::_AT_A_TIME]:
        held = os.open(folder / str(first), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(held)
        else:
            return itertools.cycle(range(first, first + _AT_A_TIME))
    raise AssertionError("every port is taken by other tests")


def free_port() -> int:
    """A TCP port of the loopback that nobody uses now, and no other test is about to."""
    while True:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", next(_own_ports())))
            return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody accepts connections on *port* of the loopback."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@dataclass
class Process:
    """One program and everything it says. A context: it runs inside, and is gone after it."""

    command: Sequence[str]
    log: Path
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    starts_within: float = 60
    _child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and return once it is ready; fail with what it said when it is not in time."""
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        try:
            wait_until(self._is_up, self.starts_within, self._not_up)
        except BaseException:
            self.stop()
            raise

    def _is_up(self) -> bool:
        assert self._child is not None
        assert self._child.poll() is None, f"{self._not_up()}: it ended with {self._child.returncode}"
        return self.ready()

    def _not_up(self) -> str:
        return f"{self.command[0]} did not start; it said:\n{self.said()[-3000:]}"

    @property
    def pid(self) -> int:
        """The id of the process that was started."""
        assert self._child is not None
        return self._child.pid

    def said(self) -> str:
        """Everything the program has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill(self) -> None:
        """End it and its whole process group without a warning; it can be started again."""
        child, self._child = self._child, None
        if child is not None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def stop(self) -> None:
        """Ask it to end, and end it when it does not; its whole process group with it."""
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_STOPS_WITHIN)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def wait_until(holds: Callable[[], bool], seconds: float, otherwise: Callable[[], str] | str) -> None:
    """Return as soon as *holds* does; fail with *otherwise* when it does not within *seconds*."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(otherwise() if callable(otherwise) else otherwise)
        time.sleep(0.05)
