"""Three archives behind one Keyhole, two with a study of the same name: what is asked of one reaches no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests.e2e import dataset
from tests.e2e.dataset import ANNA, PRIOR, STRANGER, STUDY, Study
from tests.servers.keyhole import Keyhole, Opened, keyhole, share_id
from tests.servers.orthanc import Orthanc
from tests.servers.process import wait_until
from tests.servers.strict import Strict, strict

pytestmark = pytest.mark.e2e

HERE = "the copy kept here"
THERE = "the recorded study"
METRICS = "a-token-for-metrics-only-1234567890"
ONLY_HERE = f"{STUDY}.77.1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images of the study that the others hold whole, under another description, and one study of its own."""
    place = tmp_path_factory.mktemp("here")
    dataset.write(place, dataset.ct(Study(STUDY, ANNA, HERE), f"{STUDY}.1", slices=3))
    return dataset.write(place, islice(dataset.ct(Study(ONLY_HERE, ANNA, "only here"), f"{ONLY_HERE}.1", slices=2), 2))


@pytest.fixture(scope="module")
def watched(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strict]:
    with strict(studies, tmp_path_factory.mktemp("strict") / "index.db") as running:
        yield running


@pytest.fixture(scope="module")
def server(
    folder: Path, orthanc_debian: Orthanc, watched: Strict, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Keyhole]:
    place = tmp_path_factory.mktemp("several")
    config = place / "keyhole.toml"
    pacs = f'root = "{orthanc_debian.root}"\nuser = "{orthanc_debian.user}"\npassword = "{orthanc_debian.password}"\n'
    config.write_text(f'[archives.pacs]\n{pacs}[archives.watched]\nroot = "{watched.root}"\n')
    config.chmod(0o600)
    settings = {
        "KEYHOLE_ARCHIVE": str(folder),
        "KEYHOLE_ARCHIVE_NAME": "here",
        "KEYHOLE_CONFIG": str(config),
        "KEYHOLE_METRICS_TOKEN": METRICS,
    }
    with keyhole(place, settings) as running:
        yield running


def shared(server: Keyhole, archive: str, *words: str) -> str:
    """The link of a new share in *archive*."""
    link = server.run("share", *words, "--for", "7d", "--archive", archive).stdout.strip()
    server.secrets.add(link.partition("#")[2])
    return link


def seen(server: Keyhole, visit: Opened, path: str) -> list[str]:
    """The descriptions of what is found at *path* of the visit's archive."""
    fields = "" if path.endswith("metadata") else f"{'&' if '?' in path else '?'}includefield=00081030"
    items = server.get(f"{visit.below}dicom-web{path}{fields}", visit.as_cookie).json()
    return [item["00081030"]["Value"][0] for item in items]


@pytest.mark.parametrize(("archive", "description", "images"), [("here", HERE, 3), ("pacs", THERE, 67)])
def test_a_visit_sees_the_study_of_its_own_archive(
    server: Keyhole, watched: Strict, archive: str, description: str, images: int
) -> None:
    visit = server.open(shared(server, archive, STUDY))
    before = len(watched.calls)
    assert seen(server, visit, f"/studies?StudyInstanceUID={STUDY}") == [description]
    assert seen(server, visit, "/studies") == [description]
    assert seen(server, visit, f"/studies/{STUDY}/metadata") == [description] * images
    assert server.get(f"{visit.below}viewer?StudyInstanceUIDs={STUDY}", visit.as_cookie).status == 200
    assert watched.calls[before:] == []


