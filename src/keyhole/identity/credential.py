"""Read exactly one credential from a request.

"None shown", "shown" and "shown and bad" are three answers; a bad credential never becomes no credential. Which one a
request may show depends on where it goes:

* below ``/v/<visit>/``: that visit's cookie, or its bearer ``khv_<visit>_<value>``, or both if they agree;
* anywhere else: a bearer, of a visit or of an API key (``khk_<key>_<value>``). Cookies are not looked at.

Nothing is verified here: that takes the row that the credential names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from keyhole.access.decision import Deny, Reason
from keyhole.access.secret import Secret
from keyhole.access.subject import Kind

COOKIE = b"keyhole_visit"

_AUTHORIZATION = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +(\S+)")
_BEARER = re.compile(rb"kh([vk])_([a-z2-7]{16})_([a-z2-7]{32})")
_COOKIE_VALUE = re.compile(rb"[a-z2-7]{32}")
_KINDS = {b"v": Kind.VISIT, b"k": Kind.API_KEY}

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case and values, as ASGI gives them: in the order received, repetitions included."""


class NoCredential(Enum):
    """What :func:`read` answers when a request shows none."""

    NONE = "none"


NONE = NoCredential.NONE


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A credential of the right form: ``secret`` is for the row that ``kind`` and ``id`` name."""

    kind: Kind
    id: str
    secret: Secret


def read(headers: Headers, visit_path: str | None) -> Shown | NoCredential | Deny:
    """The one credential in *headers* of a request below ``/v/<visit_path>/``, or elsewhere when that is None.

    Deny(BAD_CREDENTIAL): of no form we know, or not for this place. Deny(CONFLICTING_CREDENTIALS): more than one, and
    they are not the same.
    """
    bearer = _bearer(headers, visit_path)
    if visit_path is None or isinstance(bearer, Deny):
        return bearer
    cookie = _cookie(headers, visit_path)
    if isinstance(cookie, Deny) or bearer is NONE:
        return cookie
    return bearer if cookie is NONE else _agreed(bearer, cookie)


def _agreed(one: Shown | NoCredential, other: Shown | NoCredential) -> Shown | Deny:
    match one, other:
        case Shown(), Shown() if one.id == other.id and one.secret.matches(other.secret):
            return one
        case _:
            return Deny(Reason.CONFLICTING_CREDENTIALS)


def _bearer(headers: Headers, visit_path: str | None) -> Shown | NoCredential | Deny:
    """The bearer token (RFC 6750 section 2.1). Another scheme is a credential too, and none that we know."""
    fields = [value for name, value in headers if name == b"authorization"]
    if not fields:
        return NONE
    if len(fields) > 1:
        return Deny(Reason.CONFLICTING_CREDENTIALS)
    authorization = _AUTHORIZATION.fullmatch(fields[0])
    token = authorization and _BEARER.fullmatch(authorization[1])
    if not token:
        return Deny(Reason.BAD_CREDENTIAL)
    shown = Shown(_KINDS[token[1]], token[2].decode(), Secret(token[3].decode()))
    if visit_path is not None and (shown.kind is not Kind.VISIT or shown.id != visit_path):
        return Deny(Reason.BAD_CREDENTIAL)
    return shown


def _cookie(headers: Headers, visit_path: str) -> Shown | NoCredential | Deny:
    values = list(_cookie_values(headers))
    if not values:
        return NONE
    if len(values) > 1:
        return Deny(Reason.CONFLICTING_CREDENTIALS)
    if not _COOKIE_VALUE.fullmatch(values[0]):
        return Deny(Reason.BAD_CREDENTIAL)
    return Shown(Kind.VISIT, visit_path, Secret(values[0].decode()))


def _cookie_values(headers: Headers) -> Iterator[bytes]:
    """The value of every pair that could be read as our cookie (RFC 6265 section 4.2.1).

    Cut at every semicolon, also inside quotes, as browsers put them together; what another program on this host sets
    is not judged. A name with white space around it counts as ours, and its value is then never a good one.
    """
    for name, value in headers:
        if name != b"cookie":
            continue
        for pair in value.split(b";"):
            key, equals, word = pair.lstrip(b" \t").partition(b"=")
            if key.strip() == COOKIE:
                yield word if equals and key == COOKIE else b""
