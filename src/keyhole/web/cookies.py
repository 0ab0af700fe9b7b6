"""Cookies, given and taken back; also inside the page of another site, where browsers keep the ordinary ones away.

There, a cookie that is tied to that page's site stays (CHIPS: ``SameSite=None; Secure; Partitioned``). Inside a page of
our own site the ordinary cookie works. Which it is, the page's script finds out by trying (``frame.js``) and tells with
:data:`FRAMED`; a form without a script is told by ``Sec-Fetch-Dest``, and gets the one that works in both.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from keyhole.web.pages import PublicPages

FRAMED = "keyhole-framed"
"""The header (``yes``) of a request whose ordinary cookie would not come back, and a partitioned one would."""


def hopeless(request: Request, settings: PublicPages) -> bool:
    """Whether no cookie that we may give would come back: then nothing is begun that it would be for."""
    return FRAMED in request.headers and not settings.in_frames


def give(
    answer: Response, request: Request, settings: PublicPages, *, name: str, value: str, path: str, seconds: int
) -> None:
    """Let *answer* set a cookie that comes back to where *request* came from, below *path*."""
    framed = settings.in_frames and _framed(request)
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path=path,
        secure=settings.https,
        httponly=True,
        samesite="none" if framed else "lax",
    )
    if framed:
        _partition(answer)


def take(answer: Response, settings: PublicPages, *, name: str, path: str) -> None:
    """Let *answer* delete the cookie, whichever it is."""
    answer.delete_cookie(name, path=path, secure=settings.https, httponly=True, samesite="lax")
    if settings.in_frames:
        answer.delete_cookie(name, path=path, secure=True, httponly=True, samesite="none")
        _partition(answer)


def _framed(request: Request) -> bool:
    return FRAMED in request.headers or request.headers.get("sec-fetch-dest") in ("iframe", "frame")


def _partition(answer: Response) -> None:
    """Tie the cookie that was set last to the page around; the framework cannot before Python 3.14."""
    name, value = answer.raw_headers.pop()
    answer.raw_headers.append((name, value + b"; Partitioned"))
