"""The server that may be running: does it listen, is it ready, and does the public address lead to it."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from keyhole.operations.doctor import asking
from keyhole.operations.doctor.asking import Heard, Unheard, Untrusted
from keyhole.operations.doctor.certificate import SOON_DAYS
from keyhole.operations.doctor.finding import Finding, error, note, ok, warning
from keyhole.settings import Bind, Settings

PATH = "/s"
"""A page of Keyhole's that needs nothing and reveals nothing."""

_OURS = "/static/keyhole.css"
_PROMISED = {
    "content-security-policy": "default-src 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
"""What every page of the public listener says; a proxy must leave it so."""
_DAY = 86_400
_CLIENTS = 256
_FILES = 128
_PER_ARCHIVE = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was answered at one address; ``why`` if nothing was, ``untrusted`` if its certificate is not trusted."""

    url: str
    heard: Heard | None = None
    why: str = ""
    untrusted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningFacts:
    """The public listener here, the readiness that the internal one tells, and what the public URL leads to."""

    here: Seen | None = None
    internal: Seen | None = None
    outside: Seen | None = None
    off: tuple[str, ...] = field(default=())


def local(bind: Bind) -> Bind:
    """An address of this machine at which a listener bound to *bind* answers."""
    wild = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
    return Bind(wild.get(bind.host, bind.host), bind.port)


async def here(settings: Settings) -> Seen | None:
    """What the public listener answers on this machine, whatever its certificate says; None when it is off."""
    if settings.bind is None or not settings.bind.port:
        return None
    scheme = "https" if settings.tls_cert else "http"
    return await _seen(f"{scheme}://{local(settings.bind)}{PATH}", verified=False)


async def internal(settings: Settings) -> Seen | None:
    """What the internal listener tells of its readiness; None when it is off."""
    if settings.internal_bind is None or not settings.internal_bind.port:
        return None
    return await _seen(f"http://{local(settings.internal_bind)}/readyz", verified=False)


async def outside(settings: Settings) -> Seen:
    """What is answered under the public URL, as a recipient's browser would ask from here."""
    return await _seen(settings.public_url + PATH, verified=True)


async def _seen(url: str, *, verified: bool) -> Seen:
    try:
        return Seen(url=url, heard=await asking.ask(url, tls=None if verified else asking.unverified()))
    except Untrusted as error:
        return Seen(url=url, why=str(error), untrusted=True)
    except Unheard as error:
        return Seen(url=url, why=str(error))


def is_ours(heard: Heard) -> bool:
    """Whether a page of ours was answered."""
    return heard.status == 200 and _OURS in heard.body.decode("utf-8", "replace")  # noqa: PLR2004 - HTTP's own


def listens(seen: Seen | None) -> Iterator[Finding]:
    """Whether a server runs here."""
    if seen is None:
        yield note("server", "there is no public listener on a known port here", "whether it runs cannot be told")
    elif seen.heard is None:
        yield note(
            "server",
            f"no server answers at {_origin(seen)}: {seen.why}",
            "that is so while keyhole serve is not running",
        )
    elif is_ours(seen.heard):
        yield ok("server", f"Keyhole answers at {_origin(seen)}")
    else:
        yield error(
            "server",
            f"something that is not Keyhole answers at {_origin(seen)}",
            "keyhole serve cannot listen there",
            "stop that program, or choose another port with KEYHOLE_BIND",
        )


def ready(seen: Seen | None) -> Iterator[Finding]:
    """Whether the running server can answer for itself."""
    if seen is None or seen.heard is None:
        return
    parts = _parts(seen.heard)
    failed = sorted(name for name, state in parts.items() if state != "ok")
    if seen.heard.status == 200:  # noqa: PLR2004 - HTTP's own
        yield ok("server-ready", "the running server is ready")
    else:
        yield error(
            "server-ready",
            "the running server is not ready" + (f": {', '.join(failed)} failed" if failed else ""),
            "links do not open, or show no images",
            "see what is found here about that part, and the server's log",
        )


def _parts(heard: Heard) -> dict[str, str]:
    """What the readiness names, as far as it is our own words."""
    try:
        parts = json.loads(heard.body)["parts"]
        return {str(name): str(state) for name, state in parts.items() if str(name).isprintable()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def public(seen: Seen, local_one: Seen | None) -> Iterator[Finding]:
    """Whether links lead to Keyhole, and nothing takes its headers away."""
    runs = local_one is None or local_one.heard is not None
    if seen.heard is None:
        if seen.untrusted:
            yield warning(
                "public-url",
                f"the public URL's certificate is not trusted from here: {seen.why}",
                "browsers warn whoever opens a link, unless they know who signed it",
                "use a certificate that recipients' browsers trust, with its whole chain",
            )
        elif runs:
            yield note(
                "public-url",
                f"the public URL cannot be reached from this machine: {seen.why}",
                "that is so where a firewall keeps servers from themselves, and where links do not work",
                "open it on a telephone that is not in the hospital's network",
            )
    elif seen.heard.status in range(300, 400):
        yield warning(
            "public-url",
            f"the public URL leads elsewhere: status {seen.heard.status}",
            "what follows the # of a link may be lost, and cookies belong to another host",
            "let KEYHOLE_PUBLIC_URL be the address that is redirected to",
        )
    elif not is_ours(seen.heard):
        yield (error if runs else note)(
            "public-url",
            f"something that is not Keyhole answers under the public URL: status {seen.heard.status}",
            "links lead there",
            "see that the name and the proxy lead to KEYHOLE_BIND",
        )
    else:
        yield ok("public-url", f"the public URL leads to Keyhole: {_origin(seen)}")
        yield from headers(seen.heard)
        yield from lasting(seen.heard)


def headers(heard: Heard) -> Iterator[Finding]:
    """Whether the headers that keep pages safe arrive."""
    missing = [name for name, value in _PROMISED.items() if not heard.headers.get(name, "").startswith(value)]
    if missing:
        yield warning(
            "public-headers",
            f"answers under the public URL come without {', '.join(missing)}",
            "a proxy takes away, or overwrites, what protects recipients' browsers",
            "have the proxy leave Keyhole's headers as they are",
        )
    else:
        yield ok("public-headers", "answers under the public URL carry the headers that protect browsers")


def lasting(heard: Heard) -> Iterator[Finding]:
    """Until when browsers take the certificate that is shown under the public URL, by whatever shows it."""
    if heard.trusted_until is None:
        return
    days = int((heard.trusted_until - heard.heard_at) // _DAY)
    told = f"the certificate under the public URL is trusted, and ends in {days} days"
    if days < SOON_DAYS:
        yield warning(
            "public-certificate",
            told,
            "after that browsers warn whoever opens a link",
            "see that it is renewed where TLS ends: at the proxy, or in KEYHOLE_TLS_CERT",
        )
    else:
        yield ok("public-certificate", told)


def _origin(seen: Seen) -> str:
    parts = urlsplit(seen.url)
    return f"{parts.scheme}://{parts.netloc}"


def open_files(limit: int, archives: int) -> Iterator[Finding]:
    """Whether a worker may open as many files and connections as it needs, with so many *archives*."""
    needed = _CLIENTS + _FILES + _PER_ARCHIVE * archives
    if limit < needed:
        yield warning(
            "open-files",
            f"a process may have {limit} files and connections open here; a worker may need {needed}",
            "when many look at once, some are refused",
            "raise it: LimitNOFILE= in the service's unit, or ulimit -n",
        )
    else:
        yield ok(
            "open-files", f"a process may have {limit} files and connections open here, of {needed} that it may need"
        )


def file_limit() -> int:
    """How many files a process that is started like this one may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 30 if soft == resource.RLIM_INFINITY else soft
