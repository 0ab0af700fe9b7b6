"""What nobody foresaw breaks: the visitor learns nothing of it, and neither does whoever reads the log."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from keyhole.web.quiet import Quiet
from tests.asgi import Caller
from tests.web.openings import Memory

WORDS = "Quellwasser^Annabella"


async def test_a_page_that_cannot_be_made_says_so_and_names_nobody(
    caller: Caller, memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    share, secret = memory.share()
    memory.breaks = ValueError(WORDS)
    answer = await caller.post_json(f"/s/{share.id}/visits", {"secret": secret})
    assert answer.status == 500
    assert answer.header("content-security-policy") is not None
    assert WORDS not in answer.text + caplog.text
    assert "ValueError at" in caplog.text


async def _fails(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError(WORDS)


async def _breaks_off(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ValueError(WORDS)


async def test_outermost_a_fault_is_an_answer_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await Caller(Quiet(_fails, "staff")).get("/")
    assert answer.status == 500
    assert WORDS not in answer.text + caplog.text
    assert "answering on the staff listener" in caplog.text


async def test_an_answer_that_has_begun_gets_no_second_head() -> None:
    sent: list[Any] = []

    async def send(message: Any = None) -> Any:
        sent.append(message)

    await Quiet(_breaks_off, "public")({"type": "http"}, send, send)
    assert [message["type"] for message in sent] == ["http.response.start"]
