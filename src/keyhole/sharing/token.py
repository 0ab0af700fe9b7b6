"""Tokens that Orthanc's Authorization plugin shows to its web service, and what each type of them opens.

A token is ``kht_<share>_<value>``. The value is derived like a link's secret, for another purpose, so that neither
tells the other; nothing of it is stored, and withdrawing the share ends both. What people are given is a link: a token
opens a share only where the operator's table of types says so, and then only to read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from keyhole.access.secret import SECRET_BYTES, Secret, base32
from keyhole.access.share import Share, ShareKind
from keyhole.sharing.link import Ring

_TOKEN = re.compile(r"kht_([a-z2-7]{16})_([a-z2-7]{32})")
_BEARER = re.compile(r"bearer +", re.IGNORECASE)


class Opens(StrEnum):
    """What a link of a type leads to."""

    LANDING = "landing"
    """Keyhole's own page: conditions, gateway and viewer, as for any link. The token itself opens nothing."""
    DIRECT = "direct"
    """The viewer's own address, with the token in it: whoever holds it sees the study through Orthanc."""
    OFF = "off"
    """Nothing: such links are not made."""


class Creation(StrEnum):
    """Which links an Orthanc may make for people whom its plugin does not name."""

    OFF = "off"
    LANDING = "landing"
    """Links to Keyhole's own page; beside them only those for minutes that the Explorer's own buttons need."""
    TRUSTED = "trusted"
    """What the table of types says, a viewer's own address included, for as long as any share may last."""


class AsksFor(StrEnum):
    """What links ask that are made in Orthanc. Nobody is there to whom a passcode could be told."""

    BIRTH_DATE = "birth-date"
    """The patient's birth date, as all that is shared has it; what has none is not shared."""
    NONE = "none"


class Viewer(StrEnum):
    """The viewers that a type can be for, where they differ in how they are opened."""

    STONE = "stone"
    OHIF = "ohif"
    VOLVIEW = "volview"
    OSIMIS = "osimis"
    MEDDREAM = "meddream"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenType:
    """A type of link that Orthanc Explorer 2 asks for.

    ``instant``: for whoever stands in the Explorer, for minutes, without a page of its own. ``posts``: its viewer reads
    through DICOMweb, for which Orthanc asks a second time with the method ``post``.
    """

    kind: ShareKind
    instant: bool = False
    posts: bool = False
    viewer: Viewer | None = None


TYPES: Mapping[str, TokenType] = MappingProxyType(
    {
        "stone-viewer-publication": TokenType(kind=ShareKind.VIEW, posts=True, viewer=Viewer.STONE),
        "ohif-viewer-publication": TokenType(kind=ShareKind.VIEW, posts=True, viewer=Viewer.OHIF),
        "volview-viewer-publication": TokenType(kind=ShareKind.VIEW, viewer=Viewer.VOLVIEW),
        "osimis-viewer-publication": TokenType(kind=ShareKind.VIEW, viewer=Viewer.OSIMIS),
        "meddream-viewer-publication": TokenType(kind=ShareKind.VIEW, viewer=Viewer.MEDDREAM),
        "meddream-instant-link": TokenType(kind=ShareKind.VIEW, instant=True, viewer=Viewer.MEDDREAM),
        "viewer-instant-link": TokenType(kind=ShareKind.VIEW, instant=True, posts=True),
        "download-instant-link": TokenType(kind=ShareKind.DOWNLOAD, instant=True),
    }
)
"""Every type there is. What is not here is refused: it would open what nobody has thought of."""

USUAL: Mapping[str, Opens] = MappingProxyType(
    {name: Opens.DIRECT if each.instant else Opens.LANDING for name, each in TYPES.items()}
)
"""What each type opens unless the operator says otherwise."""


def token_of(share: Share, ring: Ring) -> Secret:
    """The token of *share*, as long as its link is not renewed; KeyError when its key has left the ring."""
    raw = ring.derive("plugin token", share.archive, share.id, str(share.generation), key_id=share.key_id)
    return Secret(f"kht_{share.id}_{base32(raw[:SECRET_BYTES])}")


def bare(shown: str) -> str:
    """*shown* without the word Bearer that viewers put in front, and without white space around it."""
    text = shown.strip(" \t\r\n")
    return text[match.end() :] if (match := _BEARER.match(text)) else text


def parse_token(text: str) -> tuple[str, Secret] | None:
    """The id of the share that the bare token *text* belongs to, and the whole token; None when it is no such token."""
    match = _TOKEN.fullmatch(text)
    return None if match is None else (match[1], Secret(text))


def verify_token(share: Share, shown: Secret, ring: Ring) -> bool:
    """Whether *shown* is the token of *share*; False as well when the share's key has left the ring."""
    try:
        return token_of(share, ring).matches(shown)
    except KeyError:
        return False


def ends_at(
    wanted: datetime | None, seconds: int | None, now: datetime, *, usual: timedelta, longest: timedelta
) -> datetime:
    """When a link ends that is to end at *wanted*, or after *seconds*, and never later than after *longest*.

    The plugin sends a number of its own making when nobody gave one: what is not between one second and *longest* is
    no wish, and the link then ends after *usual*. A *wanted* without a time zone is UTC; one in the past stays there.
    """
    last = now + longest
    if wanted is not None:
        return min(wanted if wanted.tzinfo else wanted.replace(tzinfo=UTC), last)
    if seconds is not None and 1 <= seconds <= longest.total_seconds():
        return now + timedelta(seconds=seconds)
    return min(now + usual, last)
