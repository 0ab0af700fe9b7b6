"""An OpenID Connect provider: where things are at it, and its keys (OpenID Connect Discovery 1.0 section 4).

Keys are held and read again: every few minutes, and when a token names one that is not known, as after a rotation,
though not as often as strangers can make up names. While the provider does not answer, the keys that are held serve on
for a while.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

from keyhole.errors import ProviderFailed
from keyhole.identity.oidc import Key, Keys

FRESH: Final = 300.0
"""Seconds for which keys are held without being read again: so long does one serve that the provider has dropped."""
SERVE_ON: Final = 3600.0
"""Seconds for which keys serve on while the provider does not answer."""
PAUSE: Final = 10.0
"""Seconds between two readings for keys that are not known."""
PAUSE_AFTER_FAILURE: Final = 2.0
"""Seconds until a provider that did not answer is asked again."""
PATIENCE: Final = 2.0
"""Seconds for one reading, of both documents together."""

_WELL_KNOWN = "/.well-known/openid-configuration"
_LONGEST_URL = 2000
_log = logging.getLogger("keyhole")


class JsonAsked(Protocol):
    """A client for JSON. Raises ProviderFailed."""

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> tuple[int, object]:
        """The status and, when it is a success, the content."""

    async def post(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> tuple[int, object]:
        """The same, of the answer to *form*."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is used of the provider's own description."""

    jwks_uri: str
    token_endpoint: str | None


@dataclass(frozen=True, slots=True)
class _Held:
    keys: Keys
    metadata: Metadata
    at: float


class Outage:
    """Something that cannot be had: the log is told why, once, and when that is over."""

    def __init__(self, what: str) -> None:
        """All is well with *what*."""
        self._what = what
        self._problem: str | None = None

    def told(self, problem: str) -> None:
        """*problem*, in words of ours."""
        if problem != self._problem:
            _log.warning("%s cannot be had: %s", self._what, problem)
        self._problem = problem

    def over(self) -> None:
        """All is well."""
        if self._problem is not None:
            _log.warning("%s can be had again", self._what)
        self._problem = None


class Provider:
    """One per process. *at* is where the provider is reached, when that is not its *issuer*."""

    def __init__(self, issuer: str, server: JsonAsked, monotonic: Callable[[], float], at: str | None = None) -> None:
        """Nothing is asked yet; *monotonic* tells seconds that only go forward."""
        self._issuer = issuer
        self._at = (at or issuer).rstrip("/")
        self._server = server
        self._monotonic = monotonic
        self._held: _Held | None = None
        self._again_at = float("-inf")
        self._reading: asyncio.Future[None] | None = None
        self._failed = False
        self._outage = Outage("the identity provider's keys")

    async def key(self, name: str | None) -> Key | None:
        """The key that a token calls *name*; None when the provider has none of this name.

        Raises ProviderFailed when that cannot be known now.
        """
        held = self._current(FRESH)
        key = None if held is None else held.keys.named(name)
        if key is not None:
            return key
        await self._read_again()
        held = self._current(SERVE_ON)
        if held is None:
            raise ProviderFailed("the identity provider's keys cannot be had")
        key = held.keys.named(name)
        if key is None and self._failed:
            raise ProviderFailed("the identity provider cannot be asked for a key")
        return key

    async def token_endpoint(self) -> str:
        """Where credentials are exchanged for tokens. Raises ProviderFailed."""
        held = self._current(FRESH)
        if held is None:
            await self._read_again()
            held = self._current(SERVE_ON)
        if held is None or held.metadata.token_endpoint is None:
            raise ProviderFailed("the identity provider does not say where it gives tokens")
        return held.metadata.token_endpoint

    def _current(self, seconds: float) -> _Held | None:
        held = self._held
        return held if held is not None and self._monotonic() - held.at < seconds else None

    async def _read_again(self) -> None:
        """Read once for all who wait, unless that was a moment ago; how it ended is in ``_failed``."""
        if self._reading is None:
            if self._monotonic() < self._again_at:
                return
            self._reading = asyncio.ensure_future(self._read())
            self._reading.add_done_callback(self._done)
        await asyncio.shield(self._reading)

    def _done(self, reading: asyncio.Future[None]) -> None:
        self._reading = None
        if not reading.cancelled():
            reading.exception()  # every waiter has its own copy; without waiters nobody needs it

    async def _read(self) -> None:
        self._failed = True
        self._again_at = self._monotonic() + PAUSE_AFTER_FAILURE
        try:
            async with asyncio.timeout(PATIENCE):
                metadata = self._metadata(await self._document(self._at + _WELL_KNOWN))
                keys = Keys.read(await self._document(metadata.jwks_uri))
        except (ProviderFailed, ValueError, TimeoutError) as error:
            self._again_at = self._monotonic() + PAUSE_AFTER_FAILURE
            self._outage.told(str(error) or "it took too long")
            return
        self._outage.over()
        now = self._monotonic()
        self._held, self._failed, self._again_at = _Held(keys, metadata, now), False, now + PAUSE

    async def _document(self, url: str) -> object:
        status, content = await self._server.get(url)
        if status // 100 != 2:  # noqa: PLR2004 - a success
            raise ProviderFailed(f"the identity provider answered with status {status}")
        return content

    def _metadata(self, document: object) -> Metadata:
        """What *document* says, if it is that of this very issuer (section 4.3); ValueError otherwise."""
        if not isinstance(document, dict) or document.get("issuer") != self._issuer:
            raise ValueError("it does not describe itself as the issuer that KEYHOLE_OIDC_ISSUER names")
        token_endpoint = document.get("token_endpoint")
        return Metadata(
            jwks_uri=self._checked(document.get("jwks_uri")),
            token_endpoint=None if token_endpoint is None else self._checked(token_endpoint),
        )

    def _checked(self, url: object) -> str:
        """*url* when it may be asked: over https, or at the very place where the description was; else ValueError."""
        if not isinstance(url, str) or len(url) > _LONGEST_URL or not url.isascii() or not url.isprintable():
            raise ValueError("its description has no address of keys, or one that is not a URL")
        parts, here = urlsplit(url), urlsplit(self._at)
        if " " in url or "@" in parts.netloc or "\\" in url or not parts.hostname:
            raise ValueError("its description has an address that can be read in two ways")
        if parts.scheme != "https" and (parts.scheme, parts.netloc) != (here.scheme, here.netloc):
            raise ValueError("its description has an address on another server without https")
        return url
