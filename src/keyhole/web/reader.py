"""Who reads a page: in which language, and on whose site."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import Scope

from keyhole.language import LANGUAGES, Language, language, negotiated
from keyhole.web.site import PLAIN, Site

CHOSEN = "keyhole_language"
"""The cookie of a reader who has chosen a language on one of the pages."""

VARY = "Accept-Language, Cookie"
_SITE = "keyhole.site"


def on_site(scope: Scope, site: Site) -> Scope:
    """*scope* of a request to the pages of *site*."""
    return {**scope, _SITE: site}


def site_of(request: Request) -> Site:
    """The site whose page was asked for."""
    site: Site = request.scope.get(_SITE, PLAIN)
    return site


def language_of(request: Request) -> Language:
    """The language that the reader has chosen, or that the browser asks for, or the site's own."""
    chosen = request.cookies.get(CHOSEN)
    if chosen in LANGUAGES:
        return language(chosen)
    return negotiated(request.headers.get("accept-language"), site_of(request).language)
