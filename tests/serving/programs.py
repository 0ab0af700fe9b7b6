"""Programs that serve the tiny applications of ``apps.py``, each in a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

_SOURCES = Path(__file__).parents[2] / "src"
_PATIENCE = 60


@dataclass
class Program:
    """One of them, and the URLs that it serves."""

    process: subprocess.Popen[str]
    data: Path
    urls: dict[str, str]

    @classmethod
    def start(cls, folder: Path, build: str = "build", **options: Any) -> Self:
        """Start it, on ports that the system chooses, without waiting for it."""
        settings = {
            "archive": str(folder),
            "data": str(folder),
            "public_url": "http://127.0.0.1",
            **dict.fromkeys(("bind", "staff_bind", "internal_bind"), "127.0.0.1:0"),
            **options,
        }
        process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("apps.py"), f"apps:{build}", json.dumps(settings)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_SOURCES), str(Path(__file__).parent)])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return cls(process, folder, {})

    def until_ready(self) -> Self:
        """Wait for it to say its URLs; it must."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate(timeout=_PATIENCE)[1]
        self.urls = json.loads(line)
        return self

    def get(self, path: str = "/", listener: str = "public", tls: ssl.SSLContext | None = None) -> dict[str, Any]:
        """What the application on *listener* answers."""
        connection = self.connection(listener, tls)
        try:
            connection.request("GET", path)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer

    def connection(self, listener: str = "public", tls: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
        """A connection to *listener*."""
        place = urlsplit(self.urls[listener])
        assert place.hostname is not None
        if tls is None:
            return http.client.HTTPConnection(place.hostname, place.port, timeout=_PATIENCE)
        return http.client.HTTPSConnection("localhost", place.port, timeout=_PATIENCE, context=tls)

    def ended(self, number: int | None = None) -> tuple[int, str]:
        """Exit status and words of it, after signal *number* if any."""
        if number is not None:
            self.process.send_signal(number)
        _, words = self.process.communicate(timeout=_PATIENCE)
        return self.process.returncode, words

    def lives(self) -> list[list[str]]:
        """What the lifespans of its processes wrote down."""
        path = self.data / "lives"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def workers(self) -> set[int]:
        """The processes that have begun to serve."""
        return {int(words[1]) for words in self.lives() if words[0] == "begin"}


@contextmanager
def program(folder: Path, build: str = "build", **options: Any) -> Iterator[Program]:
    """A program that is ready, and gone in the end."""
    running = Program.start(folder, build, **options)
    try:
        yield running.until_ready()
    finally:
        if running.process.poll() is None:
            running.ended(signal.SIGTERM)


def until(true: Callable[[], bool]) -> None:
    """Wait for something that must come true."""
    last = time.monotonic() + _PATIENCE
    while not true():
        assert time.monotonic() < last
        time.sleep(0.02)
