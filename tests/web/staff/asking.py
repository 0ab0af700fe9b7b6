"""What the tests of the staff API share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.web.staff.client import Answer, Client
from tests.web.staff.world import CT

SHARES = "/api/v1/shares"
WEEK = {"studies": [CT], "for": "7d"}
UNKNOWN = "a" * 16


def bearer(key: str) -> Sequence[tuple[str, str]]:
    return (("authorization", f"Bearer {key}"), ("user-agent", "worklist/1"))


def told(answer: Answer) -> tuple[int, str]:
    """Status and reason of a problem, which has all of its parts."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert {"type", "title", "status", "detail", "reason"} <= problem.keys()
    assert problem["status"] == answer.status
    return answer.status, problem["reason"]


async def shared(client: Client, **more: Any) -> dict[str, Any]:
    answer = await client.ask("POST", SHARES, WEEK | more)
    assert answer.status == 201, answer.body
    share: dict[str, Any] = answer.json
    return share
