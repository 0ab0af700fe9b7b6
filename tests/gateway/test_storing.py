"""Uploads (STOW-RS): who may, in which form, and that half of one never looks whole."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from keyhole.access.decision import Event, Reason
from keyhole.access.resource import Action
from keyhole.gateway import relay
from tests.asgi import Answer
from tests.gateway.gate import OK, OPERATOR, Gate, Reader, settled

PARTS = 'multipart/related; type="application/dicom"; boundary=xyz'
FILE = b"--xyz\r\nContent-Type: application/dicom\r\n\r\nDICM\r\n--xyz--"


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def store(gate: Gate, key: dict[str, str], path: str = "/studies", content_type: str = PARTS) -> Answer:
    return await gate.caller.call(
        "POST", f"/dicom-web{path}", {**key, "content-type": content_type}, [FILE[:9], FILE[9:]]
    )


def uploading(gate: Gate, key: dict[str, str]) -> Reader:
    return Reader(gate.gateway, "/dicom-web/studies", {**key, "content-type": PARTS}, method="POST")


@pytest.mark.parametrize("path", ["/studies", f"/studies/{OK}"])
async def test_an_uploader_stores(path: str, gate: Gate) -> None:
    answer = await store(gate, await gate.key("uploader"), path)
    assert answer.status == 200
    assert answer.header("content-type") == "application/dicom+json"
    assert "archive.internal" not in answer.text
    assert gate.archive.asked == [f"POST {path}"]
    assert b"".join(gate.archive.stored) == FILE
    [row] = await gate.trail(Event.ACCESS)
    assert row.action is Action.STORE


async def test_an_uploader_reads_nothing(gate: Gate) -> None:
    key = await gate.key("uploader")
    for path in ("/studies", f"/studies/{OK}/metadata", f"/studies/{OK}"):
        assert (await gate.caller.get(f"/dicom-web{path}", key)).status == 403
    assert gate.archive.begun == 0


@pytest.mark.parametrize("roles", [("reader",), ("sharer",)])
@pytest.mark.parametrize("path", ["/studies", f"/studies/{OK}", "/studies/7.7.7"])
async def test_whose_roles_do_not_hold_it_is_refused_before_a_byte_is_read(
    path: str, roles: tuple[str, ...], gate: Gate
) -> None:
    answer = await store(gate, await gate.key(*roles), path)
    assert answer.status == 403
    assert "insufficient_scope" in (answer.header("www-authenticate") or "")
    assert gate.archive.asked == []


async def test_a_ceiling_without_storing_is_kept(gate: Gate) -> None:
    key = await gate.key("administrator", ceiling=frozenset({Action.SEARCH}))
    assert (await store(gate, key)).status == 403
    assert (await gate.caller.get("/dicom-web/studies", key)).status == 200


async def test_a_visit_stores_nothing(gate: Gate) -> None:
    visitor = await gate.visitor((OK,))
    for root in (visitor.root, "/dicom-web"):
        answer = await gate.caller.call("POST", f"{root}/studies", {**visitor.bearer, "content-type": PARTS}, [FILE])
        assert (answer.status, answer.header("allow")) == (405, "GET, HEAD, OPTIONS")
    assert gate.archive.asked == []


async def test_an_archive_that_takes_no_uploads_says_so(gate: Gate) -> None:
    gate.archive.takes_uploads = False
    answer = await store(gate, await gate.key("uploader"))
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD, OPTIONS")
    [row] = await gate.trail(Event.REFUSAL, Event.FAILURE)
    assert (row.event, row.reason) == (Event.REFUSAL, Reason.METHOD_NOT_ALLOWED)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/dicom",
        "multipart/form-data; boundary=xyz",
        "multipart/related",
        'multipart/related; type="application/dicom"',
        'multipart/related; type="text/html"; boundary=xyz',
        "multipart/related; boundary=xyz; boundary=abc",
        'multipart/related; boundary="x\x7fz"',
        "multipart/related; boundary=xyz\xe9",
    ],
)
async def test_what_is_no_dicom_in_parts_is_not_sent_on(content_type: str, gate: Gate) -> None:
    assert (await store(gate, await gate.key("uploader"), content_type=content_type)).status == 415
    assert gate.archive.asked == []


async def test_the_media_type_is_sent_as_it_was_understood(gate: Gate) -> None:
    received = 'Multipart/Related ; TYPE=application/dicom;boundary="a b"; start="<evil>"; x=y'
    assert (await store(gate, await gate.key("uploader"), content_type=received)).status == 200
    assert gate.archive.upload_types == ['multipart/related; type="application/dicom"; boundary="a b"']


async def test_a_body_is_read_no_faster_than_the_archive_takes_it(gate: Gate) -> None:
    gate.archive.gate = asyncio.Event()
    sender = uploading(gate, await gate.key("uploader"))
    for _ in range(5):
        sender.to_send.put_nowait({"type": "http.request", "body": b"x" * 1000, "more_body": True})
    await settled()
    assert sender.to_send.qsize() == 4
    gate.archive.gate.set()
    sender.to_send.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    await sender.over()
    assert sender.status == 200
    assert gate.archive.uploads_whole == [True]


async def test_half_of_an_upload_is_never_made_whole(gate: Gate) -> None:
    sender = uploading(gate, await gate.key("uploader"))
    sender.to_send.put_nowait({"type": "http.request", "body": FILE[:20], "more_body": True})
    await settled()
    sender.leave()
    await sender.over()
    assert gate.archive.uploads_whole == [False]
    assert sender.status == 0


async def test_a_body_that_breaks_off_raises_and_does_not_end() -> None:
    messages = [{"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    body = relay.body_of(receive)
    assert await anext(body) == b"a"
    with pytest.raises(relay.SenderLeft):
        await anext(body)


async def test_a_key_that_is_revoked_stops_storing(gate: Gate) -> None:
    key, text = await gate.new_key("uploader")
    sender = uploading(gate, {"authorization": f"Bearer {text}"})
    async with gate.enforcing():
        sender.to_send.put_nowait({"type": "http.request", "body": FILE[:20], "more_body": True})
        await settled()
        await gate.desk.revoke_key(OPERATOR, key.id)
        with suppress(TimeoutError):
            await sender.over()
    assert gate.archive.uploads_whole == [False]
    assert sender.status == 401
