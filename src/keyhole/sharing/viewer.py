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


OHIF = Viewer("ohif", frozenset({Action.SEARCH, Action.RETRIEVE, Action.RENDER}), _ohif)

VIEWERS = MappingProxyType({viewer.name: viewer for viewer in (OHIF,)})
"""All of them, by name."""
