"""Whole stories of Orthanc Explorer 2: a real Orthanc behind the model of its plugin, a real Keyhole that it asks.

Keyhole reads that Orthanc through the plugin as well, with a key of its own, as the page for administrators says.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPConnection, RemoteDisconnected
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from tests.e2e import dataset
from tests.e2e.dataset import ANNA, BORIS, EARLIER, PRIOR, STRANGER, Study
from tests.e2e.visitor import visitor
from tests.servers.keyhole import Keyhole, at_rest, share_id
from tests.servers.orthanc import TRIXIE, Orthanc, orthanc
from tests.servers.plugin.front import Front, fronted
from tests.servers.process import wait_until

PASSWORD = "a-password-of-some-length"
STONE, OHIF = "stone-viewer-publication", "ohif-viewer-publication"
VIEWER, DOWNLOAD = "viewer-instant-link", "download-instant-link"
ELSEWHERE = f"{STRANGER}.7"
SERVER_ID = "orthanc-9"
CALLERS = ("explorer", "trusted", "named", "elsewhere")


@dataclass
class Answer:
    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Explorer:
    """An Orthanc as a browser reaches it, and whoever shows *headers* there."""

    front: Front
    headers: Mapping[str, str]

    def ask(self, method: str, path: str, content: Any = None, **more: str) -> Answer:
        """One request; ConnectionError when Orthanc closes the connection without an answer."""
        place = urlsplit(self.front.url)
        connection = HTTPConnection(place.hostname or "", place.port, timeout=30)
        body = content if content is None or isinstance(content, bytes) else json.dumps(content).encode()
        try:
            connection.request(method, path, body, {**self.headers, **more})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read())
        finally:
            connection.close()

    def status(self, path: str, method: str = "GET", content: Any = None) -> int:
        return self.ask(method, path, content).status

    def permissions(self) -> list[str]:
        """What they may do, as their page says."""
        return list(self.ask("GET", "/auth/user/profile").json().get("permissions", []))

    def link(self, kind: str, *resources: Mapping[str, str], **more: Any) -> dict[str, Any]:
        """What the Explorer is answered when somebody asks for a link of that kind."""
        answer = self.ask("PUT", f"/auth/tokens/{kind}", {"Resources": resources, "Type": kind, **more})
        assert answer.status == 200, answer
        return dict(answer.json())

    def found(self, query: str = "") -> list[str]:
        """The studies that a search answers."""
        answer = self.ask("GET", f"/dicom-web/studies{query}")
        assert answer.status == 200, answer
        return sorted(item["0020000D"]["Value"][0] for item in answer.json())


@dataclass
class World:
    """Everything that runs."""

    orthanc: Orthanc
    server: Keyhole
    fronts: dict[str, Front]
    ids: dict[str, str]
    keys: dict[tuple[str, ...], str] = field(default_factory=dict)

    def key(self, *roles: str) -> str:
        """The key of somebody with these roles."""
        if roles not in self.keys:
            self.keys[roles] = self.server.key("somebody", *roles)
        return self.keys[roles]

    def as_user(self, *roles: str, at: str = "explorer") -> Explorer:
        """Somebody with these roles."""
        return Explorer(self.fronts[at], {"token": self.key(*roles)})

    def api(self, path: str) -> Any:
        """What the staff API answers."""
        bearer = {"Authorization": f"Bearer {self.key('administrator')}"}
        answer = self.server.ask("GET", f"/api/v1/{path}", bearer, port=self.server.staff_port)
        assert answer.status == 200, answer
        return answer.json()

    def holding(self, token: str, *, at: str = "explorer", bearer: bool = False) -> Explorer:
        """Whoever holds this token."""
        self.server.secrets.add(token)
        return Explorer(self.fronts[at], {"Authorization": f"Bearer {token}"} if bearer else {"token": token})

    def named(self, study: str) -> dict[str, str]:
        """A study as the Explorer names it."""
        return {"DicomUid": study, "OrthancId": self.ids[study], "Level": "study"}

    def link(self, kind: str, *studies: str, at: str = "explorer", **more: Any) -> str:
        """The token of a link that somebody who may made."""
        made = self.as_user("sharer", at=at).link(kind, *map(self.named, studies), **more)
        return str(made["Token"])

    def rows(self, token: str) -> list[dict[str, Any]]:
        """What the trail says of a token's share."""
        return list(self.api(f"shares/{share_of(token)}/timeline")["events"])

    def said(self, token: str, event: str, **wanted: Any) -> list[dict[str, Any]]:
        """The rows of one kind; refusals and counts are written some seconds late."""
        found: list[dict[str, Any]] = []

        def some() -> bool:
            found[:] = [
                row
                for row in self.rows(token)
                if row["event"] == event and all(row.get(name) == value for name, value in wanted.items())
            ]
            return bool(found)

        wait_until(some, 20, lambda: f"no {event} {wanted} in {self.rows(token)}")
        return found

    def roles(self, document: Mapping[str, Any]) -> None:
        """Put roles in force as the Explorer's page of roles does."""
        administrator = self.as_user("administrator")
        assert administrator.ask("PUT", "/auth/settings/roles", document).status == 200


