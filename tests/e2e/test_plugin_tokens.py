"""The plugin's questions over real HTTP, as libcurl sends them, to a real Keyhole before a real Orthanc."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e import dataset
from tests.servers.keyhole import keyhole
from tests.servers.orthanc import Orthanc
from tests.servers.plugin.curl import INSTANT, PAGE, PASSWORD, USER, Plugin, answer, request


@pytest.fixture(scope="module")
def plugin(orthanc_debian: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    settings = {
        **orthanc_debian.settings,
        "KEYHOLE_ARCHIVE_ORTHANC": orthanc_debian.rest,
        "KEYHOLE_PLUGIN_USER": USER,
        "KEYHOLE_PLUGIN_PASSWORD": PASSWORD,
    }
    with ExitStack() as stack:
        server = stack.enter_context(keyhole(tmp_path_factory.mktemp("plugin"), settings))
        server.secrets.add(PASSWORD)
        yield Plugin(server)


def names(orthanc: Orthanc) -> dict[str, str]:
    """Orthanc's own names of its studies, by UID."""
    studies = orthanc.json("/studies?expand")
    return {study["MainDicomTags"]["StudyInstanceUID"]: study["ID"] for study in studies}


def test_an_instant_link_opens_its_study_by_the_names_that_orthanc_has(plugin: Plugin, orthanc_debian: Orthanc) -> None:
    known = names(orthanc_debian)
    for resource in (
        {"dicom-uid": dataset.STUDY, "orthanc-id": known[dataset.STUDY], "level": "study"},
        {"dicom-uid": dataset.STUDY},
        {"orthanc-id": known[dataset.STUDY]},
    ):
        token = plugin.make(INSTANT, resource)["token"]
        assert plugin.validate(token, orthanc_id=known[dataset.STUDY]) == {"granted": True, "validity": 1}
        assert plugin.validate(token, "", known[dataset.STUDY])["granted"]
        assert plugin.validate(token, method="post") == {"granted": True, "validity": 0}
        for method in ("put", "delete"):
            assert not plugin.validate(token, method=method)["granted"]
        for other in (dataset.PRIOR, dataset.STRANGER):
            assert not plugin.validate(token, other, known[other])["granted"]
            assert not plugin.validate(token, dataset.STUDY, known[other])["granted"]
        _, told = plugin.ask("POST", "tokens/decode", {"token-key": "token", "token-value": token})
        assert told["resources"] == [
            {"dicom-uid": dataset.STUDY, "orthanc-id": known[dataset.STUDY], "url": None, "level": "study"}
        ]


def test_a_patient_is_his_studies(plugin: Plugin, orthanc_debian: Orthanc) -> None:
    known = names(orthanc_debian)
    (patient,) = [
        each["ID"]
        for each in orthanc_debian.json("/patients?expand")
        if each["MainDicomTags"]["PatientID"] == dataset.ANNA.id
    ]
    for resource in ({"orthanc-id": patient}, {"dicom-uid": dataset.ANNA.id, "orthanc-id": patient}):
        token = plugin.make(INSTANT, {**resource, "level": "patient"})["token"]
        for study in (dataset.STUDY, dataset.PRIOR):
            assert plugin.validate(token, study, known[study])["granted"]
        assert not plugin.validate(token, dataset.STRANGER, known[dataset.STRANGER])["granted"]


def test_names_that_disagree_make_no_link(plugin: Plugin, orthanc_debian: Orthanc) -> None:
    known = names(orthanc_debian)
    for resource in (
        {"dicom-uid": dataset.STUDY, "orthanc-id": known[dataset.STRANGER]},
        {"dicom-uid": "1.2.3.4"},
        {"orthanc-id": "-".join(["00000000"] * 5)},
    ):
        status, told = plugin.ask("PUT", f"tokens/{PAGE}", {"type": PAGE, "resources": [resource]})
        assert (status, told["status"]) == (400, 400)


