"""The way of one request: who asks, what is asked, may they; and what each refusal tells, which is next to nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyhole.access.decision import Event, Reason
from keyhole.access.resource import Action
from keyhole.errors import StoreFailed
from tests.asgi import Answer
from tests.gateway.gate import BAD, DAY, FRAME, INSTANCE, OK, OTHER_SERIES, SECOND, SERIES, SIBLING, Gate, Visitor
from tests.gateway.small_archive import PICTURE, SmallArchive

UNKNOWN = "7.7.7"
SECRETS = ("archive.internal", "Doe", OK, BAD, UNKNOWN, "main")
"""What no refusal may hold: the archive's address and name, a patient, a UID."""


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def visitor(gate: Gate) -> Visitor:
    return await gate.visitor((OK,))


def tells_nothing(answer: Answer) -> None:
    everything = answer.text + "".join(f"{name}: {value}" for name, value in answer.headers)
    assert not [secret for secret in SECRETS if secret in everything]
    assert answer.header("content-type") == "application/problem+json"
    assert answer.header("cache-control") == "private, no-store"
    assert answer.header("x-content-type-options") == "nosniff"


def studies(answer: Answer) -> list[str]:
    assert answer.status == 200
    return [item["0020000D"]["Value"][0] for item in answer.json()]


class TestWhatIsShared:
    async def test_a_frame_is_passed_on(self, gate: Gate, visitor: Visitor) -> None:
        answer = await gate.get(visitor, FRAME)
        assert answer.status == 200
        assert PICTURE in answer.body

    async def test_a_search_finds_it_and_nothing_else(self, gate: Gate, visitor: Visitor) -> None:
        assert studies(await gate.get(visitor, "/studies")) == [OK]
        assert studies(await gate.get(visitor, f"/studies?StudyInstanceUID={OK},{BAD}")) == [OK]

    async def test_a_search_for_something_else_is_empty_and_the_archive_is_not_asked(
        self, gate: Gate, visitor: Visitor
    ) -> None:
        answer = await gate.get(visitor, f"/studies?StudyInstanceUID={BAD}")
        assert (answer.status, answer.body) == (200, b"[]")
        assert gate.archive.asked == []

    async def test_two_studies_are_found_and_the_third_of_the_same_patient_is_not(self, gate: Gate) -> None:
        visitor = await gate.visitor((OK,), (SECOND,))
        assert sorted(studies(await gate.get(visitor, "/studies"))) == [OK, SECOND]
        assert (await gate.get(visitor, f"/studies/{SECOND}/metadata")).status == 200
        assert (await gate.get(visitor, f"/studies/{SIBLING}/metadata")).status == 404

    async def test_of_a_study_only_the_shared_series_is_there(self, gate: Gate) -> None:
        visitor = await gate.visitor((OK, SERIES))
        found = (await gate.get(visitor, f"/studies/{OK}/series")).json()
        assert [item["0020000E"]["Value"] for item in found] == [[SERIES]]
        described = (await gate.get(visitor, f"/studies/{OK}/metadata")).json()
        assert {item["0020000E"]["Value"][0] for item in described} == {SERIES}
        assert (await gate.get(visitor, FRAME)).status == 200
        for beside in (f"/studies/{OK}/series/{OTHER_SERIES}/metadata", f"/studies/{OK}/rendered"):
            assert (await gate.get(visitor, beside)).status == 404

    async def test_every_link_leads_back_to_the_visit(self, gate: Gate, visitor: Visitor) -> None:
        for path in ("/studies", f"/studies/{OK}/metadata", FRAME):
            body = (await gate.get(visitor, path)).text
            assert "archive.internal" not in body
        assert f"https://images.example.org{visitor.root}/studies/{OK}" in (await gate.get(visitor, "/studies")).text

    async def test_a_bearer_leads_back_to_the_root_of_bearers(self, gate: Gate, visitor: Visitor) -> None:
        answer = await gate.caller.get("/dicom-web/studies", visitor.bearer)
        assert "https://images.example.org/dicom-web/studies/" in answer.text

    async def test_nothing_that_is_answered_is_kept_guessed_at_or_run(self, gate: Gate, visitor: Visitor) -> None:
        for path in ("/studies", f"/studies/{OK}/metadata", FRAME, f"{INSTANCE}/rendered"):
            answer = await gate.get(visitor, path)
            assert answer.header("cache-control") == "private, no-store"
            assert answer.header("x-content-type-options") == "nosniff"
            assert answer.header("content-security-policy") == "sandbox; default-src 'none'"
            assert answer.header("cross-origin-resource-policy") == "same-origin"
            assert answer.header("referrer-policy") == "no-referrer"

    async def test_no_header_of_the_archive_is_passed_on(self, gate: Gate, visitor: Visitor) -> None:
        script = gate.archive._picture(FRAME)
        told = {"set-cookie": "a=b", "warning": "299 archive.internal", "location": "http://archive.internal/"}
        gate.archive.answers[FRAME] = lambda: replace(script(), headers=told)  # type: ignore[type-var]
        answer = await gate.get(visitor, FRAME)
        assert answer.status == 200
        assert not {name for name, _ in answer.headers} & set(told)


