"""Which Orthanc asks: the Basic credentials of its plugin (RFC 7617), and bounds on guessing them."""

from __future__ import annotations

import binascii
import hashlib
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
    """A caller, and the digest of what it shows. A password is long by the settings, so that a digest guards it."""

    caller: Caller
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, caller: Caller, user: str, password: str) -> Credential:
        """The credential of *caller*, who shows *user* and *password*."""
        return cls(caller, _digest(f"{user}:{password}".encode()))


def _digest(shown: bytes) -> bytes:
    return hashlib.sha256(shown).digest()


class Credentials:
    """Every caller's. One per process."""

    def __init__(self, credentials: Sequence[Credential]) -> None:
        """Know these."""
        self._credentials = tuple(credentials)

    def caller(self, headers: Headers) -> Caller | Reason:
        """Whoever the one credential in *headers* belongs to, or NO_CREDENTIAL, or BAD_CREDENTIAL.

        All callers are compared, each in constant time: the time tells neither who was meant nor how much was right.
        """
        shown = None
        for name, value in headers:
            if name == b"authorization":
                shown = value if shown is None else b""
        if shown is None:
            return Reason.NO_CREDENTIAL
        digest = _digest(_decoded(shown) or b"")
        found: Caller | None = None
        for credential in self._credentials:
            if hmac.compare_digest(credential.digest, digest):
                found = credential.caller
        return found or Reason.BAD_CREDENTIAL


def _decoded(value: bytes) -> bytes | None:
    """``user:password`` in the value of a header; None when that is something else."""
    scheme, _, encoded = value.partition(b" ")
    if scheme.lower() != _SCHEME:
        return None
    try:
        return binascii.a2b_base64(encoded.strip(b" "), strict_mode=True)
    except binascii.Error:
        return None


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
