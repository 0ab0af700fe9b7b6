"""Links: ``https://host/s/<share>#<secret>``, all lower-case base32 (design section 7).

The secret is derived, so that the sender can be shown it again while nothing of it is stored. Three check characters
tell a typing error from a wrong link.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from keyhole.access.secret import SECRET_BYTES, Secret, base32, is_id, new_id, new_secret
from keyhole.access.share import Share

__all__ = [
    "KeyRing",
    "Secret",
    "is_id",
    "link",
    "new_id",
    "new_secret",
    "parse_link",
    "parse_secret",
    "secret_of",
    "verify",
]

_SECRET_CHARS = 32
_CHECK_CHARS = 3
_KEY_BYTES = 32
_SECRET = re.compile(rf"[a-z2-7]{{{_SECRET_CHARS + _CHECK_CHARS}}}")


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys that secrets are derived from, by id. They live outside the database, with a backup of their own.

    ``current`` derives new links; the others stay until the links derived from them have ended.
    """

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a ring without its current key, or with a key that is too short."""
        if self.current not in self.keys:
            raise ValueError("the current key is not in the ring")
        if any(len(key) < _KEY_BYTES for key in self.keys.values()):
            raise ValueError(f"a key has at least {_KEY_BYTES} bytes")

    @classmethod
    def new(cls) -> Self:
        """A ring with one random key."""
        name = new_id()
        return cls(name, {name: secrets.token_bytes(_KEY_BYTES)})

    def dump(self) -> str:
        """The ring as text for its file, which only its owner may read."""
        keys = {name: base64.b64encode(key).decode() for name, key in self.keys.items()}
        return json.dumps({"current": self.current, "keys": keys}, indent=2) + "\n"

    @classmethod
    def load(cls, text: str) -> Self:
        """The ring that :meth:`dump` wrote; ValueError without any part of *text* when it is something else."""
        try:
            content = json.loads(text)
            keys = {str(name): base64.b64decode(key, validate=True) for name, key in content["keys"].items()}
            return cls(str(content["current"]), keys)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError("not a key ring") from None

    def derive(self, purpose: str, *parts: str, key_id: str | None = None) -> bytes:
        """32 bytes for *purpose* and *parts*; KeyError when the ring lacks *key_id*.

        Parts are joined with their lengths, so that no two lists of parts give the same bytes.
        """
        message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in (purpose, *parts))
        return hmac.digest(self.keys[key_id or self.current], message, "sha256")


def secret_of(share: Share, ring: KeyRing) -> Secret:
    """The secret of *share*'s current link; KeyError when its key has left the ring."""
    raw = ring.derive("link", share.archive, share.id, str(share.generation), key_id=share.key_id)
    value = base32(raw[:SECRET_BYTES])
    return Secret(value + _check(value))


def _check(value: str) -> str:
    return base32(hashlib.sha256(b"keyhole link check" + value.encode()).digest())[:_CHECK_CHARS]


def parse_secret(text: str) -> Secret | None:
    """The secret that *text* spells, or None when a character is wrong, missing or too many.

    Case and surrounding white space are forgiven, since people and mailers change them.
    """
    text = text.strip(" \t\r\n").lower()
    if not text.isascii() or _SECRET.fullmatch(text) is None or _check(text[:_SECRET_CHARS]) != text[_SECRET_CHARS:]:
        return None
    return Secret(text)


def verify(share: Share, shown: Secret, ring: KeyRing) -> bool:
    """Whether *shown* opens *share*; False as well when the share's key has left the ring."""
    try:
        return secret_of(share, ring).matches(shown)
    except KeyError:
        return False


def link(public_url: str, share: Share, ring: KeyRing) -> str:
    """The link to give to a recipient. It is a secret: print it only for the sender."""
    return f"{public_url.rstrip('/')}/s/{share.id}#{secret_of(share, ring).reveal()}"


def parse_link(text: str) -> tuple[str, Secret] | None:
    """The share id and secret of a link; None when it is none, or mistyped."""
    address, hash_sign, fragment = text.strip().partition("#")
    share_id = address.rpartition("/s/")[2]
    secret = parse_secret(fragment)
    if not hash_sign or secret is None or not is_id(share_id):
        return None
    return share_id, secret
