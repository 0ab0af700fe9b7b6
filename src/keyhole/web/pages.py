"""The pages' frame: templates, our own few files, and the headers that every answer of the public listener carries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keyhole.access.decision import Reason
from keyhole.errors import ArchiveFailed, ArchiveTimeout, KeyholeError
from keyhole.gateway import fault
from keyhole.gateway.relay import Begun
from keyhole.language import LANGUAGES, Language
from keyhole.web import words
from keyhole.web.incoming import is_form
from keyhole.web.reader import VARY, language_of, on_site, site_of
from keyhole.web.site import PLAIN, Site

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; "
)
_OFF = (
    "accelerometer", "autoplay", "camera", "display-capture", "encrypted-media", "fullscreen",
    "geolocation", "gyroscope", "hid", "idle-detection", "magnetometer", "microphone", "midi", "payment",
    "picture-in-picture", "publickey-credentials-get", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking",
)  # fmt: skip
_NOTHING = ", ".join(f"{feature}=()" for feature in _OFF)
"""The Permissions-Policy of documents. On anything else it would be bytes that nobody reads."""

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
ROBOTS = "User-agent: *\nDisallow: /s/\nDisallow: /v/\nDisallow: /o\nDisallow: /c\n"


@dataclass(frozen=True, slots=True)
class PublicPages:
    """What the public pages must know.

    ``public_url`` is the address that links begin with; ``frame_ancestors`` are the origins of the pages that may show
    them in a frame; ``site`` is whose they are.
    """

    public_url: str
    frame_ancestors: tuple[str, ...] = ()
    site: Site = PLAIN

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
    def framing(self) -> str:
        """Which pages may show ours in a frame (CSP Level 3 section 6.4.2)."""
        return "frame-ancestors " + (" ".join(self.frame_ancestors) or "'none'")

    @property
    def in_frames(self) -> bool:
        """Whether a visit may begin inside the page of another site: what that takes of cookies is https only."""
        return self.https and bool(self.frame_ancestors)

    @property
    def root(self) -> str:
        """The public URL without a slash at its end."""
        return self.public_url.rstrip("/")


@pass_context
def _day(context: Context, date: str) -> str:
    """DICOM's YYYYMMDD as people read it; nothing for what is no date."""
    try:
        day = datetime.strptime(date, "%Y%m%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        return ""
    return _reading(context).day(day)


@pass_context
def _moment(context: Context, time: datetime) -> str:
    """A time for those whose browser cannot tell it in their own zone."""
    return _reading(context).moment(time)


@pass_context
def _gettext(context: Context, text: str) -> str:
    return _reading(context).gettext(text)


@pass_context
def _ngettext(context: Context, one: str, many: str, count: int) -> str:
    return _reading(context).ngettext(one, many, count)


def _reading(context: Context) -> Language:
    language: Language = context["language"]
    return language


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("keyhole.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.policies["ext.i18n.trimmed"] = True
    # In new style what is filled in is escaped, and the text itself, which is ours, is not.
    environment.install_gettext_callables(_gettext, _ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.filters.update(day=_day, moment=_moment)
    environment.globals.update(LANGUAGES=tuple(map(Language, LANGUAGES)))
    return environment


_TEMPLATES = _environment()


def render(template: str, language: Language, site: Site, **values: object) -> str:
    """The page that *template* makes of *values* in *language*, on *site*; every value is escaped."""
    return _TEMPLATES.get_template(template).render(language=language, site=site, **values)


def page(request: Request, template: str, status: int = 200, **values: object) -> Response:
    """The page that *template* makes of *values* for whoever sent *request*."""
    text = render(template, language_of(request), site_of(request), **values)
    return HTMLResponse(text, status, {"vary": VARY})


def message(request: Request, word: str) -> Response:
    """A page that says one thing from :data:`keyhole.web.words.WORDS`, with its status."""
    said = words.said(word, language_of(request))
    answer = page(request, "message.html", said.status, title=said.title, text=said.text)
    answer.headers.update(_with_status(said.status))
    return answer


def refused(request: Request, word: str, **more: object) -> Response:
    """What *word* is to the sender of *request*: a page for a form, a problem for a program."""
    if request.method in ("GET", "HEAD") or is_form(request):
        return message(request, word)
    return problem(request, word, **more)


def problem(request: Request, word: str, **more: object) -> Response:
    """What *word* is to a program, in the language that it asks for."""
    answer = words.problem(word, language_of(request), **more)
    answer.headers.update({"vary": VARY, **_with_status(answer.status_code)})
    return answer


def _with_status(status: int) -> dict[str, str]:
    """The fields that RFC 9110 wants beside a status."""
    return {
        401: {"www-authenticate": 'Bearer realm="keyhole"'},
        429: {"retry-after": "60"},
        503: {"retry-after": "30"},
    }.get(status, {})


class Guarded:
    """Every answer with its headers, and breakage as an answer."""

    def __init__(self, app: ASGIApp, settings: PublicPages) -> None:
        """Stand before *app*."""
        self._app = app
        self._site = settings.site
        self._headers = {
            "cache-control": "no-store",
            "content-security-policy": _CSP + settings.framing,
            **_ALWAYS,
            **(_OVER_HTTPS if settings.https else {}),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. What *app* sets itself stands."""
        scope = on_site(scope, self._site)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.setdefault("permissions-policy", _NOTHING)
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
