"""Every route with every method on every level, and every class of refusal, as the files in tests/vectors say."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from keyhole.access.resource import Level
from keyhole.dicom import dicomweb, orthanc
from keyhole.dicom.query import SEARCHES, RetrieveQuery, SearchQuery, parse_retrieve, parse_search
from keyhole.dicom.route import Kind, Match, Refusal, Route
from tests.dicom.vectors import FOLDER, ORTHANC_ID, lines, requests, unescaped

Matcher = Callable[[str, bytes], Match | Refusal]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
DICOMWEB = requests("dicomweb.txt")
ORTHANC = requests("orthanc.txt")
REFUSED = [(unescaped(path), meaning) for path, meaning in lines("refused.txt")]
SEARCH = {"STUDIES": Level.STUDY, "SERIES": Level.SERIES, "INSTANCES": Level.INSTANCE}


def said(found: Match | Refusal) -> str:
    if isinstance(found, Refusal):
        return f"{found.reason}, has {' '.join(found.allow)}" if found.allow else found.reason
    name = orthanc.named(found)
    where = str(found.resource("archive")) if name is None else f"{name.level.name.lower()} {name.id}"
    kind = f"{found.route.kind} in part" if found.route.divisible else found.route.kind
    return f"{found.route.action} {where} {kind}"


@pytest.mark.parametrize(("method", "raw_path", "meaning"), DICOMWEB)
def test_a_request_for_dicomweb_means_what_its_vector_says(method: str, raw_path: bytes, meaning: str) -> None:
    found = dicomweb.match(method, raw_path)
    assert said(found) == meaning
    if isinstance(found, Match):
        assert found.path().encode() == raw_path


@pytest.mark.parametrize(("method", "raw_path", "meaning"), ORTHANC)
def test_a_request_for_orthanc_means_what_its_vector_says(method: str, raw_path: bytes, meaning: str) -> None:
    found = orthanc.match(method, raw_path)
    assert said(found) == meaning.replace("ID", ORTHANC_ID)
    if isinstance(found, Match):
        assert found.path().encode() == raw_path


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
@pytest.mark.parametrize(("raw_path", "meaning"), REFUSED)
def test_what_is_not_canonical_or_unknown_is_refused(method: str, raw_path: bytes, meaning: str) -> None:
    assert said(dicomweb.match(method, raw_path)) == meaning
    if raw_path.startswith(b"/"):
        assert said(orthanc.match(method, b"/dicom-web" + raw_path)) == meaning


def templates(vectors: list[tuple[str, bytes, str]], match: Matcher) -> dict[bytes, str]:
    """The template of every path that some method has."""
    found = [(path, match(method, path)) for method, path, _ in vectors]
    return {path: row.route.template for path, row in found if isinstance(row, Match)}


TABLES = pytest.mark.parametrize(
    ("routes", "vectors", "match"),
    [(dicomweb.ROUTES, DICOMWEB, dicomweb.match), (orthanc.ROUTES, ORTHANC, orthanc.match)],
    ids=["dicomweb", "orthanc"],
)


@TABLES
def test_no_route_is_without_a_vector(
    routes: tuple[Route, ...], vectors: list[tuple[str, bytes, str]], match: Matcher
) -> None:
    of = templates(vectors, match)
    told = {(method, of.get(path)) for method, path, _ in vectors}
    assert {(route.method, route.template) for route in routes} <= told


@TABLES
def test_no_template_is_without_a_vector_for_every_method(
    routes: tuple[Route, ...], vectors: list[tuple[str, bytes, str]], match: Matcher
) -> None:
    of = templates(vectors, match)
    told = {(method, of.get(path)) for method, path, _ in vectors}
    assert {(method, route.template) for route in routes for method in METHODS} <= told


def test_no_vector_stands_twice() -> None:
    for vectors in (DICOMWEB, ORTHANC):
        asked = [(method, path) for method, path, _ in vectors]
        assert len(asked) == len(set(asked))
    for name in ("refused.txt", "query.txt"):
        left = [asked for asked, _ in lines(name)]
        assert len(left) == len(set(left))


def understood(kind: str, raw_query: bytes) -> SearchQuery | RetrieveQuery | Refusal:
    if kind in SEARCH:
        return parse_search(raw_query, SEARCH[kind])
    return parse_retrieve(raw_query, Kind.INSTANCES if kind == "INSTANCES_OF" else Kind[kind])


def query_said(query: SearchQuery | RetrieveQuery | Refusal) -> str:
    match query:
        case Refusal(reason):
            return reason
        case SearchQuery():
            return query.encode(query.studies) or "nothing"
        case RetrieveQuery(accept=None):
            return query.encode() or "nothing"
        case _:
            return f"{query.encode() or 'nothing'} accept: {query.accept}"


@pytest.mark.parametrize(("asked", "meaning"), lines("query.txt"))
def test_a_query_means_what_its_vector_says(asked: str, meaning: str) -> None:
    kind, _, raw_query = asked.partition(" ")
    assert query_said(understood(kind, unescaped(raw_query))) == meaning


def recorded() -> list[tuple[str, str]]:
    found = [json.loads(line) for line in (FOLDER / "ohif-requests.jsonl").read_text(encoding="utf-8").splitlines()]
    return sorted(
        {(line["method"], line["target"].split("/dicom-web", 1)[1]) for line in found if "/dicom-web" in line["target"]}
    )


@pytest.mark.parametrize(("method", "target"), recorded())
def test_what_a_real_viewer_sends_is_understood(method: str, target: str) -> None:
    path, _, query = target.partition("?")
    found = dicomweb.match(method, path.encode())
    assert isinstance(found, Match)
    kind = found.route.kind
    if kind in SEARCHES:
        assert isinstance(parse_search(query.encode(), SEARCHES[kind]), SearchQuery)
    else:
        assert isinstance(parse_retrieve(query.encode(), kind), RetrieveQuery)
