"""JSON with comments, as Orthanc and its companions write it. Pure."""

from __future__ import annotations

import json
import re

_STRING_OR_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


def loads(text: str) -> object:
    """What *text* says, without its comments (``//`` to the end of the line, and ``/* … */``).

    What looks like a comment in a string is part of the string. ValueError when the rest is not JSON.
    """
    try:
        return json.loads(_STRING_OR_COMMENT.sub(_kept, text))
    except RecursionError:
        raise ValueError("too deep") from None


def _kept(found: re.Match[str]) -> str:
    """The string as it is; a comment as blanks, so that what is told of a mistake names the right place."""
    return found[0] if found[0].startswith('"') else re.sub(r"[^\n]", " ", found[0])