def share_of(token: str) -> str:
    return token.split("_")[1]


def metadata(study: str) -> str:
    return f"/dicom-web/studies/{study}/metadata"


def frames(study: str) -> str:
    return f"/dicom-web/studies/{study}/series/{study}.1/instances/{study}.1.1/frames/1"


@contextmanager
def running(place: Path, studies: Path, far: Path) -> Iterator[World]:
    config = place / "keyhole.toml"
    tables = {name: {"user": name, "password": PASSWORD} for name in CALLERS}
    tables["trusted"]["creation"] = "trusted"
    tables["named"]["server_id"] = SERVER_ID
    tables["elsewhere"]["archive"] = "elsewhere"
    lines = [f'[archives.elsewhere]\nroot = "{far}"']
    for name, table in tables.items():
        lines += [f"[plugin_callers.{name}]", *(f'{key} = "{value}"' for key, value in table.items())]
    config.write_text("\n".join(lines))
    config.chmod(0o600)
    with ExitStack() as stack:
        archive = stack.enter_context(orthanc(place, TRIXIE))
        archive.upload(studies)
        settings = {"KEYHOLE_ARCHIVE": str(far), "KEYHOLE_CONFIG": str(config)}
        server = at_rest(place, settings, KEYHOLE_PLUGIN_TYPES=f"{STONE}=direct")
        assert isinstance(server.environment, dict)
        environment = server.environment
        root = f"http://127.0.0.1:{server.internal_port}/plugin"
        names = {name: SERVER_ID if name == "named" else None for name in CALLERS}
        fronts = {name: stack.enter_context(fronted(archive, root, name, PASSWORD, names[name])) for name in CALLERS}
        url = fronts["explorer"].url
        environment["KEYHOLE_PLUGIN_ORTHANC_URL"] = url
        own = server.key("orthanc", "reader")
        environment |= {
            "KEYHOLE_ARCHIVE": f"{url}/dicom-web",
            "KEYHOLE_ARCHIVE_ORTHANC": url,
            "KEYHOLE_ARCHIVE_HEADERS": f"token: {own}",
        }
        stack.enter_context(server.process)
        known = archive.json("/studies?expand")
        ids = {study["MainDicomTags"]["StudyInstanceUID"]: study["ID"] for study in known}
        server.secrets.add(PASSWORD)
        yield World(archive, server, fronts, ids)
    assert not server.leaks()


def written(folder: Path, *studies: Study) -> Path:
    for study in studies:
        dataset.write(folder, islice(dataset.ct(study, f"{study.uid}.1", slices=5), 5))
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("stories")
    near = written(
        place / "near", Study(PRIOR, ANNA, "the prior"), Study(EARLIER, ANNA, "before"), Study(STRANGER, BORIS, "his")
    )
    far = written(place / "far", Study(ELSEWHERE, BORIS, "elsewhere"), Study(STRANGER, BORIS, "his, there"))
    with running(place, near, far) as everything:
        yield everything


