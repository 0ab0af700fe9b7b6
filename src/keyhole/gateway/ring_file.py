"""The key ring of a running process: read again when its file has changed, so that a rotation needs no restart."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from keyhole.errors import Misconfigured
from keyhole.gateway import keys_file
from keyhole.sharing.link import KeyRing

FOLLOWS_WITHIN = 1.0
"""Seconds after which a changed file is noticed by the next who asks for the ring."""

_Stamp = tuple[int, int, int]


class RingFile:
    """A :class:`keyhole.sharing.link.Ring` that is never older than :data:`FOLLOWS_WITHIN`. For any thread.

    A file that is gone, or is no ring any more, changes nothing: the last good ring stays, for links that were given
    out must go on to open. `keyhole doctor` tells of it.
    """

    def __init__(self, folder: Path, monotonic: Callable[[], float]) -> None:
        """Read the ring in *folder*, made if there is none; raises Misconfigured as :func:`keys_file.load` does."""
        self._folder = folder
        self._monotonic = monotonic
        self._ring = keys_file.load(folder)
        self._stamp: _Stamp | None = None  # the file may have changed since: the first to ask looks again
        self._looked_at = float("-inf")

    def ring(self) -> KeyRing:
        """The ring now."""
        if self._monotonic() - self._looked_at >= FOLLOWS_WITHIN:
            self._looked_at = self._monotonic()
            self._look()
        return self._ring

    def _look(self) -> None:
        stamp = self._stamped()
        if stamp is None or stamp == self._stamp:
            return
        try:
            self._ring = keys_file.load(self._folder)
        except Misconfigured:
            return
        self._stamp = stamp

    def _stamped(self) -> _Stamp | None:
        try:
            found = os.stat(self._folder / keys_file.NAME)  # noqa: PTH116 - once a second, on the event loop
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    @property
    def now(self) -> KeyRing:
        """As :meth:`ring`."""
        return self.ring()

    @property
    def current(self) -> str:
        """The id of the key that new links are derived from."""
        return self.ring().current

    def derive(self, purpose: str, *parts: str, key_id: str | None = None) -> bytes:
        """As :meth:`keyhole.sharing.link.KeyRing.derive`."""
        return self.ring().derive(purpose, *parts, key_id=key_id)
