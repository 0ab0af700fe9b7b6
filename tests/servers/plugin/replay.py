"""The recorded questions of the real plugin, put again: what each answer means, and where it may mean something else.

The recorded answers are those of the service that was measured. ``DIFFERENCES`` are the rows of the page's table "Where
Keyhole answers otherwise"; there is no other difference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRAFFIC = Path(__file__).parents[2] / "vectors" / "plugin_traffic.jsonl"
PAGE = Path(__file__).parents[3] / "docs" / "orthanc-plugin.md"
UID = "1.2.826.0.1.3680043.10.9999."
PATIENTS = {f"{UID}101": "PAT-001x", f"{UID}102": "PAT-001x", f"{UID}201": "PAT-002x", f"{UID}302": "PAT-003"}
"""The studies of the recording, and whose they are."""

ADMINISTRATOR, NOBODY = "sharer", "uploader"
"""Keyhole's role that stands for the recorded ``admin-role``, and one that the document below does not hold."""

ROLES = {
    "roles": {
        ADMINISTRATOR: {
            "permissions": [
                "anonymize",
                "delete",
                "download",
                "modify",
                "send",
                "share",
                "view",
                "settings",
                "edit-labels",
                "admin-permissions",
                "upload",
                "q-r-remote-modalities",
            ],
            "authorized-labels": ["*"],
        }
    },
    "available-labels": [],
}
PUBLICATION = "stone-viewer-publication"
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """A row of the table. ``landing``: only while publications lead to Keyhole's page, as they do at first."""

    question: str
    answered: str
    answers: str
    because: str
    landing: bool = False

    def row(self) -> str:
        """The row as it stands on the page."""
        return f"| {self.question} | {self.answered} | {self.answers} | {self.because} |"


DIFFERENCES = {
    "writes": Difference(
        "validate with `put` or `delete`, for a link", "granted", "refused", "a link reads, whatever its type"
    ),
    "permissions": Difference(
        "get-profile for whoever shows nothing, or a link",
        "permissions such as `upload`",
        "none",
        "it would be open to everybody",
    ),
    "roles": Difference("`GET settings/roles`", "404", "the roles", "the Explorer's page of roles works"),
    "remembered": Difference(
        "how long Orthanc may remember an answer",
        "60 s",
        "0 or 1 s about a link, 5 s about a user",
        "a withdrawal or a lost role acts soon; see [delays](#delays)",
    ),
    "echo": Difference(
        "`PUT tokens/…`, to end in some years",
        "a link until then, and the request again",
        "a link until `KEYHOLE_PLUGIN_LONGEST`; token and address only",
        "nobody is known who answers for it; Orthanc reads nothing else",
    ),
    "opens": Difference(
        "validate with `get` or `post`, for a publication that leads to Keyhole's page",
        "granted",
        "refused",
        "its token opens the page, where the conditions are asked for, and nothing in Orthanc",
        landing=True,
    ),
    "names": Difference(
        "decode of a publication that leads to Keyhole's page",
        "its studies, and the viewer's address",
        "no studies, and the page's address",
        "who has met no condition yet learns nothing of the study",
        landing=True,
    ),
}


def recorded() -> list[dict[str, Any]]:
    """The recording, one request to Orthanc each."""
    return [json.loads(line) for line in TRAFFIC.read_text().splitlines()]


@dataclass(frozen=True)
class Question:
    """What the plugin asked once, with tokens that stand for the recorded ones."""

    case: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    answer: Json

    @property
    def shown(self) -> str:
        """The token in it."""
        content = json.loads(self.body) if self.body else {}
        return str(content.get("token-value", ""))


def questions(token_for: Callable[[str, Json], str], public_root: str) -> Iterator[Question]:
    """Every question, in order. *token_for* gives the token that stands for a placeholder with what it stands for."""
    for case in recorded():
        real = {placeholder: token_for(placeholder, of) for placeholder, of in case.get("tokens", {}).items()}
        real["<public-root>"] = public_root
        for call in case["calls"]:
            yield Question(
                case=f"#{case['n']} {case['case']}",
                method=call["method"],
                path=call["path"].removeprefix("/"),
                headers={
                    name: _with(real, value)
                    for name, value in (call.get("headers") or {}).items()
                    if name.lower() not in ("authorization", "transfer-encoding")
                },
                body=_with(real, json.dumps(call["body"])).encode() if "body" in call else b"",
                answer=json.loads(_with(real, json.dumps(call["answer"]))),
            )


def _with(real: Mapping[str, str], text: str) -> str:
    for placeholder, token in real.items():
        text = text.replace(placeholder, token)
    return text


def differing(question: Question, status: int, answer: Any) -> set[str]:
    """The rows that the differences between the recorded answer and this one are; fails for one that is in no row."""
    then = _meaning(question, question.answer["status"], question.answer.get("body"))
    now = _meaning(question, status, answer)
    differs = {facet for facet in then.keys() | now.keys() if then.get(facet) != now.get(facet)}
    rows = {_row(question, facet, then, now) for facet in differs}
    assert None not in rows, f"{question.case}: {question.path} answered {then}, and now {now}"
    return {row for row in rows if row is not None}


def _meaning(question: Question, status: int, answer: Any) -> dict[str, Any]:
    """What an answer says to the plugin, and to whoever it passes it on to."""
    if question.path == "settings/roles":
        return {"status": status}
    said: dict[str, Any] = {"ok": status == 200, "remembered": answer.get("validity")}
    if question.path == "tokens/validate":
        return said | {"granted": answer["granted"]}
    if question.path == "user/get-profile":
        named = {name: answer[name] for name in ("name", "authorized-labels")}
        return said | named | {"permissions": sorted(answer["permissions"]), "known": answer["user-id"] is not None}
    if question.path == "tokens/decode":
        return said | {name: answer[name] for name in ("token-type", "error-code", "redirect-url", "resources")}
    return said | {"token": bool(answer["token"]), "url": answer["url"] is None, "echo": "request" in answer}


def _row(question: Question, facet: str, then: Json, now: Json) -> str | None:
    content = json.loads(question.body) if question.body else {}
    if facet == "granted" and then["granted"] and not now["granted"]:
        return "writes" if content["method"] in ("put", "delete") else "opens"
    if facet == "permissions" and not now["permissions"] and not then["known"]:
        return "permissions"
    if facet == "status" and (then["status"], now["status"]) == (404, 200):
        return "roles"
    if facet == "remembered" and type(now["remembered"]) is int and now["remembered"] < then["remembered"]:
        return "remembered"
    if facet == "echo" and not now["echo"]:
        return "echo"
    closes = (facet == "resources" and not now["resources"]) or (facet == "redirect-url" and "/s/" in now[facet])
    return "names" if closes else None
