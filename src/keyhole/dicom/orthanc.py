"""The table of Orthanc's REST API, as far as its authorization plugin has permissions for it.

Orthanc names a resource by an identifier of its own, which tells nothing of what lies above it: lineage has to say
which study that is before anything is decided.

Left out on purpose, hence refused: what no permission opens (writing attachments and metadata, scripts, shut-down,
archives of resources listed in the query), a viewer's custom commands, the parents of a resource (the study at
``/series/{id}/study`` is more than the series that was named), and the same paths with a slash at the end.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from keyhole.access.decision import Ask
from keyhole.access.resource import Action, Level, Resource
from keyhole.dicom import dicomweb
from keyhole.dicom.route import PLACEHOLDERS, Kind, Match, Refusal, Route, Table

DICOMWEB_ROOT = "/dicom-web"
"""Where Orthanc's DICOMweb plugin lives unless told otherwise; its routes are part of this table."""

_IDENTIFIER = re.compile(PLACEHOLDERS["id"])


@dataclass(frozen=True, slots=True)
class OrthancName:
    """A resource by Orthanc's own identifier: five groups of eight lower-case hex digits."""

    level: Level
    id: str

    def __post_init__(self) -> None:
        """Refuse what cannot be a name of Orthanc's."""
        if self.level is Level.ARCHIVE or _IDENTIFIER.fullmatch(self.id) is None:
            raise ValueError("not an identifier of Orthanc's")


def name_of(patient_id: str, *uids: str) -> str:
    """The identifier that Orthanc gives a patient, or the study, series or instance that *uids* name below.

    It is derived from these and nothing else (Orthanc Book, "Orthanc identifiers"): SHA-1 of them joined with ``|``.
    """
    digest = hashlib.sha1("|".join((patient_id, *uids)).encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, len(digest), 8))


_LEVELS: Mapping[str, Level] = MappingProxyType(
    {
        "/patients/": Level.PATIENT,
        "/studies/": Level.STUDY,
        "/series/": Level.SERIES,
        "/instances/": Level.INSTANCE,
        "/web-viewer/instances/": Level.INSTANCE,
        "/web-viewer/": Level.SERIES,
        "/wsi/": Level.SERIES,
        "/osimis-viewer/studies/": Level.STUDY,
        "/osimis-viewer/series/": Level.SERIES,
        "/osimis-viewer/images/": Level.INSTANCE,
    }
)
"""What ``{id}`` names in the templates that begin so; the first that fits says it."""

_EVERY = ("patients", "studies", "series", "instances")
_ABOVE_INSTANCES = _EVERY[:3]
_ATTACHMENT = "/attachments/{word}"
_FRAME = "/frames/{number}"
_PICTURES = ("image-uint8", "image-uint16", "image-int16", "preview", "rendered")

