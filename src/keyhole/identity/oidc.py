"""Tokens of an OpenID Connect provider: whose they are, and what they say of that person.

A token is a JWS (RFC 7515) that was signed with one of the provider's own keys. What its header says of keys
(``jku``, ``x5u``, ``jwk``, ``x5c``) is not looked at, but for the name of the key; and only algorithms with a private
and a public key are known here (RFC 8725 section 3.1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jwt import JWTClaimsRegistry

LONGEST: Final = 16 * 1024
"""Characters of a token that is looked at."""
LEEWAY: Final = 10
"""Seconds by which the provider's clock may differ from ours."""
MOST_KEYS: Final = 100
"""Keys of a provider that are looked at."""

_MOST_NAMES = 1000
_LONGEST_NAME = 200
_RSA_BITS = range(2048, 16384 + 1)
_TYPES = frozenset({"jwt", "at+jwt"})
_SUBJECT = re.compile(r"[\x21-\x7e]{1,255}")
_COMPACT = re.compile(r"[A-Za-z0-9_-]{1,8192}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_EC = MappingProxyType({"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"})
_OKP = ("Ed25519",)

Key = RSAKey | ECKey | OKPKey
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=_LONGEST_NAME)]

# Of anything else, such as a key's private half, nothing is read.
_PUBLIC: Mapping[str, tuple[type[RSAKey | ECKey | OKPKey], tuple[str, ...]]] = MappingProxyType(
    {"RSA": (RSAKey, ("n", "e")), "EC": (ECKey, ("crv", "x", "y")), "OKP": (OKPKey, ("crv", "x"))}
)


class Header(msgspec.Struct, frozen=True):
    """What a token says of how it was signed. ``crit``: what must be understood, and nothing of it is here."""

    alg: Name
    kid: Name | None = None
    typ: Name | None = None
    crit: msgspec.UnsetType | Any = msgspec.UNSET


_HEADER = msgspec.json.Decoder(Header)
_CLAIMS = msgspec.json.Decoder(dict[str, Any])


@dataclass(frozen=True, slots=True)
class Keys:
    """The public keys of a provider, by name."""

    by_name: Mapping[str, Key]

    @classmethod
    def read(cls, document: object) -> Keys:
        """The keys for signatures in a JWK set (RFC 7517 section 5); those that are none of ours are passed over.

        Raises ValueError when it is no such set, or holds more than :data:`MOST_KEYS`.
        """
        listed = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(listed, list) or len(listed) > MOST_KEYS:
            raise ValueError("not a set of keys")
        found: dict[str, Key] = {}
        for each in listed:
            key = _key(each) if isinstance(each, dict) else None
            if key is not None:
                found.setdefault(each.get("kid") or "", key)
        return cls(found)

    def named(self, name: str | None) -> Key | None:
        """The key called *name*; without a name the only one, if it is that."""
        if name is not None:
            return self.by_name.get(name)
        return next(iter(self.by_name.values())) if len(self.by_name) == 1 else None


def _key(listed: Mapping[str, Any]) -> Key | None:
    kind, members = _PUBLIC.get(str(listed.get("kty")), (None, ()))
    named = listed.get("kid")
    if kind is None or listed.get("use", "sig") != "sig" or not isinstance(named, str | None):
        return None
    try:
        if kind is RSAKey and int.from_bytes(_decoded(listed["n"])).bit_length() not in _RSA_BITS:
            return None
        return kind.import_key({"kty": listed["kty"], **{name: listed[name] for name in members}})
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None


def header(token: str) -> Header | None:
    """How *token* says it was signed; None for what is no token of this kind."""
    if len(token) > LONGEST or _COMPACT.fullmatch(token) is None:
        return None
    try:
        found = _HEADER.decode(_decoded(token.partition(".")[0]))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    known = found.alg in (*_RSA, *_EC, *_OKP) and found.crit is msgspec.UNSET
    return found if known and (found.typ or "jwt").lower() in _TYPES else None


def _decoded(part: str) -> bytes:
    return msgspec.convert(part.replace("-", "+").replace("_", "/") + "=" * (-len(part) % 4), bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the tokens of a provider have to say, and where in them roles and groups are: paths with dots."""

    issuer: str
    audience: str
    roles: str = "realm_access.roles"
    groups: str = "groups"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whom a token is about. ``id`` is the provider's own name for them (``sub``), ``name`` is for people."""

    id: str
    name: str
    roles: frozenset[str]
    groups: tuple[str, ...]
    until: datetime


def verify(token: str, shown: Header, key: Key, expected: Expected, now: datetime) -> Person | None:
    """Whom *token*, with the header *shown*, is about; None unless *key* signed it as *expected* and it holds *now*."""
    if not _fits(key, shown.alg):
        return None
    try:
        claims = _CLAIMS.decode(jws.deserialize_compact(token, key, algorithms=[shown.alg]).payload or b"")
        _registry(expected, now).validate(claims)
        until = datetime.fromtimestamp(claims["exp"], UTC)
    except (JoseError, msgspec.MsgspecError, ValueError, TypeError, OverflowError, OSError, RecursionError):
        return None
    if claims.get("typ", "Bearer") != "Bearer" or _SUBJECT.fullmatch(claims["sub"]) is None:
        return None  # Keycloak says so of tokens that are for something else: ID, Refresh, Logout
    return Person(
        id=claims["sub"],
        name=_name(claims),
        roles=frozenset(names(found(claims, expected.roles))),
        groups=tuple(names(found(claims, expected.groups))),
        until=until,
    )


def _fits(key: Key, algorithm: str) -> bool:
    match key:
        case RSAKey():
            return algorithm in _RSA
        case ECKey():
            return _EC.get(algorithm) == key.curve_name
        case _:
            return algorithm in _OKP


def _registry(expected: Expected, now: datetime) -> JWTClaimsRegistry:
    return JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=LEEWAY,
        iss={"essential": True, "value": expected.issuer},
        aud={"essential": True, "value": expected.audience},
        exp={"essential": True},
        sub={"essential": True},
    )


def _name(claims: Mapping[str, Any]) -> str:
    for name in ("name", "preferred_username"):
        value = claims.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()[:_LONGEST_NAME]
    return str(claims["sub"])


def found(claims: Mapping[str, Any], path: str) -> object:
    """What is at *path*: the claim of that very name, or what the names between its dots lead to; None for nothing."""
    if path in claims:
        return claims[path]
    here: object = claims
    for name in path.split("."):
        here = here.get(name) if isinstance(here, dict) else None
    return here


def names(value: object) -> Sequence[str]:
    """The names in a claim. One that is no list holds none: that it might be meant as a name is no reason to act on it.

    So does one that is too long; what is no name in a list is passed over.
    """
    if not isinstance(value, list) or len(value) > _MOST_NAMES:
        return ()
    return list(dict.fromkeys(name for name in value if isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME))
