"""Which language a browser asks for (RFC 9110 section 12.5.4)."""

from __future__ import annotations

import re

from keyhole.language.language import ENGLISH, NAMES, Language

_LONGEST = 500
"""Characters that are looked at; browsers send some twenty."""
_RANGE = re.compile(
    r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9]{1,8})*\s*(?:;\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?"
)


def negotiated(accept_language: str | None, otherwise: Language = ENGLISH) -> Language:
    """The language that the field *accept_language* likes best of ours; *otherwise* for none of them.

    Compared by the first subtag: who asks for ``fr-CA`` is better served by French than by what was not asked for.
    """
    best, liked = otherwise, 0.0
    for part in (accept_language or "")[:_LONGEST].split(","):
        asked = _RANGE.fullmatch(part)
        if asked is None:
            continue
        tag, quality = asked[1].lower(), float(asked[2] or 1)
        if quality > liked and (tag in NAMES or tag == "*"):
            best, liked = (otherwise if tag == "*" else Language(tag)), quality
    return best