def test_a_study_is_shared_in_the_explorer_opened_in_a_browser_and_withdrawn(world: World, browser: Browser) -> None:
    server = world.server
    made = world.as_user("sharer").link(OHIF, world.named(PRIOR), ValidityDuration=15 * 86400)
    server.secrets |= {made["Token"], made["Url"].partition("#")[2]}
    asked = {"TokenKey": "token", "TokenValue": made["Token"]}
    landed = world.holding(made["Token"]).ask("POST", "/auth/tokens/decode", asked)
    assert landed.json()["RedirectUrl"] == made["Url"]
    with visitor(browser, server) as person:
        person.open(made["Url"])
        visit = person.visit
        person.enter_viewer()
        person.sees(PRIOR, range(1, 6))
        cookies = {cookie["name"]: cookie["value"] for cookie in person.context.cookies()}
    shown = {"Cookie": f"keyhole_visit={cookies['keyhole_visit']}"}
    path = f"{visit}dicom-web/studies/{PRIOR}/metadata"
    assert server.get(path, shown).status == 200

    server.revoke(made["Url"])
    wait_until(lambda: server.get(path, shown).status != 200, 10, "the visit goes on")
    holder = world.holding(made["Token"])
    assert [holder.status(each) for each in (metadata(PRIOR), "/dicom-web/studies")] == [403, 403]
    assert server.try_open(made["Url"]).status in (404, 410)

    rows = world.rows(made["Token"])
    assert (rows[0]["event"], rows[0]["subject"], rows[0]["study"]) == ("share-created", "plugin:explorer", PRIOR)
    assert {"visit-begun", "access", "share-withdrawn"} <= {row["event"] for row in rows}
    assert all(row["study"] == PRIOR for row in rows if row["event"] == "access")
    lines = server.run("shares", "--all", "--json").stdout.splitlines()
    (listed,) = [share for share in map(json.loads, lines) if share["id"] == share_id(made["Url"])]
    assert (listed["origin"], listed["token_type"], listed["state"]) == ("plugin", OHIF, "withdrawn")
    assert f"plugin: {OHIF}" in server.run("show", listed["id"]).stdout


def test_the_viewer_button_reads_through_orthanc_and_the_link_writes_nothing(world: World) -> None:
    token = world.link(VIEWER, PRIOR, ValidityDuration=200)
    viewer = world.holding(token, bearer=True)
    for path in (metadata(PRIOR), frames(PRIOR), f"/dicom-web/studies?StudyInstanceUID={PRIOR}"):
        assert viewer.status(path) == 200, path
    for path in (metadata(STRANGER), frames(EARLIER), f"/dicom-web/studies?StudyInstanceUID={STRANGER}"):
        assert viewer.status(path) == 403, path
    study = f"/studies/{world.ids[PRIOR]}"
    for method, path in (
        ("PUT", f"{study}/labels/mine"),
        ("DELETE", study),
        ("POST", "/instances"),
        ("POST", "/tools/find"),
        ("GET", "/studies"),
        ("GET", "/changes"),
        ("PUT", f"/auth/tokens/{VIEWER}"),
    ):
        assert viewer.status(path, method, {} if method != "GET" else None) == 403, (method, path)
    assert PRIOR in world.as_user("reader").found()
    (access,) = world.said(token, "access", action="retrieve")
    assert (access["subject"], access["study"]) == (f"share:{share_of(token)}", PRIOR)
    assert access["detail"]["through"] == "plugin:explorer"
    refusals = world.said(token, "refusal")
    assert {row["reason"] for row in refusals} <= {"no-grant", "ceiling"}


