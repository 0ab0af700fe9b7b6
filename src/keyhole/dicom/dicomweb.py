"""The table of DICOMweb (PS3.18 sections 9 to 11): which paths there are, and what asking for one means.

Left out on purpose, hence refused: deletion (not in the standard), work items, MPR and 3D renderings, bulk data of
whole studies and series. WADO-URI, whose parents an archive need not check, is understood as a row of this table
(:mod:`keyhole.dicom.wado_uri`).
"""

from __future__ import annotations

from keyhole.access.decision import Ask
from keyhole.access.resource import Action
from keyhole.dicom.route import Kind, Match, Refusal, Route, Table

_S = "/studies/{study}"
_E = _S + "/series/{series}"
_I = _E + "/instances/{instance}"
_F = _I + "/frames/{frames}"

ROUTES: tuple[Route, ...] = (
    # search, PS3.18 section 10.6; the last three are relational
    Route("GET", "/studies", Action.SEARCH, Kind.SEARCH_STUDIES, divisible=True),
    Route("GET", _S + "/series", Action.SEARCH, Kind.SEARCH_SERIES, divisible=True),
    Route("GET", _E + "/instances", Action.SEARCH, Kind.SEARCH_INSTANCES, divisible=True),
    Route("GET", _S + "/instances", Action.SEARCH, Kind.SEARCH_INSTANCES, divisible=True),
    Route("GET", "/series", Action.SEARCH, Kind.SEARCH_SERIES, divisible=True),
    Route("GET", "/instances", Action.SEARCH, Kind.SEARCH_INSTANCES, divisible=True),
    # retrieve, section 10.4; a study's metadata is a list of instances and can be cut to the series in scope
    Route("GET", _S + "/metadata", Action.RETRIEVE, Kind.METADATA, divisible=True),
    Route("GET", _E + "/metadata", Action.RETRIEVE, Kind.METADATA),
    Route("GET", _I + "/metadata", Action.RETRIEVE, Kind.METADATA),
    Route("GET", _F, Action.RETRIEVE, Kind.FRAMES),
    Route("GET", _I + "/bulkdata", Action.RETRIEVE, Kind.BULKDATA),
    # bulk data lies where the archive puts it: Orthanc and the embedded archive, dcm4chee
    Route("GET", _I + "/bulk/{tags}", Action.RETRIEVE, Kind.BULKDATA),
    Route("GET", _I + "/bulkdata/{tags}", Action.RETRIEVE, Kind.BULKDATA),
    Route("GET", _S + "/rendered", Action.RENDER, Kind.RENDERED),
    Route("GET", _E + "/rendered", Action.RENDER, Kind.RENDERED),
    Route("GET", _I + "/rendered", Action.RENDER, Kind.RENDERED),
    Route("GET", _F + "/rendered", Action.RENDER, Kind.RENDERED),
    Route("GET", _S + "/thumbnail", Action.RENDER, Kind.THUMBNAIL),
    Route("GET", _E + "/thumbnail", Action.RENDER, Kind.THUMBNAIL),
    Route("GET", _I + "/thumbnail", Action.RENDER, Kind.THUMBNAIL),
    Route("GET", _F + "/thumbnail", Action.RENDER, Kind.THUMBNAIL),
    # whole files, and all pixels at once: what a recipient keeps
    Route("GET", _S, Action.DOWNLOAD, Kind.INSTANCES),
    Route("GET", _E, Action.DOWNLOAD, Kind.INSTANCES),
    Route("GET", _I, Action.DOWNLOAD, Kind.INSTANCES),
    Route("GET", _S + "/pixeldata", Action.DOWNLOAD, Kind.PIXELDATA),
    Route("GET", _E + "/pixeldata", Action.DOWNLOAD, Kind.PIXELDATA),
    Route("GET", _I + "/pixeldata", Action.DOWNLOAD, Kind.PIXELDATA),
    # store, section 10.5
    Route("POST", "/studies", Action.STORE, Kind.STORE),
    Route("POST", _S, Action.STORE, Kind.STORE),
)

_TABLE = Table(ROUTES)


def match(method: str, raw_path: bytes) -> Match | Refusal:
    """What *method* on *raw_path* (below the DICOMweb root, as received) is, or why it is nothing."""
    return _TABLE.match(method, raw_path)


def ask(found: Match, archive: str) -> Ask:
    """The question that *found* puts to the decision point. Its lineage is not known yet."""
    return Ask(found.route.action, found.resource(archive), divisible=found.route.divisible)