_BELOW: tuple[tuple[str, tuple[str, ...], Action, tuple[str, ...]], ...] = (
    ("GET", _EVERY, Action.RETRIEVE, ("", "/statistics", "/module", "/metadata", "/metadata/{word}")),
    ("GET", _EVERY, Action.RETRIEVE, ("/labels", "/labels/{word}", "/attachments", _ATTACHMENT)),
    ("GET", _EVERY, Action.RETRIEVE, (_ATTACHMENT + "/info", _ATTACHMENT + "/uuid", _ATTACHMENT + "/is-compressed")),
    ("GET", _EVERY, Action.RETRIEVE, (_ATTACHMENT + "/size", _ATTACHMENT + "/md5")),
    ("GET", _EVERY, Action.RETRIEVE, (_ATTACHMENT + "/compressed-size", _ATTACHMENT + "/compressed-md5")),
    ("GET", _EVERY, Action.DOWNLOAD, (_ATTACHMENT + "/data", _ATTACHMENT + "/compressed-data")),
    ("GET", _ABOVE_INSTANCES, Action.RETRIEVE, ("/shared-tags", "/instances-tags")),
    ("GET", _ABOVE_INSTANCES, Action.DOWNLOAD, ("/archive", "/media")),
    ("GET", _ABOVE_INSTANCES, Action.SEARCH, ("/instances",)),
    ("GET", ("patients", "studies"), Action.SEARCH, ("/series",)),
    ("GET", ("patients",), Action.SEARCH, ("/studies",)),
    ("GET", ("patients",), Action.RETRIEVE, ("/protected",)),
    ("GET", ("studies",), Action.RETRIEVE, ("/module-patient",)),
    ("GET", ("series",), Action.RETRIEVE, ("/ordered-slices",)),
    ("GET", ("series",), Action.DOWNLOAD, ("/numpy",)),
    (
        "GET",
        ("instances",),
        Action.RETRIEVE,
        ("/tags", "/simplified-tags", "/header", "/content", "/content/{content}"),
    ),
    ("GET", ("instances",), Action.RETRIEVE, ("/frames", _FRAME)),
    ("GET", ("instances",), Action.RETRIEVE, tuple(f"{_FRAME}/{how}" for how in ("raw", "raw.gz", "numpy", "matlab"))),
    ("GET", ("instances",), Action.RENDER, tuple(f"{_FRAME}/{how}" for how in _PICTURES)),
    ("GET", ("instances",), Action.RENDER, tuple(f"/{how}" for how in _PICTURES)),
    ("GET", ("instances",), Action.DOWNLOAD, ("/file", "/pdf", "/numpy", "/matlab")),
    ("POST", _EVERY, Action.MODIFY, ("/modify",)),
    ("POST", ("studies",), Action.MODIFY, ("/merge",)),
    ("POST", _EVERY, Action.ANONYMISE, ("/anonymize",)),
    ("PUT", _EVERY, Action.LABEL, ("/labels/{word}",)),
    ("DELETE", _EVERY, Action.LABEL, ("/labels/{word}",)),
    ("DELETE", _EVERY, Action.DELETE, ("",)),
)
"""Method, kinds of resource, action, and what follows ``/{kind}/{id}``."""

_OTHER: tuple[tuple[str, Action, tuple[str, ...]], ...] = (
    ("GET", Action.RETRIEVE, ("/web-viewer/series/{id}", "/web-viewer/is-stable-series/{id}", "/wsi/pyramids/{id}")),
    ("GET", Action.RETRIEVE, ("/osimis-viewer/series/{id}", "/osimis-viewer/studies/{id}")),
    ("GET", Action.RENDER, ("/web-viewer/instances/{encoding}-{id}_{number}", "/wsi/tiles/{id}/{zoom}/{column}/{row}")),
    ("GET", Action.RENDER, ("/osimis-viewer/images/{id}/{number}/{word}",)),
    # of the whole archive: whoever may see a part of it only gets what is in _LISTS or _OPEN
    ("GET", Action.SEARCH, tuple(f"/{kind}" for kind in _EVERY)),
    ("POST", Action.SEARCH, ("/tools/find", "/tools/lookup", "/tools/count-resources")),
    ("GET", Action.SEARCH, ("/statistics", "/changes", "/tools/labels", "/tools/metrics-prometheus")),
    ("GET", Action.SEARCH, ("/system", "/plugins", "/plugins/{word}", "/tools/generate-uid")),
    ("GET", Action.SEARCH, ("/worklists", "/worklists/{word}")),
    ("POST", Action.STORE, ("/instances", "/tools/create-dicom", "/stl/encode-rtstruct", "/stl/encode-nifti")),
    ("POST", Action.DELETE, ("/tools/bulk-delete",)),
    ("POST", Action.MODIFY, ("/tools/bulk-modify", "/worklists/create")),
    ("PUT", Action.MODIFY, ("/worklists/{word}",)),
    ("DELETE", Action.MODIFY, ("/worklists/{word}",)),
    ("POST", Action.ANONYMISE, ("/tools/bulk-anonymize",)),
    # what makes Orthanc talk to another server, or tells about that
    ("GET", Action.SEND, ("/peers", "/peers/{word}/configuration", "/modalities", "/modalities/{word}/configuration")),
    ("POST", Action.SEND, ("/peers/{word}/store", "/peers/{word}/store-straight")),
    ("POST", Action.SEND, ("/modalities/{word}/store", "/modalities/{word}/store-straight", "/modalities/{word}/echo")),
    ("POST", Action.SEND, ("/modalities/{word}/query", "/modalities/{word}/move")),
    ("GET", Action.SEND, ("/queries/{uuid}/answers", "/queries/{uuid}/answers/{number}/content")),
    ("POST", Action.SEND, ("/queries/{uuid}/answers/{number}/retrieve",)),
    ("GET", Action.SEND, (DICOMWEB_ROOT + "/servers", "/jobs/{uuid}")),
    ("POST", Action.SEND, tuple(f"{DICOMWEB_ROOT}/servers/{{word}}/{what}" for what in ("stow", "qido", "retrieve"))),
    # the plugin's own: links are made by whoever may share, instant links by whoever may look
    ("POST", Action.SEARCH, ("/auth/tokens/decode",)),
    ("PUT", Action.RETRIEVE, ("/auth/tokens/viewer-instant-link", "/auth/tokens/meddream-instant-link")),
    ("PUT", Action.DOWNLOAD, ("/auth/tokens/download-instant-link",)),
    (
        "PUT",
        Action.SHARE,
        tuple(
            f"/auth/tokens/{viewer}-viewer-publication" for viewer in ("stone", "meddream", "osimis", "ohif", "volview")
        ),
    ),
    ("GET", Action.SHARE, ("/ui/api/emails/templates", "/ui/api/emails/templates/{word}")),
    ("POST", Action.SHARE, ("/ui/api/emails/send",)),
    ("GET", Action.ADMINISTER, ("/tools/log-level", "/auth/settings/roles", "/auth/settings/permissions")),
    ("GET", Action.ADMINISTER, ("/auth/audit-logs", "/jobs")),
    ("PUT", Action.ADMINISTER, ("/tools/log-level", "/auth/settings/roles", "/modalities/{word}")),
    ("DELETE", Action.ADMINISTER, ("/modalities/{word}", "/jobs/{uuid}")),
    ("POST", Action.ADMINISTER, tuple(f"/jobs/{{uuid}}/{what}" for what in ("pause", "resume", "resubmit", "cancel"))),
)
"""Method, action, templates."""

