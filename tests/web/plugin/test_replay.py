"""Every question that the real plugin was recorded asking, put to Keyhole: the answers mean the same, or are listed."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest

from keyhole.gateway.plugin.caller import Caller
from keyhole.sharing.token import Creation, Opens
from tests.servers.plugin import replay
from tests.servers.plugin.replay import ADMINISTRATOR, DIFFERENCES, NOBODY, PATIENTS, PUBLICATION, ROLES, Json
from tests.web.plugin.service import LANDING, ORTHANC_URL, TRUSTED, Service


class Tokens:
    """Real tokens for the recorded ones."""

    def __init__(self, service: Service) -> None:
        """None are made yet."""
        self.service = service
        self.made: dict[str, str] = {}

    async def make(self) -> None:
        """Make all that the recording names; those that had ended end now."""
        for case in replay.recorded():
            for placeholder, of in case.get("tokens", {}).items():
                self.made[_key(placeholder, of)] = await self._made(of)
        self.service.gate.after(timedelta(seconds=5))

    async def _made(self, of: Json) -> str:
        service = self.service
        if "user" in of:
            role = ADMINISTRATOR if of["roles"] == ["admin-role"] else NOBODY
            return (await service.gate.new_key(role, name=of["user"]))[1]
        ends = {} if of["expires"] is None else {"validity-duration": 1}
        answer = await service.ask("PUT", f"tokens/{of['type']}", {"resources": of["resources"], **ends})
        return str(answer.json()["token"])

    def __call__(self, placeholder: str, of: Json) -> str:
        return self.made[_key(placeholder, of)]


def _key(placeholder: str, of: Json) -> str:
    return placeholder + json.dumps(of, sort_keys=True)


async def differences(service: Service) -> set[str]:
    """The rows that the answers of *service* are about."""
    assert (await service.ask("PUT", "settings/roles", ROLES)).status == 200
    tokens = Tokens(service)
    await tokens.make()
    found: set[str] = set()
    asked = 0
    for question in replay.questions(tokens, f"{ORTHANC_URL}"):
        answer = await service.send(question.method, question.path, question.body, more=question.headers)
        found |= replay.differing(question, answer.status, answer.json())
        asked += 1
    assert asked == sum(len(case["calls"]) for case in replay.recorded())
    return found


@pytest.mark.parametrize("landing", [True, False], ids=["as it comes", "direct, for who is trusted"])
async def test_every_recorded_answer_means_what_it_meant_or_is_listed(landing: bool) -> None:
    types = {} if landing else {PUBLICATION: Opens.DIRECT}
    service = Service(callers=[LANDING if landing else TRUSTED], types=types, patients=PATIENTS)
    expected = {name for name, each in DIFFERENCES.items() if landing or not each.landing}
    assert await differences(service) == expected


async def test_a_recorded_creation_lasts_no_longer_than_its_orthanc_may_give() -> None:
    service = Service(patients=PATIENTS)
    for question in replay.questions(lambda *_: "nothing", ORTHANC_URL):
        if question.method == "PUT":
            assert (await service.send("PUT", question.path, question.body)).status == 200
    shares = await service.gate.store.shares()
    assert len(shares) == 2
    instant, publication = sorted(share.expires_at - share.created_at for share in shares)
    assert (instant, publication) == (timedelta(seconds=200), LANDING.longest)


async def test_where_links_are_switched_off_the_recorded_creations_are_refused() -> None:
    off = Caller(name="orthanc", archive="main", creation=Creation.OFF)
    service = Service(callers=[off], patients=PATIENTS)
    for question in replay.questions(lambda *_: "nothing", ORTHANC_URL):
        if question.method == "PUT":
            assert (await service.send("PUT", question.path, question.body)).status == 403


def test_the_page_lists_the_differences_and_no_others() -> None:
    _, _, section = replay.PAGE.read_text(encoding="utf-8").partition("## Where Keyhole answers otherwise")
    rows = [line for line in section.partition("\n## ")[0].splitlines() if re.match(r"\| (?!question )", line)]
    assert rows == [each.row() for each in DIFFERENCES.values()]
