"""Which permission opens which route, as the plugin is configured for Orthanc Explorer 2, and what needs none."""

from __future__ import annotations

import re
from dataclasses import dataclass

UNCHECKED = frozenset(
    {
        "/",
        "/system",
        "/ui/api/pre-login-configuration",
        "/ui/api/configuration",
        "/auth/user/profile",
        "/osimis-viewer/config.js",
    }
)
"""Exact paths that may be read without a question asked."""

UNCHECKED_BELOW = ("/ui/app/", "/ui/landing/", "/stone-webviewer/", "/ohif/", "/volview/")
"""The same for everything that begins so."""


@dataclass(frozen=True)
class Entry:
    """One row: whole paths, and the permissions of which one is enough; none is needed when there is none."""

    method: str
    pattern: re.Pattern[str]
    permissions: frozenset[str]
    every_label: bool = False


_LEVELS = "(?:patients|studies|series|instances)"
_DW = "/dicom-web"
_READ_BELOW = "(?:|/series|/instances|/metadata|/rendered|/thumbnail)"
_RAW: tuple[tuple[str, str, str], ...] = (
    ("POST", "/auth/tokens/decode|/tools/lookup", ""),
    ("GET", "/tools/generate-uid.*", ""),
    ("POST", "/tools/find|/tools/count-resources", "view"),
    ("GET", f"/{_LEVELS}/?", "view"),
    ("GET", "/statistics|/tools/metrics-prometheus|/changes|/system|/plugins|/plugins/.*", "view"),
    ("GET", f"/{_LEVELS}/.+", "view"),
    ("GET", f"{_DW}/studies/[^/]+{_READ_BELOW}", "view"),
    ("GET", f"{_DW}/studies/[^/]+/series/[^/]+{_READ_BELOW}", "view"),
    ("GET", f"{_DW}/studies/[^/]+/series/[^/]+/instances/[^/]+(?:|/frames/.*|/metadata|/rendered|/bulk/.*)", "view"),
    ("GET", "/(?:web-viewer|wsi|osimis-viewer)/.+", "view"),
    ("PUT", "/auth/tokens/(?:viewer|meddream)-instant-link", "view"),
    ("PUT", "/auth/tokens/download-instant-link", "download"),
    ("PUT", "/auth/tokens/(?:stone|meddream|osimis|ohif|volview)-viewer-publication", "share"),
    ("POST", f"/instances|{_DW}/studies(?:/[^/]+)?|/tools/create-dicom", "upload"),
    ("GET", f"{_DW}/(?:studies|series|instances)/?", "view"),
    ("POST", f"/{_LEVELS}/[^/]+/(?:modify|merge).*|/tools/bulk-modify", "modify"),
    ("POST", f"/{_LEVELS}/[^/]+/anonymize.*|/tools/bulk-anonymize", "anonymize"),
    ("GET", "/tools/labels", "view|edit-labels"),
    ("PUT", f"/{_LEVELS}/[^/]+/labels/.+", "edit-labels"),
    ("DELETE", f"/{_LEVELS}/[^/]+/labels/.+", "edit-labels"),
    ("DELETE", f"/{_LEVELS}/[^/]+", "delete"),
    ("POST", "/tools/bulk-delete", "delete"),
    ("GET", "/auth/settings/(?:roles|permissions)", "!admin-permissions"),
    ("PUT", "/auth/settings/roles", "!admin-permissions"),
)
"""In the order of matching. ``!``: the permission ``all`` does not stand for it."""


def _entry(method: str, pattern: str, permissions: str) -> Entry:
    names = frozenset(permissions.lstrip("!").split("|")) if permissions else frozenset()
    if names and not permissions.startswith("!"):
        names |= {"all"}
    every_label = pattern == f"/{_LEVELS}/?"
    return Entry(method, re.compile(pattern), names, every_label)


TABLE = tuple(_entry(*row) for row in _RAW)


def entry_of(method: str, path: str) -> Entry | None:
    """The first row that is about *method* and the whole of *path*."""
    return next((row for row in TABLE if row.method == method and row.pattern.fullmatch(path)), None)


def unchecked(method: str, path: str) -> bool:
    """Whether nobody is asked."""
    return method == "GET" and (path in UNCHECKED or path.startswith(UNCHECKED_BELOW))
