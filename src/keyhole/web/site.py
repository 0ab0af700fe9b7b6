"""Whose pages these are: the site's name, logo and colours, and whom recipients can ask."""

from __future__ import annotations

from dataclasses import dataclass

from keyhole.language import ENGLISH, Language
from keyhole.web.colour import css


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture of the site's: its bytes and what they are, ``image/png`` or ``image/svg+xml``."""

    content: bytes
    media_type: str

    @property
    def path(self) -> str:
        """Where pages find it."""
        return "/static/logo.svg" if self.media_type == "image/svg+xml" else "/static/logo.png"


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
