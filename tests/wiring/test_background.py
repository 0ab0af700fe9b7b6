"""What a process does beside answering goes on, whatever befalls it, and ends with the process."""

from __future__ import annotations

import asyncio

import pytest

from keyhole.wiring import background
from keyhole.wiring.background import in_background


async def test_what_ends_is_begun_anew(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(background, "_PAUSE", 0.0)
    begun = asyncio.Semaphore(0)

    async def fails() -> None:
        begun.release()
        raise ValueError("Doe^Jane")

    async with in_background(fails), asyncio.timeout(5):
        for _ in range(3):
            await begun.acquire()
    assert "ValueError" in caplog.text
    assert "Doe" not in caplog.text


async def test_ends_with_the_process() -> None:
    ended = asyncio.Event()

    async def lasts() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with in_background(lasts):
        await asyncio.sleep(0)
    assert ended.is_set()
