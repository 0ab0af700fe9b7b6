"""What whoever sent a bad request is told: one sentence of ours, always, and the same one for the same mistake."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from keyhole.access.decision import Reason
from keyhole.access.resource import Level
from keyhole.dicom import dicomweb
from keyhole.dicom.orthanc_call import ROUTES, parse_query
from keyhole.dicom.orthanc_find import parse_find, parse_identifier
from keyhole.dicom.query import parse_retrieve, parse_search
from keyhole.dicom.route import Kind, Refusal
from keyhole.dicom.wado_uri import parse_wado_uri

WADO = b"requestType=WADO&studyUID=1.2&seriesUID=3.4&objectUID=5.6"


@pytest.mark.parametrize(
    ("read", "reason", "told"),
    [
        pytest.param(
            lambda: dicomweb.match("GET", b"/" * 2049), Reason.NOT_CANONICAL, "the path is too long", id="a long path"
        ),
        pytest.param(
            lambda: dicomweb.match("GET", b"/studies/../x"),
            Reason.NOT_CANONICAL,
            "the path holds a byte or a segment that can be read in two ways",
            id="a path in dots",
        ),
        pytest.param(
            lambda: dicomweb.match("GET", b"/studies/x"),
            Reason.NOT_CANONICAL,
            "a UID, an identifier or a number in the path is malformed",
            id="no UID",
        ),
        pytest.param(
            lambda: dicomweb.match("GET", b"/x"), Reason.UNKNOWN_ROUTE, "there is no such route", id="no route"
        ),
        pytest.param(
            lambda: dicomweb.match("PUT", b"/studies"),
            Reason.METHOD_NOT_ALLOWED,
            "the route has no such method",
            id="no method",
        ),
        pytest.param(
            lambda: dicomweb.match("GET", b"/studies/1/series/2/instances/3/frames/1,1"),
            Reason.NOT_CANONICAL,
            "a frame is asked for twice",
            id="a frame twice",
        ),
        pytest.param(
            lambda: parse_search(b"PatientName=" + b"%5E" * 600, Level.STUDY),
            Reason.BAD_QUERY,
            "the query is too long once encoded",
            id="a long search",
        ),
        pytest.param(
            lambda: parse_search(b"limit=0", Level.STUDY),
            Reason.BAD_QUERY,
            "a limit of 0 means no result to the standard and no limit to some servers",
            id="a limit of nothing",
        ),
        pytest.param(
            lambda: parse_retrieve(b"quality=0", Kind.RENDERED),
            Reason.BAD_QUERY,
            "a parameter has a value that the standard does not know",
            id="no quality",
        ),
        pytest.param(
            lambda: parse_wado_uri(WADO + b"&contentType=text/html"),
            Reason.NOT_ACCEPTABLE,
            "none of the media types asked for can be had here",
            id="no picture",
        ),
        pytest.param(lambda: parse_wado_uri(b""), Reason.BAD_QUERY, "requestType is WADO", id="no WADO"),
        pytest.param(
            lambda: parse_query(b"_method=x", ROUTES[0]),
            Reason.BAD_QUERY,
            "a parameter that is repeated, or changes what a request means",
            id="another method",
        ),
        pytest.param(lambda: parse_find(b""), Reason.BAD_QUERY, "the search is not JSON", id="no JSON"),
        pytest.param(
            lambda: parse_identifier(b""), Reason.BAD_QUERY, "what is looked up is one identifier", id="no identifier"
        ),
    ],
)
def test_a_refusal_says_in_one_sentence_what_is_wrong(read: Callable[[], object], reason: Reason, told: str) -> None:
    refused = read()
    assert isinstance(refused, Refusal)
    assert (refused.reason, refused.detail) == (reason, told)
