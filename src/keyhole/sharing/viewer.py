"""The table of viewers: how each one is opened on what was shared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from keyhole.access.resource import Action

Open = Callable[[Sequence[str], Sequence[str]], str]
"""From StudyInstanceUIDs, and SeriesInstanceUIDs to begin with, to a URL relative to ``/v/<visit>/``."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """One way to look at images. ``needs`` are the actions without which it shows nothing."""

    name: str
    needs: frozenset[Action]
    open: Open

    def fits(self, actions: Iterable[Action]) -> bool:
        """Whether whoever may do *actions* can use the viewer."""
        return self.needs <= frozenset(actions)


def _ohif(studies: Sequence[str], series: Sequence[str]) -> str:
    """OHIF 3.13: ``initialSeriesInstanceUID`` chooses what is shown first, and never what may be seen.

    It also takes ``SeriesInstanceUIDs`` as a filter. That is left out: the gateway's answer to the search for series
    holds what was shared and nothing else, and a filter in the address would only hide part of it.
    """
    if not studies:
        raise ValueError("a viewer is opened on at least one study")
    first = f"&initialSeriesInstanceUID={','.join(series)}" if series else ""
    return f"viewer?StudyInstanceUIDs={','.join(studies)}{first}"


def _pictures(_: Sequence[str], series: Sequence[str]) -> str:
    """The built-in viewer lists whatever the visit holds; ``series`` is what it begins with."""
    return f"pictures?series={series[0]}" if series else "pictures"


OHIF = Viewer("ohif", frozenset({Action.SEARCH, Action.RETRIEVE, Action.RENDER}), _ohif)
PICTURES = Viewer("pictures", frozenset({Action.SEARCH, Action.RENDER}), _pictures)
"""Rendered pictures, without WebGL and without a library."""

VIEWERS = MappingProxyType({viewer.name: viewer for viewer in (OHIF, PICTURES)})
"""All of them, by name; the one that shows most comes first."""


def viewer_for(actions: Iterable[Action]) -> Viewer:
    """What whoever may do *actions* is shown images in, unless they choose another: the first that fits.

    Pictures for whom none fits: there the reason is told.
    """
    allowed = frozenset(actions)
    return next((viewer for viewer in VIEWERS.values() if viewer.fits(allowed)), PICTURES)