class TestStrangers:
    @pytest.mark.parametrize(
        "target",
        [
            f"/dicom-web/studies/{OK}/metadata",
            "/dicom-web/no/such/route",
            "/dicom-web//studies/%2e",
            "/dicom-web",
            "/dicom-webs",
            "/dicom-web%2fstudies",
            f"/v/aaaaaaaaaaaaaaaa/dicom-web/studies/{OK}",
            "/v/aaaaaaaaaaaaaaaa/dicom-web/no/such/route",
            "/v/AAAA/dicom-web/studies",
            "/v//dicom-web/studies",
            "/v/aaaaaaaaaaaaaaa%61/dicom-web/studies",
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "DELETE"])
    async def test_are_asked_who_they_are_whatever_they_ask_for(self, method: str, target: str, gate: Gate) -> None:
        answer = await gate.caller.call(method, target)
        assert answer.status == 401
        assert answer.header("www-authenticate") == 'Bearer realm="keyhole"'
        tells_nothing(answer)
        assert gate.archive.begun == 0

    async def test_are_on_the_trail_with_the_reason(self, gate: Gate) -> None:
        await gate.caller.get("/dicom-web/studies")
        [row] = await gate.trail(Event.REFUSAL)
        assert (row.subject, row.reason, row.study) == ("anonymous", Reason.NO_CREDENTIAL, None)
        assert row.personal["address"] == "192.0.2.7"


class TestCredentials:
    async def bad(self, gate: Gate, visitor: Visitor, headers: dict[str, str], root: str | None = None) -> Answer:
        answer = await gate.caller.get((root or visitor.root) + "/studies", headers)
        tells_nothing(answer)
        assert gate.archive.begun == 0
        return answer

    async def test_a_wrong_one_is_told_apart_from_none(self, gate: Gate, visitor: Visitor) -> None:
        answer = await self.bad(gate, visitor, {"cookie": "keyhole_visit=" + "a" * 32})
        assert answer.status == 401
        assert answer.header("www-authenticate") == 'Bearer realm="keyhole", error="invalid_token"'

    async def test_two_cookies_are_refused(self, gate: Gate, visitor: Visitor) -> None:
        good = visitor.cookie["cookie"]
        for other in (good, "keyhole_visit=" + "a" * 32):
            assert (await self.bad(gate, visitor, {"cookie": f"{good}; {other}"})).status == 400

    async def test_a_cookie_and_a_bearer_that_disagree_are_refused(self, gate: Gate, visitor: Visitor) -> None:
        other = {"authorization": f"Bearer khv_{visitor.visit.id}_{'a' * 32}"}
        assert (await self.bad(gate, visitor, {**visitor.cookie, **other})).status == 400

    async def test_a_cookie_and_a_bearer_that_agree_are_one(self, gate: Gate, visitor: Visitor) -> None:
        assert (await gate.get(visitor, "/studies", visitor.bearer)).status == 200

    async def test_one_visits_bearer_or_cookie_opens_no_other_visit(self, gate: Gate, visitor: Visitor) -> None:
        other = await gate.visitor((BAD,))
        for shown in (visitor.bearer, visitor.cookie):
            assert (await self.bad(gate, visitor, shown, other.root)).status == 401

    async def test_a_key_opens_no_visit(self, gate: Gate, visitor: Visitor) -> None:
        assert (await self.bad(gate, visitor, await gate.key("administrator"))).status == 401

    async def test_a_cookie_is_not_looked_at_outside_its_visit(self, gate: Gate, visitor: Visitor) -> None:
        assert (await self.bad(gate, visitor, visitor.cookie, "/dicom-web")).status == 401

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    async def test_a_cookie_that_another_site_made_a_browser_send_is_refused(
        self, site: str, gate: Gate, visitor: Visitor
    ) -> None:
        """Neither whether a visit runs, nor how long its answers are: the trail has no access that nobody wanted."""
        sent = {"sec-fetch-site": site}
        for headers in ({**visitor.cookie, **sent}, sent):
            assert (await self.bad(gate, visitor, headers)).status == 403
        assert await gate.trail(Event.SEARCH) == []
        assert {row.reason for row in await gate.trail(Event.REFUSAL)} == {Reason.CROSS_SITE}

    @pytest.mark.parametrize("site", ["same-origin", "none"])
    async def test_one_that_its_own_pages_or_a_person_sent_is_not(
        self, site: str, gate: Gate, visitor: Visitor
    ) -> None:
        assert (await gate.get(visitor, "/studies", {**visitor.cookie, "sec-fetch-site": site})).status == 200

    async def test_the_links_own_secret_opens_nothing_here(self, gate: Gate) -> None:
        share = await gate.share()
        visitor = await gate.open(share)
        for shown in ({"cookie": f"keyhole_visit={gate.secret(share)}"}, {"authorization": gate.secret(share)}):
            assert (await self.bad(gate, visitor, shown)).status == 401


