"""A whole Keyhole in front of the least able archive: a link works as recorded, and opens nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from keyhole.gateway.capabilities_file import Probed
from keyhole.gateway.probe import probe
from keyhole.gateway.upstream import HttpArchive, basic
from tests.e2e import dataset, phantom
from tests.e2e.test_replay import NO_DECODER, expected, right, send
from tests.e2e.visitor import visitor
from tests.servers.keyhole import Keyhole, Opened, keyhole
from tests.servers.orthanc import Orthanc
from tests.servers.strict import ELSEWHERE, Strict, strict

pytestmark = pytest.mark.e2e

THUMBNAIL = "/thumbnail"


@pytest.fixture(scope="module")
def archive(studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strict]:
    with strict(studies, tmp_path_factory.mktemp("strict") / "index.db") as running:
        yield running


@pytest.fixture(scope="module")
def server(archive: Strict, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyhole]:
    with keyhole(tmp_path_factory.mktemp("keyhole"), archive.settings) as running:
        yield running


@pytest.fixture(scope="module")
def visits(server: Keyhole) -> dict[str, Opened]:
    return {study: server.open(server.share(study)) for study in (dataset.STUDY, dataset.SLIDES)}


def test_every_recorded_request_gets_what_it_expects(server: Keyhole, visits: dict[str, Opened]) -> None:
    wrong = []
    for line in dataset.replay():
        if THUMBNAIL in line.target or NO_DECODER in line.target:
            continue  # what the archive does not have
        answer = send(server, line, visits[line.granted])
        if not right(answer, line) or ELSEWHERE.encode() in answer.body:
            wrong.append(f"{line.where}: {answer.status} instead of {expected(line)}: {line.target[:150]}")
    assert not wrong, "\n".join(wrong)


def test_a_shared_series_opens_no_picture_of_another(server: Keyhole, archive: Strict) -> None:
    visit = server.open(server.share(dataset.STUDY, series=f"{dataset.STUDY}.1"))
    before = len(archive.calls)
    series = f"{visit.below}dicom-web/studies/{dataset.STUDY}/series/{dataset.STUDY}.1/instances"
    for instance in (f"{dataset.STUDY}.2.1", f"{dataset.STRANGER}.1.1", f"{dataset.PRIOR}.1.1"):
        for below in ("frames/1", "rendered", "metadata"):
            status = server.get(f"{series}/{instance}/{below}", visit.as_cookie).status
            assert status == 404, (instance, below)
    assert not any("/frames/" in call or "/rendered" in call for call in archive.calls[before:])
    assert server.get(f"{series}/{dataset.STUDY}.1.1/frames/1", visit.as_cookie).status == 200


def test_several_studies_are_found_though_the_archive_knows_no_lists(server: Keyhole) -> None:
    shared = {dataset.PRIOR, dataset.EARLIER, dataset.STUDY}
    visit = server.open(server.share(*sorted(shared)))
    for query in ("", "?includefield=all", f"?00100020={dataset.ANNA.id}", "?limit=2", "?limit=2&offset=2"):
        found = server.get(f"{visit.below}dicom-web/studies{query}", visit.as_cookie).json()
        assert {item["0020000D"]["Value"][0] for item in found} <= shared
        assert len(found) == (3 if "limit" not in query else 1 if "offset" in query else 2)


def probed(root: str, headers: dict[str, str] | None = None) -> Probed:
    async def asked() -> Probed:
        remote = HttpArchive("main", root, headers=headers)
        try:
            return await probe(remote, remote.root, datetime.now(UTC))
        finally:
            await remote.close()

    return asyncio.run(asked())


def test_what_it_lacks_is_found_by_asking(archive: Strict) -> None:
    found = probed(archive.root)
    assert (found.uid_lists, found.relational, found.empty) == (False, False, 204)
    assert (found.thumbnails, found.parents) == (False, False)


@pytest.mark.parametrize("which", ["orthanc_debian", "orthanc_trixie"])
def test_what_orthanc_is_able_to_do_is_found_by_asking(which: str, request: pytest.FixtureRequest) -> None:
    orthanc: Orthanc = request.getfixturevalue(which)
    found = probed(orthanc.root, basic(orthanc.user, orthanc.password))
    assert (found.uid_lists, found.relational, found.empty, found.parents) == (True, True, 200, True)
    assert found.largest_page is None


def test_the_viewer_shows_the_pixels(browser: Browser, server: Keyhole) -> None:
    with visitor(browser, server) as person:
        person.open(server.share(dataset.STUDY))
        person.enter_viewer()
        person.sees(dataset.STUDY, range(1, 61))
        assert max(phantom.likeness(person.shown(), dataset.PRIOR, n) for n in range(1, 6)) < 0.6
        assert not person.elsewhere
