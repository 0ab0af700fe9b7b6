"""The public listener: which path is whose. Judged on the raw path, before anything decodes or repairs it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from keyhole.access.decision import Reason
from keyhole.sharing.viewer import PICTURES
from keyhole.web import words
from keyhole.web.incoming import canonical, made_to_load, straightened
from keyhole.web.landing import Landing, Openings
from keyhole.web.language_choice import LanguageChoice
from keyhole.web.pages import ROBOTS, Guarded, PublicPages, message, refused
from keyhole.web.paper import PaperOpenings, PaperPages, to_code
from keyhole.web.pictures import PicturePages
from keyhole.web.static_files import Static
from keyhole.web.viewer import ROUTES, ViewerFiles
from keyhole.web.visit_pages import VisitPages

_ARCHIVES = re.compile(rb"(?:/v/[^/]*)?/dicom-web|/orthanc|/archives")
"""What begins so is the gateway's, well spelt or not: it refuses for itself."""


def public_app(
    openings: Openings,
    paper: PaperOpenings,
    viewer: ViewerFiles,
    gateway: ASGIApp,
    settings: PublicPages,
    now: Callable[[], datetime],
) -> ASGIApp:
    """The public listener's application. *gateway* answers for the archives, untouched by the pages."""
    pages = Guarded(_Pages(_routes(openings, paper, viewer, settings, now), viewer, settings), settings)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            await (gateway if _ARCHIVES.match(scope["raw_path"]) else pages)(scope, receive, send)

    return app


class _Pages:
    """Our own pages and the viewer's files."""

    def __init__(self, routes: list[Route], viewer: ViewerFiles, settings: PublicPages) -> None:
        self._viewer = viewer
        self._in_frames = settings.in_frames
        self._router = Router(routes, redirect_slashes=False, default=self._others)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        straight = straightened(scope["raw_path"])
        if straight is not None and scope["method"] in ("GET", "HEAD"):
            await RedirectResponse(straight, 308)(scope, receive, send)
            return
        if not canonical(scope["raw_path"]) or _for_a_service_worker(scope):
            await message(Request(scope), words.NOT_FOUND)(scope, receive, send)
            return
        if scope["raw_path"].startswith(b"/v/") and made_to_load(Request(scope), in_frames=self._in_frames):
            await message(Request(scope), Reason.CROSS_SITE)(scope, receive, send)
            return
        # Routed by what was received, whatever the server made of it: canonical paths have nothing to decode.
        await self._router({**scope, "path": scope["raw_path"].decode("ascii"), "root_path": ""}, receive, send)

    async def _others(self, scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope["path"] in self._viewer
        answer: ASGIApp = self._viewer if ours else message(Request(scope), words.NOT_FOUND)
        await answer(scope, receive, send)


def _for_a_service_worker(scope: Scope) -> bool:
    """Whether a browser asks for a script to keep as a service worker (Service Workers, "Update").

    There is none: it would outlive the visit that brought it, and see every link that is opened on this origin.
    """
    return any(
        name == b"service-worker" or (name == b"sec-fetch-dest" and value == b"serviceworker")
        for name, value in scope["headers"]
    )


Endpoint = Callable[[Request], Awaitable[ASGIApp]]


class _ByMethod:
    """The endpoints of one path: HEAD as GET, and 405 with what there is for the rest (RFC 9110 section 15.5.6)."""

    def __init__(self, **endpoints: Endpoint) -> None:
        self._endpoints = endpoints
        self._allow = ", ".join(sorted({*endpoints, *(("HEAD",) if "GET" in endpoints else ())}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        endpoint = self._endpoints.get("GET" if request.method == "HEAD" else request.method)
        if endpoint is None:
            refusal = refused(request, words.WRONG_METHOD)
            refusal.headers["allow"] = self._allow
            await refusal(scope, receive, send)
            return
        await (await endpoint(request))(scope, receive, send)


def _routes(
    openings: Openings, paper: PaperOpenings, viewer: ViewerFiles, settings: PublicPages, now: Callable[[], datetime]
) -> list[Route]:
    landing, visit = Landing(openings, settings, now), VisitPages(openings, viewer, settings)
    codes = PaperPages(paper, settings, now)
    static = Static(settings.site)
    table = {
        "/": _ByMethod(GET=codes.start),
        "/s": _ByMethod(GET=landing.link_page, POST=landing.begin),
        "/s/": _ByMethod(GET=landing.link_page, POST=landing.begin),
        "/s/{share}": _ByMethod(GET=landing.link_page, POST=landing.look),
        "/s/{share}/codes": _ByMethod(POST=landing.codes),
        "/s/{share}/visits": _ByMethod(POST=landing.begin),
        "/c": _ByMethod(GET=codes.code_page, POST=codes.look),
        **{path: _ByMethod(GET=to_code) for path in ("/c/", "/C", "/C/")},
        "/c/codes": _ByMethod(POST=codes.codes),
        "/c/visits": _ByMethod(POST=codes.begin),
        "/o": _ByMethod(GET=landing.code_page, POST=landing.redeem),
        "/v/{visit}": _ByMethod(GET=visit.add_slash),
        "/v/{visit}/": _ByMethod(GET=visit.front),
        "/v/{visit}/here": _ByMethod(GET=visit.here, POST=visit.here),
        "/v/{visit}/end": _ByMethod(POST=visit.end),
        f"/v/{{visit}}/{PICTURES.name}": _ByMethod(GET=PicturePages(openings).viewer),
        "/v/{visit}/expired": _ByMethod(GET=visit.expired),
        **{f"/v/{{visit}}/{name}": _ByMethod(GET=visit.viewer) for name in ROUTES},
        "/language": _ByMethod(POST=LanguageChoice(settings).choose),
        "/static/{name}": _ByMethod(GET=static.file),
        "/favicon.ico": _ByMethod(GET=static.favicon),
        "/robots.txt": _ByMethod(GET=_robots),
    }
    return [Route(path, endpoint) for path, endpoint in table.items()]


async def _robots(_: Request) -> Response:
    return PlainTextResponse(ROBOTS, headers={"cache-control": "public, max-age=86400"})
