"""Each finding from what calls for it, and its absence from what does not: facts in, findings out."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from keyhole.gateway.capabilities_file import Probed
from keyhole.operations.doctor import (
    clock,
    exposure,
    finding,
    folders,
    keeping,
    mounts,
    names,
    postgres,
    running,
    sqlite,
    viewer,
    ways_in,
)
from keyhole.operations.doctor.archives import ArchiveFacts, Door, FolderHolds
from keyhole.operations.doctor.asking import Heard
from keyhole.operations.doctor.finding import Chapter, Finding, Severity
from keyhole.operations.doctor.folders import FolderFacts, Rights
from keyhole.operations.doctor.mounts import Room
from keyhole.operations.doctor.postgres import PostgresFacts
from keyhole.operations.doctor.running import Seen
from keyhole.operations.doctor.sqlite import SqliteFacts
from keyhole.operations.doctor.viewer import ViewerFacts
from keyhole.sharing.link import KeyRing
from keyhole.store.migrations import Schema
from keyhole.store.verify import Broken, Fault, Intact
from keyhole.web.install_viewer import SHA512, VERSION, File, Manifest
from tests.operations.doctor.looks import found, settings

OK, NOTE, WARNING, ERROR = Severity
HTML = b'<link rel="stylesheet" href="/static/keyhole.css">'


class TestTheWorst:
    def test_of_nothing_is_fine(self) -> None:
        assert finding.worst([]) is OK

    @pytest.mark.parametrize("severity", Severity)
    def test_is_the_worst_there_is(self, severity: Severity) -> None:
        below = list(Severity)[: list(Severity).index(severity) + 1]
        chapters = [Chapter("one", tuple(Finding("check", each, "fact") for each in below)), Chapter("two", ())]
        assert finding.worst(chapters) is severity


class TestWhatIsServed:
    def test_https_is_well(self) -> None:
        assert found(exposure.plain_http(settings())) == {"http-public": OK}

    def test_http_to_other_machines_is_told(self) -> None:
        plain = settings(public_url="http://images.example.org", insecure_http="yes")
        assert found(exposure.plain_http(plain)) == {"http-public": WARNING, "insecure-http": WARNING}

    def test_http_for_staff_is_told(self) -> None:
        plain = settings(staff_url="http://staff.example.net", insecure_http="yes")
        assert next(one.fact for one in exposure.plain_http(plain)).startswith("KEYHOLE_STAFF_URL is http")

    def test_http_on_the_loopback_is_well(self) -> None:
        assert found(exposure.plain_http(settings(public_url="http://127.0.0.1:8000"))) == {"http-public": OK}

    def test_insecure_http_is_told_where_nothing_needs_it(self) -> None:
        assert found(exposure.plain_http(settings(insecure_http="yes"))) == {"insecure-http": WARNING}

    @pytest.mark.parametrize(
        ("public", "staff", "one_site"),
        [
            ("images.example.org", "staff.example.org", True),
            ("images.example.org", "staff.example.net", False),
            ("images.hospital.co.uk", "staff.hospital.co.uk", True),
            ("images.hospital.co.uk", "staff.clinic.co.uk", False),
            ("192.0.2.1", "192.0.2.2", False),
            ("images.example.org", "localhost", False),
        ],
    )
    def test_hosts_of_one_domain_are_noted(self, public: str, staff: str, one_site: bool) -> None:
        given = settings(public_url=f"https://{public}", staff_url=f"https://{staff}" if "." in staff else "")
        assert found(exposure.hosts(given)) == {"one-site": NOTE if one_site else OK}

    def test_no_staff_listener_is_well(self) -> None:
        assert found(exposure.hosts(settings(staff_bind="off"))) == {"one-site": OK}

    @pytest.mark.parametrize(
        ("networks", "severity"),
        [
            ("", OK),
            ("10.0.0.1", OK),
            ("10.1.0.0/16", OK),
            ("10.0.0.0/8", WARNING),
            ("fd00::/48", OK),
            ("fd00::/8", WARNING),
        ],
    )
    def test_wide_networks_of_proxies_are_told(self, networks: str, severity: Severity) -> None:
        assert found(exposure.proxies(settings(trusted_proxies=networks))) == {"proxies-wide": severity}

    @pytest.mark.parametrize(
        ("root", "told"),
        [
            ("http://pacs.example.org/dicom-web", True),
            ("https://pacs.example.org/dicom-web", False),
            ("http://127.0.0.1:8042/dicom-web", False),
        ],
    )
    def test_an_archive_over_http_elsewhere_is_told(self, root: str, told: bool) -> None:
        given = settings(archive=root, archive_user="keyhole", archive_password="x" * 30)
        assert found(exposure.credentials_in_the_clear(given)) == ({"archive-http": WARNING} if told else {})

    def test_orthancs_own_root_counts_too(self) -> None:
        given = settings(archive_orthanc="http://pacs.example.org:8042")
        assert found(exposure.credentials_in_the_clear(given)) == {"archive-http": WARNING}


class TestNames:
    def test_known_variables_are_well(self) -> None:
        given = ["KEYHOLE_ARCHIVE", "KEYHOLE_DATABASE_FILE", "KEYHOLE_CONFIG", "HOME", "KEYHOLE_PORT_8000_TCP_ADDR"]
        given += ["KEYHOLE_SERVICE_HOST", "KEYHOLE_PORT", "KEYHOLE_STAFF_SERVICE_PORT_HTTP"]
        assert found(names.variables(dict.fromkeys(given, "x"))) == {"unknown-variable": OK}

    @pytest.mark.parametrize(
        ("name", "near"),
        [
            ("KEYHOLE_ARCHVE", "KEYHOLE_ARCHIVE"),
            ("KEYHOLE_PUBLICURL", "KEYHOLE_PUBLIC_URL"),
            ("KEYHOLE_ARCHIVE_PASSWORT", "KEYHOLE_ARCHIVE_PASSWORD"),
            ("KEYHOLE_DATA_FILE", "KEYHOLE_DATABASE_FILE"),
        ],
    )
    def test_a_mistyped_one_is_told_with_the_nearest(self, name: str, near: str) -> None:
        [told] = names.variables({name: "swordfish"})
        assert (told.severity, told.advice) == (WARNING, f"did you mean {near}?")
        assert "swordfish" not in str(told)

    def test_one_that_resembles_none_is_told_all_the_same(self) -> None:
        [told] = names.variables({"KEYHOLE_XYZZY": "1"})
        assert "did you mean" not in told.advice

    def test_problems_of_the_settings_are_errors(self) -> None:
        assert found(names.problems(("KEYHOLE_DATA is not set",))) == {"settings": ERROR}

    @pytest.mark.parametrize(("mode", "severity"), [(0o600, OK), (0o640, OK), (0o644, WARNING)])
    def test_files_of_secrets_that_others_read_are_told(self, tmp_path: Path, mode: int, severity: Severity) -> None:
        secret, config = tmp_path / "secret", tmp_path / "keyhole.toml"
        for path in (secret, config):
            path.touch()
            path.chmod(mode)
        assert found(names.files({"KEYHOLE_DATABASE_FILE": str(secret)}, None)) == {"secret-file": severity}
        assert found(names.files({}, config)) == {"secret-file": severity}
        assert found(names.files({"KEYHOLE_CONFIG": str(config)}, None)) == {"secret-file": severity}

    def test_without_files_nothing_is_said_of_them(self) -> None:
        assert found(names.files({"KEYHOLE_ARCHIVE": "/x"}, None)) == {}


class TestTheClock:
    @pytest.mark.parametrize(
        ("seconds", "severity"),
        [(0, OK), (2, OK), (-2, OK), (2.5, WARNING), (-2.5, WARNING), (61, ERROR), (-61, ERROR)],
    )
    def test_is_told_by_how_far_it_is_off(self, seconds: float, severity: Severity) -> None:
        assert found(clock.clocks({"the database": seconds})) == {"clock": severity}

    def test_says_on_which_side_it_is(self) -> None:
        told = [one.fact for one in clock.clocks({"a": 90, "b": -90})]
        assert told == [
            "this machine's clock is 90 s ahead of that of a",
            "this machine's clock is 90 s behind that of b",
        ]

    @pytest.mark.parametrize(
        ("theirs", "ahead"), [(100.0, 0.0), (100.4, 0.0), (101.0, 0.0), (99.2, 0.0), (110.0, -9.0), (89.0, 10.0)]
    )
    def test_is_off_only_as_far_as_is_certain(self, theirs: float, ahead: float) -> None:
        assert clock.behind(theirs, 100.0, 101.0, 1.0) == ahead

    def test_is_read_from_an_answers_date(self) -> None:
        heard = Heard(401, {"date": "Thu, 01 Jan 1970 00:01:40 GMT"}, b"", 100.9, 101.0)
        assert clock.of_answer(heard) == 0
        assert clock.of_answer(replace(heard, asked_at=1000.0, heard_at=1001.0)) == 899

    @pytest.mark.parametrize("headers", [{}, {"date": "yesterday"}, {"date": ""}])
    def test_is_not_told_without_a_date(self, headers: dict[str, str]) -> None:
        assert clock.of_answer(Heard(200, headers)) is None


SQLITE = SqliteFacts(path=Path("/data/keyhole.db"), kind="ext4", network=False, workers=4, schema=Schema.CURRENT)


class TestAFile:
    @pytest.mark.parametrize(
        ("schema", "severity"),
        [(Schema.CURRENT, OK), (None, NOTE), (Schema.BEHIND, WARNING), (Schema.AHEAD, ERROR)],
    )
    def test_is_of_some_version(self, schema: Schema | None, severity: Severity) -> None:
        assert found(sqlite.schema(schema)) == {"database-schema": severity}

    def test_on_a_disk_is_well(self) -> None:
        assert found(sqlite.place(SQLITE)) == {"database-place": OK}

    @pytest.mark.parametrize(("workers", "severity"), [(1, WARNING), (2, ERROR)])
    def test_on_a_network_is_not(self, workers: int, severity: Severity) -> None:
        facts = replace(SQLITE, kind="nfs4", network=True, workers=workers)
        assert found(sqlite.place(facts)) == {"database-place": severity}

    def test_in_memory_is_told(self) -> None:
        assert found(sqlite.place(replace(SQLITE, kind="tmpfs")))["data-volatile"] is WARNING

    def test_is_flushed(self) -> None:
        assert found(sqlite.durability(SQLITE)) == {"database-durable": OK}
        assert found(sqlite.durability(replace(SQLITE, journal="delete"))) == {"database-durable": WARNING}
        assert found(sqlite.durability(replace(SQLITE, schema=None))) == {}


POSTGRES = PostgresFacts(
    host="db.example.org",
    version=160004,
    schema=Schema.CURRENT,
    greeted=10,
    alone=10,
    beside=11,
    encrypted=True,
    settings={"fsync": "on", "max_connections": "100", "superuser_reserved_connections": "3"},
)


class TestAServer:
    def test_that_is_well(self) -> None:
        assert found(postgres.server(POSTGRES)) == {"database-version": OK}
        assert found(postgres.durability(POSTGRES)) == {"database-durable": OK}
        assert found(postgres.pooler(POSTGRES)) == {"database-pooler": OK}
        assert found(postgres.connections(POSTGRES, 4)) == {"database-connections": OK}
        assert found(postgres.way(POSTGRES)) == {"database-plain": OK}

    def test_that_is_old(self) -> None:
        assert found(postgres.server(replace(POSTGRES, version=130012))) == {"database-version": WARNING}

    def test_that_is_a_standby(self) -> None:
        assert found(postgres.server(replace(POSTGRES, standby=True)))["database-standby"] is ERROR

    @pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
    def test_that_does_not_flush(self, name: str) -> None:
        assert found(postgres.durability(replace(POSTGRES, settings={name: "off"}))) == {"database-durable": ERROR}

    def test_that_commits_later(self) -> None:
        facts = replace(POSTGRES, settings={"synchronous_commit": "off"})
        assert found(postgres.durability(facts)) == {"database-commit": NOTE, "database-durable": OK}

    def test_behind_a_pooler_that_shares_sessions(self) -> None:
        assert found(postgres.pooler(replace(POSTGRES, beside=10))) == {"database-pooler": ERROR}

    def test_behind_one_that_keeps_them(self) -> None:
        assert found(postgres.pooler(replace(POSTGRES, greeted=99))) == {"database-pooler": NOTE}

    @pytest.mark.parametrize("limits", [(20,), (200, 20)], ids=["the role", "the database"])
    def test_with_too_few_connections(self, limits: tuple[int, ...]) -> None:
        assert found(postgres.connections(replace(POSTGRES, limits=limits), 4)) == {"database-connections": ERROR}
        assert found(postgres.connections(replace(POSTGRES, limits=limits), 2)) == {"database-connections": OK}

    def test_whose_connections_are_taken(self) -> None:
        assert found(postgres.connections(replace(POSTGRES, used=95), 4)) == {"database-connections": WARNING}

    @pytest.mark.parametrize(
        ("host", "severity"), [("db.example.org", WARNING), ("127.0.0.1", OK), ("", OK), ("/run/postgresql", OK)]
    )
    def test_without_tls(self, host: str, severity: Severity) -> None:
        assert found(postgres.way(replace(POSTGRES, host=host, encrypted=False))) == {"database-plain": severity}


def rights(path: str, mode: int, owner: int = 7) -> Rights:
    return Rights(Path(path), owner, mode)


FOLDER = FolderFacts(
    path=Path("/srv/data"),
    folder=rights("/srv/data", 0o700),
    keys=rights("/srv/data/keys.json", 0o600),
    files=(rights("/srv/data/keyhole.db", 0o600),),
    parents=(rights("/srv", 0o755, 0), rights("/", 0o755, 0)),
    me=7,
    local_database=False,
)


class TestTheDataFolder:
    def test_that_is_well(self) -> None:
        assert found(folders.data(FOLDER)) == {"data-folder": OK}
        assert found(folders.keys(FOLDER)) == {"keys-open": OK}
        assert found(folders.open_files(FOLDER)) == {}

    def test_that_is_not_there(self) -> None:
        assert found(folders.data(replace(FOLDER, folder=None, keys=None))) == {"data-folder": NOTE}
        assert found(folders.keys(replace(FOLDER, folder=None, keys=None))) == {}

    def test_that_others_look_into(self) -> None:
        facts = replace(FOLDER, folder=rights("/srv/data", 0o755))
        assert found(folders.data(facts)) == {"data-folder": WARNING}
        assert found(folders.open_files(facts)) == {}
        readable = replace(facts, files=(rights("/srv/data/keyhole.db", 0o644),))
        assert found(folders.open_files(readable)) == {"data-file": WARNING}

    @pytest.mark.parametrize(("mode", "told"), [(0o777, True), (0o1777, False), (0o775, False)])
    def test_that_others_can_replace(self, mode: int, told: bool) -> None:
        facts = replace(FOLDER, parents=(rights("/srv", mode, 0),))
        assert found(folders.data(facts)).get("data-parent") == (ERROR if told else None)

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
    def test_whose_keys_others_read(self, mode: int) -> None:
        facts = replace(FOLDER, keys=rights("/srv/data/keys.json", mode))
        assert found(folders.keys(facts)) == {"keys-open": ERROR}

    def test_that_holds_keys_and_database(self) -> None:
        assert found(folders.keys(replace(FOLDER, local_database=True)))["keys-beside"] is NOTE

    def test_of_two_owners(self) -> None:
        facts = replace(FOLDER, files=(rights("/srv/data/keyhole.db-wal", 0o600, 0),))
        assert found(folders.keys(facts))["data-owner"] is WARNING

    def test_of_somebody_else(self) -> None:
        assert found(folders.keys(replace(FOLDER, me=8)))["data-owner"] is WARNING
        assert "data-owner" not in found(folders.keys(replace(FOLDER, me=0)))

    def test_as_it_is_on_the_disk(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        assert folders.look(data, local_database=True).folder is None
        data.mkdir(mode=0o700)
        (data / "keys.json").touch(mode=0o600)
        facts = folders.look(data, local_database=True)
        assert facts.keys == Rights(data / "keys.json", os.geteuid(), 0o600)
        assert stat.S_IMODE(facts.parents[0].mode) == stat.S_IMODE(tmp_path.stat().st_mode)

    @pytest.mark.parametrize(
        ("room", "severity"),
        [
            (Room("ext4", 1, 50 << 30, 100 << 30, 10**6), OK),
            (Room("ext4", 1, 500 << 20, 10 << 30, 10**6), WARNING),
            (Room("ext4", 1, 4 << 30, 1000 << 30, 10**6), WARNING),
            (Room("ext4", 1, 50 << 20, 100 << 30, 10**6), ERROR),
            (Room("ext4", 1, 50 << 30, 100 << 30, 3), WARNING),
            (Room("btrfs", 1, 50 << 30, 100 << 30, None), OK),
        ],
    )
    def test_that_is_full(self, room: Room, severity: Severity) -> None:
        assert found(folders.space("the data folder", room)) == {"disk": severity}


MOUNTS = """\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:30 / /srv/pacs\\040data rw - nfs4 nas:/pacs rw
3 2 8:2 / /srv/pacs\\040data/local rw - xfs /dev/sdb1 rw
4 1 0:31 / /run rw shared:5 - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/srv", "ext4"),
        ("/srv/pacs data/x", "nfs4"),
        ("/srv/pacs data/local/x", "xfs"),
        ("/run", "tmpfs"),
    ],
)
def test_a_path_lies_on_the_deepest_mount(path: str, kind: str) -> None:
    assert mounts.kind_of(Path(path), MOUNTS) == kind


