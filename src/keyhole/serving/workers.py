"""Serve from one process or several: bind once, start workers, replace those that die, end them all in order.

Workers are new processes ("spawn"), because a fork would share database connections and locked locks. They inherit the
listening sockets, so that a connection that waits is taken by whoever is free, and none is lost when a worker dies.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType

import uvloop
from prometheus_client import multiprocess

from keyhole.errors import KeyholeError
from keyhole.serving.listeners import Apps, Sockets, addresses, bind, run, stop_on, tls_context
from keyhole.serving.malloc import keep_freed_memory
from keyhole.settings import Settings

Build = Callable[[Settings], Apps]
Announce = Callable[[Mapping[str, str]], None]

_RESTARTS = 5
_WINDOW_SECONDS = 30.0
_PATIENCE_SECONDS = 15.0
"""How long a worker may take to end after it was asked to: more than it gives its own answers."""
_SPAWN = multiprocessing.get_context("spawn")
_ENDS = (signal.SIGTERM, signal.SIGINT)
_METRICS = "PROMETHEUS_MULTIPROC_DIR"


def serve(build: Build | str, settings: Settings, announce: Announce | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit status: 0, or 1 when a worker had to be killed.

    *build* makes the applications, in every worker; with several workers it is a function of a module, or its name as
    ``module:function``. *announce* is called once, with the URL of each listener, when all of them accept in every
    worker. What keeps it from starting is raised: Misconfigured, or whatever *build* and the lifespan raise of ours.
    """
    tls_context(settings)  # told once, here, rather than by every worker
    sockets = bind(settings)
    found = addresses(settings, sockets)
    announce = announce or _tell
    try:
        if settings.workers == 1:
            return _serve_here(build, settings, sockets, lambda: announce(found))
        with _metrics_folder():
            return Supervisor(build, settings, sockets, lambda: announce(found)).run()
    finally:
        for listener in sockets.values():
            listener.close()


def _say(words: str) -> None:
    sys.stderr.write(f"keyhole: {words}\n")
    sys.stderr.flush()


def _tell(found: Mapping[str, str]) -> None:
    _say("ready: " + ", ".join(f"{name} on {url}" for name, url in found.items()))


def _serve_here(
    build: Build | str, settings: Settings, sockets: Sockets, ready: Callable[[], None], parent: int | None = None
) -> int:
    """Serve in this process, on uvloop, until a signal, or until *parent* (its sentinel) is gone."""
    keep_freed_memory(os.environ)

    async def main() -> None:
        stop = asyncio.Event()
        stop_on(stop, _ENDS if parent is None else [signal.SIGTERM])
        if parent is not None:
            asyncio.get_running_loop().add_reader(parent, stop.set)
        await run(_function(build)(settings), settings, sockets, ready, stop)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    return 0


def _function(build: Build | str) -> Build:
    if not isinstance(build, str):
        return build
    module, _, name = build.partition(":")
    function: Build = getattr(import_module(module), name)
    return function


def _work(build: Build | str, settings: Settings, sockets: Sockets, mouth: Connection) -> None:
    """The life of a worker. It says through *mouth* that it is ready, or why it cannot be."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us all; the parent passes on what it means
    parent = multiprocessing.parent_process()
    try:
        _serve_here(build, settings, sockets, lambda: mouth.send(None), parent.sentinel if parent else None)
    except KeyholeError as error:
        mouth.send(error)
        sys.exit(1)


@contextmanager
def _metrics_folder() -> Iterator[None]:
    """A folder in which the workers' metrics meet, for as long as they run."""
    with tempfile.TemporaryDirectory(prefix="keyhole-metrics-") as folder:
        before = os.environ.get(_METRICS)
        os.environ[_METRICS] = folder
        try:
            yield
        finally:
            os.environ.pop(_METRICS)
            if before is not None:
                os.environ[_METRICS] = before