class TestWhatIsNotShared:
    async def test_an_unknown_study_and_somebody_elses_are_the_same_to_the_byte(
        self, gate: Gate, visitor: Visitor
    ) -> None:
        for path in ("metadata", "series", "series/1.2/instances", "rendered", "series/1/instances/1/frames/1"):
            somebody_elses = await gate.get(visitor, f"/studies/{BAD}/{path}")
            assert somebody_elses == await gate.get(visitor, f"/studies/{UNKNOWN}/{path}")
            assert somebody_elses.status == 404
            tells_nothing(somebody_elses)
        assert gate.archive.begun == 0

    async def test_a_shared_study_that_is_gone_looks_like_one_that_is_not_shared(self, gate: Gate) -> None:
        visitor = await gate.visitor((UNKNOWN,))
        assert await gate.get(visitor, f"/studies/{UNKNOWN}/metadata") == await gate.get(
            visitor, f"/studies/{BAD}/metadata"
        )

    async def test_what_the_share_holds_for_nothing_at_all_is_forbidden_everywhere_alike(
        self, gate: Gate, visitor: Visitor
    ) -> None:
        answers = [await gate.get(visitor, f"/studies/{study}") for study in (OK, BAD, UNKNOWN)]
        assert answers[0] == answers[1] == answers[2]
        assert answers[0].status == 403
        assert answers[0].header("www-authenticate") == 'Bearer realm="keyhole", error="insufficient_scope"'
        tells_nothing(answers[0])
        assert gate.archive.begun == 0
        assert [row.reason for row in await gate.trail(Event.REFUSAL)] == [Reason.CEILING] * 3

    async def test_it_is_on_the_trail_whose_study_it_was(self, gate: Gate, visitor: Visitor) -> None:
        await gate.get(visitor, f"/studies/{BAD}/metadata")
        [row] = await gate.trail(Event.REFUSAL)
        assert (row.reason, row.study, row.action) == (Reason.NO_GRANT, BAD, Action.RETRIEVE)
        assert (row.visit, row.share) == (visitor.visit.id, visitor.visit.share)


