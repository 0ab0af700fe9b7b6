"""What a visitor may try: every class of request that reached another study somewhere.

The archive behind answers everything and remembers every call, so that whatever gets through shows twice.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import dataset, phantom
from tests.servers.keyhole import COOKIE, Keyhole, Opened, keyhole
from tests.servers.leaky import FOREIGN, Leaky
from tests.servers.orthanc import Orthanc

OK, BAD = dataset.STUDY, dataset.STRANGER
GET = b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%b\r\n"


@pytest.fixture(scope="module")
def guarded(leaky_archive: Leaky, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyhole]:
    with keyhole(tmp_path_factory.mktemp("attacked"), leaky_archive.settings) as running:
        yield running


@pytest.fixture(scope="module")
def visit(guarded: Keyhole) -> Opened:
    return guarded.open(guarded.share(OK))


@pytest.fixture(params=["cookie", "bearer"])
def root(request: pytest.FixtureRequest, visit: Opened) -> tuple[str, bytes]:
    """Both ways in: the path of the DICOMweb root, and the header lines of the credential."""
    if request.param == "cookie":
        return f"{visit.below}dicom-web", f"Cookie: {COOKIE}={visit.cookie}\r\n".encode()
    return "/dicom-web", f"Authorization: Bearer {visit.bearer}\r\n".encode()


def status(answer: bytes) -> int:
    match = re.match(rb"HTTP/1\.1 ([0-9]{3}) ", answer)
    return int(match[1]) if match else 0


PATHS = {
    "a dot segment": b"/studies/{OK}/../{BAD}/metadata",
    "an encoded slash": b"/studies/{OK}%2F..%2F{BAD}/metadata",
    "a slash encoded twice": b"/studies/{OK}%252F..%252F{BAD}/metadata",
    "encoded dots": b"/studies/{OK}/%2e%2e/{BAD}/metadata",
    "a double slash": b"/studies//{BAD}/metadata",
    "a double slash before the shared study": b"//studies/{OK}/metadata",
    "an encoded letter": b"/%73tudies/{OK}/metadata",
    "a way out of the root": b"/studies/{OK}/../../../changes",
    "a way out through another root": b"/../instances",
    "a backslash": b"/studies/{OK}\\..\\{BAD}/metadata",
    "an encoded backslash": b"/studies/{OK}%5c..%5c{BAD}/metadata",
    "a path parameter": b"/studies/{OK};x=1/metadata",
    "a NUL": b"/studies/{OK}%00/metadata",
    "an encoded line break": b"/studies/{OK}/metadata%0d%0aX:y",
    "a dot segment that stays": b"/studies/./{OK}/metadata",
    "a trailing dot": b"/studies/{OK}./metadata",
    "a trailing dot on a route's name": b"/studies/{OK}/metadata.",
    "a trailing slash": b"/studies/{OK}/metadata/",
    "another case": b"/Studies/{OK}/metadata",
    "an overlong UID": b"/studies/" + b"1" * 65 + b"/metadata",
    "an empty UID": b"/studies//metadata",
    "a UID with an empty component": b"/studies/1..2/metadata",
    "a wildcard for a UID": b"/studies/*/metadata",
    "a list of UIDs": b"/studies/{OK},{BAD}/metadata",
    "digits of another script": "/studies/\u0661/metadata".encode(),
    "a stray high byte": b"/studies/{OK}\xff/metadata",
    "a frame that is no number": b"/studies/{OK}/series/1/instances/1/frames/0x1",
    "frame zero": b"/studies/{OK}/series/1/instances/1/frames/0",
    "an empty list of frames": b"/studies/{OK}/series/1/instances/1/frames/,",
    "a bulk path that climbs": b"/studies/{OK}/series/1/instances/1/bulk/../../../{BAD}",
    "the plugin's servers": b"/servers",
    "the plugin's information": b"/info",
    "the plugin's cache": b"/studies/{OK}/update-dicomweb-cache",
    "WADO-URI by the object alone": b"/wado?requestType=WADO&objectUID=1.2.3",
    "work items": b"/workitems",
    "somebody else's study": b"/studies/{BAD}/metadata",
    "somebody else's series": b"/studies/{BAD}/series",
    "somebody else's frames": b"/studies/{BAD}/series/1/instances/1/frames/1",
}


def named(text: bytes) -> bytes:
    return text.replace(b"{OK}", OK.encode()).replace(b"{BAD}", BAD.encode())


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_path_that_is_not_exactly_a_route_below_the_share_is_refused(
    path: bytes, guarded: Keyhole, root: tuple[str, bytes], leaky_archive: Leaky
) -> None:
    before = len(leaky_archive.calls)
    answer = guarded.raw(GET % (root[0].encode() + named(path), root[1]))
    # Bytes beyond ASCII are no HTTP target: that is said before anybody looks where it leads.
    malformed = (400, 404) if not path.isascii() or not root[0].startswith("/v/") else (404,)
    assert status(answer) in malformed, answer[:300]
    assert FOREIGN.encode() not in answer
    assert leaky_archive.calls[before:] == []


QUERIES = {
    "the tag in another spelling": b"StudyInstanceUID={OK}&0020,000d={BAD}",
    "the tag in lower case": b"StudyInstanceUID={OK}&0020000d={BAD}",
    "the tag with a dash": b"StudyInstanceUID={OK}&0020-000D={BAD}",
    "the tag in short": b"StudyInstanceUID={OK}&20,d={BAD}",
    "the attribute twice": b"StudyInstanceUID={OK}&StudyInstanceUID={BAD}",
    "the attribute by name and by tag": b"StudyInstanceUID={OK}&0020000D={BAD}",
    "the attribute's name encoded": b"StudyInstanceUID={OK}&%53tudyInstanceUID={BAD}",
    "an encoded ampersand": b"PatientName=*%26StudyInstanceUID%3D{BAD}",
    "a backslash list": b"StudyInstanceUID={OK}%5C{BAD}",
    "a wildcard in a UID": b"StudyInstanceUID=*",
    "a UID that is none": b"StudyInstanceUID=abc",
    "a NUL in a value": b"PatientName=a%00b",
    "a broken escape": b"PatientName=%zz",
    "bytes that are no UTF-8": b"PatientName=%ff",
    "a method in the query": b"_method=delete",
    "a negative limit": b"limit=-1",
    "a limit that is no number": b"limit=abc",
    "a limit twice": b"limit=1&limit=100",
    "another meaning of empty": b"emptyvaluematching=true",
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_that_means_two_things_is_refused(
    query: bytes, guarded: Keyhole, root: tuple[str, bytes], leaky_archive: Leaky
) -> None:
    before = len(leaky_archive.calls)
    answer = guarded.raw(GET % (root[0].encode() + b"/studies?" + named(query), root[1]))
    assert status(answer) in (400, 404), answer[:300]
    assert FOREIGN.encode() not in answer
    assert leaky_archive.calls[before:] == []


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(b"StudyInstanceUID={OK},{BAD}", id="a list of both"),
        pytest.param(b"StudyInstanceUID=", id="an empty list"),
        pytest.param(b"", id="no list"),
        pytest.param(b"StudyInstanceUID=,", id="a list of nothing"),
        pytest.param(b"nosuchattribute={BAD}", id="a name that nobody knows"),
        pytest.param(b"PatientID=PAT-B-0002", id="somebody else's PatientID"),
    ],
)
def test_a_search_asks_the_archive_for_what_is_shared_and_for_nothing_else(
    query: bytes, guarded: Keyhole, root: tuple[str, bytes], leaky_archive: Leaky
) -> None:
    before = len(leaky_archive.calls)
    answer = guarded.raw(GET % (root[0].encode() + b"/studies?" + named(query), root[1]))
    assert status(answer) in (200, 204, 400, 404), answer[:300]
    assert BAD.encode() not in answer
    for call in leaky_archive.calls[before:]:
        assert BAD not in call
        assert call.count(f"StudyInstanceUID={OK}") == 1, call


def test_a_search_for_somebody_elses_study_is_answered_without_asking(
    guarded: Keyhole, root: tuple[str, bytes], leaky_archive: Leaky
) -> None:
    before = len(leaky_archive.calls)
    answer = guarded.raw(GET % (f"{root[0]}/studies?StudyInstanceUID={BAD}".encode(), root[1]))
    assert status(answer) == 200
    assert b"\r\n[]\r\n" in answer
    assert leaky_archive.calls[before:] == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "MKCOL", "PROPFIND", "get", "CONNECT"])
@pytest.mark.parametrize("path", ["/studies", f"/studies/{OK}", f"/studies/{OK}/metadata"])
def test_a_visit_changes_nothing_by_any_method(
    method: str, path: str, guarded: Keyhole, root: tuple[str, bytes], leaky_archive: Leaky
) -> None:
    before = len(leaky_archive.calls)
    request = GET.replace(b"GET", method.encode(), 1) % (f"{root[0]}{path}".encode(), root[1])
    answer = guarded.raw(request)
    assert 400 <= status(answer) < 502, answer[:300]
    assert leaky_archive.calls[before:] == []


TRUSTED_BY_OTHERS = {
    "X-HTTP-Method-Override": "DELETE",
    "X-HTTP-Method": "DELETE",
    "X-Method-Override": "DELETE",
    "X-Original-URL": f"/dicom-web/studies/{BAD}/metadata",
    "X-Rewrite-URL": f"/dicom-web/studies/{BAD}/metadata",
    "Forwarded": "host=evil.example;proto=https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Prefix": "/evil",
    "X-Remote-User": "admin",
    "Range": "bytes=0-1",
    "Accept-Encoding": "gzip",
    "Authorization-Extra": "Basic YWRtaW46YWRtaW4=",
}


@pytest.mark.parametrize("name", TRUSTED_BY_OTHERS)
def test_a_header_that_others_trust_neither_reaches_the_archive_nor_changes_the_answer(
    name: str, guarded: Keyhole, root: tuple[str, bytes], leaky_archive: Leaky
) -> None:
    before = len(leaky_archive.calls)
    extra = f"{name}: {TRUSTED_BY_OTHERS[name]}\r\n".encode()
    answer = guarded.raw(GET % (f"{root[0]}/studies".encode(), root[1] + extra))
    assert status(answer) == 200, answer[:300]
    assert b"evil" not in answer
    calls = leaky_archive.calls[before:]
    assert calls
    for call in calls:
        assert call.startswith("GET /dicom-web/studies?")
        assert name == "Accept-Encoding" or name.lower() not in call.lower()
        assert "Cookie" not in call
        assert "Authorization" not in call


def test_what_the_archive_answers_wrongly_is_not_passed_on(guarded: Keyhole, root: tuple[str, bytes]) -> None:
    answer = guarded.raw(GET % (f"{root[0]}/studies/{OK}/metadata".encode(), root[1]))
    assert status(answer) == 502
    assert FOREIGN.encode() not in answer


class TestCredentials:
    def test_none_is_401(self, guarded: Keyhole, visit: Opened) -> None:
        for path in (f"{visit.below}dicom-web/studies", "/dicom-web/studies"):
            answer = guarded.get(path)
            assert answer.status == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param("Cookie: {c}={good}; {c}={bad}", id="two cookies in one line"),
            pytest.param("Cookie: {c}={bad}; {c}={good}", id="in the other order"),
            pytest.param("Cookie: {c}={good}\r\nCookie: {c}={bad}", id="in two lines"),
            pytest.param("Cookie: {c}={good}\r\nAuthorization: Bearer khv_{id}_{bad}", id="a bearer that disagrees"),
            pytest.param("Cookie: {c}={bad}\r\nAuthorization: {bearer}", id="a cookie that disagrees"),
            pytest.param("Authorization: {bearer}\r\nAuthorization: Bearer khv_{id}_{bad}", id="two bearers"),
            pytest.param("Authorization: Basic YTpi\r\nCookie: {c}={good}", id="another scheme beside the cookie"),
            pytest.param("Cookie: {c}={bad}", id="a wrong cookie"),
            pytest.param("Authorization: Bearer khv_{id}_{bad}", id="a wrong bearer"),
            pytest.param("Authorization: Bearer khv_aaaaaaaaaaaaaaaa_{good}", id="another visit's bearer"),
            pytest.param("Authorization: Bearer {link}", id="the link's own secret"),
            pytest.param("Cookie: {c}={link}", id="the link's own secret as a cookie"),
        ],
    )
    def test_bad_or_disagreeing_ones_are_refused(self, headers: str, guarded: Keyhole, leaky_archive: Leaky) -> None:
        link = guarded.share(OK)
        visit = guarded.open(link)
        before = len(leaky_archive.calls)
        lines = headers.format(
            c=COOKIE,
            good=visit.cookie,
            bad="a" * 32,
            id=visit.id,
            bearer=f"Bearer {visit.bearer}",
            link=link.partition("#")[2],
        )
        answer = guarded.raw(GET % (f"{visit.below}dicom-web/studies".encode(), f"{lines}\r\n".encode()))
        assert status(answer) in (400, 401), answer[:300]
        assert leaky_archive.calls[before:] == []

    def test_a_cookie_and_a_bearer_that_agree_are_one(self, guarded: Keyhole, visit: Opened) -> None:
        assert guarded.get(f"{visit.below}dicom-web/studies", visit.as_cookie | visit.as_bearer).status == 200

    def test_one_visits_cookie_opens_no_other_visit(self, guarded: Keyhole, visit: Opened) -> None:
        other = guarded.open(guarded.share(BAD))
        assert guarded.get(f"{other.below}dicom-web/studies", visit.as_cookie).status == 401

    def test_a_credential_in_the_query_is_none(self, guarded: Keyhole, visit: Opened) -> None:
        assert guarded.get(f"/dicom-web/studies?token={visit.bearer}").status == 401


class TestHeads:
    """RFC 9112, and the bounds of the public listener (design section 9)."""

    @pytest.mark.parametrize(
        "head",
        [
            pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no Host"),
            pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", id="two Hosts"),
            pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", id="a folded line"),
            pytest.param(
                b"POST /s/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", id="two lengths"
            ),
            pytest.param(
                b"POST /s/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                id="a length and chunks",
            ),
            pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", id="a NUL in a header"),
            pytest.param(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", id="a space before the colon"),
            pytest.param(b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", id="a space in the target"),
            pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01", id="the beginning of TLS"),
            pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", id="a head of 40 KB"),
            pytest.param(
                b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X%d: a\r\n" % n for n in range(200)) + b"\r\n",
                id="200 fields",
            ),
            pytest.param(b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", id="a target of 40 KB"),
        ],
    )
    def test_a_head_that_could_be_read_in_two_ways_or_is_too_large_is_refused(
        self, head: bytes, guarded: Keyhole
    ) -> None:
        answer = guarded.raw(head + b"\r\n\r\n")
        assert status(answer) in (0, 400, 414, 431, 501), answer[:300]
        assert answer.count(b"HTTP/1.1 ") <= 1, "the rest was taken for a second request"

    def test_a_head_that_trickles_is_cut_off(self, guarded: Keyhole) -> None:
        with socket.create_connection(("127.0.0.1", guarded.port), timeout=30) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
            for _ in range(60):
                time.sleep(0.5)
                try:
                    connection.sendall(b"X: a\r\n")
                except OSError:
                    return
        pytest.fail("half a minute of one header after the other was taken")

    def test_a_body_that_is_too_large_is_refused(self, guarded: Keyhole) -> None:
        body = b'{"secret": "' + b"a" * 1_000_000 + b'"}'
        answer = guarded.ask("POST", "/s/aaaaaaaaaaaaaaaa", {"Content-Type": "application/json"}, body)
        assert answer.status in (400, 413)

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b"null", b'{"secret": 1}', b'{"secret": null}', b"\xff", b"[" * 5000]
    )
    def test_a_body_that_is_none_is_refused(self, body: bytes, guarded: Keyhole) -> None:
        for path in ("/s/aaaaaaaaaaaaaaaa", "/s/aaaaaaaaaaaaaaaa/visits", "/o"):
            answer = guarded.ask("POST", path, {"Content-Type": "application/json"}, body)
            assert 400 <= answer.status < 500, (path, answer)

    @pytest.mark.parametrize("target", ["http://evil.example{path}", "{path}#fragment"])
    def test_an_absolute_target_or_a_fragment_is_judged_by_its_path(
        self, target: str, guarded: Keyhole, visit: Opened, leaky_archive: Leaky
    ) -> None:
        before = len(leaky_archive.calls)
        path = target.format(path=f"{visit.below}dicom-web/studies/{BAD}/metadata").encode()
        answer = guarded.raw(GET % (path, f"Cookie: {COOKIE}={visit.cookie}\r\n".encode()))
        assert 400 <= status(answer) < 500
        assert leaky_archive.calls[before:] == []


class TestStrangers:
    def test_the_page_of_a_link_is_the_same_whether_the_share_exists_or_not(self, guarded: Keyhole) -> None:
        share = guarded.share(OK).partition("#")[0].rpartition("/")[2]
        there, nowhere = guarded.get(f"/s/{share}"), guarded.get("/s/aaaaaaaaaaaaaaaa")
        assert (there.status, there.body) == (nowhere.status, nowhere.body) == (200, there.body)
        drop = {"date", "etag"}
        assert {k: v for k, v in there.headers.items() if k not in drop} == {
            k: v for k, v in nowhere.headers.items() if k not in drop
        }

    def test_a_wrong_secret_and_an_unknown_share_are_the_same_404(self, guarded: Keyhole) -> None:
        link = guarded.share(OK)
        other = guarded.share(OK).partition("#")[2]
        share = link.partition("#")[0].rpartition("/")[2]
        wrong = guarded.post_json(f"/s/{share}/visits", {"secret": other})
        nowhere = guarded.post_json("/s/aaaaaaaaaaaaaaaa/visits", {"secret": other})
        assert wrong.status == nowhere.status == 404
        assert wrong.body == nowhere.body

    def test_the_staff_interface_is_not_on_the_public_listener(self, guarded: Keyhole) -> None:
        key = guarded.key("portal", "sharer")
        for path in ("/api/v1/shares", "/metrics", "/readyz", "/api/v1/openapi.json"):
            assert guarded.get(path, {"Authorization": f"Bearer {key}"}).status == 404

    def test_a_thousand_refused_strangers_disturb_no_visit(self, guarded: Keyhole, visit: Opened) -> None:
        for number in range(1000):
            assert guarded.get(f"/dicom-web/studies/{number}/metadata").status in (401, 429)
        assert guarded.get(f"{visit.below}dicom-web/studies", visit.as_cookie).status == 200
        guarded.verify_trail()


def test_a_thousand_requests_that_are_opened_and_aborted_disturb_nobody(
    orthanc_debian: Orthanc, tmp_path: Path
) -> None:
    with keyhole(tmp_path, orthanc_debian.settings) as running:
        greedy, patient = running.open(running.share(OK)), running.open(running.share(OK))
        path = f"dicom-web/studies/{OK}/series/{OK}.1/instances/{OK}.1.%d/frames/1"
        for number in range(1000):
            with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
                target = (greedy.below + path % (number % 60 + 1)).encode()
                connection.sendall(GET % (target, f"Cookie: {COOKIE}={greedy.cookie}\r\n".encode()))
        for number in range(1, 61):
            answer = running.get(patient.below + path % number, patient.as_cookie)
            assert answer.status == 200
            assert phantom.pixels(OK, number, 128).tobytes() in answer.body
        running.verify_trail()
