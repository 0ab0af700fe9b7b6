"""Which Orthanc asks: the Basic credentials of its plugin (RFC 7617), and bounds on guessing them."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from keyhole.access.decision import Reason
from keyhole.gateway.plugin.caller import Caller
from keyhole.gateway.throttle import Throttle

_SCHEME = b"basic"
_EVERYBODY = ""

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Credential:
    """A caller, and what it shows: user and password in base64, spelt in the one way that RFC 4648 has for it."""

    caller: Caller
    shows: bytes = field(repr=False)

    @classmethod
    def of(cls, caller: Caller, user: str, password: str) -> Credential:
        """The credential of *caller*, who shows *user* and *password*."""
        return cls(caller, base64.b64encode(f"{user}:{password}".encode()))


class Credentials:
    """Every caller's. One per process."""

    def __init__(self, credentials: Sequence[Credential]) -> None:
        """Know these."""
        self._credentials = tuple(credentials)

    def caller(self, headers: Headers) -> Caller | Reason:
        """Whoever the one credential in *headers* belongs to, or NO_CREDENTIAL, or BAD_CREDENTIAL.

        All callers are compared, each in a time that depends on what is shown and on nothing else: it tells neither who
        was meant nor how much was right.
        """
        header = None
        for name, value in headers:
            if name == b"authorization":
                header = value if header is None else b""
        if header is None:
            return Reason.NO_CREDENTIAL
        scheme, _, encoded = header.partition(b" ")
        shown = encoded.strip(b" ") if scheme.lower() == _SCHEME else b""
        found: Caller | None = None
        for credential in self._credentials:
            if hmac.compare_digest(credential.shows, shown):
                found = credential.caller
        return found or Reason.BAD_CREDENTIAL


class Guesses:
    """How many wrong credentials are told so, of one address and of all. A right one is never stopped by them."""

    def __init__(self) -> None:
        """Nobody has guessed."""
        self._each = Throttle(at_once=10, per_second=0.2)
        self._all = Throttle(at_once=50, per_second=2.0)

    def wait(self, address: str, now: datetime) -> int:
        """The seconds after which *address* may be wrong again; 0 when it may be now, which is then used up."""
        wait = self._each.take(address, 1, now) or self._all.take(_EVERYBODY, 1, now)
        return 0 if wait == 0 else max(1, round(wait))
