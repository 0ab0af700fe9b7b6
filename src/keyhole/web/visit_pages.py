"""What a visitor sees below ``/v/<visit>/`` besides images: what was shared, the viewer's page, and the end."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp

from keyhole.access.decision import Deny, Reason
from keyhole.access.secret import is_id
from keyhole.gateway.client import client_of
from keyhole.gateway.visiting import Shown
from keyhole.sharing.viewer import OHIF, PICTURES
from keyhole.sharing.visit import COOKIE
from keyhole.web import cookies, words
from keyhole.web.fixed import FixedPage
from keyhole.web.incoming import from_elsewhere
from keyhole.web.landing import Openings
from keyhole.web.pages import PublicPages, message, page, problem, refused
from keyhole.web.pictures import pictures_instead
from keyhole.web.viewer import ViewerFiles


class VisitPages:
    """The routes of a visit."""

    def __init__(self, openings: Openings, viewer: ViewerFiles, settings: PublicPages) -> None:
        """Show what *openings* tells, in *viewer*."""
        self._openings = openings
        self._viewer = viewer
        self._settings = settings
        self._expired_page = FixedPage("expired.html", settings.site)

    async def front(self, request: Request) -> Response:
        """What was shared, and the way to the viewer."""
        visit = _visit(request)
        if visit is None:
            return message(request, words.NOT_FOUND)
        headers = request.scope["headers"]
        actions = await self._openings.actions(visit, headers)
        if isinstance(actions, Deny):
            return message(request, actions.reason)
        if not OHIF.fits(actions):
            return RedirectResponse(PICTURES.open([], []), 303)
        match await self._openings.shown(visit, headers, client_of(request.scope)):
            case Shown() as shown:
                return page(request, "visit.html", shown=shown, open=OHIF.open, pictures=PICTURES.open)
            case Deny(reason):
                return message(request, reason)

    async def add_slash(self, request: Request) -> Response:
        """The cookie's path ends in a slash; whoever leaves it out is shown the way."""
        visit = _visit(request)
        return message(request, words.NOT_FOUND) if visit is None else RedirectResponse(f"/v/{visit}/", 308)

    async def viewer(self, request: Request) -> ASGIApp:
        """The viewer's page, while the visit lasts."""
        visit = _visit(request)
        if visit is None:
            return message(request, words.NOT_FOUND)
        actions = await self._openings.actions(visit, request.scope["headers"])
        if isinstance(actions, Deny):
            return message(request, actions.reason)
        if not OHIF.fits(actions):
            return pictures_instead(request)
        return self._viewer.page if self._viewer.installed else message(request, words.NO_VIEWER)

    async def here(self, request: Request) -> Response:
        """Whether the visit still runs. GET only asks; POST says that somebody is there."""
        visit = _visit(request)
        if visit is None:
            return message(request, words.NOT_FOUND)
        present = request.method == "POST"
        if present and from_elsewhere(request, self._settings.origin):
            return refused(request, Reason.CROSS_SITE)
        ended = await self._openings.lasts(visit, request.scope["headers"], present=present)
        if ended is None:
            return Response(status_code=204)
        return problem(request, ended.reason)

    async def end(self, request: Request) -> Response:
        """End the visit because its visitor is done, and leave nothing in the browser."""
        visit = _visit(request)
        if visit is None:
            return message(request, words.NOT_FOUND)
        if from_elsewhere(request, self._settings.origin):
            return message(request, Reason.CROSS_SITE)
        refusal = await self._openings.end(visit, request.scope["headers"], client_of(request.scope))
        answer = page(request, "done.html") if refusal is None else message(request, refusal.reason)
        if refusal is None:
            answer.headers["clear-site-data"] = '"cache", "storage"'
            cookies.take(answer, self._settings, name=COOKIE, path=f"/v/{visit}/")
        return answer

    async def expired(self, request: Request) -> Response:
        """Where the viewer goes when it is told that the visit is over. The same bytes for every visit."""
        return message(request, words.NOT_FOUND) if _visit(request) is None else self._expired_page.answer(request)


def _visit(request: Request) -> str | None:
    visit: str = request.path_params["visit"]
    return visit if is_id(visit) else None
