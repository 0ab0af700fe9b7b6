"""What whoever holds a link or a narrow key may try at Orthanc's REST root.

The server behind answers everything and remembers every call, so that whatever gets through shows twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e import dataset
from tests.e2e.test_attacks import FOREIGN, GET, status
from tests.servers.keyhole import Keyhole, keyhole
from tests.servers.leaky import Leaky

pytestmark = pytest.mark.e2e

OK = dataset.STUDY
ID = "8340c048-6ac438f0-8f76d6d4-6a1a0333-d1ff8ff8"
OTHER = "1340c048-6ac438f0-8f76d6d4-6a1a0333-d1ff8ff8"


@pytest.fixture(scope="module")
def guarded(leaky_archive: Leaky, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyhole]:
    settings = {**leaky_archive.settings, "KEYHOLE_ARCHIVE_ORTHANC": leaky_archive.root.removesuffix("/dicom-web")}
    with keyhole(tmp_path_factory.mktemp("attacked-rest"), settings) as running:
        yield running


@pytest.fixture(scope="module")
def keys(guarded: Keyhole) -> dict[str, bytes]:
    """The header lines of whoever attacks."""
    bearers = {role: guarded.key(role, role) for role in ("administrator", "reader", "uploader")}
    bearers["visit"] = guarded.open(guarded.share(OK)).bearer
    return {name: f"Authorization: Bearer {bearer}\r\n".encode() for name, bearer in bearers.items()}


PATHS = {
    "a dot segment": f"/studies/{ID}/../{OTHER}",
    "an encoded slash": f"/studies/{ID}%2F..%2F{OTHER}",
    "a slash encoded twice": f"/studies/{ID}%252F..%252F{OTHER}",
    "encoded dots": f"/studies/{ID}/%2e%2e/{OTHER}",
    "a double slash": f"//studies/{ID}",
    "a double slash within": f"/studies//{ID}",
    "a trailing slash": f"/studies/{ID}/",
    "a slash at the end of a list": "/studies/",
    "a backslash": f"/studies\\{ID}",
    "an encoded backslash": f"/studies%5c{ID}",
    "an encoded letter": f"/%73tudies/{ID}",
    "a path parameter": f"/studies/{ID};x=1",
    "a NUL": f"/studies/{ID}%00",
    "another case": f"/Studies/{ID}",
    "an identifier in capitals": f"/studies/{ID.upper()}",
    "an identifier without hyphens": f"/studies/{ID.replace('-', '')}",
    "two identifiers": f"/studies/{ID},{OTHER}/archive",
    "a UID for an identifier": f"/studies/{OK}",
    "a way out of the root": "/../orthanc/changes",
    "a way through the plugin": f"/dicom-web/../studies/{ID}",
    "a way through the plugin's own routes": "/dicom-web/servers",
    "the parents of a resource": f"/series/{ID}/study",
    "an archive of what the query names": f"/tools/create-archive?resources={ID}",
    "the explorer": "/app/explorer.html",
    "the new explorer": "/ui/app/",
    "WebDAV": "/webdav/by-dates",
    "WADO-URI": f"/wado?requestType=WADO&objectUID={OK}",
    "the jobs": "/jobs",
    "the links of the plugin": "/auth/settings/roles",
    "the storage": "/storage",
    "the exports": "/exports",
    "a dataset by path": "/instances/{ID}/content/../file",
    "a method in the query": f"/studies/{ID}?_method=DELETE",
    "a method in the query, encoded": f"/studies/{ID}?%5Fmethod=DELETE",
    "a method in capitals": f"/studies/{ID}?_METHOD=delete",
    "a flag twice": "/studies?expand&expand=false",
    "a flag that is none": "/studies?expand=maybe",
    "a negative limit": "/studies?limit=-1",
    "a list of attributes that are none": f"/studies/{ID}?requested-tags=../../x",
    "another root": "/../archives/nowhere/orthanc/studies",
    "an archive that is none": "/../../archives//orthanc/studies",
}


@pytest.mark.parametrize("who", ["administrator", "reader", "visit"])
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_what_is_not_exactly_a_route_is_refused_and_asked_of_nobody(
    guarded: Keyhole, keys: dict[str, bytes], leaky_archive: Leaky, who: str, path: str
) -> None:
    before = len(leaky_archive.calls)
    answer = guarded.raw(GET % (b"/orthanc" + path.encode(), keys[who]))
    assert status(answer) in (400, 404, 405), answer[:300]
    assert FOREIGN.encode() not in answer
    assert leaky_archive.calls[before:] == []


@pytest.mark.parametrize("query", ["Expand", "EXPAND=true", "expand%00", "eXpand=1", "expand[]=1", "x=1"])
def test_a_name_that_is_spelt_in_another_way_is_dropped(
    guarded: Keyhole, keys: dict[str, bytes], leaky_archive: Leaky, query: str
) -> None:
    before = len(leaky_archive.calls)
    guarded.raw(GET % (f"/orthanc/studies?{query}".encode(), keys["administrator"]))
    assert [call.split(" ")[1] for call in leaky_archive.calls[before:]] in ([], ["/studies"])


@pytest.mark.parametrize("path", ["/statistics", "/changes", "/system", "/tools/labels", f"/patients/{ID}/studies"])
def test_a_visit_is_told_no_figures(guarded: Keyhole, keys: dict[str, bytes], leaky_archive: Leaky, path: str) -> None:
    before = len(leaky_archive.calls)
    answer = guarded.raw(GET % (f"/orthanc{path}".encode(), keys["visit"]))
    assert status(answer) in (404, 502)
    assert FOREIGN.encode() not in answer
    assert not [call for call in leaky_archive.calls[before:] if path in call.split(" ")[1].split("?")]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST", "TRACE", "MKCOL", "PROPFIND", "get", "LOCK"])
@pytest.mark.parametrize("path", ["/studies", f"/studies/{ID}", f"/studies/{ID}/labels/x", "/tools/find", "/changes"])
@pytest.mark.parametrize("who", ["visit", "reader"])
def test_who_may_only_read_changes_nothing_by_any_method(
    guarded: Keyhole, keys: dict[str, bytes], leaky_archive: Leaky, who: str, path: str, method: str
) -> None:
    before = len(leaky_archive.calls)
    request = GET.replace(b"GET", method.encode(), 1) % (f"/orthanc{path}".encode(), keys[who])
    assert 400 <= status(guarded.raw(request)) < 500
    assert leaky_archive.calls[before:] == []


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-Forwarded-Host", "Forwarded", "Range", "X-Remote-User"])
def test_a_header_that_orthanc_trusts_never_reaches_it(
    guarded: Keyhole, keys: dict[str, bytes], leaky_archive: Leaky, name: str
) -> None:
    before = len(leaky_archive.calls)
    guarded.raw(GET % (b"/orthanc/statistics", keys["reader"] + f"{name}: DELETE\r\n".encode()))
    (call,) = leaky_archive.calls[before:]
    assert call.startswith("GET /statistics ")
    assert name.lower() not in call.lower()
    assert "Authorization" not in call


BODIES = {
    "a name twice": b'{"Level": "Study", "Query": {}, "Level": "Patient"}',
    "a name twice within": b'{"Level": "Study", "Query": {"PatientID": "1", "PatientID": "*"}}',
    "an attribute in two spellings": b'{"Level": "Study", "Query": {"PatientID": "1", "0010,0020": "*"}}',
    "an attribute that is none": b'{"Level": "Study", "Query": {"0020,d": "1"}}',
    "an attribute in another case": b'{"Level": "Study", "Query": {"studyinstanceuid": "1.2"}}',
    "a name in another case": b'{"level": "Study", "Query": {}}',
    "a name that nobody knows": b'{"Level": "Study", "Query": {}, "Exec": "x"}',
    "a flag that is none": b'{"Level": "Study", "Query": {}, "Expand": "true"}',
    "a wildcard for a UID": b'{"Level": "Study", "Query": {"StudyInstanceUID": "*"}}',
    "a UID and nothing": b'{"Level": "Study", "Query": {"StudyInstanceUID": "1.2\\\\"}}',
    "an object for a value": b'{"Level": "Study", "Query": {"PatientID": {"a": 1}}}',
    "a NUL": b'{"Level": "Study", "Query": {"PatientID": "a\\u0000"}}',
    "a number that is none": b'{"Level": "Study", "Query": {}, "Limit": NaN}',
    "a negative number": b'{"Level": "Study", "Query": {}, "Limit": -1}',
    "a number of many digits": b'{"Level": "Study", "Query": {}, "Limit": ' + b"9" * 5000 + b"}",
    "a list": b"[]",
    "nothing": b"",
    "deep JSON": b'{"Level":' + b"[" * 30_000,
    "deep objects": b'{"a":' * 10_000,
    "huge JSON": b'{"Level": "Study", "Query": {"PatientID": "' + b"a" * 100_000 + b'"}}',
    "a byte that is no UTF-8": b'{"Level": "Study", "Query": {"PatientID": "\xff"}}',
    "a second document": b'{"Level": "Study", "Query": {}}{"Level": "Patient"}',
    "a mark of byte order": b'\xef\xbb\xbf{"Level": "Study", "Query": {}}',
    "UTF-16": '{"Level": "Study", "Query": {}}'.encode("utf-16"),
}


@pytest.mark.parametrize("path", ["/tools/find", "/tools/count-resources"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_search_that_can_be_read_in_two_ways_is_refused(
    guarded: Keyhole, keys: dict[str, bytes], leaky_archive: Leaky, path: str, body: bytes
) -> None:
    before = len(leaky_archive.calls)
    headers = {"Authorization": keys["administrator"].decode().strip().partition(": ")[2]}
    assert guarded.ask("POST", f"/orthanc{path}", {**headers, "Content-Type": "application/json"}, body).status == 400
    assert leaky_archive.calls[before:] == []


@pytest.mark.parametrize("content_type", ["text/html", "multipart/form-data; boundary=x", "application/json; a=1; a=2"])
def test_a_body_of_another_type_is_refused(
    guarded: Keyhole, keys: dict[str, bytes], leaky_archive: Leaky, content_type: str
) -> None:
    before = len(leaky_archive.calls)
    bearer = keys["administrator"].decode().strip().partition(": ")[2]
    for path in ("/tools/find", "/instances", "/tools/lookup", "/modalities/a/store"):
        body = json.dumps({"Level": "Study", "Query": {}}).encode()
        headers = {"Authorization": bearer, "Content-Type": content_type}
        assert guarded.ask("POST", f"/orthanc{path}", headers, body).status == 415
    assert leaky_archive.calls[before:] == []


def test_what_orthanc_answers_wrongly_is_not_passed_on_to_a_visit(
    guarded: Keyhole, keys: dict[str, bytes], leaky_archive: Leaky
) -> None:
    for path in ("/studies", f"/studies/{ID}", f"/series/{ID}/instances", f"/instances/{ID}/preview"):
        before = len(leaky_archive.calls)
        answer = guarded.raw(GET % (f"/orthanc{path}".encode(), keys["visit"]))
        assert status(answer) == 502
        assert FOREIGN.encode() not in answer
        assert len(leaky_archive.calls[before:]) == 1, "what it is was not known, and yet more was asked"


def test_nobody_is_told_which_archives_there_are(guarded: Keyhole, keys: dict[str, bytes]) -> None:
    for who, expected in (("visit", b" 404 "), ("administrator", b" 404 ")):
        answers = {
            guarded.raw(GET % (f"/archives/{name}/{api}".encode(), keys[who])).partition(b"\r\ndate:")[0]
            for name in ("nowhere", "nowhere-else")
            for api in ("orthanc/studies", "dicom-web/studies")
        }
        assert all(expected in answer for answer in answers)
    for path in ("/archives/archive/orthanc/studies", "/archives/nowhere/dicom-web/studies", "/orthanc", "/archives"):
        assert guarded.get(path).status == 401
