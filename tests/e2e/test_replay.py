"""What OHIF and others were recorded to ask, asked through a visit: each line gets what the recording expects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import dataset
from tests.e2e.dataset import Recorded
from tests.servers.keyhole import Answer, Keyhole, Opened, keyhole
from tests.servers.orthanc import Orthanc

NEEDS_DOWNLOAD = {("dwv", "retrieve-series"), ("volview", "retrieve-series")}
"""Whole instances: a share to view does not give them out. 403, whatever the recording says."""

WHOLE_SLIDES = ("microscopy-bearer", "document")
"""The page of OHIF's whole-slide mode. It does not run under the configuration of a share, and is not served."""

NO_DECODER = f"/series/{dataset.STUDY}.7/instances/{dataset.STUDY}.7.1/rendered"
"""JPEG 2000: Debian's Orthanc has no decoder for it; that it can make no picture of this one is a 406 here."""

BOUNDARY = "keyhole-test"


@pytest.fixture(scope="module", params=["orthanc_debian", "orthanc_trixie"])
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyhole]:
    orthanc: Orthanc = request.getfixturevalue(request.param)
    with keyhole(tmp_path_factory.mktemp("replay"), orthanc.settings) as running:
        yield running


@pytest.fixture(scope="module")
def visits(real: Keyhole) -> dict[str, Opened]:
    """A visit of each study that the recording shared."""
    return {study: real.open(real.share(study)) for study in (dataset.STUDY, dataset.SLIDES)}


def target(line: Recorded, visit: Opened) -> str:
    """Where *line* goes here: below the visit for a browser, at the root for a program."""
    path = line.target.replace("/v/abc/", visit.below).replace("?token=<token>", "").replace("&token=<token>", "")
    if line.kind == "document" and not path.startswith(visit.below):
        return visit.below + path[1:]
    if path.startswith("/dicom-web/") and "bearer" not in line.credential:
        return visit.below + path[1:]
    return path


def credential(line: Recorded, visit: Opened) -> dict[str, str]:
    """What *line* shows. Where the recording put a token into the page's address, a visit has its cookie."""
    if line.credential == "cookie" or "token=" in line.target:
        return visit.as_cookie
    if line.credential == "bearer":
        return visit.as_bearer
    if line.credential == "wrong-bearer":
        return {"Authorization": f"Bearer khv_{visit.id}_{'a' * 32}"}
    return {}


def expected(line: Recorded) -> tuple[str, ...]:
    """The classes of status that are right for *line*; three digits where one is meant."""
    if (line.scenario, line.kind) in NEEDS_DOWNLOAD:
        return ("403",)
    if (line.scenario, line.kind) == WHOLE_SLIDES:
        return ("404",)
    if line.kind == "document" and line.scenario == "no-credential":
        # The recorded page told nothing; ours is a visit's, and says to whom has none that there is none.
        return ("401",)
    if NO_DECODER in line.target:
        return ("406",)
    return tuple(line.expect.split("|"))


def send(real: Keyhole, line: Recorded, visit: Opened) -> Answer:
    headers = {"Accept": line.accept, **credential(line, visit)} if line.accept else credential(line, visit)
    body = None
    if line.content_type is not None:
        headers["Content-Type"] = line.content_type.replace("<boundary>", BOUNDARY)
        body = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\nDICM\r\n--{BOUNDARY}--\r\n".encode()
    return real.ask(line.method, target(line, visit), headers, body)


def right(answer: Answer, line: Recorded) -> bool:
    """Whether the status is expected, and nothing of another study came with it."""
    status = str(answer.status)
    foreign = (dataset.BORIS.name, dataset.STRANGER, dataset.PRIOR)
    return any(want in (status, f"{status[0]}xx") for want in expected(line)) and not any(
        word.encode() in answer.body for word in foreign
    )


def test_every_recorded_request_gets_what_it_expects(real: Keyhole, visits: dict[str, Opened]) -> None:
    wrong = []
    for line in dataset.replay():
        answer = send(real, line, visits[line.granted])
        if not right(answer, line):
            wrong.append(f"{line.where}: {answer.status} instead of {expected(line)}: {line.target[:150]}")
    assert not wrong, "\n".join(wrong)


def test_the_search_for_other_studies_of_the_patient_finds_the_shared_one_only(
    real: Keyhole, visits: dict[str, Opened]
) -> None:
    for line in dataset.replay():
        if line.kind in ("qido-prior", "qido-worklist", "qido-validate") and line.expect == "2xx":
            found = send(real, line, visits[line.granted]).json()
            assert [item["0020000D"]["Value"] for item in found] == [[line.granted]], line.where


def test_links_in_metadata_stay_below_the_callers_own_root(real: Keyhole, visits: dict[str, Opened]) -> None:
    visit = visits[dataset.STUDY]
    path = f"dicom-web/studies/{dataset.STUDY}/series/{dataset.STUDY}.5/metadata"
    for answer, root in (
        (real.get(visit.below + path, visit.as_cookie), f"{real.public_url}{visit.below}dicom-web/"),
        (real.get(f"/{path}", visit.as_bearer), f"{real.public_url}/dicom-web/"),
    ):
        uris = [
            value["BulkDataURI"]
            for item in answer.json()
            for value in item.values()
            if isinstance(value, dict) and "BulkDataURI" in value
        ]
        assert all(uri.startswith(root) for uri in uris), uris


def test_the_trail_tells_who_saw_what(real: Keyhole, visits: dict[str, Opened]) -> None:
    visit = visits[dataset.STUDY]
    real.get(f"{visit.below}dicom-web/studies/{dataset.STUDY}/metadata", visit.as_cookie)
    rows = [row for row in real.trail() if row.get("study") == dataset.STUDY and row.get("visit") == visit.id]
    assert {row["event"] for row in rows} >= {"access"}
    real.verify_trail()
