"""Searches of our own: which studies and series there are, for the desk and for the pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from keyhole.access.decision import Event, Reason, Record, Scope
from keyhole.access.resource import Action, Level, is_uid
from keyhole.dicom import dicomweb
from keyhole.dicom.query import SearchQuery, parse_search
from keyhole.dicom.route import Match, Refusal
from keyhole.errors import Refused
from keyhole.gateway.dicomjson import Item
from keyhole.gateway.fetch import Source, source_of
from keyhole.gateway.ledger import Ledger
from keyhole.gateway.scoping import search


@dataclass(frozen=True, slots=True)
class Finder:
    """Searches the archives by the gateway's own tables and narrowing.

    An archive that answers with something else than was searched for is on the trail; nothing of that is passed on.
    """

    sources: Mapping[str, Source]
    ledger: Ledger
    now: Callable[[], datetime]

    async def studies(self, archive: str, scope: Scope, raw_query: bytes) -> list[Item]:
        """The studies in *scope* that *raw_query* (PS3.18 section 10.6) matches; Refused when it is none."""
        query = parse_search(raw_query, Level.STUDY)
        if isinstance(query, Refusal):
            raise Refused(f"the search is not understood: {query.detail}")
        return await self._found(archive, scope, _match(b"/studies"), query)

    async def series(self, archive: str, scope: Scope, study: str) -> list[Item]:
        """The series in *scope* of one study."""
        if not is_uid(study):
            return []
        query = SearchQuery(includefield=("0008103E", "00201209"))
        return await self._found(archive, scope, _match(f"/studies/{study}/series".encode()), query)

    async def _found(self, archive: str, scope: Scope, match: Match, query: SearchQuery) -> list[Item]:
        source = source_of(self.sources, archive)
        found = await search(source.archive, match, query, scope, source.capabilities)
        if found.foreign:
            self.ledger.refuse(
                Record(
                    at=self.now(),
                    event=Event.FAILURE,
                    subject="keyhole",
                    archive=archive,
                    study=match.ids.get("study"),
                    action=Action.SEARCH,
                    reason=Reason.FOREIGN_ANSWER,
                    times=found.foreign,
                )
            )
        return found.items


def _match(path: bytes) -> Match:
    found = dicomweb.match("GET", path)
    if isinstance(found, Refusal):
        raise AssertionError("our own paths are in the table")  # noqa: TRY004 - a bug of ours, not a wrong type
    return found
