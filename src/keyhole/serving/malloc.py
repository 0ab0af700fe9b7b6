"""Memory, as a process that relays images and reads metadata needs it kept.

glibc gives memory back after every image and fetches it again for the next one. Relaying 512 KB frames costs 1.6 times
the CPU time without the two thresholds raised (docs/performance.md): by default each buffer of that size costs some
hundred page faults. ``mallopt`` sets what ``MALLOC_MMAP_THRESHOLD_`` and ``MALLOC_TRIM_THRESHOLD_`` would have set
before the process began, so that nothing has to be started twice.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Mapping

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_MIB = 1024 * 1024
_THRESHOLDS = (
    (_M_MMAP_THRESHOLD, "MALLOC_MMAP_THRESHOLD_", 16 * _MIB),
    (_M_TRIM_THRESHOLD, "MALLOC_TRIM_THRESHOLD_", 32 * _MIB),
)


def keep_freed_memory(env: Mapping[str, str]) -> bool:
    """Raise the thresholds that *env* does not set itself; False where the C library is not glibc."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - glibc alone has it; mallopt elsewhere means something else
        mallopt = library.mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(mallopt(number, size) == 1 for number, name, size in _THRESHOLDS if name not in env)


def spare_what_stands() -> None:
    """Let the garbage collector pass over everything there is by now: modules, tables and applications stay.

    Its full rounds look at every object, and reading the metadata of a long series sets off several; they cost as much
    as all the rest of it (docs/performance.md).
    """
    gc.collect()
    gc.freeze()