def test_a_system_that_tells_no_mounts_has_none() -> None:
    assert mounts.kind_of(Path("/"), "") == mounts.kind_of(Path("/"), "nonsense\n") == ""


def test_a_folder_that_is_not_there_has_the_room_of_the_one_above(tmp_path: Path) -> None:
    assert mounts.room(tmp_path / "a" / "b").device == tmp_path.stat().st_dev
    assert mounts.room(tmp_path).total > 0
    assert Room("fuse.sshfs", 1, 1, 1, None).network


def kept(**changes: object) -> keeping.Kept:
    ring = KeyRing.new()
    given: dict[str, object] = {"ring": ring, "links": {ring.current: 3}, "trail": Intact(5000, 5000), "heads": True}
    return keeping.Kept(**{**given, **changes})  # type: ignore[arg-type]


class TestTheKeys:
    @pytest.mark.parametrize(
        ("ring", "database", "severity"),
        [
            ((True, None), True, OK),
            ((True, "is not a key ring"), True, ERROR),
            ((False, None), True, ERROR),
            ((False, None), False, NOTE),
        ],
    )
    def test_are_there_or_not(self, ring: tuple[bool, str | None], database: bool, severity: Severity) -> None:
        assert found(keeping.rings(ring, database=database)) == {"ring": severity}

    def test_that_all_links_have_are_well(self) -> None:
        assert found(keeping.keys(kept())) == {"ring-lacks": OK}

    def test_that_are_lacking_are_told(self) -> None:
        assert found(keeping.keys(kept(links={"elsewhere": 2}))) == {"ring-lacks": ERROR}

    def test_that_are_former_are_needed_or_idle(self) -> None:
        ring = KeyRing.new().rotated()
        assert found(keeping.keys(kept(ring=ring, links={})))["ring-idle"] is NOTE
        needed = found(keeping.keys(kept(ring=ring, links={ring.former[0]: 1})))
        assert needed == {"ring-former": OK, "ring-lacks": OK}


