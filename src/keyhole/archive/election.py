"""Which process indexes the folder: whoever holds the lock. The system lets go of it when that process ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Election:
    """A lock file beside the index; the candidate that locks it is elected until it resigns or dies."""

    def __init__(self, path: Path) -> None:
        """Stand for election at *path*."""
        self._path = path
        self._descriptor: int | None = None

    @property
    def won(self) -> bool:
        """Whether this candidate is elected."""
        return self._descriptor is not None

    def stand(self) -> bool:
        """Whether this candidate is elected now; never waits."""
        if self._descriptor is not None:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def resign(self) -> None:
        """Let another one be elected."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
