"""Links that an archive writes into its answers, made to lead through Keyhole (PS3.18 §8.6, §10.6.1, annex F).

RetrieveURL, BulkDataURI and Content-Location name the archive's own address. Each is read with the table of routes,
and written anew below the caller's root; what names anything else than the study asked for is dropped. Nothing is ever
fetched because a link says so.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urljoin

from keyhole.dicom import dicomweb
from keyhole.dicom.route import Match
from keyhole.errors import ArchiveFailed
from keyhole.gateway.dicomjson import Item

RETRIEVE_URL = "00081190"
_RETRIEVE_LINKS = frozenset({RETRIEVE_URL, "0040E010"})
"""RetrieveURL and RetrieveURI."""

_TAG = re.compile("[0-9A-F]{8}")
_NESTED = (dict, list)
_LISTS = (list, tuple)
_CONTENT = ("Value", "BulkDataURI", "InlineBinary")
_SHAPES = frozenset(
    {("vr",), *((c,) for c in _CONTENT), *(("vr", c) for c in _CONTENT), *((c, "vr") for c in _CONTENT)}
)
"""What an element is made of: its kind and at most one content (PS3.18 annex F.2.2)."""


class Links:
    """The links in the answer to one request; ``dropped`` counts those that led elsewhere."""

    def __init__(self, archive_root: str, public_root: str, path: str) -> None:
        """Rewrite from *archive_root* to *public_root*, in the answer to *path*: the base of relative links."""
        self._archive_root = archive_root
        self._public_root = public_root
        self._base = archive_root + path
        self.dropped = 0

    def target(self, uri: str) -> Match | None:
        """What *uri* leads to, if that is below the archive's root and in the table of routes."""
        if not uri.startswith(self._archive_root + "/"):
            uri = self._resolved(uri)
        below = uri.removeprefix(self._archive_root)
        if below == uri or not below.startswith("/") or not below.isascii():
            return None
        found = dicomweb.match("GET", below.encode("ascii"))
        return found if isinstance(found, Match) else None

    def _resolved(self, uri: str) -> str:
        try:
            return urljoin(self._base, uri)
        except ValueError:
            return ""

    def public(self, uri: object, study: str | None) -> str | None:
        """*uri* as the caller may use it, or None (and counted) when it is not below *study* of this archive."""
        found = self.target(uri) if isinstance(uri, str) else None
        if found is None or study is None or found.ids.get("study") != study:
            self.dropped += 1
            return None
        return self.written(found)

    def written(self, target: Match) -> str:
        """The link by which the caller reaches *target*."""
        return self._public_root + target.path()

    def rewrite(self, item: Item, study: str | None) -> Item:
        """*item*, changed in place: its links rewritten at every depth, and what is no DICOM JSON taken out."""
        try:
            self._rewrite(item, study)
        except RecursionError as error:
            raise ArchiveFailed("the archive's JSON is nested too deeply") from error
        return item

    def _rewrite(self, item: Item, study: str | None) -> None:
        stays = self._stays  # looked up once: a series of 500 instances has 20 000 elements
        gone = [tag for tag, element in item.items() if not stays(tag, element, study)]
        for tag in gone:
            del item[tag]

    def _stays(self, tag: str, element: object, study: str | None) -> bool:
        if not isinstance(element, dict) or tuple(element) not in _SHAPES or not _is_tag(tag):
            return False
        if "BulkDataURI" in element:
            element["BulkDataURI"] = self.public(element["BulkDataURI"], study)
            return element["BulkDataURI"] is not None
        values = element.get("Value", ())
        if not isinstance(values, _LISTS):
            return False
        if tag in _RETRIEVE_LINKS:
            element["Value"] = [link for link in (self.public(uri, study) for uri in values) if link is not None]
            return bool(element["Value"])
        for value in values:  # most elements end here, without another call
            if isinstance(value, _NESTED):
                nested = [value for value in values if isinstance(value, _NESTED)]
                return self._nested_stays(nested, study, names=element.get("vr") == "PN")
        return True

    def _nested_stays(self, values: list[Item | list[object]], study: str | None, *, names: bool) -> bool:
        """Whether *values* are items, rewritten now, or *names*, whose groups are text; a list in a list is neither."""
        for value in values:
            if isinstance(value, list):
                return False
            if not names:
                self._rewrite(value, study)
            elif not all(isinstance(group, str) for group in value.values()):
                return False
        return True


@lru_cache(maxsize=4096)
def _is_tag(name: str) -> bool:
    """Whether *name* is a tag as DICOM JSON spells it; the same few hundred come again in every item."""
    return _TAG.fullmatch(name) is not None


def text(item: Item, tag: str) -> str | None:
    """The single text value of *tag* in *item*, as UIDs are; None when there is none, or several, or another kind."""
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    if isinstance(values, list) and len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return None