class TestTheTrail:
    def test_that_is_whole_is_well(self) -> None:
        assert found(keeping.trail(kept())) == {"trail": OK}
        assert found(keeping.trail(kept(trail=Intact(0, None), heads=False))) == {"trail": OK}

    def test_that_is_broken_is_an_error(self) -> None:
        told = list(keeping.trail(kept(trail=Broken(7, Fault.ALTERED))))
        assert found(told) == {"trail": ERROR}
        assert "row 7" in told[0].fact

    def test_that_nobody_outside_knows_is_told(self) -> None:
        assert found(keeping.trail(kept(heads=False)))["trail-heads"] is WARNING


class TestTheViewer:
    def manifest(self, version: str = VERSION) -> Manifest:
        return Manifest(version, SHA512, (), {"a.js": File(5, "text/javascript", "x", immutable=False)})

    def test_that_is_complete_is_well(self) -> None:
        assert found(viewer.viewer(ViewerFacts(Path("/v"), self.manifest()))) == {"viewer": OK}

    def test_that_is_missing_or_another_is_an_error(self) -> None:
        assert found(viewer.viewer(ViewerFacts(Path("/v"), None))) == {"viewer": ERROR}
        assert found(viewer.viewer(ViewerFacts(Path("/v"), self.manifest("1.0")))) == {"viewer": ERROR}

    def test_that_was_changed_is_told(self) -> None:
        assert found(viewer.viewer(ViewerFacts(Path("/v"), self.manifest(), ("a.js",)))) == {"viewer-files": WARNING}

    def test_is_compared_file_by_file(self, tmp_path: Path) -> None:
        (tmp_path / "files").mkdir()
        (tmp_path / "files" / "a.js").write_text("hello")
        (tmp_path / "files" / "a.js.br").write_text("xyz")
        digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e730433629"[:20]
        files = {"a.js": File(5, "text/javascript", digest, immutable=False, br=3)}
        Manifest(VERSION, SHA512, (), files).write(tmp_path)
        assert viewer.look(tmp_path).spoilt == ()
        (tmp_path / "files" / "a.js.br").write_text("xyzz")
        assert viewer.look(tmp_path).spoilt == ("a.js",)
        (tmp_path / "files" / "a.js.br").write_text("xyz")
        (tmp_path / "files" / "a.js").write_text("hellO")
        assert viewer.look(tmp_path).spoilt == ("a.js",)
        (tmp_path / "files" / "a.js").unlink()
        assert viewer.look(tmp_path).spoilt == ("a.js",)
        assert viewer.look(tmp_path / "nowhere").manifest is None


