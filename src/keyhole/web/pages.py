"""The pages' frame: templates, our own few files, and the headers that every answer of the public listener carries."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keyhole.access.decision import Reason
from keyhole.errors import ArchiveFailed, ArchiveTimeout, KeyholeError
from keyhole.gateway import fault
from keyhole.gateway.relay import Begun
from keyhole.web import words
from keyhole.web.incoming import is_form

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_OFF = (
    "accelerometer", "autoplay", "camera", "display-capture", "encrypted-media", "fullscreen",
    "geolocation", "gyroscope", "hid", "idle-detection", "magnetometer", "microphone", "midi", "payment",
    "picture-in-picture", "publickey-credentials-get", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking",
)  # fmt: skip
_ALWAYS = {
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow, noarchive",
    "cross-origin-resource-policy": "same-origin",
}
_OVER_HTTPS = {
    "cross-origin-opener-policy": "same-origin",  # over plain http it does nothing but complain in the console
    "strict-transport-security": "max-age=63072000",
}
_STATIC = {
    "favicon.svg": "image/svg+xml",
    "keyhole.css": "text/css; charset=utf-8",
    "landing.js": "text/javascript; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "visit.js": "text/javascript; charset=utf-8",
}

ROBOTS = "User-agent: *\nDisallow: /s/\nDisallow: /v/\nDisallow: /o\n"


@dataclass(frozen=True, slots=True)
class PublicPages:
    """What the public pages must know. ``public_url`` is the address that links begin with."""

    public_url: str

    @property
    def https(self) -> bool:
        """Whether recipients come over https."""
        return urlsplit(self.public_url).scheme == "https"

    @property
    def origin(self) -> str:
        """The origin as browsers write it (RFC 6454 section 6.2)."""
        parts = urlsplit(self.public_url)
        ports = {"http": 80, "https": 443}
        port = "" if parts.port in (None, ports.get(parts.scheme)) else f":{parts.port}"
        return f"{parts.scheme}://{parts.hostname}{port}"

    @property
    def root(self) -> str:
        """The public URL without a slash at its end."""
        return self.public_url.rstrip("/")


def _day(date: str) -> str:
    """DICOM's YYYYMMDD as people read it; nothing for what is no date."""
    try:
        return f"{datetime.strptime(date, '%Y%m%d'):%-d %B %Y}"  # noqa: DTZ007 - a day has no zone
    except ValueError:
        return ""


def _moment(time: datetime) -> str:
    """A time for those whose browser cannot tell it in their own zone."""
    return f"{time:%-d %B %Y, %H:%M} UTC"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("keyhole.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(day=_day, moment=_moment)
    return environment


_TEMPLATES = _environment()


def render(template: str, **values: object) -> str:
    """The page that *template* makes of *values*; every value is escaped."""
    return _TEMPLATES.get_template(template).render(**values)


def message(word: str) -> Response:
    """A page that says one thing from :data:`keyhole.web.words.WORDS`, with its status."""
    said = words.words(word)
    page = render("message.html", title=said.title, text=said.text)
    return HTMLResponse(page, said.status, _with_status(said.status))


def refused(request: Request, word: str, **more: str) -> Response:
    """What *word* is to the sender of *request*: a page for a form, a problem for a program."""
    if request.method in ("GET", "HEAD") or is_form(request):
        return message(word)
    answer = words.problem(word, **more)
    answer.headers.update(_with_status(answer.status_code))
    return answer


def _with_status(status: int) -> dict[str, str]:
    """The fields that RFC 9110 wants beside a status."""
    return {
        401: {"www-authenticate": 'Bearer realm="keyhole"'},
        429: {"retry-after": "60"},
        503: {"retry-after": "30"},
    }.get(status, {})


class Static:
    """Our own files, by exact name, held in memory."""

    def __init__(self) -> None:
        """Read them."""
        folder = resources.files("keyhole.web").joinpath("static")
        self._files = {name: folder.joinpath(name).read_bytes() for name in _STATIC}

    async def file(self, request: Request) -> Response:
        """One of them; validated again each time, so that no page meets a script of another version."""
        return self._answer(request, request.path_params["name"])

    async def favicon(self, request: Request) -> Response:
        """What browsers ask for unasked."""
        return self._answer(request, "favicon.svg")

    def _answer(self, request: Request, name: str) -> Response:
        content = self._files.get(name)
        if content is None:
            return message(words.NOT_FOUND)
        headers = {"cache-control": "no-cache", "etag": f'"{hashlib.sha256(content).hexdigest()[:20]}"'}
        if headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=_STATIC[name], headers=headers)


class Guarded:
    """Every answer with its headers, and breakage as an answer."""

    def __init__(self, app: ASGIApp, settings: PublicPages) -> None:
        """Stand before *app*."""
        self._app = app
        self._headers = {
            "cache-control": "no-store",
            "content-security-policy": _CSP,
            "permissions-policy": ", ".join(f"{feature}=()" for feature in _OFF),
            **_ALWAYS,
            **(_OVER_HTTPS if settings.https else {}),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. What *app* sets itself stands."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            elif scope["method"] == "HEAD":
                message = {**message, "body": b""}
            await begun(message)

        begun = Begun(send)
        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            return
        except Exception as error:
            if begun.yet:
                raise
            if not isinstance(error, KeyholeError):
                fault.note(error, "answering with a page")
            await refused(Request(scope), _word(error))(scope, receive, sending)


def _word(error: Exception) -> str:
    match error:
        case ArchiveTimeout():
            return Reason.ARCHIVE_TIMEOUT
        case ArchiveFailed():
            return Reason.ARCHIVE_FAILED
        case KeyholeError():
            return Reason.STORE_FAILED
        case _:
            return words.TROUBLE