class TestWhatIsMalformed:
    PATHS = (
        f"/studies/{OK}/../{BAD}/metadata",
        f"/studies/{OK}%2f..%2f{BAD}/metadata",
        "//studies",
        "/studies/",
        "",
        "/",
        f"/studies/{OK}/metadata.",
        f"/studies/{OK};x=1/metadata",
        f"/studies/{OK}\\metadata",
        f"/studies/{'1' * 65}/metadata",
        "/studies/\xb2/metadata",
    )
    QUERIES = ("StudyInstanceUID=1&0020000D=2", "_method=delete", "limit=%zz", "limit=-1", "20,d=1")

    @pytest.mark.parametrize("path", PATHS)
    async def test_is_not_there_in_a_visit_and_a_bad_request_elsewhere(
        self, path: str, gate: Gate, visitor: Visitor
    ) -> None:
        answer = await gate.get(visitor, path)
        assert answer.status == 404
        tells_nothing(answer)
        assert (await gate.caller.get("/dicom-web" + path, visitor.bearer)).status == 400
        assert gate.archive.begun == 0

    @pytest.mark.parametrize("query", QUERIES)
    async def test_so_is_a_query_that_could_be_read_in_two_ways(self, query: str, gate: Gate, visitor: Visitor) -> None:
        assert (await gate.get(visitor, f"/studies?{query}")).status == 404
        assert (await gate.caller.get(f"/dicom-web/studies?{query}", visitor.bearer)).status == 400
        assert gate.archive.begun == 0

    async def test_so_is_a_get_with_a_body(self, gate: Gate, visitor: Visitor) -> None:
        for sent in ({"content-length": "3"}, {"transfer-encoding": "chunked"}):
            assert (await gate.ask("GET", visitor, "/studies", sent, b"abc")).status == 404
            answer = await gate.caller.call("GET", "/dicom-web/studies", {**visitor.bearer, **sent}, [b"abc"])
            assert answer.status == 400
        assert (await gate.get(visitor, "/studies", {"content-length": "0"})).status == 200

    @pytest.mark.parametrize("target", ["/dicom-webs/studies", "/dicom-web%2fstudies", "/v/short/dicom-web/studies"])
    async def test_a_path_that_only_looks_like_ours_is_not_there(
        self, target: str, gate: Gate, visitor: Visitor
    ) -> None:
        answer = await gate.caller.get(target, visitor.bearer)
        assert answer.status == 404
        tells_nothing(answer)
        [row] = await gate.trail(Event.REFUSAL)
        assert row.reason is Reason.UNKNOWN_ROUTE


class TestMethods:
    @pytest.mark.parametrize("path", ["/studies", f"/studies/{OK}", f"/studies/{BAD}", "/nothing", "//", "/%2e"])
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "MKCOL", "get", "LIST"])
    async def test_a_visit_changes_nothing_whatever_the_path(
        self, method: str, path: str, gate: Gate, visitor: Visitor
    ) -> None:
        answer = await gate.ask(method, visitor, path)
        assert answer.status == 405
        assert answer.header("allow") == "GET, HEAD, OPTIONS"
        tells_nothing(answer)
        assert gate.archive.begun == 0

    @pytest.mark.parametrize("name", ["x-http-method-override", "x-http-method", "x-method-override"])
    async def test_a_header_that_would_override_the_method_does_nothing(
        self, name: str, gate: Gate, visitor: Visitor
    ) -> None:
        assert await gate.get(visitor, "/studies", {name: "DELETE"}) == await gate.get(visitor, "/studies")
        assert (await gate.ask("POST", visitor, "/studies", {name: "GET"})).status == 405

    @pytest.mark.parametrize("path", ["/studies", f"/studies/{OK}/metadata", FRAME, f"/studies/{BAD}/metadata", "/%2e"])
    async def test_head_is_get_without_the_body(self, path: str, gate: Gate, visitor: Visitor) -> None:
        got, head = await gate.get(visitor, path), await gate.ask("HEAD", visitor, path)
        assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")

    async def test_head_reads_nothing_of_a_picture(self, gate: Gate, visitor: Visitor) -> None:
        assert (await gate.ask("HEAD", visitor, FRAME)).status == 200
        assert (gate.archive.begun, gate.archive.read) == (1, 0)

    @pytest.mark.parametrize("path", ["/", "/studies", f"/studies/{OK}", f"/studies/{BAD}/metadata"])
    async def test_options_is_answered_here(self, path: str, gate: Gate, visitor: Visitor) -> None:
        answer = await gate.ask("OPTIONS", visitor, path)
        assert (answer.status, answer.header("allow"), answer.body) == (204, "GET, HEAD, OPTIONS", b"")
        assert gate.archive.begun == 0

    async def test_options_tells_a_key_of_storing(self, gate: Gate) -> None:
        answer = await gate.caller.call("OPTIONS", "/dicom-web/studies", await gate.key("uploader"))
        assert answer.header("allow") == "GET, HEAD, OPTIONS, POST"
        assert (await gate.caller.call("OPTIONS", "/dicom-webs", await gate.key("uploader"))).status == 404

    @pytest.mark.parametrize("path", ["/nothing", f"/studies/{OK}/../{BAD}", "//", "///"])
    async def test_options_of_what_is_not_there_is_refused(self, path: str, gate: Gate, visitor: Visitor) -> None:
        assert (await gate.ask("OPTIONS", visitor, path)).status == 404


