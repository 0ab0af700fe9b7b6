"""Pages that no request can change a byte of."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from keyhole.web.content import Content
from keyhole.web.pages import render
from keyhole.web.reader import VARY, language_of
from keyhole.web.site import Site


class FixedPage:
    """A page that is the same bytes for everybody who reads the same language: made once in each, when it is wanted."""

    def __init__(self, template: str, site: Site, **values: object) -> None:
        """Make it of *template* and *values*, on the pages of *site*."""
        self._template = template
        self._site = site
        self._values = values
        self._made: dict[str, Content] = {}

    def answer(self, request: Request) -> Response:
        """The page in the language of *request*'s sender."""
        language = language_of(request)
        made = self._made.get(language.tag)
        if made is None:
            text = render(self._template, language, self._site, **self._values)
            made = self._made[language.tag] = Content.of(text.encode(), "text/html; charset=utf-8")
        return made.answer(request, {"vary": VARY}, kept=False)
