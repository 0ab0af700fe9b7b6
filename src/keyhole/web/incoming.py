"""What is accepted of a request to the public pages: canonical paths, small bodies, from this site."""

from __future__ import annotations

import asyncio
import json
import re
from urllib.parse import parse_qs

import msgspec
from starlette.requests import Request

from keyhole.web import words

LARGEST_BODY = 4096
_BODY_SECONDS = 10
_SEGMENT = rb"(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+"
_CANONICAL = re.compile(rb"/(?:%b/)*(?:%b)?" % (_SEGMENT, _SEGMENT))
_BENT = re.compile(rb"/[sS]/([A-Za-z2-7]{16})/?(?:%23([A-Za-z0-9]{0,64})[^/]*)?")
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"


def canonical(raw_path: bytes) -> bool:
    """Whether *raw_path* is spelt in the one way that ours are: no escapes, no empty or dot segments."""
    return _CANONICAL.fullmatch(raw_path) is not None


def straightened(raw_path: bytes) -> str | None:
    """Where a link leads whose address was written in capitals, ends in a slash, or has its ``#`` escaped.

    In the last case the secret was sent to us, and to whoever is in between; it goes back to where it belongs.
    """
    bent = _BENT.fullmatch(raw_path)
    if bent is None:
        return None
    path, fragment = f"/s/{bent[1].decode().lower()}", bent[2]
    straight = path if fragment is None else f"{path}#{fragment.decode()}"
    return None if straight.encode() == raw_path else straight


def from_elsewhere(request: Request, origin: str) -> bool:
    """Whether another site, or a browser ahead of its user, sent this.

    ``Sec-Fetch-Site`` decides where there is one, else ``Origin`` must be ours; programs send neither. Prefetching and
    prerendering (``Sec-Purpose``, and its names in older browsers) is nobody's gesture.
    """
    headers = request.headers
    if "sec-purpose" in headers or "prefetch" in (headers.get("purpose"), headers.get("x-moz")):
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    return headers.get("origin", origin) != origin


def made_to_load(request: Request, *, in_frames: bool) -> bool:
    """Whether a page of another origin makes a browser load this, as a picture or a script, say, or with ``fetch``.

    Going here is not that: by a link, or, *in_frames*, in a frame (Fetch Metadata, ``Sec-Fetch-Dest``).
    """
    headers = request.headers
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return False
    goes_here = ("document", "iframe", "frame") if in_frames else ("document",)
    return headers.get("sec-fetch-mode") != "navigate" or headers.get("sec-fetch-dest") not in goes_here


def is_form(request: Request) -> bool:
    """Whether a plain HTML form was sent, whose sender is to be shown a page."""
    return _media_type(request) == _FORM


async def fields(request: Request) -> dict[str, str] | str:
    """The text fields of a JSON object or a form; a word from :mod:`keyhole.web.words` when there are none to have.

    Fields of other kinds are not ours and are left out. A field given twice is refused.
    """
    kind = _media_type(request)
    if kind not in (_JSON, _FORM):
        return words.WRONG_TYPE
    body = await _body(request)
    if isinstance(body, str):
        return body
    return _of_json(body) if kind == _JSON else _of_form(body)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _body(request: Request) -> bytes | str:
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > LARGEST_BODY:
        return words.TOO_LARGE
    body = b""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BODY:
                    return words.TOO_LARGE
    except TimeoutError:
        return words.TOO_SLOW
    return body


def _of_json(body: bytes) -> dict[str, str] | str:
    try:
        content = msgspec.json.decode(body, type=dict[str, object])
        json.loads(body, object_pairs_hook=_each_once)  # the other parser takes the last of two and does not tell
    except (ValueError, RecursionError):
        return words.BAD_REQUEST
    return {name: value for name, value in content.items() if isinstance(value, str)}


def _each_once(pairs: list[tuple[str, object]]) -> None:
    """Raise ValueError for an object that names a field twice: whoever looks at it on its way may take the other."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a field is given twice")


def _of_form(body: bytes) -> dict[str, str] | str:
    try:
        content = parse_qs(body.decode("ascii"), max_num_fields=16, keep_blank_values=True, errors="strict")
    except ValueError:
        return words.BAD_REQUEST
    if any(len(values) > 1 for values in content.values()):
        return words.BAD_REQUEST
    return {name: values[0] for name, values in content.items()}