def test_the_download_button_gives_the_archive_of_its_study_and_no_other(world: World) -> None:
    token = world.link(DOWNLOAD, PRIOR, ValidityDuration=200)
    nobody = Explorer(world.fronts["explorer"], {})
    given = nobody.ask("GET", f"/studies/{world.ids[PRIOR]}/archive?token={token}")
    assert (given.status, given.body[:2]) == (200, b"PK")
    assert nobody.status(f"/studies/{world.ids[STRANGER]}/archive?token={token}") == 403
    assert nobody.status(f"/studies/{world.ids[PRIOR]}/anonymize?token={token}", "POST", {}) == 403
    assert nobody.status(f"{metadata(PRIOR)}?token={token}") == 403, "a token in the address opens no DICOMweb"
    assert world.said(token, "access", study=PRIOR)[0]["detail"]["through"] == "plugin:explorer"
    world.server.secrets.add(token)


def test_only_who_is_trusted_gives_a_viewers_own_address(world: World) -> None:
    studies = [world.named(PRIOR)]
    direct = world.as_user("sharer", at="trusted").link(STONE, *studies, ValidityDuration=20 * 86400)
    assert direct["Url"].startswith(f"{world.fronts['explorer'].url}/stone-webviewer/index.html?study={PRIOR}&")
    assert world.holding(direct["Token"], at="trusted").status(metadata(PRIOR)) == 200
    landing = world.as_user("sharer").link(STONE, *studies, ValidityDuration=20 * 86400)
    assert landing["Url"].startswith(f"{world.server.public_url}/s/")
    assert world.holding(landing["Token"]).status(metadata(PRIOR)) == 403
    world.server.secrets |= {landing["Url"].partition("#")[2]}
    for made, by, days, opens in ((direct, "trusted", 20, "orthanc"), (landing, "explorer", 7, "page")):
        first = world.rows(made["Token"])[0]
        assert (first["event"], first["subject"]) == ("share-created", f"plugin:{by}")
        assert (first["detail"]["type"], first["detail"]["opens"]) == (STONE, opens)
        assert _days(world.api(f"shares/{share_of(made['Token'])}")) == days

    world.server.run("revoke", share_of(direct["Token"]))
    holder = world.holding(direct["Token"], at="trusted")
    wait_until(lambda: holder.status(metadata(PRIOR)) == 403, 10, "Orthanc goes on")
    assert [holder.status(path) for path in (frames(PRIOR), "/dicom-web/studies")] == [403, 403]
    assert world.said(direct["Token"], "refusal", reason="withdrawn")


def _days(share: Mapping[str, Any]) -> int:
    begins, ends = (datetime.fromisoformat(share[name]) for name in ("created_at", "expires_at"))
    return (ends - begins).days


def test_whoever_is_limited_to_a_label_sees_what_carries_it(world: World) -> None:
    world.orthanc.ask("PUT", f"/studies/{world.ids[EARLIER]}/labels/clinic-a", b"")
    whole = {"permissions": ["all", "admin-permissions"], "authorized-labels": ["*"]}
    reading = {"permissions": ["view", "download", "share"], "authorized-labels": ["*"]}
    labelled = {"permissions": ["view"], "authorized-labels": ["clinic-a"]}
    book = {"administrator": whole, "reader": reading, "sharer": reading, "uploader": labelled}
    limited = world.as_user("uploader")
    before = world.as_user("administrator").ask("GET", "/auth/settings/roles").json()
    world.roles({"roles": book, "available-labels": ["clinic-a"]})
    try:
        wait_until(lambda: limited.permissions() == ["view"], 20, "the role is not what it was made")
        assert limited.found() == [EARLIER]
        assert [limited.status(metadata(study)) for study in (EARLIER, PRIOR)] == [200, 403]
        assert [limited.status(f"/studies/{world.ids[study]}") for study in (EARLIER, STRANGER)] == [200, 403]
        assert limited.status("/studies") == 403
        assert limited.status("/auth/settings/roles") == 403
        link = {"Resources": [world.named(EARLIER)], "Type": OHIF}
        assert limited.status(f"/auth/tokens/{OHIF}", "PUT", link) == 403
    finally:
        world.roles(before)
        wait_until(lambda: limited.permissions() == ["upload"], 20, "the role is not what it was")
    rows = world.server.trail()
    assert [row["subject"] for row in rows if row["event"] == "roles-changed"] == ["plugin:explorer"] * 2
    key = f"key:{world.key('uploader').split('_')[1]}"
    given = [row["detail"] for row in rows if row["event"] == "profile-given" and row["subject"] == key]
    assert {"through": "plugin:explorer", "roles": "uploader"} in given
    # A link to a study with a label is not read through DICOMweb's second question alone: that one has none.
    token = world.link(VIEWER, EARLIER)
    assert world.holding(token).status(metadata(EARLIER)) == 200
    assert world.holding(token).status(f"/studies/{world.ids[EARLIER]}/anonymize", "POST", {}) == 403


