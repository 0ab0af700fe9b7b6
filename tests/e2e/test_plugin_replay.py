"""Every question that the real plugin was recorded asking, over real HTTP: chunked, one connection after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests.e2e import dataset
from tests.e2e.dataset import Patient, Study
from tests.servers.keyhole import keyhole
from tests.servers.plugin import replay
from tests.servers.plugin.curl import PASSWORD, USER, Plugin, request
from tests.servers.plugin.replay import ADMINISTRATOR, DIFFERENCES, NOBODY, PATIENTS, ROLES, Json
from tests.servers.process import wait_until

PUBLIC_ROOT = "https://orthanc.example.org"


@pytest.fixture(scope="module")
def recorded_studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    for uid, patient in PATIENTS.items():
        study = Study(uid, Patient(patient, "Doe^Recorded"), "recorded")
        dataset.write(folder, islice(dataset.ct(study, f"{uid}.1", slices=1, size=16), 1))
    return folder


@pytest.fixture(scope="module")
def plugin(recorded_studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    settings = {
        "KEYHOLE_ARCHIVE": str(recorded_studies),
        "KEYHOLE_PLUGIN_USER": USER,
        "KEYHOLE_PLUGIN_PASSWORD": PASSWORD,
        "KEYHOLE_PLUGIN_ORTHANC_URL": PUBLIC_ROOT,
    }
    with keyhole(tmp_path_factory.mktemp("replay"), settings) as server:
        server.secrets.add(PASSWORD)
        yield Plugin(server)


def token_for(plugin: Plugin, of: Json) -> str:
    """A token of Keyhole's that stands for a recorded one."""
    if "user" in of:
        role = ADMINISTRATOR if of["roles"] == ["admin-role"] else NOBODY
        return plugin.server.key(of["user"], role)
    ends = {} if of["expires"] is None else {"validity-duration": 1}
    token: str = plugin.make(of["type"], *of["resources"], **ends)["token"]
    if ends:
        asked = {"token-value": token}
        wait_until(
            lambda: plugin.ask("POST", "tokens/decode", asked)[1]["error-code"] == "expired", 30, "it does not end"
        )
    return token


def test_every_recorded_answer_means_what_it_meant_or_is_listed(plugin: Plugin) -> None:
    assert plugin.ask("PUT", "settings/roles", ROLES)[0] == 200
    made = {
        placeholder + json.dumps(of, sort_keys=True): of
        for case in replay.recorded()
        for placeholder, of in case.get("tokens", {}).items()
    }
    tokens = {name: token_for(plugin, of) for name, of in made.items()}
    found: set[str] = set()
    for question in replay.questions(
        lambda placeholder, of: tokens[placeholder + json.dumps(of, sort_keys=True)], PUBLIC_ROOT
    ):
        more = "".join(
            f"{name}: {value}\r\n"
            for name, value in question.headers.items()
            if name.lower() not in ("content-type", "content-length")
        )
        status, answer = plugin.send(request(question.method, question.path, question.body, more=more))
        found |= replay.differing(question, status, answer)
    assert found == set(DIFFERENCES)
    plugin.server.verify_trail()
