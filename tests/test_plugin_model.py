"""The model of the Authorization plugin asks what the real one was recorded asking, in the same order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.servers.plugin.model import NotAnswered, Plugin, Study

TRAFFIC = Path(__file__).parent / "vectors" / "plugin_traffic.jsonl"
RECORDED = [json.loads(line) for line in TRAFFIC.read_text().splitlines()]
UID = "1.2.826.0.1.3680043.10.9999."
STUDIES = {
    f"{UID}101": "8340c048-6ac438f0-8f76d6d4-6a1a0333-d1ff8ff8",
    f"{UID}102": "c665b2a5-4ed01b04-51775ccd-f1d68a9c-cb5da0e6",
    f"{UID}201": "eba5a998-20cb1a08-ec2626c5-1dd4b72d-0fb6e534",
    f"{UID}302": "aed1c81a-245a7f3a-6c18a981-3f04481c-2ce2806c",
}
BELOW = {
    "d2f6d00b-9096202a-32bfd512-04fe78a5-59ce20c0": f"{UID}101",
    "9e8cbf90-98d8b5b9-4b0f9b45-362f49fb-c9877575": f"{UID}101",
    "e45645ba-ec9b920a-362b4c06-d818ee01-afcae0c8": f"{UID}201",
}


class Recorded:
    """The Orthanc of the recording."""

    async def study_of(self, level: str, orthanc_id: str) -> Study | None:
        uid = BELOW.get(orthanc_id) or next((uid for uid, name in STUDIES.items() if name == orthanc_id), None)
        return None if uid is None or level == "patients" else Study(STUDIES[uid], uid)

    async def studies_with(self, uid: str) -> Sequence[Study]:
        return [Study(STUDIES[uid], uid)] if uid in STUDIES else []


class Answers:
    """The web service of the recording: it answers what it answered then, whatever is asked first."""

    def __init__(self) -> None:
        self.of: list[Mapping[str, Any]] = []

    async def __call__(
        self, method: str, path: str, more: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> tuple[int, Any]:
        for call in self.of:
            if (call["method"], call["path"], call.get("body")) == (method, path, body):
                return call["answer"]["status"], call["answer"].get("body")
        raise AssertionError(f"not asked then: {method} {path} {body}")


def questions(calls: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, dict[str, str], Any]]:
    plain = ("authorization", "content-type", "transfer-encoding")
    return [
        (
            call["method"],
            call["path"],
            {name: value for name, value in (call.get("headers") or {}).items() if name.lower() not in plain},
            call.get("body"),
        )
        for call in calls
    ]


@pytest.mark.parametrize("group", ["share links only", "share links and users"])
async def test_the_model_asks_and_decides_as_was_recorded(group: str) -> None:
    answers = Answers()
    plugin = Plugin(answers, Recorded(), clock=lambda: 0.0)
    cases = [case for case in RECORDED if case["web_service_knows"] == group]
    assert len(cases) > 30
    for case in cases:
        if "2nd" not in case["case"] and not case["case"].startswith(("cache: frames", "cache: other")):
            for token in case.get("tokens", {}):
                plugin.forget(token)
        answers.of, plugin.asked = case["calls"], []
        request = case["request"]
        verdict = await plugin.judge(request["method"], request["path"], request["headers"], request.get("body"))
        assert plugin.asked == questions(case["calls"]), f"#{case['n']} {case['case']}"
        refused = case["status"] == 403
        assert (verdict.status == 403) is refused, f"#{case['n']} {case['case']}"


async def test_a_failed_creation_closes_the_connection() -> None:
    async def fails(method: str, path: str, *_: Any) -> tuple[int, Any]:
        if path == "/user/get-profile":
            return 200, {"name": "A", "permissions": ["share"], "authorized-labels": ["*"], "validity": 1}
        return 400, {"detail": "no"}

    plugin = Plugin(fails, Recorded(), clock=lambda: 0.0)
    with pytest.raises(NotAnswered):
        await plugin.judge(
            "PUT", "/auth/tokens/stone-viewer-publication", {"token": "t"}, {"Resources": [], "Type": "x"}
        )


@pytest.mark.parametrize("validity", [60.0, "60", True, None, -1, 2**31])
async def test_an_answer_of_the_wrong_form_grants_nothing(validity: Any) -> None:
    async def grants(method: str, path: str, *_: Any) -> tuple[int, Any]:
        if path == "/user/get-profile":
            return 200, {"name": "A", "permissions": [], "authorized-labels": [], "validity": 1}
        return 200, {"granted": True, "validity": validity}

    plugin = Plugin(grants, Recorded(), clock=lambda: 0.0)
    verdict = await plugin.judge("GET", f"/studies/{STUDIES[f'{UID}101']}", {"token": "t"})
    assert verdict.status == 403


async def test_an_answer_is_remembered_as_long_as_it_says() -> None:
    time = [0.0]

    async def grants(method: str, path: str, *_: Any) -> tuple[int, Any]:
        if path == "/user/get-profile":
            return 200, {"name": "A", "permissions": [], "authorized-labels": [], "validity": 100}
        return 200, {"granted": True, "validity": 1}

    plugin = Plugin(grants, Recorded(), clock=lambda: time[0])
    for now, asked in ((0.0, 2), (0.5, 2), (1.0, 3)):
        time[0] = now
        await plugin.judge("GET", f"/studies/{STUDIES[f'{UID}101']}", {"token": "t"})
        assert len(plugin.asked) == asked
