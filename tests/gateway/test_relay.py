"""ASGI at its barest: heads leave with the first byte, ends are proper or there is none, refusals say nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from keyhole.access.decision import Reason
from keyhole.errors import ArchiveFailed
from keyhole.gateway import relay
from keyhole.gateway.relay import Begun, Cut, refuse, stream, watched
from keyhole.gateway.streams import Stream


class Wire:
    """What has been sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.taken = asyncio.Event()
        self.taken.set()

    async def __call__(self, message: Any) -> None:
        await self.taken.wait()
        self.sent.append(message)

    @property
    def types(self) -> list[str]:
        return [message["type"].removeprefix("http.response.") for message in self.sent]

    @property
    def fields(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}


@pytest.fixture
def wire() -> Wire:
    return Wire()


async def pieces(*chunks: bytes | Exception) -> AsyncIterator[bytes]:
    for chunk in chunks:
        if isinstance(chunk, Exception):
            raise chunk
        yield chunk


class TestStreams:
    async def test_pass_on_piece_by_piece_and_tell_of_each(self, wire: Wire) -> None:
        sizes: list[int] = []
        await stream(wire, 200, "image/png", {"x": "y"}, pieces(b"ab", b"", b"c"), sizes.append)
        assert [message.get("body") for message in wire.sent] == [None, b"ab", b"c", b""]
        assert [message.get("more_body", False) for message in wire.sent] == [False, True, True, False]
        assert wire.fields == {"content-type": "image/png", "x": "y"}
        assert sizes == [2, 1]

    async def test_that_are_empty_end_properly(self, wire: Wire) -> None:
        await stream(wire, 200, "image/png", {}, pieces(), lambda _: None)
        assert wire.types == ["start", "body"]

    async def test_that_fail_before_their_first_byte_send_nothing(self, wire: Wire) -> None:
        with pytest.raises(ArchiveFailed):
            await stream(wire, 200, "image/png", {}, pieces(ArchiveFailed("down")), lambda _: None)
        assert wire.sent == []

    async def test_that_fail_later_are_cut_and_have_no_end(self, wire: Wire) -> None:
        with pytest.raises(Cut) as cut:
            await stream(wire, 200, "image/png", {}, pieces(b"a", ArchiveFailed("broke")), lambda _: None)
        assert isinstance(cut.value.__cause__, ArchiveFailed)
        assert wire.types == ["start", "body"]
        assert wire.sent[-1]["more_body"] is True

    async def test_hold_back_the_head_until_there_is_a_byte(self, wire: Wire) -> None:
        first = asyncio.Event()

        async def late() -> AsyncIterator[bytes]:
            await first.wait()
            yield b"a"

        streaming = asyncio.ensure_future(stream(wire, 200, "image/png", {}, late(), lambda _: None))
        await asyncio.sleep(0)
        assert wire.sent == []
        first.set()
        await streaming
        assert wire.types == ["start", "body", "body"]

    async def test_read_no_faster_than_they_are_taken(self, wire: Wire) -> None:
        read: list[int] = []

        async def counted() -> AsyncIterator[bytes]:
            for number in range(100):
                read.append(number)
                yield b"x"

        wire.taken.clear()
        streaming = asyncio.ensure_future(stream(wire, 200, "image/png", {}, counted(), lambda _: None))
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(read) == 1
        wire.taken.set()
        await streaming
        assert len(read) == 100


class TestReaders:
    async def test_who_leave_stop_the_task(self) -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def reading() -> Stream:
            running = Stream()
            try:
                with watched(receive, running):
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass
            return running

        running = await asyncio.wait_for(asyncio.ensure_future(reading()), 5)
        assert (running.left, running.ended) == (True, None)

    async def test_are_watched_no_longer_than_the_answer_takes(self) -> None:
        looked_for = asyncio.Event()
        waits: list[asyncio.Future[None]] = []

        async def receive() -> dict[str, Any]:
            waits.append(asyncio.get_running_loop().create_future())
            looked_for.set()
            await waits[-1]
            raise AssertionError

        with watched(receive, Stream()):
            await looked_for.wait()
        await asyncio.sleep(0)
        assert [wait.cancelled() for wait in waits] == [True]

    async def test_are_not_looked_for_while_a_short_answer_is_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(relay, "SOON", 0.01)

        async def receive() -> dict[str, Any]:
            raise AssertionError

        with watched(receive, Stream()):
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)


class TestRefusals:
    @pytest.mark.parametrize("reason", Reason)
    @pytest.mark.parametrize("below_visit", [True, False])
    async def test_say_the_same_for_the_same_status(self, below_visit: bool, reason: Reason, wire: Wire) -> None:
        begun = Begun(wire)
        assert not begun.yet
        await refuse(begun, reason, below_visit=below_visit)
        assert begun.yet
        status = wire.sent[0]["status"]
        assert status == (
            404 if below_visit and relay.STATUS[reason] == 400 and status == 404 else relay.STATUS[reason]
        )
        body = json.loads(wire.sent[1]["body"])
        assert body == {
            "type": "about:blank",
            "title": body["title"],
            "status": status,
            "detail": relay._WORDS[status],
        }
        assert str(reason) not in body["detail"]
        assert wire.fields["content-length"] == str(len(wire.sent[1]["body"]))
        assert wire.fields["cache-control"] == "private, no-store"

    @pytest.mark.parametrize(
        ("reason", "asked"),
        [
            (Reason.NO_CREDENTIAL, 'Bearer realm="keyhole"'),
            (Reason.BAD_CREDENTIAL, 'Bearer realm="keyhole", error="invalid_token"'),
            (Reason.VISIT_ENDED, 'Bearer realm="keyhole", error="invalid_token"'),
            (Reason.WITHDRAWN, 'Bearer realm="keyhole", error="invalid_token"'),
            (Reason.CEILING, 'Bearer realm="keyhole", error="insufficient_scope"'),
            (Reason.CROSS_SITE, None),
            (Reason.NO_GRANT, None),
            (Reason.CONFLICTING_CREDENTIALS, None),
        ],
    )
    async def test_ask_for_a_credential_as_rfc_6750_says(self, reason: Reason, asked: str | None, wire: Wire) -> None:
        await refuse(wire, reason, below_visit=True)
        assert wire.fields.get("www-authenticate") == asked

    @pytest.mark.parametrize("reason", [Reason.STORE_FAILED, Reason.TOO_MANY])
    async def test_that_pass_say_when_to_come_again(self, reason: Reason, wire: Wire) -> None:
        await refuse(wire, reason, below_visit=True)
        assert wire.fields["retry-after"] == "1"

    async def test_of_a_head_have_no_body(self, wire: Wire) -> None:
        await refuse(wire, Reason.NO_GRANT, below_visit=True, head=True)
        assert wire.sent[1]["body"] == b""
        assert int(wire.fields["content-length"]) > 0
