"""Record, then release: what is written before a byte leaves, what ends an answer on its way, and what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from keyhole.access.decision import Event, Reason, Record
from keyhole.access.resource import Action
from keyhole.access.share import ShareChange
from keyhole.errors import ArchiveFailed, ArchiveTimeout, ForeignAnswer, StoreFailed
from tests.gateway.gate import BAD, DAY, FRAME, HERE, INSTANCE, OK, OPERATOR, SECOND, SERIES, Gate, Visitor, settled
from tests.gateway.small_archive import END, PICTURE, endless, failing, of, part, silent


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def visitor(gate: Gate) -> Visitor:
    return await gate.visitor((OK,))


class TestTheTrail:
    async def test_holds_the_access_before_the_archive_is_asked(self, gate: Gate, visitor: Visitor) -> None:
        gate.archive.gate = asyncio.Event()
        reader = gate.read(visitor, FRAME)
        await settled()
        [row] = await gate.trail(Event.ACCESS)
        assert (row.subject, row.study, row.action) == (f"visit:{visitor.visit.id}", OK, Action.RETRIEVE)
        assert (row.visit, row.share) == (visitor.visit.id, visitor.visit.share)
        assert row.personal["address"] == HERE.address
        assert reader.status == 0
        gate.archive.gate.set()
        await reader.over()
        assert reader.status == 200

    async def test_is_waited_for(self, gate: Gate, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
        durable, append = asyncio.Event(), gate.store.append

        async def slowly(records: Sequence[Record]) -> None:
            await durable.wait()
            await append(records)

        monkeypatch.setattr(gate.store, "append", slowly)
        reader = gate.read(visitor, FRAME)
        await settled()
        assert (reader.status, gate.archive.begun) == (0, 0)
        durable.set()
        await reader.over()
        assert reader.ended

    async def test_counts_images_and_bytes_for_each_visit_and_study(self, gate: Gate) -> None:
        one, other = await gate.visitor((OK,), (SECOND,)), await gate.visitor((OK,))
        sent: dict[tuple[str, str], int] = {}
        for visitor, study, path in (
            (one, OK, FRAME),
            (one, OK, FRAME.replace("frames/1", "frames/1,2,3")),
            (one, SECOND, "/studies/1.2.2/series/1.2.2.1/instances/1.2.2.1.1/frames/1"),
            (other, OK, FRAME),
        ):
            answer = await gate.get(visitor, path)
            name = (visitor.visit.id, study)
            sent[name] = sent.get(name, 0) + len(answer.body)
        rows = {(row.visit, row.study): row for row in await gate.trail(Event.COUNT)}
        assert {name: row.bytes for name, row in rows.items()} == sent
        assert {name: row.images for name, row in rows.items()} == {
            (one.visit.id, OK): 4,
            (one.visit.id, SECOND): 1,
            (other.visit.id, OK): 1,
        }

    async def test_counts_a_picture_once_and_metadata_as_no_image(self, gate: Gate, visitor: Visitor) -> None:
        await gate.get(visitor, f"{INSTANCE}/rendered")
        await gate.get(visitor, f"/studies/{OK}/metadata")
        await gate.get(visitor, f"{INSTANCE}/bulk/7FE00010")
        rows = {row.action: row for row in await gate.trail(Event.COUNT)}
        assert (rows[Action.RENDER].images, rows[Action.RENDER].bytes) == (1, len(PICTURE))
        assert rows[Action.RETRIEVE].images == 0

    async def test_counts_nothing_where_nothing_was_sent(self, gate: Gate, visitor: Visitor) -> None:
        gate.archive.answers[f"{INSTANCE}/rendered"] = of(then=ArchiveFailed("gone"), content_type="image/png")
        assert (await gate.get(visitor, f"{INSTANCE}/rendered")).status == 502
        assert (await gate.ask("HEAD", visitor, FRAME)).status == 200
        assert await gate.trail(Event.COUNT) == []

    async def test_counts_what_was_sent_of_an_answer_that_broke_off(self, gate: Gate, visitor: Visitor) -> None:
        gate.archive.answers[FRAME] = of(part() + PICTURE, PICTURE, then=ArchiveFailed("gone"))
        answer = await gate.get(visitor, FRAME)
        [row] = await gate.trail(Event.COUNT)
        assert (row.images, row.bytes) == (1, len(answer.body))
        assert row.bytes > len(PICTURE)

    async def test_counts_a_long_answer_while_it_is_on_its_way(
        self, gate: Gate, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("keyhole.gateway.pep._COUNTED_EVERY", 0.0)
        gate.archive.answers[FRAME] = silent()
        reader = gate.read(visitor, FRAME)
        await reader.until(10)
        [row] = await gate.trail(Event.COUNT)
        assert (row.images, row.bytes) == (1, reader.received)
        reader.leave()
        await reader.over()


class TestTheReader:
    async def test_takes_it_as_slowly_as_it_likes(self, gate: Gate, visitor: Visitor) -> None:
        gate.archive.answers[FRAME] = endless()
        reader = gate.read(visitor, FRAME, room=5)
        await settled()
        read = gate.archive.read
        assert read <= 6
        await settled()
        assert gate.archive.read == read
        reader.leave()
        await reader.over()

    async def test_who_leaves_ends_the_request_to_the_archive(self, gate: Gate, visitor: Visitor) -> None:
        gate.archive.answers[FRAME] = endless()
        reader = gate.read(visitor, FRAME)
        await reader.until(10_000)
        reader.leave()
        await reader.over()
        assert gate.archive.under_way == 0
        assert not reader.ended
        assert gate.outcomes == ["allowed"]
        assert await gate.trail(Event.REFUSAL, Event.FAILURE) == []

    async def test_who_leaves_before_the_archive_answers_does_so_too(self, gate: Gate, visitor: Visitor) -> None:
        gate.archive.gate = asyncio.Event()
        reader = gate.read(visitor, FRAME)
        await settled()
        assert gate.archive.under_way == 1
        reader.leave()
        await reader.over()
        assert (gate.archive.under_way, reader.status) == (0, 0)

    async def test_whose_connection_breaks_is_not_the_archives_failure(self, gate: Gate, visitor: Visitor) -> None:
        sent: list[Any] = []

        async def breaking(message: Any) -> None:
            sent.append(message)
            if len(sent) == 3:
                raise OSError("reset")

        gate.archive.answers[FRAME] = endless()
        reader = gate.read(visitor, FRAME)
        await gate.gateway(reader.scope, reader._receive, breaking)
        reader.leave()
        await reader.over()
        assert gate.archive.under_way == 0
        assert Reason.ARCHIVE_FAILED not in {row.reason for row in await gate.trail(Event.FAILURE)}


ENDS = {
    "withdrawn": Reason.WITHDRAWN,
    "the share expired": Reason.EXPIRED,
    "the visit ended": Reason.VISIT_ENDED,
    "put off": Reason.NOT_YET,
    "the database lost": Reason.STORE_FAILED,
}


class TestWithdrawal:
    async def end(self, gate: Gate, visitor: Visitor, what: str) -> None:
        share = visitor.visit.share or ""
        match what:
            case "withdrawn":
                await gate.desk.change_share(OPERATOR, share, ShareChange(withdrawn_at=gate.now))
            case "the share expired":
                gate.after(DAY)
            case "the visit ended":
                await gate.openings.end(visitor.visit.id, [(b"cookie", visitor.cookie["cookie"].encode())], HERE)
            case "put off":
                later = ShareChange(not_before=gate.now + timedelta(hours=1))
                await gate.desk.change_share(OPERATOR, share, later)
            case "the database lost":
                gate.store.lost = StoreFailed("gone")

    @pytest.mark.parametrize("what", ENDS)
    async def test_ends_a_running_stream_and_reads_nothing_more(self, what: str, gate: Gate) -> None:
        visitor = await gate.visitor((OK,), expires_at=gate.now + DAY)
        gate.archive.answers[FRAME] = endless()
        async with gate.enforcing():
            reader = gate.read(visitor, FRAME)
            await reader.until(10_000)
            await self.end(gate, visitor, what)
            await reader.over()
        read, received = gate.archive.read, reader.received
        await settled()
        assert (gate.archive.read, reader.received) == (read, received)
        assert gate.archive.under_way == 0
        assert not reader.ended, "a proper end would make half a picture look whole"
        gate.store.lost = None
        [row] = await gate.trail(Event.REFUSAL)
        assert (row.reason, row.study) == (ENDS[what], OK)

    async def test_refuses_what_still_waits_for_the_archive(self, gate: Gate, visitor: Visitor) -> None:
        gate.archive.gate = asyncio.Event()
        async with gate.enforcing():
            readers = [gate.read(visitor, FRAME) for _ in range(6)]
            await settled()
            await self.end(gate, visitor, "withdrawn")
            for reader in readers:
                await reader.over()
        assert {reader.status for reader in readers} == {401}
        assert gate.archive.read == 0

    async def test_ends_the_streams_of_one_visit_and_of_no_other(self, gate: Gate, visitor: Visitor) -> None:
        other = await gate.visitor((OK,))
        gate.archive.answers[FRAME] = endless()
        async with gate.enforcing():
            ends, stays = gate.read(visitor, FRAME), gate.read(other, FRAME)
            await stays.until(1000)
            await self.end(gate, visitor, "withdrawn")
            await ends.over()
            await stays.until(stays.received + 10_000)
        stays.leave()
        await stays.over()

    async def test_ends_the_streams_of_a_key(self, gate: Gate) -> None:
        key, text = await gate.new_key("reader")
        gate.archive.answers[FRAME] = endless()
        reader = gate.read(await gate.visitor((OK,)), FRAME)
        reader.leave()
        async with gate.enforcing():
            with_key = type(reader)(gate.gateway, f"/dicom-web{FRAME}", {"authorization": f"Bearer {text}"})
            await with_key.until(1000)
            await gate.desk.revoke_key(OPERATOR, key.id)
            await with_key.over()
        await reader.over()
        assert not with_key.ended

    async def test_goes_on_when_looking_fails_in_a_way_nobody_foresaw(
        self, gate: Gate, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def breaks(_: str) -> Any:
            raise KeyError

        gate.archive.answers[FRAME] = endless()
        async with gate.enforcing():
            reader = gate.read(visitor, FRAME)
            await reader.until(1000)
            with monkeypatch.context() as broken:
                broken.setattr(gate.store, "visit", breaks)
                gate.current.forget((visitor.visit.id,))
                await reader.over()
            again = gate.read(visitor, FRAME)
            await again.until(1000)
            await self.end(gate, visitor, "withdrawn")
            await again.over()

    async def test_waits_for_no_database_that_hangs(
        self, gate: Gate, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def hangs(_: str) -> Any:
            await asyncio.Event().wait()

        monkeypatch.setattr("keyhole.gateway.withdrawal._PATIENCE", 0.05)
        gate.archive.answers[FRAME] = endless()
        async with gate.enforcing():
            reader = gate.read(visitor, FRAME)
            await reader.until(1000)
            monkeypatch.setattr(gate.store, "visit", hangs)
            gate.current.forget((visitor.visit.id,))
            await reader.over()
        assert not reader.ended


class TestTurns:
    async def test_a_holder_with_too_many_requests_is_told_so(self, gate: Gate, visitor: Visitor) -> None:
        gate.archive.gate = asyncio.Event()
        readers = [gate.read(visitor, FRAME) for _ in range(gate.at_once + gate.may_wait)]
        await settled()
        answer = await gate.get(visitor, FRAME)
        assert (answer.status, answer.header("retry-after")) == (429, "1")
        assert gate.archive.most_under_way == gate.at_once
        gate.archive.gate.set()
        for reader in readers:
            await reader.over()
        assert all(reader.ended for reader in readers)
        [row] = await gate.trail(Event.REFUSAL, Event.FAILURE)
        assert (row.event, row.reason) == (Event.REFUSAL, Reason.TOO_MANY)

    async def test_one_visit_that_opens_and_aborts_thousands_disturbs_no_other(
        self, gate: Gate, visitor: Visitor
    ) -> None:
        other = await gate.visitor((SECOND,))
        gate.archive.answers[FRAME] = endless()
        hogs = [gate.read(visitor, FRAME) for _ in range(gate.at_once)]
        for _ in range(100):
            crowd = [gate.read(visitor, FRAME) for _ in range(20)]
            await asyncio.sleep(0)
            for reader in crowd:
                reader.leave()
            assert (await gate.get(other, f"/studies/{SECOND}/metadata")).status == 200
            for reader in crowd:
                await reader.over()
        for reader in hogs:
            reader.leave()
            await reader.over()
        assert (len(gate.streams), gate.archive.under_way) == (0, 0)
        assert (await gate.get(visitor, f"/studies/{OK}/metadata")).status == 200


class TestArchives:
    """What an archive may do instead of answering as asked."""

    @pytest.mark.parametrize(
        ("script", "status", "reason"),
        [
            pytest.param(failing(ArchiveFailed("http://archive.internal")), 502, Reason.ARCHIVE_FAILED, id="is down"),
            pytest.param(failing(ArchiveTimeout("slow")), 504, Reason.ARCHIVE_TIMEOUT, id="is slow"),
            pytest.param(of(b"no parts at all"), 502, Reason.ARCHIVE_FAILED, id="answers garbage"),
            pytest.param(of(b"<html>", content_type="text/html"), 502, Reason.ARCHIVE_FAILED, id="answers a page"),
            pytest.param(of(b"", content_type=""), 502, Reason.ARCHIVE_FAILED, id="does not say what it answers"),
            pytest.param(of(then=ArchiveTimeout("slow")), 504, Reason.ARCHIVE_TIMEOUT, id="stops after its head"),
            pytest.param(of(b"x", status=206), 502, Reason.ARCHIVE_FAILED, id="answers a piece that nobody asked for"),
            pytest.param(
                of(part(f"http://archive.internal/dicom-web{FRAME}".replace(OK, BAD)) + b"foreign", END),
                404,
                Reason.FOREIGN_ANSWER,
                id="answers with another study",
            ),
            pytest.param(
                of(part(f"http://archive.internal/dicom-web{FRAME}".replace(SERIES, "5.5")) + b"foreign", END),
                404,
                Reason.FOREIGN_ANSWER,
                id="answers with another series",
            ),
        ],
    )
    async def test_one_that_fails_has_failed_and_that_is_on_the_trail(
        self, script: Any, status: int, reason: Reason, gate: Gate, visitor: Visitor
    ) -> None:
        gate.archive.answers[FRAME] = script
        answer = await gate.get(visitor, FRAME)
        assert answer.status == status
        assert answer.header("content-type") == "application/problem+json"
        assert not [said for said in ("archive.internal", "foreign", "html", BAD) if said in answer.text]
        [row] = await gate.trail(Event.FAILURE)
        assert (row.reason, row.study, row.visit) == (reason, OK, visitor.visit.id)
        assert gate.archive.under_way == 0

    async def test_a_foreign_part_after_a_good_one_is_cut_off(self, gate: Gate, visitor: Visitor) -> None:
        foreign = part(f"http://archive.internal/dicom-web{FRAME}".replace(OK, BAD))
        gate.archive.answers[FRAME] = of(part() + PICTURE, foreign + b"foreign", END)
        reader = gate.read(visitor, FRAME)
        await reader.over()
        assert (reader.status, reader.ended) == (200, False)
        [row] = await gate.trail(Event.FAILURE)
        assert row.reason is Reason.FOREIGN_ANSWER

    @pytest.mark.parametrize("error", [ArchiveFailed("broke off"), ForeignAnswer("other"), ValueError("odd")])
    async def test_one_that_breaks_off_in_a_picture_leaves_no_proper_end(
        self, error: Exception, gate: Gate, visitor: Visitor
    ) -> None:
        gate.archive.answers[FRAME] = of(part() + PICTURE, then=error)
        reader = gate.read(visitor, FRAME)
        await reader.over()
        assert (reader.status, reader.ended) == (200, False)
        assert reader.received > 0
        assert len(await gate.trail(Event.FAILURE)) == 1

    async def test_metadata_of_another_study_is_not_passed_on(self, gate: Gate, visitor: Visitor) -> None:
        gate.archive.intruders = [item for item in gate.archive.instances if item["0020000D"]["Value"] == [BAD]]
        answer = await gate.get(visitor, f"/studies/{OK}/metadata")
        assert answer.status == 404
        assert BAD not in answer.text

    async def test_what_a_search_should_not_have_found_is_dropped_and_on_the_trail(
        self, gate: Gate, visitor: Visitor
    ) -> None:
        gate.archive.ignores = frozenset({"StudyInstanceUID", "0020000D"})
        answer = await gate.get(visitor, "/studies")
        assert [item["0020000D"]["Value"] for item in answer.json()] == [[OK]]
        [row] = await gate.trail(Event.FAILURE)
        assert (row.reason, row.times) == (Reason.FOREIGN_ANSWER, 3)

    @pytest.mark.parametrize(("says", "told"), [(404, 404), (410, 404), (406, 406), (400, 404), (403, 502), (204, 502)])
    async def test_a_refusal_of_its_own_is_told_in_our_words(
        self, says: int, told: int, gate: Gate, visitor: Visitor
    ) -> None:
        gate.archive.answers[FRAME] = of(b"archive.internal has no Doe", status=says, content_type="text/plain")
        answer = await gate.get(visitor, FRAME)
        assert answer.status == told
        assert "archive.internal" not in answer.text
        assert gate.archive.read == 0

    async def test_a_media_type_that_nobody_has_is_not_asked_for(self, gate: Gate, visitor: Visitor) -> None:
        assert (await gate.get(visitor, FRAME, {"accept": "text/html"})).status == 406
        assert gate.archive.begun == 0

    async def test_is_asked_for_known_media_types_only(self, gate: Gate, visitor: Visitor) -> None:
        await gate.get(visitor, f"{INSTANCE}/rendered", {"accept": "text/html, image/png;q=0.5, x/evil"})
        assert gate.archive.accepts == ["image/png"]
