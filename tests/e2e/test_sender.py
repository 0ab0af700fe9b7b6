"""The sender's side before a real Orthanc: patients, birth dates, links made there, and what became of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from tests.e2e import dataset
from tests.e2e.dataset import ANNA, BORIS, CLARA, Patient, Study
from tests.servers.keyhole import Answer, Keyhole, keyhole, share_id
from tests.servers.orthanc import Orthanc, orthanc
from tests.servers.plugin.curl import INSTANT, PAGE, PASSWORD, USER, Plugin

pytestmark = pytest.mark.e2e

BORN = "1985-02-14"
ROOT = f"{dataset.ROOT}.7"
FIRST, SECOND, ELSEWHERE, UNBORN, LATER = (f"{ROOT}.{number}" for number in range(1, 6))


def made(uid: str, patient: Patient, issuer: str = "", born: str = "19850214") -> Sequence[Dataset]:
    """A study of two pictures of a patient of this issuer and birth date."""
    instances = list(dataset.ct(Study(uid, patient, "phantom"), f"{uid}.1", 2, size=16))
    for instance in instances:
        instance.PatientBirthDate = born
        if issuer:
            instance.IssuerOfPatientID = issuer
    return instances


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    folder = tmp_path_factory.mktemp("sender")
    studies = (
        *made(FIRST, ANNA, "A"),
        *made(SECOND, ANNA, "A"),
        *made(ELSEWHERE, BORIS, "B"),
        *made(UNBORN, CLARA, "A", born=""),
    )
    with orthanc(folder / "orthanc") as running:
        running.upload(dataset.write(folder / "studies", studies))
        yield running


@pytest.fixture(scope="module")
def server(archive: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyhole]:
    settings = {
        **archive.settings,
        "KEYHOLE_ARCHIVE_ORTHANC": archive.rest,
        "KEYHOLE_PLUGIN_USER": USER,
        "KEYHOLE_PLUGIN_PASSWORD": PASSWORD,
    }
    strict = {"KEYHOLE_REQUIRED_CONDITIONS": "any", "KEYHOLE_PLUGIN_CONDITIONS": "birth-date"}
    with keyhole(tmp_path_factory.mktemp("keyhole"), settings, **strict) as running:
        running.secrets.add(PASSWORD)
        yield running


def shared(server: Keyhole, *words: str) -> dict[str, Any]:
    """The share that ``keyhole share`` makes of *words*."""
    share: dict[str, Any] = json.loads(server.run("share", *words, "--for", "7d", "--json").stdout)
    server.secrets |= {share["link"].partition("#")[2], share["passcode"] or share["link"]}
    return share


def answered(server: Keyhole, link: str, **answers: str) -> Answer:
    secret = {"secret": link.partition("#")[2]}
    return server.post_json(f"/s/{share_id(link)}/visits", secret | answers)


def studies_of(server: Keyhole, opened: Answer) -> set[str]:
    """What a visit that has begun can search."""
    assert opened.status == 201, opened.body[:300]
    visit = opened.json()
    bearer = {"Authorization": f"Bearer {visit['bearer']}"}
    found = server.get(f"/v/{visit['visit']}/dicom-web/studies", bearer).json()
    return {item["0020000D"]["Value"][0] for item in found}


def test_a_link_as_it_comes_opens_to_who_was_told_its_passcode(server: Keyhole) -> None:
    share = shared(server, FIRST)
    assert answered(server, share["link"]).status == 403
    assert answered(server, share["link"], passcode="AAAA-AAAA-AA").status == 403
    assert studies_of(server, answered(server, share["link"], passcode=share["passcode"].lower())) == {FIRST}
    shown = json.loads(server.run("show", share["id"], "--json").stdout)
    assert (shown["conditions"], shown["wrong_answers"], len(shown["openings"])) == (["passcode"], 1, 1)
    assert shown["openings"][0]["address"] == "127.0.0.1"


def test_the_birth_date_is_the_one_that_orthanc_tells(server: Keyhole) -> None:
    share = shared(server, FIRST, SECOND, "--birth-date")
    assert answered(server, share["link"], birth_date="1985-02-15").status == 403
    assert answered(server, share["link"], birth_date=BORN).status == 201
    refused = server.run("share", UNBORN, "--for", "7d", "--birth-date", fails=True)
    assert f"that of study {UNBORN} is missing, incomplete or a placeholder" in refused.stderr
    assert "1985" not in refused.stderr


def test_a_patient_is_found_whole_and_nobody_else_is(server: Keyhole) -> None:
    share = shared(server, "--patient", ANNA.id)
    assert studies_of(server, answered(server, share["link"], passcode=share["passcode"])) == {FIRST, SECOND}
    for words in (["--patient", ANNA.id[:-1]], ["--patient", ANNA.id.lower()], ["--patient", ANNA.id, "--issuer", "B"]):
        assert "no study of this patient" in server.run("share", *words, "--for", "7d", fails=True).stderr
    said = server.run("trail", "--json", "--share", share["id"]).stdout
    assert ANNA.id not in said


def test_studies_that_come_later_are_in_the_link_when_it_is_opened_next(
    server: Keyhole, archive: Orthanc, tmp_path: Path
) -> None:
    grows = shared(server, FIRST, "--priors", "future", "--birth-date")
    stays = shared(server, FIRST, "--priors", "all", "--birth-date")
    archive.upload(dataset.write(tmp_path / "later", made(LATER, ANNA, "A")))
    stranger = f"{ROOT}.9"
    archive.upload(dataset.write(tmp_path / "another's", made(stranger, ANNA, "A", born="19991231")))
    archive.upload(dataset.write(tmp_path / "another issuer's", made(f"{ROOT}.8", ANNA, "B")))
    assert studies_of(server, answered(server, grows["link"], birth_date=BORN)) == {FIRST, SECOND, LATER}
    assert studies_of(server, answered(server, stays["link"], birth_date=BORN)) == {FIRST, SECOND}
    [row] = [row for row in server.trail("--share", grows["id"]) if row["event"] == "share-changed"]
    assert (row["subject"], row["detail"]["added"], row["detail"]["left_out"]) == ("keyhole", "1", "1")


@pytest.fixture(scope="module")
def plugin(server: Keyhole) -> Plugin:
    return Plugin(server)


def test_a_link_made_in_orthanc_asks_the_birth_date_and_its_token_opens_nothing(plugin: Plugin) -> None:
    publication = plugin.make(PAGE, {"dicom-uid": ELSEWHERE})
    assert not plugin.validate(publication["token"], ELSEWHERE)["granted"]
    link = publication["url"]
    plugin.server.secrets.add(link.partition("#")[2])
    needs = plugin.server.post_json(f"/s/{share_id(link)}", {"secret": link.partition("#")[2]}).json()["needs"]
    assert needs == ["birth-date"]
    assert answered(plugin.server, link).status == 403
    assert studies_of(plugin.server, answered(plugin.server, link, birth_date=BORN)) == {ELSEWHERE}


def test_a_study_without_a_birth_date_gets_no_link_there_and_the_answer_says_why(plugin: Plugin) -> None:
    order = {"type": PAGE, "resources": [{"dicom-uid": UNBORN}]}
    status, told = plugin.ask("PUT", f"tokens/{PAGE}", order)
    assert status == 400
    why = f"that of study {UNBORN} is missing, incomplete or a placeholder"
    assert told["detail"] == f"the birth date cannot be asked for: {why}"
    assert re.fullmatch("kht_.+", plugin.make(INSTANT, {"dicom-uid": UNBORN})["token"]), "links for minutes ask nothing"
