"""Our own few files, and the site's: by exact name, held in memory, compressed once."""

from __future__ import annotations

from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

from keyhole.web import words
from keyhole.web.content import Content
from keyhole.web.pages import message
from keyhole.web.site import Site

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PICTURE = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
"""An SVG is a document when it is opened by itself: it then has no script, no origin and nothing to load."""


class Static:
    """The files below ``/static/``."""

    def __init__(self, site: Site) -> None:
        """Read ours, and take those of *site*."""
        folder = resources.files("keyhole.web").joinpath("static")
        self._files = {
            file.name: Content.of(file.read_bytes(), _TYPES[file.name[file.name.rindex(".") :]])
            for file in folder.iterdir()
        }
        if site.css is not None:
            self._files["site.css"] = Content.of(site.css.encode(), _TYPES[".css"])
        if site.logo is not None:
            name = site.logo.path.rpartition("/")[2]
            self._files[name] = Content.of(site.logo.content, site.logo.media_type)

    async def file(self, request: Request) -> Response:
        """One of them; validated again each time, so that no page meets a script of another version."""
        return self._answer(request, request.path_params["name"])

    async def favicon(self, request: Request) -> Response:
        """What browsers ask for unasked."""
        return self._answer(request, "favicon.svg")

    def _answer(self, request: Request, name: str) -> Response:
        content = self._files.get(name)
        if content is None:
            return message(request, words.NOT_FOUND)
        picture = _PICTURE if content.media_type.startswith("image/") else {}
        return content.answer(request, {"cache-control": "no-cache", **picture}, kept=True)
