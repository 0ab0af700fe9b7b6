"""A raw query string as names and values: split once, decoded once (PS3.18 §8.3 and RFC 3986 §2.1).

Servers differ in whether they split or decode first, and in what a plus sign means; so a value that would make a
difference is refused, and what is sent on is encoded here from values, never copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

_LONGEST = 8192
_MOST = 64
_RAW = re.compile(rb"[\x21-\x22\x24-\x7e]*")
_STRAY_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_LEGIBLE = ":,*?"


class BadQuery(ValueError):
    """A query that is refused as a whole. The text says why and holds nothing of the client's."""


def parameters(raw_query: bytes) -> list[tuple[str, str]]:
    """The names and values in *raw_query*, in order; empty parameters are skipped, since real viewers send them.

    Raises BadQuery when it is too long, or does not decode to text without control characters.
    """
    if len(raw_query) > _LONGEST:
        raise BadQuery("the query is too long")
    if _RAW.fullmatch(raw_query) is None:
        raise BadQuery("the query holds a byte that has to be percent-encoded")
    parts = [part for part in raw_query.split(b"&") if part]
    if len(parts) > _MOST:
        raise BadQuery("the query has too many parameters")
    return [(_decode(name), _decode(value)) for name, _, value in (part.partition(b"=") for part in parts)]


def _decode(raw: bytes) -> str:
    if _STRAY_PERCENT.search(raw) is not None:
        raise BadQuery("a percent sign without two hex digits")
    try:
        text = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise BadQuery("a parameter is not UTF-8") from None
    if _CONTROL.search(text) is not None:
        raise BadQuery("a parameter holds a control character")
    return text


def encoded(pairs: Iterable[tuple[str, str]]) -> str:
    """*pairs* as a query string. UIDs and wildcards stay legible to servers that do not decode it."""
    return "&".join(f"{name}={quote(value, safe=_LEGIBLE)}" for name, value in pairs)