@dataclass(eq=False, slots=True)
class _Worker:
    process: SpawnProcess
    ear: Connection
    ready: bool = False
    error: KeyholeError | None = None

    def listen(self) -> None:
        """Take in what the worker says; it says one thing at most."""
        try:
            self.error = self.ear.recv()
            self.ready = self.error is None
        except (EOFError, OSError):
            return

    def how_it_ended(self) -> str:
        """Its last words, or how the system puts it."""
        code = self.process.exitcode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        return f"worker {self.process.pid} {how}" + (f": {self.error}" if self.error else "")


class Supervisor:
    """The parent of the workers. It serves nothing itself."""

    def __init__(self, build: Build | str, settings: Settings, sockets: Sockets, ready: Callable[[], None]) -> None:
        """Call *ready* once, when the first set of workers is."""
        self._build, self._settings, self._sockets, self._ready = build, settings, sockets, ready
        self._workers: list[_Worker] = []
        self._deaths: deque[float] = deque(maxlen=_RESTARTS)
        self._started = self._held = False
        self._asked = 0
        self._bell, self._rope = os.pipe()

    def run(self) -> int:
        """Keep as many workers as are set until a signal says to end; the exit status.

        A worker that ends before all are ready for the first time ends it all, with its error.
        """
        try:
            with self._signals():
                try:
                    while not self._asked:
                        self._fill()
                        self._listen(timeout=1.0)
                finally:
                    killed = self._end()
        finally:
            os.close(self._bell)
            os.close(self._rope)
        return 1 if killed else 0

    @contextmanager
    def _signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._ring) for number in _ENDS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ring(self, number: int, _frame: FrameType | None) -> None:
        self._asked += 1
        os.write(self._rope, bytes([number]))

    def _fill(self) -> None:
        """Start what is missing, unless workers die as fast as they are started."""
        if len(self._workers) == self._settings.workers:
            return
        fast = len(self._deaths) == _RESTARTS and time.monotonic() - self._deaths[0] < _WINDOW_SECONDS
        if fast and not self._held:
            _say(f"{_RESTARTS} workers ended within {_WINDOW_SECONDS:.0f} seconds: waiting before another is started")
        self._held = fast
        while not fast and len(self._workers) < self._settings.workers:
            self._workers.append(self._start())

    def _start(self) -> _Worker:
        ear, mouth = _SPAWN.Pipe(duplex=False)
        arguments = (self._build, self._settings, self._sockets, mouth)
        process = _SPAWN.Process(target=_work, args=arguments, name="keyhole-worker")
        process.start()
        mouth.close()
        return _Worker(process, ear)

    def _listen(self, timeout: float) -> None:
        """Wait for a signal, a word from a worker, or its end, and take it in."""
        silent = [worker for worker in self._workers if not worker.ready and worker.error is None]
        heard = wait([self._bell, *(w.ear for w in silent), *(w.process.sentinel for w in self._workers)], timeout)
        if self._bell in heard:
            os.read(self._bell, 1)
        for worker in [worker for worker in silent if worker.ear in heard]:
            worker.listen()
        for worker in [worker for worker in self._workers if worker.process.sentinel in heard]:
            self._bury(worker)
        if not self._started and len(self._workers) == self._settings.workers and all(w.ready for w in self._workers):
            self._started = True
            self._ready()

    def _bury(self, worker: _Worker) -> None:
        worker.process.join()
        worker.ear.close()
        self._workers.remove(worker)
        multiprocess.mark_process_dead(worker.process.pid)  # type: ignore[no-untyped-call]
        if self._asked:
            return
        if not self._started:
            raise worker.error or KeyholeError(worker.how_it_ended() + " before it was ready")
        self._deaths.append(time.monotonic())
        _say(worker.how_it_ended() + "; another takes its place")

    def _end(self) -> int:
        """Ask all workers to end, wait, and kill who does not, or all at a second signal; how many were killed."""
        self._asked = max(self._asked, 1)
        for worker in self._workers:
            worker.process.terminate()
        last = time.monotonic() + _PATIENCE_SECONDS
        while self._workers and self._asked == 1 and time.monotonic() < last:
            self._listen(timeout=0.5)
        for worker in self._workers:
            _say(f"worker {worker.process.pid} did not end and is killed")
            worker.process.kill()
            worker.process.join()
        return len(self._workers)
