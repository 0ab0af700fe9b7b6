"""Whose pages these are: the site's name, logo and colours, and whom recipients can ask."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from keyhole.language import ENGLISH, Language
from keyhole.web.colour import css

LARGEST_LOGO = 20_000
"""Bytes."""

_SVG = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*|<!DOCTYPE[^>\[]*>\s*)*<svg[\s>]", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture of the site's: its bytes and what they are, ``image/png`` or ``image/svg+xml``."""

    content: bytes
    media_type: str

    @property
    def path(self) -> str:
        """Where pages find it."""
        return "/static/logo.svg" if self.media_type == "image/svg+xml" else "/static/logo.png"


def read_logo(path: Path) -> Logo:
    """The logo in the file *path*; ValueError for what is none. Its media type is what it is, not what it is called."""
    if path.stat().st_size > LARGEST_LOGO:
        raise ValueError(f"is larger than {LARGEST_LOGO // 1000} KB: recipients wait for it on a phone")
    content = path.read_bytes()
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return Logo(content, "image/png")
    if _SVG.match(content):
        return Logo(content, "image/svg+xml")
    raise ValueError("is neither PNG nor SVG")


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages say of the site. ``colour`` is ``#rrggbb``; ``language`` is for who asks for none of ours."""

    name: str | None = None
    logo: Logo | None = None
    colour: str | None = None
    contact: str | None = None
    language: Language = ENGLISH

    @property
    def css(self) -> str | None:
        """The site's own style sheet; None where the usual colours stay."""
        return None if self.colour is None else css(self.colour)


PLAIN = Site()
"""A site that has set nothing."""
