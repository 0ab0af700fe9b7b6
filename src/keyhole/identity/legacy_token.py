"""Link tokens of the service that answered Orthanc's plugin before. Pure.

JWS in compact form (RFC 7515), HMAC with SHA-256 and nothing else, and nothing of one is read before it is verified.
None are made here.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from keyhole.access.decision import Reason
from keyhole.access.secret import base32

_ALGORITHMS = ["HS256"]
_LONGEST = 64 * 1024
_ID_BYTES = 10
_DOTS = 2


class LegacyResource(msgspec.Struct, frozen=True):
    """What a token names: by either of its names, or both."""

    dicom_uid: str | None = None
    orthanc_id: str | None = None
    level: str | None = None


class _Claims(msgspec.Struct, frozen=True):
    type: str
    resources: tuple[LegacyResource, ...]
    expiration_date: str | None = None
    exp: float | None = None
    nbf: float | None = None


class LegacyToken(msgspec.Struct, frozen=True):
    """A verified token. ``expires_at`` None: it names no end."""

    token_type: str
    resources: tuple[LegacyResource, ...]
    expires_at: datetime | None
    not_before: datetime | None


_CLAIMS = msgspec.json.Decoder(_Claims)


def looks_like_one(text: str) -> bool:
    """Whether *text* has the form of a JWS, whoever made it."""
    return text.count(".") == _DOTS and text.startswith("ey") and len(text) <= _LONGEST


def share_id(text: str) -> str:
    """The id of the share that the token *text* becomes: the beginning of its digest, which opens nothing."""
    return base32(hashlib.sha256(text.encode()).digest()[:_ID_BYTES])


def read(text: str, key: str) -> LegacyToken | Reason:
    """The token *text*, held to the service's *key*; BAD_CREDENTIAL for what was not made with it or says nothing."""
    try:
        payload = jws.deserialize_compact(text, OctKey.import_key(key.encode()), algorithms=_ALGORITHMS).payload
        claims = _CLAIMS.decode(payload or b"")
        ends = [_moment(claims.exp), _date(claims.expiration_date)]
        not_before = _moment(claims.nbf)
    except (JoseError, msgspec.MsgspecError, UnicodeError, ValueError, OverflowError, RecursionError):
        return Reason.BAD_CREDENTIAL
    expires_at = min((end for end in ends if end is not None), default=None)
    return LegacyToken(claims.type, claims.resources, expires_at, not_before)


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _date(text: str | None) -> datetime | None:
    """A time without offset is UTC."""
    if text is None:
        return None
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