_LISTS = frozenset({f"/{kind}" for kind in _EVERY} | {"/tools/find", "/tools/lookup"})
"""Lists of resources of the whole archive."""

_OPEN = frozenset({"/tools/generate-uid", "/auth/tokens/decode"})
"""Open to whoever may search at all: the answer holds nothing of the archive, so there is nothing to cut."""


def _rows() -> Iterator[Route]:
    for method, action, templates in _OTHER:
        for template in templates:
            kind = Kind.LIST if action is Action.SEARCH and template in _LISTS else Kind.REST
            yield Route(method, template, action, kind, divisible=kind is Kind.LIST or template in _OPEN)
    for method, kinds, action, endings in _BELOW:
        listing = action is Action.SEARCH
        for template in (f"/{kind}/{{id}}{ending}" for kind in kinds for ending in endings):
            yield Route(method, template, action, Kind.LIST if listing else Kind.REST, divisible=listing)
    for route in dicomweb.ROUTES:
        yield replace(route, template=DICOMWEB_ROOT + route.template)


ROUTES: tuple[Route, ...] = tuple(_rows())

_TABLE = Table(ROUTES)


def match(method: str, raw_path: bytes) -> Match | Refusal:
    """What *method* on *raw_path* (from Orthanc's root, as received) is, or why it is nothing."""
    return _TABLE.match(method, raw_path)


def named(found: Match) -> OrthancName | None:
    """The resource that *found* names in Orthanc's own way; None when it names one by UIDs, or the archive."""
    if "id" not in found.ids:
        return None
    level = next(level for start, level in _LEVELS.items() if found.route.template.startswith(start))
    return OrthancName(level, found.ids["id"])


def ask(found: Match, archive: str, resource: Resource | None = None) -> Ask:
    """The question that *found* puts to the decision point.

    *resource* is what lineage found for the name that :func:`named` gives; ValueError when that is missing or of
    another level, so that a name that nobody resolved cannot be taken for the archive.
    """
    name = named(found)
    if name is None:
        return dicomweb.ask(found, archive)
    if resource is None or resource.level is not name.level or resource.archive != archive:
        raise ValueError("the name is not resolved")
    return Ask(found.route.action, resource, divisible=found.route.divisible)