def seen(status: int = 200, body: bytes = HTML, **headers: str) -> Seen:
    given = {
        "content-security-policy": "default-src 'none'; x",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    return Seen(url="https://images.example.org/s", heard=Heard(status, given, body))


SILENT = Seen(url="http://127.0.0.1:8000/s", why="nothing can be reached there")


class TestARunningServer:
    def test_that_answers_is_well(self) -> None:
        assert found(running.listens(seen())) == {"server": OK}

    def test_that_does_not_run_is_a_note(self) -> None:
        assert found(running.listens(SILENT)) == {"server": NOTE}
        assert found(running.listens(None)) == {"server": NOTE}

    def test_that_is_something_else_is_an_error(self) -> None:
        assert found(running.listens(seen(body=b"It works!"))) == {"server": ERROR}

    def test_is_ready_or_says_what_failed(self) -> None:
        assert found(running.ready(seen(200, b"{}"))) == {"server-ready": OK}
        [told] = running.ready(seen(503, b'{"parts": {"database": "ok", "archive main": "failed"}}'))
        assert (told.severity, told.fact) == (ERROR, "the running server is not ready: archive main failed")
        assert found(running.ready(seen(503, b"nonsense"))) == {"server-ready": ERROR}
        assert found(running.ready(None)) == found(running.ready(SILENT)) == {}

    def test_is_where_its_links_lead(self) -> None:
        assert found(running.public(seen(), seen())) == {"public-url": OK, "public-headers": OK}

    @pytest.mark.parametrize(("days", "severity"), [(5, WARNING), (60, OK)])
    def test_whose_proxys_certificate_ends_soon_is_told(self, days: int, severity: Severity) -> None:
        heard = seen().heard
        assert heard is not None
        shown = replace(seen(), heard=replace(heard, heard_at=1000.0, trusted_until=1000.0 + days * 86_400))
        assert found(running.public(shown, seen()))["public-certificate"] is severity

    def test_is_not_where_its_links_lead(self) -> None:
        assert found(running.public(seen(body=b"It works!"), seen())) == {"public-url": ERROR}
        assert found(running.public(seen(502), SILENT)) == {"public-url": NOTE}
        assert found(running.public(seen(301), seen())) == {"public-url": WARNING}
        assert found(running.public(SILENT, seen())) == {"public-url": NOTE}
        assert found(running.public(SILENT, SILENT)) == {}

    def test_whose_certificate_is_not_trusted_is_told(self) -> None:
        assert found(running.public(replace(SILENT, untrusted=True), seen())) == {"public-url": WARNING}

    @pytest.mark.parametrize("name", ["content_security_policy", "x_content_type_options", "referrer_policy"])
    def test_whose_headers_a_proxy_takes_away_is_told(self, name: str) -> None:
        told = found(running.public(seen(**{name: ""}), seen()))
        assert told == {"public-url": OK, "public-headers": WARNING}

    @pytest.mark.parametrize(("limit", "severity"), [(256, WARNING), (1024, OK)])
    def test_needs_files(self, limit: int, severity: Severity) -> None:
        assert found(running.open_files(limit, 2)) == {"open-files": severity}
        assert running.file_limit() > 0


def door(status: int | None = 401, url: str = "http://pacs:8042/dicom-web/studies", **headers: str) -> Door:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Door("DICOMweb", url, None if status is None else Heard(status, given), "nobody there")


def archive(*doors: Door, **changes: object) -> ArchiveFacts:
    given: dict[str, object] = {"name": "main", "root": "http://pacs:8042/dicom-web", "local": False, "doors": doors}
    return ArchiveFacts(**{**given, **changes})  # type: ignore[arg-type]


class TestAnArchive:
    def test_that_refuses_strangers_is_well(self) -> None:
        assert found(ways_in.strangers(archive(door(401)))) == {"archive-open": OK}
        assert found(ways_in.strangers(archive(door(403)))) == {"archive-open": OK}
        assert found(ways_in.strangers(archive(door(302)))) == {"archive-open": OK}

    @pytest.mark.parametrize("status", [200, 204])
    def test_that_answers_strangers_on_the_network_is_an_error(self, status: int) -> None:
        assert found(ways_in.strangers(archive(door(401), door(status)))) == {"archive-open": ERROR}

    def test_that_answers_strangers_on_the_loopback_is_a_warning(self) -> None:
        assert found(ways_in.strangers(archive(door(200), local=True))) == {"archive-open": WARNING}

    def test_that_answers_them_beyond_the_loopback_is_an_error(self) -> None:
        facts = archive(door(200), local=True, beyond=(door(200, "http://192.0.2.7:8042/dicom-web/studies"),))
        [told] = ways_in.strangers(facts)
        assert told.severity is ERROR
        assert "192.0.2.7" in told.fact

    def test_that_others_reach_and_that_asks_for_credentials_is_a_note(self) -> None:
        facts = archive(door(401), local=True, beyond=(door(401),))
        assert found(ways_in.strangers(facts)) == {"archive-open": OK, "archive-beyond": NOTE}

    def test_that_nobody_hears_of_cannot_be_told(self) -> None:
        assert found(ways_in.strangers(archive(door(None)))) == {"archive-open": NOTE}

    def test_that_is_an_orthanc_gets_its_advice(self) -> None:
        [told] = ways_in.strangers(archive(door(200), orthanc=True))
        assert "RemoteAccessAllowed" in told.advice
        [told] = ways_in.strangers(archive(door(200)))
        assert "Orthanc" not in told.advice

    def test_is_known_as_an_orthanc_by_what_it_says(self) -> None:
        assert door(401, www_authenticate='Basic realm="Orthanc Secure Area"').orthanc
        assert Door("", "", Heard(200, {}, b'{"DicomAet": "ORTHANC"}')).orthanc
        assert not door(401, www_authenticate="Basic").orthanc
        assert not Door("", "", Heard(200, {}, b"[]")).orthanc
        assert not door(None).orthanc

    def test_that_answers_keyhole_is_well(self) -> None:
        assert found(ways_in.reachable(archive(door()))) == {"archive-answers": OK}

    def test_that_does_not_is_an_error(self) -> None:
        assert found(ways_in.reachable(archive(door(), ours="it is down"))) == {"archive-answers": ERROR}

    def test_whose_certificate_is_not_trusted_says_so(self) -> None:
        strange = replace(door(), untrusted=True, why="its certificate is not trusted (self-signed)")
        [told] = ways_in.reachable(archive(strange, ours="the archive cannot be reached"))
        assert "self-signed" in told.fact

    def test_that_is_an_orthanc_tells_its_version(self) -> None:
        [told] = ways_in.orthanc(archive(door(), orthanc=True, version="1.10.1"))
        assert told.fact == "archive main is Orthanc 1.10.1"
        assert found(ways_in.orthanc(archive(door()))) == {}

    def test_that_is_able_to_do_everything_is_well(self) -> None:
        probed = Probed(root="r", at="now", uid_lists=True, relational=True, empty=200, thumbnails=True, parents=True)
        assert found(ways_in.able(archive(probed=probed))) == {"archive-abilities": OK}
        assert found(ways_in.able(archive(probed=Probed(root="r", at="now")))) == {"archive-abilities": OK}

    @pytest.mark.parametrize(
        ("lack", "check"),
        [
            ({"uid_lists": False}, "archive-lists"),
            ({"relational": False}, "archive-relational"),
            ({"largest_page": 100}, "archive-page"),
            ({"thumbnails": False}, "archive-thumbnails"),
            ({"parents": False}, "archive-parents"),
        ],
    )
    def test_that_lacks_something_is_noted(self, lack: dict[str, object], check: str) -> None:
        probed = Probed(root="r", at="now", **lack)  # type: ignore[arg-type]
        assert found(ways_in.able(archive(probed=probed)))[check] is NOTE

    def test_that_cannot_be_probed_is_told(self) -> None:
        assert found(ways_in.able(archive(unprobed="it took longer"))) == {"archive-abilities": WARNING}
        assert found(ways_in.able(archive())) == {}

    @pytest.mark.parametrize(("studies", "severity"), [(None, NOTE), (0, WARNING), (1, OK), (9, OK)])
    def test_that_is_a_folder_tells_what_it_holds(self, studies: int | None, severity: Severity) -> None:
        assert found(ways_in.folder(FolderHolds(name="main", path="/x", studies=studies))) == {"folder": severity}

    def test_that_is_a_folder_tells_of_files_to_look_after(self) -> None:
        holds = FolderHolds(name="main", path="/x", studies=5, unreadable=2, mixed=1)
        assert found(ways_in.folder(holds)) == {"folder": OK, "folder-unreadable": NOTE, "folder-mixed": WARNING}