class TestBreakage:
    async def test_a_lost_database_releases_nothing_and_asks_the_archive_nothing(
        self, gate: Gate, visitor: Visitor
    ) -> None:
        gate.store.lost = StoreFailed("/var/lib/keyhole is gone")
        answer = await gate.get(visitor, FRAME)
        assert (answer.status, answer.header("retry-after")) == (503, "1")
        tells_nothing(answer)
        assert gate.archive.begun == 0
        gate.store.lost = None
        assert (await gate.get(visitor, FRAME)).status == 200

    async def test_a_trail_that_cannot_be_written_releases_not_one_byte(
        self, gate: Gate, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def full(_: object) -> None:
            raise StoreFailed("no space left on device")

        monkeypatch.setattr(gate.store, "append", full)
        answer = await gate.get(visitor, FRAME)
        assert answer.status == 503
        tells_nothing(answer)
        assert gate.archive.begun == 0

    @pytest.mark.parametrize(
        "error",
        [
            pytest.param(KeyError("archive.internal"), id="a key"),
            pytest.param(ValueError("http://archive.internal"), id="a value"),
            pytest.param(RecursionError("Doe"), id="too deep"),
            pytest.param(UnicodeEncodeError("ascii", "Doe", 0, 1, "Doe"), id="a letter"),
            pytest.param(OSError("archive.internal"), id="the system"),
            pytest.param(MemoryError(), id="no room"),
        ],
    )
    @pytest.mark.parametrize("where", ["who asks", "the archive"])
    async def test_what_nobody_foresaw_is_told_to_nobody_and_is_on_record(
        self,
        error: Exception,
        where: str,
        gate: Gate,
        visitor: Visitor,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async def breaks(_: Any) -> Any:
            raise error

        if where == "who asks":
            monkeypatch.setattr(gate.store, "visit", breaks)
        else:
            gate.archive.answers[FRAME] = lambda: error
        answer = await gate.get(visitor, FRAME)
        assert answer.status == 500
        tells_nothing(answer)
        [row] = await gate.trail(Event.FAILURE)
        assert row.reason is Reason.FAULT
        assert type(error).__name__ in caplog.text
        assert not [secret for secret in ("archive.internal", "Doe") if secret in caplog.text]

    async def test_an_archive_that_is_no_longer_set_up_has_failed(self, gate: Gate) -> None:
        visitor = await gate.visitor((OK,), archive="old")
        for path in ("/studies", FRAME):
            answer = await gate.get(visitor, path)
            assert answer.status == 502
            tells_nothing(answer)
        assert {row.reason for row in await gate.trail(Event.FAILURE)} == {Reason.ARCHIVE_FAILED}


async def test_outcomes_are_counted_by_reason(gate: Gate, visitor: Visitor) -> None:
    await gate.get(visitor, FRAME)
    await gate.get(visitor, f"/studies/{BAD}/metadata")
    gate.archive.answers[FRAME] = ValueError
    await gate.get(visitor, FRAME)
    assert gate.outcomes == ["allowed", "no-grant", "fault"]


async def test_a_visit_that_is_over_opens_nothing(gate: Gate, visitor: Visitor) -> None:
    gate.after(timedelta(minutes=31))
    assert (await gate.get(visitor, FRAME)).status == 401
    fresh = await gate.visitor((OK,), expires_at=gate.now + DAY, max_visits=1)
    gate.after(DAY)
    answer = await gate.get(fresh, FRAME)
    assert answer.status == 401
    assert 'error="invalid_token"' in (answer.header("www-authenticate") or "")
    assert isinstance(gate.archive, SmallArchive)
    assert gate.archive.begun == 0