def test_an_upload_by_who_may_is_seen_shared_deleted_and_gone(world: World, tmp_path: Path) -> None:
    brought = Study(f"{PRIOR}.55", ANNA, "brought")
    files = [path.read_bytes() for path in sorted(written(tmp_path, brought).rglob("*.dcm"))]
    uploader = world.as_user("uploader")
    assert [uploader.status("/instances", "POST", file) for file in files] == [200] * len(files)
    assert uploader.status(metadata(brought.uid)) == 403
    assert world.as_user("reader").status("/instances", "POST", files[0]) == 403
    for study in world.orthanc.json("/studies?expand"):
        world.ids[study["MainDicomTags"]["StudyInstanceUID"]] = study["ID"]

    token, page = world.link(VIEWER, brought.uid), world.link(OHIF, brought.uid)
    assert world.holding(token).status(metadata(brought.uid)) == 200
    assert world.orthanc.ask("DELETE", f"/studies/{world.ids[brought.uid]}")[0] == 200
    assert world.holding(token).status(metadata(brought.uid)) == 403
    assert world.holding(token).status(f"/studies/{world.ids[brought.uid]}/archive") == 403
    assert world.holding(token).found() == []
    assert world.holding(token).found("?PatientID=*") == []
    with pytest.raises(RemoteDisconnected):
        world.as_user("sharer").link(OHIF, world.named(brought.uid))
    assert world.said(page, "share-created")[0]["study"] == brought.uid


def test_a_search_by_a_link_finds_its_study_and_is_on_record(world: World) -> None:
    token = world.link(VIEWER, PRIOR)
    holder = world.holding(token)
    for query in ("", f"?PatientID={ANNA.id}", "?PatientID=*", "?StudyDescription=*"):
        assert holder.found(query) == [PRIOR], query
    assert holder.found(f"?PatientID={BORIS.id}") == []
    for path in (
        "/dicom-web/studies/",
        "/dicom-web/series",
        "/dicom-web/instances",
        f"/dicom-web/studies?StudyInstanceUID={EARLIER}",
    ):
        assert holder.status(path) == 403, path
    row = world.said(token, "search")[0]
    assert (row["study"], row["detail"]["through"]) == (PRIOR, "plugin:explorer")
    page = world.link(OHIF, PRIOR)
    assert world.holding(page).status("/dicom-web/studies") == 403, "a link to a page is searched on the page"


def test_a_link_to_two_studies_opens_both_and_no_third(world: World) -> None:
    token = world.link(VIEWER, PRIOR, STRANGER)
    holder = world.holding(token)
    assert holder.found() == sorted((PRIOR, STRANGER))
    assert [holder.status(metadata(study)) for study in (PRIOR, STRANGER, EARLIER)] == [200, 200, 403]
    wait_until(
        lambda: {row["study"] for row in world.rows(token) if row["event"] == "access"} == {PRIOR, STRANGER},
        20,
        "both are on the trail",
    )


def test_a_link_that_has_ended_opens_nothing_and_says_so(world: World) -> None:
    token = world.link(VIEWER, PRIOR, ValidityDuration=2)
    holder = world.holding(token)
    wait_until(lambda: holder.status(metadata(PRIOR)) == 403, 20, "it does not end")
    assert holder.status("/dicom-web/studies") == 403
    told = holder.ask("POST", "/auth/tokens/decode", {"TokenKey": "token", "TokenValue": token}).json()
    assert (told["ErrorCode"], told["ResourcesDicomIds"]) == ("expired", [])
    assert world.said(token, "refusal", reason="expired")


