"""The small menu on the pages: a reader's own choice of language, kept in a cookie that tells nothing else."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from keyhole.access.decision import Reason
from keyhole.language import LANGUAGES
from keyhole.web import cookies, words
from keyhole.web.incoming import fields, from_elsewhere, is_form
from keyhole.web.pages import PublicPages, refused
from keyhole.web.reader import CHOSEN

_SECONDS = 180 * 24 * 3600
_PAGE = re.compile(r"/(?:s|c|o|v/[a-z2-7]{16}/(?:expired|pictures)?)")
"""Where a form may lead back to. A link's own page is not among them: without its script it has to be pasted anyway."""


class LanguageChoice:
    """The route of the menu."""

    def __init__(self, settings: PublicPages) -> None:
        """Keep choices for the pages of *settings*."""
        self._settings = settings

    async def choose(self, request: Request) -> Response:
        """Keep the choice. A form is led back to its page; a script loads its own again, whose fragment stays so."""
        if from_elsewhere(request, self._settings.origin):
            return refused(request, Reason.CROSS_SITE)
        sent = await fields(request)
        if isinstance(sent, str) or sent.get("language") not in LANGUAGES:
            return refused(request, sent if isinstance(sent, str) else words.BAD_REQUEST)
        answer = _back(sent.get("page", "")) if is_form(request) else Response(status_code=204)
        value = sent["language"]
        cookies.give(answer, request, self._settings, name=CHOSEN, value=value, path="/", seconds=_SECONDS)
        return answer


def _back(page: str) -> Response:
    return RedirectResponse(page if _PAGE.fullmatch(page) else "/s", 303)