def test_a_publication_is_a_link_that_a_recipient_opens(plugin: Plugin) -> None:
    made = plugin.make(PAGE, {"dicom-uid": dataset.STUDY}, **{"validity-duration": 94881346242483})
    assert not plugin.validate(made["token"])["granted"]
    visit = plugin.server.open(made["url"])
    path = f"{visit.below}dicom-web/studies/{dataset.STUDY}/metadata"
    assert plugin.server.get(path, visit.as_bearer).status == 200
    _, told = plugin.ask("POST", "tokens/decode", {"token-key": "", "token-value": made["token"]})
    assert (told["redirect-url"], told["resources"]) == (made["url"], [])


def test_a_withdrawal_ends_what_a_token_opens(plugin: Plugin) -> None:
    token = plugin.make(INSTANT, {"dicom-uid": dataset.STUDY})["token"]
    assert plugin.validate(token) == {"granted": True, "validity": 1}
    plugin.server.run("revoke", token.split("_")[1])
    until = time.monotonic() + 30
    while plugin.validate(token)["granted"]:
        assert time.monotonic() < until, "still granted"
    _, told = plugin.ask("POST", "tokens/decode", {"token-key": "", "token-value": token})
    assert (told["error-code"], told["resources"]) == ("expired", [])


def test_the_trail_says_who_made_it_and_who_saw_it(plugin: Plugin) -> None:
    token = plugin.make(INSTANT, {"dicom-uid": dataset.STUDY})["token"]
    plugin.validate(token)
    share = token.split("_")[1]
    rows = [row for row in plugin.server.trail() if row.get("share") == share]
    assert [(row["event"], row["subject"]) for row in rows[:2]] == [
        ("share-created", "plugin:orthanc"),
        ("access", f"share:{share}"),
    ]
    plugin.server.verify_trail()


def test_chunks_may_come_byte_by_byte(plugin: Plugin) -> None:
    raw = request("POST", "tokens/validate", {"method": "get", "token-value": "kht_nonsense"})
    assert plugin.send(raw, slowly=True) == (200, {"granted": False, "validity": 1})


def test_a_connection_is_kept_for_the_next_question(plugin: Plugin) -> None:
    raw = request("POST", "tokens/validate", {})
    with socket.create_connection(("127.0.0.1", plugin.server.internal_port), timeout=30) as connection:
        for _ in range(3):
            connection.sendall(raw)
            assert answer(connection)[0] == 200


def test_what_is_no_json_has_an_answer_all_the_same(plugin: Plugin) -> None:
    assert plugin.ask("POST", "tokens/validate", b"{") == (200, {"granted": False, "validity": 0})
    assert plugin.ask("POST", "tokens/decode", b"")[0] == 200
    assert plugin.ask("PUT", f"tokens/{PAGE}", b"{")[0] == 400
    status, told = plugin.ask("POST", "tokens/validate", b" " * 200_000)
    assert (status, told["granted"]) == (200, False)


def test_a_body_that_never_ends_is_answered_well_before_the_plugin_gives_up(plugin: Plugin) -> None:
    raw = request("POST", "tokens/validate", {"method": "get"}).removesuffix(b"0\r\n\r\n")
    assert plugin.send(raw) == (200, {"granted": False, "validity": 0})


def test_without_right_credentials_there_is_nothing(plugin: Plugin) -> None:
    assert plugin.ask("POST", "tokens/validate", {}, user="somebody")[0] == 401
    assert plugin.ask("POST", "tokens/validate", {})[0] == 200


def test_the_public_listener_knows_nothing_of_it(plugin: Plugin) -> None:
    token = plugin.make(INSTANT, {"dicom-uid": dataset.STUDY})["token"]
    server = plugin.server
    assert server.ask("POST", "/plugin/tokens/validate", {}, b"{}").status == 404
    bearer = {"Authorization": f"Bearer {token}"}
    assert server.get(f"/dicom-web/studies/{dataset.STUDY}/metadata", bearer).status == 401
    _, share, value = token.split("_")
    assert server.try_open(f"{server.public_url}/s/{share}#{value}").status == 404
