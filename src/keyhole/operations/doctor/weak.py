"""Secrets that are not: defaults, short ones, words. None is ever shown, and neither is its length."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, SecretStr

from keyhole.operations.doctor.finding import Finding, error, ok, warning
from keyhole.settings import Settings
from keyhole.settings.sources import PREFIX, TABLES

_SHORTEST = 12
_LONGEST = 200
"""What is looked at; a secret may be a whole file."""

_FEWEST_BITS = 40.0
"""What a guesser who tries a thousand a second needs a lifetime for."""
_WORDS = frozenset(
    re.findall(
        r"[a-z]+",
        """
        abc abcd abcdef admin administrator alice api apikey archive asdf autumn azerty basic bearer bob change changeme
        clinic database default demo dicom dicomweb dragon example friday guest hospital iloveyou imaging key keyhole
        letmein login master me metrics monday monkey orthanc pacs pass password passwort plugin postgres postgresql
        pwd qwerty qwertz radiology root sample secret server spring summer test testing token user viewer web welcome
        winter
        """,
    )
)
_LEET = str.maketrans("013457@$", "oieastas")


@dataclass(frozen=True, slots=True)
class Named:
    """A secret of the settings, and how whoever set it calls it; ``user`` is who shows it."""

    name: str
    value: str = field(repr=False)
    user: str = ""


def named(model: BaseModel, within: str = "") -> Iterator[Named]:
    """Every secret that *model* holds, at any depth. That of the database is the password in its URL."""
    for name in type(model).model_fields:
        value, told = getattr(model, name), f"{within}{name}" if within else PREFIX + name.upper()
        if name == "database" and isinstance(value, SecretStr):
            yield Named(f"the password in {told}", *_in_url(value.get_secret_value()))
        elif isinstance(value, SecretStr):
            user = getattr(model, name.replace("password", "user"), None)
            yield Named(told, value.get_secret_value(), user if isinstance(user, str) else "")
        elif isinstance(value, Mapping):
            yield from _in_table(value, name if not within and name in TABLES else told)


def _in_table(table: Mapping[str, object], told: str) -> Iterator[Named]:
    for key, value in table.items():
        if isinstance(value, BaseModel):
            yield from named(value, f"{told}.{key}.")
        elif isinstance(value, SecretStr):
            yield Named(f"{key} in {told}", re.sub(r"(?i)^(?:bearer|basic|token)\s+", "", value.get_secret_value()))


def _in_url(url: str) -> tuple[str, str]:
    """The password and the user in a database's URL, in either place that libpq takes them from."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    return unquote(parts.password or "") or query.get("password", ""), parts.username or query.get("user", "")


def secrets(settings: Settings) -> Iterator[Finding]:
    """Every secret of *settings* that is a default, a word, or short."""
    found = [*_defaults(settings), *_guessable(settings)]
    yield from found
    if not found:
        yield ok("secrets", "no secret in the settings is a default, a word, or short")


def _defaults(settings: Settings) -> Iterator[Finding]:
    for name, archive in settings.every_archive().items():
        password = None if archive.password is None else archive.password.get_secret_value()
        if (archive.user, password) == ("orthanc", "orthanc"):
            yield error(
                "secret-default",
                f"archive {name} takes the user and password that Orthanc comes with",
                "whoever reaches the archive tries these first",
                "set a random password in Orthanc's RegisteredUsers and here: openssl rand -base64 24",
            )


def _guessable(settings: Settings) -> Iterator[Finding]:
    for each in named(settings):
        if each.value and weak(each.value, each.user):
            yield warning(
                "secret-weak",
                f"{each.name} is short, or made of words",
                "whoever can try often enough finds it",
                "set a random one, on both sides: openssl rand -base64 24",
            )


def weak(secret: str, user: str = "") -> bool:
    """Whether *secret* could be guessed: it is short, names its *user*, repeats itself, or is words and a number."""
    plain = secret.lower()[:_LONGEST]
    unit = plain[: (plain + plain).find(plain, 1)]
    if len(unit) < _SHORTEST or (user and user.lower() in plain and len(plain) - len(user) < _SHORTEST):
        return True
    if _bits(unit) < _FEWEST_BITS:
        return True
    return _is_words(plain) or _is_words(plain.translate(_LEET))


def _bits(text: str) -> float:
    """What the letters of *text* tell by their variety alone: little for one that repeats itself."""
    counts = [text.count(letter) for letter in set(text)]
    steps = sum(abs(ord(one) - ord(other)) > 1 for one, other in pairwise(text))
    entropy = -sum(count * math.log2(count / len(text)) for count in counts)
    return min(entropy, steps * 4.0 + 8)


def _is_words(text: str) -> bool:
    """Whether *text* is nothing but known words, with digits and signs between them."""
    parts = [part for part in re.split(r"[^a-z]+", text) if part]
    return bool(parts) and all(_of_words(part) for part in parts)


def _of_words(text: str) -> bool:
    """Whether *text* can be cut into known words."""
    ends = {0}
    for end in range(1, len(text) + 1):
        if any(text[start:end] in _WORDS for start in tuple(ends)):
            ends.add(end)
    return len(text) in ends
