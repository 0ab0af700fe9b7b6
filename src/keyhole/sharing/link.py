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
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from keyhole.access.secret import SECRET_BYTES, Secret, base32, is_id, new_id, new_secret
from keyhole.access.share import Share

__all__ = [
    "KeyRing",
    "Ring",
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


class Ring(Protocol):
    """What links are made with and held to: a :class:`KeyRing`, or one that follows its file."""

    @property
    def current(self) -> str:
        """The id of the key that new links are derived from."""

    @property
    def now(self) -> KeyRing:
        """The keys at this moment: the same object for as long as they are the same."""

    def derive(self, purpose: str, *parts: str, key_id: str | None = None) -> bytes:
        """As :meth:`KeyRing.derive`."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys that secrets are derived from, by id. They live outside the database, with a backup of their own.

    ``keys`` are in the order in which they were made. ``current`` derives new links; those before it stay until the
    links derived from them have ended, those after it are prepared: known to every node before the first link needs
    them. ``retired`` are what is left of keys that were dropped: they verify the trail, and make no link.
    """

    current: str
    keys: Mapping[str, bytes] = field(repr=False)
    retired: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Refuse a ring without its current key, or with a key that is too short."""
        if self.current not in self.keys:
            raise ValueError("the current key is not in the ring")
        if any(len(key) < _KEY_BYTES for key in (*self.keys.values(), *self.retired.values())):
            raise ValueError(f"a key has at least {_KEY_BYTES} bytes")

    @property
    def now(self) -> KeyRing:
        """This ring."""
        return self

    @classmethod
    def new(cls) -> Self:
        """A ring with one random key."""
        name = new_id()
        return cls(name, {name: secrets.token_bytes(_KEY_BYTES)})

    def dump(self) -> str:
        """The ring as text for its file, which only its owner may read."""
        retired = {"retired": _written(self.retired)} if self.retired else {}
        return json.dumps({"current": self.current, "keys": _written(self.keys), **retired}, indent=2) + "\n"

    @classmethod
    def load(cls, text: str) -> Self:
        """The ring that :meth:`dump` wrote; ValueError without any part of *text* when it is something else."""
        try:
            content = json.loads(text)
            return cls(str(content["current"]), _read(content["keys"]), _read(content.get("retired", {})))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError("not a key ring") from None

    def derive(self, purpose: str, *parts: str, key_id: str | None = None) -> bytes:
        """32 bytes for *purpose* and *parts*; KeyError when the ring lacks *key_id*.

        Parts are joined with their lengths, so that no two lists of parts give the same bytes.
        """
        message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in (purpose, *parts))
        return hmac.digest(self.keys[key_id or self.current], message, "sha256")

    @property
    def prepared(self) -> tuple[str, ...]:
        """The keys that are not used yet, oldest first."""
        names = tuple(self.keys)
        return names[names.index(self.current) + 1 :]

    @property
    def former(self) -> tuple[str, ...]:
        """The keys that make no new links any more, oldest first."""
        names = tuple(self.keys)
        return names[: names.index(self.current)]

    def with_new_key(self) -> KeyRing:
        """The ring with one more random key, prepared."""
        return replace(self, keys={**self.keys, new_id(): secrets.token_bytes(_KEY_BYTES)})

    def rotated(self) -> KeyRing:
        """The ring with its oldest prepared key as the current one, or with a new one."""
        ring = self if self.prepared else self.with_new_key()
        return replace(ring, current=ring.prepared[0])

    def without(self, dropped: Collection[str]) -> KeyRing:
        """The ring without these keys; what the trail is verified with stays. ValueError for the current key."""
        kept = {name: key for name, key in self.keys.items() if name not in dropped}
        left = {name: key for name, key in self.trail_keys().items() if name not in kept}
        return replace(self, keys=kept, retired=left)

    def trail_keys(self) -> dict[str, bytes]:
        """The keys that rows of the trail are signed with, by the id of the key that each is derived from."""
        return {**self.retired, **{name: self.derive("trail", key_id=name) for name in self.keys}}


def _written(keys: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(key).decode() for name, key in keys.items()}


def _read(written: Mapping[str, str]) -> dict[str, bytes]:
    return {str(name): base64.b64decode(key, validate=True) for name, key in written.items()}


def secret_of(share: Share, ring: Ring) -> Secret:
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
    shown = text.strip(" \t\r\n")
    value = shown.lower()
    # before lower(), which makes a k of the sign for Kelvin
    if (
        not shown.isascii()
        or _SECRET.fullmatch(value) is None
        or _check(value[:_SECRET_CHARS]) != value[_SECRET_CHARS:]
    ):
        return None
    return Secret(value)


def verify(share: Share, shown: Secret, ring: Ring) -> bool:
    """Whether *shown* opens *share*; False as well when the share's key has left the ring."""
    try:
        return secret_of(share, ring).matches(shown)
    except KeyError:
        return False


def link(public_url: str, share: Share, ring: Ring) -> str:
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
