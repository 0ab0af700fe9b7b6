"""Vectors: one request a line, then an arrow and what it means. Comments and empty lines are skipped."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "vectors"
ORTHANC_ID = "8340c048-6ac438f0-8f76d6d4-6a1a0333-d1ff8ff8"
UUID = "6d1e5b1c-0a4f-4b53-9a0e-0f3b1d7c2a11"

_ESCAPE = re.compile(rb"\\(?:x([0-9a-f]{2})|(\\))")


def lines(name: str) -> list[tuple[str, str]]:
    """What stands left and right of the arrow on every line of a file."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    pairs = [line.split(" → ") for line in text.splitlines() if line and not line.startswith("#")]
    return [(asked, meaning) for asked, meaning in pairs]


def requests(name: str) -> list[tuple[str, bytes, str]]:
    """Method, raw path and meaning, for each of the methods that a line begins with."""
    found = []
    for asked, meaning in lines(name):
        *methods, path = asked.split(" ")
        raw = unescaped(path.replace("UUID", UUID).replace("ID", ORTHANC_ID))
        found += [(method, raw, meaning) for method in methods]
    return found


def unescaped(text: str) -> bytes:
    r"""The bytes that *text* writes, with ``\xNN`` for any byte and ``\\`` for a backslash."""
    return _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()) if found[1] else b"\\", text.encode("ascii"))