def test_no_path_of_a_visit_leads_to_another_archive(server: Keyhole, watched: Strict) -> None:
    visit = server.open(shared(server, "here", ONLY_HERE))
    before = len(watched.calls)
    for study in (STUDY, PRIOR, STRANGER):
        for path in (f"/studies/{study}/metadata", f"/studies/{study}/series/{study}.1/instances/{study}.1.1/frames/1"):
            assert server.get(f"{visit.below}dicom-web{path}", visit.as_cookie).status == 404
            assert server.get(f"/dicom-web{path}", visit.as_bearer).status == 404
            for name in ("pacs", "watched", "here"):
                for root in (f"/archives/{name}/dicom-web", f"{visit.below}archives/{name}/dicom-web"):
                    assert server.get(root + path, visit.as_bearer).status in (403, 404)
                assert server.get(f"{visit.below}dicom-web{path}?archive={name}", visit.as_cookie).status == 404
    assert server.get(f"{visit.below}dicom-web/studies?StudyInstanceUID={STUDY}", visit.as_cookie).json() == []
    assert watched.calls[before:] == []


def test_a_withdrawal_ends_the_share_of_one_archive_and_not_that_of_the_other(server: Keyhole) -> None:
    links = {name: shared(server, name, STUDY) for name in ("here", "pacs")}
    visits = {name: server.open(link) for name, link in links.items()}
    server.revoke(links["pacs"])
    statuses = {}
    for name, visit in visits.items():
        path = f"{visit.below}dicom-web/studies/{STUDY}/metadata"
        statuses[name] = server.get(path, visit.as_cookie).status
    assert statuses == {"here": 200, "pacs": 401}
    assert server.try_open(links["pacs"]).status == 410
    assert server.try_open(links["here"]).status == 201


def test_a_study_is_shared_only_where_it_is(server: Keyhole) -> None:
    for archive, study in (("here", PRIOR), ("pacs", ONLY_HERE), ("watched", ONLY_HERE)):
        server.run("share", study, "--for", "7d", "--archive", archive, fails=True)
    assert "nowhere" in server.run("share", STUDY, "--for", "7d", "--archive", "nowhere", fails=True).stderr


def counted(server: Keyhole, link: str, archive: str) -> int:
    """The images on the trail for one link."""
    rows = server.trail("--share", share_id(link))
    return sum(row.get("images") or 0 for row in rows if row["archive"] == archive)


def test_the_trail_tells_the_archives_apart_and_so_do_its_counts(server: Keyhole) -> None:
    for archive, images in (("here", 2), ("watched", 1)):
        link = shared(server, archive, STUDY)
        visit = server.open(link)
        for number in range(1, images + 1):
            path = f"/studies/{STUDY}/series/{STUDY}.1/instances/{STUDY}.1.{number}/frames/1"
            assert server.get(f"{visit.below}dicom-web{path}", visit.as_cookie).status == 200
        rows = [row for row in server.trail("--share", share_id(link)) if row["event"] == "access"]
        assert {row["archive"] for row in rows} == {archive}
        wait_until(lambda: counted(server, link, archive) == images, 30, "the images are not counted")  # noqa: B023
    server.verify_trail()


def test_the_staff_finds_in_the_archive_that_is_named(server: Keyhole) -> None:
    key = {"Authorization": f"Bearer {server.key('finder', 'reader')}"}
    found = {}
    for query in ("", "&archive=here", "&archive=pacs", "&archive=watched", "&archive=nowhere"):
        answer = server.ask("GET", f"/api/v1/studies?study={STUDY}{query}", key, port=server.staff_port)
        found[query] = answer.status, HERE.encode() in answer.body, THERE.encode() in answer.body
    assert found[""] == found["&archive=here"] == (200, True, False)
    assert found["&archive=pacs"] == found["&archive=watched"] == (200, False, True)
    assert found["&archive=nowhere"][0] in (403, 404, 422)


def test_each_archive_is_ready_and_measured_by_its_name(server: Keyhole) -> None:
    parts = server.ask("GET", "/readyz", port=server.internal_port).json()["parts"]
    assert {name for name in parts if name.startswith("archive")} == {"archive here", "archive pacs", "archive watched"}
    bearer = {"Authorization": f"Bearer {METRICS}"}
    told = server.ask("GET", "/metrics", bearer, port=server.internal_port).body.decode()
    assert set(re.findall(r'keyhole_archive_seconds_count\{archive="(\w+)"\}', told)) == {"here", "pacs", "watched"}
