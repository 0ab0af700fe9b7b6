"""What stands behind codes for paper and letters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from keyhole.gateway.letter.content import Letterhead
from keyhole.gateway.openings import Openings
from keyhole.gateway.paper import PaperOpenings
from keyhole.settings import Settings


def paper_openings(openings: Openings, noted: Callable[[str], None], now: Callable[[], datetime]) -> PaperOpenings:
    """The way in with a code, which is that of *openings* once a share is found."""
    return PaperOpenings(
        store=openings.store, found=openings, ledger=openings.ledger, ring=openings.ring, now=now, noted=noted
    )


def letterhead(settings: Settings) -> Letterhead:
    """Whose letters they are."""
    site = settings.site()
    logo = None if site.logo is None else site.logo.content
    return Letterhead(site.name or "", logo, site.colour, site.contact or "", site.language)