def test_whoever_shows_nothing_reads_nothing(world: World) -> None:
    nobody = Explorer(world.fronts["explorer"], {})
    study = f"/studies/{world.ids[PRIOR]}"
    for method, path in (
        ("GET", metadata(PRIOR)),
        ("GET", "/dicom-web/studies"),
        ("GET", study),
        ("GET", f"{study}/archive"),
        ("DELETE", study),
        ("POST", "/instances"),
        ("PUT", f"/auth/tokens/{OHIF}"),
        ("PUT", "/auth/settings/roles"),
        ("GET", "/statistics"),
    ):
        assert nobody.status(path, method, {} if method != "GET" else None) == 403, (method, path)
    assert nobody.ask("GET", "/auth/user/profile").json() == {"name": "Anonymous"}


def test_another_orthanc_has_no_use_for_a_token_nor_one_that_calls_itself_otherwise(world: World) -> None:
    token, there = world.link(VIEWER, STRANGER), world.link(VIEWER, STRANGER, at="named")
    for at, opens in (("explorer", 200), ("trusted", 200), ("named", 200), ("elsewhere", 403)):
        assert world.holding(token, at=at).status(metadata(STRANGER)) == opens, at
        assert world.holding(there, at=at).status(metadata(STRANGER)) == opens, at
    far = world.as_user("sharer", at="elsewhere").link(VIEWER, {"DicomUid": STRANGER, "Level": "study"})["Token"]
    assert world.holding(far, at="elsewhere").status(metadata(STRANGER)) == 200
    assert world.holding(far).status(metadata(STRANGER)) == 403
    with pytest.raises(RemoteDisconnected):
        world.as_user("sharer", at="elsewhere").link(VIEWER, {"DicomUid": PRIOR, "Level": "study"})
    assert world.said(token, "refusal", reason="no-grant")[0]["detail"]["through"] == "plugin:elsewhere"
    assert world.rows(far)[0]["archive"] == "elsewhere"

    plugin = world.fronts["named"].plugin
    plugin.server_id = "an-imposter"
    try:
        assert world.holding(world.link(VIEWER, STRANGER), at="named").status(metadata(STRANGER)) == 403
        assert world.as_user("reader", at="named").status(metadata(STRANGER)) == 403
    finally:
        plugin.server_id = SERVER_ID


def test_while_keyhole_is_away_orthanc_refuses_and_afterwards_all_is_as_before(world: World) -> None:
    token = world.link(VIEWER, PRIOR)
    holder = world.holding(token)
    assert holder.status(metadata(PRIOR)) == 200
    world.server.process.stop()
    time.sleep(1.1)  # what Orthanc remembers of a yes
    assert [holder.status(path) for path in (metadata(PRIOR), frames(PRIOR), f"/studies/{world.ids[PRIOR]}")] == [
        403
    ] * 3
    world.server.process.start()
    wait_until(lambda: holder.status(metadata(PRIOR)) == 200, 20, "it does not come back")


def test_while_the_database_takes_nothing_nothing_new_is_opened(world: World) -> None:
    token = world.link(VIEWER, PRIOR)
    holder = world.holding(token)
    with closing(sqlite3.connect(world.server.data / "keyhole.db", isolation_level=None)) as held:
        held.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert holder.status(f"/studies/{world.ids[PRIOR]}") == 403
        assert time.monotonic() - began < 9, "Orthanc would have given up"
        held.execute("ROLLBACK")
    wait_until(lambda: holder.status(f"/studies/{world.ids[PRIOR]}") == 200, 20, "it does not come back")


def test_the_staff_api_lists_what_orthanc_asked_for(world: World) -> None:
    token = world.link(VIEWER, PRIOR)
    (listed,) = [share for share in world.api("shares?limit=200")["shares"] if share["id"] == share_of(token)]
    assert (listed["origin"], listed["token_type"], listed["creator"]) == ("plugin", VIEWER, "plugin:explorer")


def test_the_trail_is_whole(world: World) -> None:
    world.server.verify_trail()
