"""Checking passcodes in a process of its own, so that those who look at images do not wait for it.

Measured (docs/performance.md): in a thread of the serving process the same work makes a frame take two to four times as
long on a busy machine, although argon2 lets go of the interpreter meanwhile. The program is this file; what it is asked
and what it answers goes through pipes, a line each, and it ends with whoever asks.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import IO, cast

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_GIVES_WAY = 19
"""Steps by which the program is less urgent than what serves (nice(2))."""
_LONGEST_REST = 0.1
"""Seconds."""


class Apart:
    """The program, started when it is first needed and again when it is gone."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self._program: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()

    def matches(self, kept: str, plain: str) -> bool | None:
        """Whether *plain* is what *kept* is the argon2 hash of. None: nobody could tell. To be called in a thread."""
        with self._turn:
            try:
                return self._asked(json.dumps([kept, plain]).encode() + b"\n")
            except OSError:
                self._end()
                return None

    def close(self) -> None:
        """End the program."""
        with self._turn:
            self._end()

    def _asked(self, line: bytes) -> bool | None:
        program = self._running()
        asks, answers = cast("IO[bytes]", program.stdin), cast("IO[bytes]", program.stdout)
        asks.write(line)
        asks.flush()
        answer = {b"1\n": True, b"0\n": False}.get(answers.readline())
        if answer is None:
            self._end()
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._program is None or self._program.poll() is not None:
            self._end()
            self._program = subprocess.Popen(  # noqa: S603 - this very file
                [sys.executable, "-I", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}
            )
        return self._program

    def _end(self) -> None:
        program, self._program = self._program, None
        if program is not None:
            program.kill()  # it keeps nothing
            program.communicate()


def _matches(kept: str, plain: str) -> str:
    try:
        PasswordHasher().verify(kept, plain)
    except InvalidHashError:
        return "?"
    except VerificationError:
        return "0"
    return "1"


def main() -> None:
    """Answer line by line, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person's Ctrl-C is for whoever asks
    os.nice(_GIVES_WAY)
    for line in sys.stdin:
        begun = time.perf_counter()
        sys.stdout.write(f"{_matches(*json.loads(line))}\n")
        sys.stdout.flush()
        time.sleep(min(time.perf_counter() - begun, _LONGEST_REST))  # half of a core at most, however many ask


if __name__ == "__main__":
    main()
