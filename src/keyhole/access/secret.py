"""Secrets, and the ids beside them: what opens something, and what merely names it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import NoReturn

SECRET_BYTES = 20
_ID_BYTES = 10
_ID = re.compile(r"[a-z2-7]{16}")


class Secret:
    """A value that opens something. It does not show itself and does not compare: use :meth:`matches`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap *value*."""
        self._value = value

    def reveal(self) -> str:
        """The value itself, for whoever it is meant for."""
        return self._value

    def digest(self) -> bytes:
        """SHA-256 of the value: what is stored of random secrets of 112 bits and more (ASVS 6.5.2)."""
        return hashlib.sha256(self._value.encode()).digest()

    def matches(self, other: Secret) -> bool:
        """Whether both hold the same value, in constant time."""
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __repr__(self) -> str:
        """Not the value."""
        return "Secret(***)"

    def __eq__(self, other: object) -> NoReturn:
        """Refuse: comparing takes a time that tells."""
        raise TypeError("compare secrets with matches()")

    __hash__ = None  # type: ignore[assignment]


def base32(raw: bytes) -> str:
    """*raw* in lower-case base32 without padding: mailers and carriers leave it alone."""
    return base64.b32encode(raw).decode().lower().rstrip("=")


def new_id() -> str:
    """A public random id of 80 bits: 16 characters."""
    return base32(secrets.token_bytes(_ID_BYTES))


def is_id(text: str) -> bool:
    """Whether *text* has the form of :func:`new_id`."""
    return _ID.fullmatch(text) is not None


def new_secret() -> Secret:
    """A random secret of 160 bits: 32 characters."""
    return Secret(base32(secrets.token_bytes(SECRET_BYTES)))
