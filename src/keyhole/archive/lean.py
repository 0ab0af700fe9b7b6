"""Import pydicom without what it loads along with itself: numpy, Pillow and every decoder that is installed.

They are 35 MB which the serving process has no use for; only the decoder processes have (:mod:`.decoder`). Nor has it
for requests, with which pydicom would fetch its own test files.
"""

from __future__ import annotations

import importlib
import sys

_SPARED = ("numpy", "PIL", "gdcm", "pylibjpeg", "openjpeg", "libjpeg", "rle", "jpeg_ls", "requests")


def import_pydicom() -> None:
    """Import pydicom lean, unless it is there, or numpy is: whoever wants pixels imports numpy first."""
    if "pydicom" in sys.modules or "numpy" in sys.modules:
        return
    absent = [name for name in _SPARED if name not in sys.modules]
    # None makes an import of that name fail, which pydicom takes for not installed.
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        importlib.import_module("pydicom")
    finally:
        for name in absent:
            del sys.modules[name]
