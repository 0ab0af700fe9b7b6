"""Orthanc's REST API and archives by name, through the one way: who, may they, on record, then Orthanc is asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyhole.access.decision import Event, Reason
from keyhole.access.resource import Action
from keyhole.errors import StoreFailed
from keyhole.gateway.client import LOCAL
from keyhole.gateway.incoming import Api, incoming
from keyhole.gateway.lineage import OrthancLineage
from keyhole.gateway.orthanc_rest import OrthancSource
from tests.asgi import Answer
from tests.gateway.gate import BAD, DAY, FRAME, OK, PUBLIC, SECOND, SERIES, Gate, Visitor, settled
from tests.gateway.small_orthanc import PATIENT, SmallOrthanc, name_of

STUDY = name_of(PATIENT, OK)
OTHER = name_of(PATIENT, BAD)
NOBODY = name_of("nobody")
IN_SERIES = name_of(PATIENT, OK, SERIES)
INSTANCE = name_of(PATIENT, OK, SERIES, f"{SERIES}.1")
PATHS = [(OK, SERIES, f"{SERIES}.1"), (BAD, f"{BAD}.1", f"{BAD}.1.1"), (SECOND, f"{SECOND}.1", f"{SECOND}.1.1")]
LOOKED_UP = {f"GET /studies/{STUDY}", f"GET /series/{IN_SERIES}", f"GET /instances/{INSTANCE}"}
"""What lineage asks for."""


class World(Gate):
    """A gate whose archive is Orthanc."""

    def __init__(self, **more: Any) -> None:
        self.server = SmallOrthanc(PATHS)
        super().__init__(**more, orthanc={"main": OrthancSource(self.server, OrthancLineage(self.server, "main"))})

    async def call(self, who: dict[str, str], method: str, path: str, *body: bytes, **headers: str) -> Answer:
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        length = {"content-length": str(sum(map(len, body)))} if body else {}
        return await self.caller.call(method, f"/orthanc{path}", {**who, **length, **more}, body)

    @property
    def forwarded(self) -> list[str]:
        """What Orthanc was asked but for lineage."""
        return [each for each in self.server.asked if each not in LOOKED_UP]

    async def on_record(self, *events: Event) -> list[tuple[Any, ...]]:
        return [(row.subject.partition(":")[0], row.study, row.action, row.reason) for row in await self.trail(*events)]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def visitor(world: World) -> Visitor:
    return await world.visitor((OK,))


class TestWhoMay:
    async def test_a_reader_opens_what_is_named_and_it_is_on_record(self, world: World) -> None:
        key = await world.key("reader")
        answer = await world.call(key, "GET", f"/studies/{STUDY}")
        assert answer.json()["ID"] == STUDY
        assert answer.header("content-security-policy") == "sandbox; default-src 'none'"
        assert await world.on_record(Event.ACCESS) == [("key", OK, Action.RETRIEVE, None)]

    async def test_a_visits_bearer_opens_its_study_and_nothing_else(self, world: World, visitor: Visitor) -> None:
        assert (await world.call(visitor.bearer, "GET", f"/studies/{STUDY}")).status == 200
        nowhere = await world.call(visitor.bearer, "GET", f"/studies/{NOBODY}")
        refused = await world.call(visitor.bearer, "GET", f"/studies/{OTHER}")
        assert (refused.status, refused.body, refused.headers) == (404, nowhere.body, nowhere.headers)
        assert [row[3] for row in await world.on_record(Event.REFUSAL)] == [Reason.NOT_THERE, Reason.NO_GRANT]

    async def test_which_patients_there_are_is_not_even_looked_up_for_a_visit(
        self, world: World, visitor: Visitor
    ) -> None:
        for name in (name_of(PATIENT), NOBODY):
            for below in ("", "/studies", "/instances", "/module"):
                assert (await world.call(visitor.bearer, "GET", f"/patients/{name}{below}")).status == 404
        assert world.server.asked == []
        await world.call(await world.key("reader"), "GET", f"/patients/{name_of(PATIENT)}")
        assert world.server.asked != []

    async def test_a_visits_cookie_opens_nothing_here(self, world: World, visitor: Visitor) -> None:
        assert (await world.call(visitor.cookie, "GET", f"/studies/{STUDY}")).status == 401
        below = await world.caller.get(f"/v/{visitor.visit.id}/orthanc/studies", visitor.cookie)
        assert below.status == 401

    async def test_nobody_gets_anything(self, world: World) -> None:
        assert (await world.call({}, "GET", f"/studies/{STUDY}")).status == 401
        assert world.server.asked == []

    @pytest.mark.parametrize("name", [STUDY, OTHER, NOBODY])
    async def test_what_a_credential_never_does_is_refused_before_anything_is_looked_up(
        self, world: World, visitor: Visitor, name: str
    ) -> None:
        reader = await world.key("reader")
        assert (await world.call(reader, "DELETE", f"/studies/{name}")).status == 403
        assert (await world.call(visitor.bearer, "GET", f"/studies/{name}/archive")).status == 403
        assert world.server.asked == []

    async def test_a_file_that_is_taken_is_an_export(self, world: World) -> None:
        world.server.answers[f"/instances/{INSTANCE}/file"] = ("application/dicom", b"DICM")
        key = await world.key("reader")
        answer = await world.call(key, "GET", f"/instances/{INSTANCE}/file")
        assert (answer.body, answer.header("content-type")) == (b"DICM", "application/dicom")
        assert answer.header("content-disposition") == f'attachment; filename="{INSTANCE}.dcm"'
        assert await world.on_record(Event.EXPORT) == [("key", OK, Action.DOWNLOAD, None)]

    async def test_nothing_is_released_that_is_not_on_record(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = await world.key("reader")

        def full(_: object) -> None:
            raise StoreFailed("the disk is full")

        monkeypatch.setattr(world.store, "_append", full)
        assert (await world.call(key, "GET", f"/instances/{INSTANCE}/tags")).status == 503
        assert world.server.asked != []
        assert world.forwarded == []

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "LOCK"])
    async def test_a_visit_only_reads(self, world: World, visitor: Visitor, method: str) -> None:
        for path in (f"/studies/{STUDY}", "/tools/find", "/studies"):
            answer = await world.call(visitor.bearer, method, path)
            assert (answer.status, answer.header("allow")) == (405, "GET, HEAD, OPTIONS")
        assert world.server.asked == []


NODES = sorted({path[:depth] for path in PATHS for depth in (1, 2, 3)})
LISTS = {1: "studies", 2: "series", 3: "instances"}


@settings(max_examples=25)
@given(st.sets(st.sampled_from([node for node in NODES if len(node) < 3]), min_size=1, max_size=3))
async def test_what_is_listed_is_what_can_be_opened(shared: set[tuple[str, ...]]) -> None:
    world = World()
    visitor = await world.visitor(*sorted(shared))
    for depth, kind in LISTS.items():
        every = [name_of(PATIENT, *node) for node in NODES if len(node) == depth]
        opened = {name for name in every if (await world.call(visitor.bearer, "GET", f"/{kind}/{name}")).status == 200}
        assert set((await world.call(visitor.bearer, "GET", f"/{kind}")).json()) == opened
        held = {node for node in NODES if len(node) == depth and any(node[: len(each)] == each for each in shared)}
        assert opened == {name_of(PATIENT, *node) for node in held}
    in_dicomweb = await world.caller.get("/dicom-web/studies", visitor.bearer)
    found = {item["0020000D"]["Value"][0] for item in in_dicomweb.json()}
    assert found == {node[0] for node in shared}


class TestAFlood:
    """Names that nobody has are made up in no time, and each one asks Orthanc."""

    async def test_of_names_is_felt_by_its_link_alone(self) -> None:
        world = World(at_once=2, may_wait=3)
        world.server.gate = asyncio.Event()
        visitor, other = await world.visitor((OK,)), await world.visitor((OK,))
        asked = [
            asyncio.ensure_future(world.call(visitor.bearer, "GET", f"/studies/{name_of(str(number))}"))
            for number in range(20)
        ]
        await settled()
        assert len(world.server.asked) == 2
        assert sum(each.done() and each.result().status == 429 for each in asked) == 15
        opened = asyncio.ensure_future(world.call(other.bearer, "GET", f"/studies/{STUDY}"))
        await settled()
        assert len(world.server.asked) == 3
        world.server.gate.set()
        assert (await opened).status == 200
        assert {answer.status for answer in await asyncio.gather(*asked)} == {404, 429}

    async def test_ends_with_the_right_to_ask(self) -> None:
        world = World()
        world.server.gate = asyncio.Event()
        visitor = await world.visitor((OK,))
        async with world.enforcing():
            asked = asyncio.ensure_future(world.call(visitor.bearer, "GET", f"/studies/{STUDY}"))
            await settled()
            world.after(30 * DAY)
            assert (await asked).status == 401

    async def test_what_orthanc_does_not_say_is_a_failure_of_whoever_asked(self, world: World) -> None:
        world.server.status = 500
        assert (await world.call(await world.key("reader"), "GET", f"/studies/{STUDY}")).status == 502
        assert [row[0] for row in await world.on_record(Event.FAILURE)] == ["key"]


class TestWhatOrthancKeepsBesideTheImages:
    async def test_whoever_has_the_archive_is_told(self, world: World) -> None:
        key = await world.key("reader")
        assert (await world.call(key, "GET", f"/studies/{STUDY}")).json()["Labels"] == ["secret"]
        world.server.answers[f"/studies/{STUDY}/metadata"] = ("application/json", b'{"RemoteIP": "10.0.0.1"}')
        assert b"10.0.0.1" in (await world.call(key, "GET", f"/studies/{STUDY}/metadata?expand")).body

    async def test_whoever_has_a_part_is_not(self, world: World, visitor: Visitor) -> None:
        described = (await world.call(visitor.bearer, "GET", f"/studies/{STUDY}")).json()
        assert described == {name: described[name] for name in ("ID", "Type", "MainDicomTags", "ParentPatient")}
        assert "secret" not in (await world.call(visitor.bearer, "GET", f"/studies/{STUDY}/series")).text
        world.server.asked.clear()
        for below in ("metadata", "metadata/RemoteIP", "labels", "labels/x", "attachments", "attachments/dicom/info"):
            assert (await world.call(visitor.bearer, "GET", f"/studies/{STUDY}/{below}")).status == 404
        assert world.forwarded == []

    @pytest.mark.parametrize("body", [b"[]", b"{", b"\xff", b"[" * 10_000])
    async def test_what_is_no_description_is_a_failure(
        self, world: World, visitor: Visitor, body: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await world.call(visitor.bearer, "GET", f"/studies/{STUDY}")  # known to lineage from now on
        world.server.answers[f"/studies/{STUDY}"] = ("application/json", body)
        assert (await world.call(visitor.bearer, "GET", f"/studies/{STUDY}")).status == 502
        monkeypatch.setattr("keyhole.gateway.orthanc_rest.LONGEST_ITEM", 0)
        assert (await world.call(visitor.bearer, "GET", f"/studies/{STUDY}")).status == 502


class TestWhatChanges:
    async def test_an_administrator_deletes_and_labels(self, world: World) -> None:
        key = await world.key("administrator")
        assert (await world.call(key, "DELETE", f"/studies/{STUDY}")).status == 200
        assert (await world.call(key, "PUT", f"/studies/{STUDY}/labels/teaching")).status == 200
        assert world.forwarded == [f"DELETE /studies/{STUDY}", f"PUT /studies/{STUDY}/labels/teaching"]
        on_record = await world.on_record(Event.ACCESS)
        assert on_record == [("key", OK, Action.DELETE, None), ("key", OK, Action.LABEL, None)]

    @pytest.mark.parametrize(
        ("may", "status"),
        [
            (set(Action), 200),
            ({Action.ANONYMISE, Action.DELETE}, 200),
            ({Action.ANONYMISE}, 403),
            ({Action.DELETE}, 403),
        ],
    )
    async def test_anonymising_may_remove_the_source_and_takes_the_right_to_that(
        self, world: World, may: set[Action], status: int
    ) -> None:
        world.server.answers[f"/studies/{STUDY}/anonymize"] = ("application/json", b"{}")
        key = await world.key("administrator", ceiling=frozenset(may))
        body = b'{"KeepSource": false}'
        assert (await world.call(key, "POST", f"/studies/{STUDY}/anonymize", body)).status == status
        assert (world.forwarded != []) == (status == 200)

    async def test_an_uploader_stores_files_and_makes_nothing_of_what_is_there(self, world: World) -> None:
        key = await world.key("uploader")
        world.server.answers["/instances"] = ("application/json", b"{}")
        assert (await world.call(key, "POST", "/instances", b"DI", b"CM")).status == 200
        assert world.server.sent[-1] == ("application/dicom", b"DICM")
        assert (await world.call(key, "POST", "/tools/create-dicom", b'{"Parent": "x"}')).status == 403

    @pytest.mark.parametrize(
        ("content_type", "status"),
        [
            ("application/dicom", 200),
            ("application/zip", 200),
            ("application/octet-stream", 200),
            ("application/x-www-form-urlencoded", 200),
            ("multipart/form-data; boundary=x", 415),
            ("text/html", 415),
            ("a/b; =", 415),
        ],
    )
    async def test_uploads_have_a_type(self, world: World, content_type: str, status: int) -> None:
        key = await world.key("uploader")
        world.server.answers["/instances"] = ("application/json", b"{}")
        answer = await world.call(key, "POST", "/instances", b"DICM", content_type=content_type)
        assert answer.status == status

    @pytest.mark.parametrize("target", [f"PUT /studies/{STUDY}/labels/a", f"DELETE /studies/{STUDY}", "GET /studies"])
    async def test_what_has_no_body_is_refused_with_one(self, world: World, target: str) -> None:
        key = await world.key("administrator")
        method, _, path = target.partition(" ")
        assert (await world.call(key, method, path, b"{}")).status == 400
        assert world.server.asked == []

    async def test_a_search_is_written_anew(self, world: World) -> None:
        key = await world.key("reader")
        body = b'{ "Query" : {"StudyInstanceUID":"%b"}, "Level":"Study" }' % OK.encode()
        assert (await world.call(key, "POST", "/tools/find", body)).json() == [STUDY]
        assert world.server.sent[-1][1] == b'{"Level": "Study", "Query": {"StudyInstanceUID": "%b"}}' % OK.encode()
        assert (await world.call(key, "POST", "/tools/lookup", OK.encode())).json()[0]["ID"] == STUDY

    async def test_a_search_that_is_none_is_refused(self, world: World) -> None:
        key = await world.key("reader")
        for body in (b"", b"{}", b"[" * 65_000, b"x" * 70_000):
            assert (await world.call(key, "POST", "/tools/find", body)).status == 400
        assert (await world.call(key, "POST", "/tools/find")).status == 400
        assert world.server.asked == []


class TestWhatComesBack:
    async def answered(
        self, world: World, kind: str, path: str = f"/instances/{INSTANCE}/attachments/1024/data"
    ) -> Answer:
        world.server.answers[path] = (kind, b"<script>alert(1)</script>")
        return await world.call(await world.key("reader"), "GET", path)

    @pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/pdf", "text/xml", "", "x"])
    async def test_what_could_run_is_a_file_to_save(self, world: World, kind: str) -> None:
        answer = await self.answered(world, kind)
        assert answer.header("content-type") == "application/octet-stream"
        assert answer.header("content-disposition") == "attachment"
        assert answer.header("x-content-type-options") == "nosniff"

    @pytest.mark.parametrize("kind", ["text/plain", "text/plain; charset=latin-1"])
    async def test_text_is_text(self, world: World, kind: str) -> None:
        assert (await self.answered(world, kind)).header("content-type") == "text/plain; charset=utf-8"

    async def test_an_archive_has_a_name(self, world: World) -> None:
        answer = await self.answered(world, "application/zip", f"/studies/{STUDY}/archive")
        assert answer.header("content-disposition") == f'attachment; filename="{STUDY}.zip"'

    @pytest.mark.parametrize(
        ("accept", "asked"),
        [
            ("*/*", "image/png"),
            ("image/*", "image/png"),
            ("image/jpeg", "image/jpeg"),
            ("image/webp, image/jpeg;q=0.5, */*;q=0.1", "image/jpeg"),
            ("text/html", None),
            ("image/png;q=0", None),
        ],
    )
    async def test_a_picture_is_asked_for_in_one_form(self, world: World, accept: str, asked: str | None) -> None:
        path = f"/instances/{INSTANCE}/preview"
        world.server.answers[path] = ("image/png", b"PNG")
        answer = await world.call(await world.key("reader"), "GET", path, accept=accept)
        assert answer.status == (406 if asked is None else 200)
        assert asked is None or world.server.accepts[-1] == asked

    async def test_what_counts_things_beside_is_not_asked_for(self, world: World, visitor: Visitor) -> None:
        query = "requested-tags=NumberOfPatientRelatedStudies;PatientName"
        await world.call(visitor.bearer, "GET", f"/studies/{STUDY}?{query}")
        assert world.server.asked[-1] == f"GET /studies/{STUDY}?requested-tags=0010-0010"

    async def test_xml_is_never_asked_for(self, world: World) -> None:
        await world.call(await world.key("reader"), "GET", f"/studies/{STUDY}", accept="application/xml")
        assert set(world.server.accepts) == {"application/json"}

    async def test_head_is_decided_like_get_and_has_no_body(self, world: World) -> None:
        answer = await world.call(await world.key("reader"), "HEAD", f"/studies/{STUDY}")
        assert (answer.status, answer.body) == (200, b"")

    async def test_options_tells_what_is_open(self, world: World, visitor: Visitor) -> None:
        key = await world.key("administrator")
        assert (await world.call(key, "OPTIONS", f"/studies/{STUDY}")).header("allow") == "DELETE, GET, HEAD, OPTIONS"
        assert (await world.call(visitor.bearer, "OPTIONS", f"/studies/{STUDY}")).header(
            "allow"
        ) == "GET, HEAD, OPTIONS"
        assert (await world.call(key, "OPTIONS", "")).status == 204
        for path in ("/jobs", "/tools/execute-script", "/Studies", "/studies/"):
            assert (await world.call(key, "OPTIONS", path)).status in (400, 404)
        assert world.server.asked == []

    async def test_what_breaks_tells_nothing(self, world: World) -> None:
        world.server.status = 409
        answer = await world.call(await world.key("reader"), "GET", "/studies")
        assert answer.status == 502
        assert "orthanc.internal" not in answer.text
        assert [row[3] for row in await world.on_record(Event.FAILURE)] == [Reason.ARCHIVE_FAILED]

    async def test_what_was_answered_besides_is_on_record(self, world: World, visitor: Visitor) -> None:
        world.server.ignores_queries = True
        assert (await world.call(visitor.bearer, "GET", "/studies")).json() == [STUDY]
        assert [row[3] for row in await world.on_record(Event.FAILURE)] == [Reason.FOREIGN_ANSWER]


class TestArchivesByName:
    async def test_a_key_reaches_its_archive_by_name_and_links_lead_back_there(self, world: World) -> None:
        key = await world.key("reader")
        answer = await world.caller.get(f"/archives/main/dicom-web/studies?StudyInstanceUID={OK}", key)
        assert f"{PUBLIC}/archives/main/dicom-web/studies/{OK}" in answer.text
        assert (await world.caller.get(f"/archives/main/orthanc/studies/{STUDY}", key)).status == 200
        assert (await world.caller.get(f"/orthanc/dicom-web/studies/{OK}/metadata", key)).status == 200

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
    @pytest.mark.parametrize(
        "below", ["dicom-web", f"dicom-web{FRAME}", "dicom-web/wado", "orthanc", "orthanc/studies"]
    )
    async def test_an_archive_without_a_grant_is_one_that_is_not_there(
        self, world: World, visitor: Visitor, method: str, below: str
    ) -> None:
        for who in (visitor.bearer, await world.key("reader"), await world.key("administrator")):
            answer = await world.caller.call(method, f"/archives/elsewhere/{below}", who)
            assert (answer.status, answer.header("allow")) == (404, None)

    async def test_without_orthanc_there_is_no_orthanc(self) -> None:
        gate = Gate()
        key = await gate.key("reader")
        for method, path in (("GET", "/orthanc/studies"), ("OPTIONS", "/orthanc/studies"), ("OPTIONS", "/orthanc")):
            assert (await gate.caller.call(method, path, key)).status == 404


class TestWadoUri:
    QUERY = f"requestType=WADO&studyUID={OK}&seriesUID={SERIES}&objectUID={SERIES}.1"

    async def test_a_visit_sees_a_picture_by_either_way(self, world: World, visitor: Visitor) -> None:
        for root, who in ((visitor.root, visitor.cookie), ("/dicom-web", visitor.bearer)):
            answer = await world.caller.get(f"{root}/wado?{self.QUERY}", who)
            assert (answer.status, answer.header("content-type")) == (200, "image/jpeg")
        assert world.archive.asked[-1].startswith(f"/studies/{OK}/series/{SERIES}/instances/{SERIES}.1/rendered")
        assert await world.on_record(Event.ACCESS) == [("visit", OK, Action.RENDER, None)]

    async def test_a_visit_takes_no_file_and_nothing_else(self, world: World, visitor: Visitor) -> None:
        root = f"{visitor.root}/wado"
        assert (
            await world.caller.get(f"{root}?{self.QUERY}&contentType=application/dicom", visitor.cookie)
        ).status == 403
        other = self.QUERY.replace(OK, BAD)
        assert (await world.caller.get(f"{root}?{other}", visitor.cookie)).status == 404
        assert (await world.caller.get(f"{root}?{self.QUERY}&studyUID={BAD}", visitor.cookie)).status == 404
        assert (await world.caller.call("POST", f"{root}?{self.QUERY}", visitor.cookie)).status == 405
        assert world.archive.asked == []

    async def test_a_key_is_told_what_is_wrong_by_the_status(self, world: World) -> None:
        key = await world.key("reader")
        assert (await world.caller.get(f"/dicom-web/wado?{self.QUERY}&anonymize=yes", key)).status == 400
        assert (await world.caller.get(f"/dicom-web/wado?{self.QUERY}&contentType=text/html", key)).status == 406
        assert (await world.caller.get("/dicom-web/wado", key)).status == 400
        assert (await world.caller.call("POST", f"/dicom-web/wado?{self.QUERY}", key)).status == 404
        with_body = {**key, "content-length": "2"}
        assert (await world.caller.call("GET", f"/dicom-web/wado?{self.QUERY}", with_body, (b"{}",))).status == 400
        options = await world.caller.call("OPTIONS", "/dicom-web/wado", key)
        assert (options.status, options.header("allow")) == (204, "GET, HEAD, OPTIONS")


VISIT = "a" * 16


@pytest.mark.parametrize(
    ("path", "meaning"),
    [
        ("/dicom-web", (Api.DICOMWEB, "/dicom-web", None, None, b"")),
        ("/dicom-web/studies", (Api.DICOMWEB, "/dicom-web", None, None, b"/studies")),
        (f"/v/{VISIT}/dicom-web/studies", (Api.DICOMWEB, f"/v/{VISIT}/dicom-web", VISIT, None, b"/studies")),
        ("/orthanc/studies", (Api.ORTHANC, "/orthanc", None, None, b"/studies")),
        ("/orthanc", (Api.ORTHANC, "/orthanc", None, None, b"")),
        ("/orthanc/dicom-web/studies", (Api.DICOMWEB, "/orthanc/dicom-web", None, None, b"/studies")),
        ("/orthanc/dicom-webs", (Api.ORTHANC, "/orthanc", None, None, b"/dicom-webs")),
        ("/archives/b-2/dicom-web/x", (Api.DICOMWEB, "/archives/b-2/dicom-web", None, "b-2", b"/x")),
        ("/archives/b-2/orthanc/x", (Api.ORTHANC, "/archives/b-2/orthanc", None, "b-2", b"/x")),
        ("/archives/b/orthanc/dicom-web", (Api.DICOMWEB, "/archives/b/orthanc/dicom-web", None, "b", b"")),
        ("/archives/b/orthanc/\n", (Api.ORTHANC, "/archives/b/orthanc", None, "b", b"/\n")),
        *(
            (path, (Api.DICOMWEB, None, None, None, b""))
            for path in (
                "/orthancs",
                "/Orthanc/studies",
                "/dicom-webs",
                "/archives",
                "/archives//orthanc",
                "/archives/B/orthanc",
                "/archives/%62/orthanc",
                "/archives/../orthanc",
                "/archives/b/../orthanc",
                f"/archives/{'b' * 33}/orthanc",
                "/archives/b/v/orthanc",
                f"/v/{VISIT}/orthanc/studies",
                f"/v/{VISIT}/archives/b/dicom-web",
                f"/archives/b/v/{VISIT}/dicom-web",
            )
        ),
    ],
)
def test_a_root_is_said_in_one_way(path: str, meaning: tuple[Any, ...]) -> None:
    scope = {"method": "GET", "raw_path": path.encode(), "query_string": b"", "headers": []}
    found = incoming(scope, lambda _: LOCAL)
    assert (found.api, found.root, found.visit, found.archive, found.below) == meaning
