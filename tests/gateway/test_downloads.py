"""Downloads through the whole gateway: who may, what is on record, and what ends one."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from keyhole.access.decision import Event, Reason
from keyhole.access.resource import Action
from keyhole.access.share import ShareChange, ShareKind
from keyhole.errors import ArchiveFailed
from keyhole.gateway.streams import DOWNLOADS
from tests.gateway.download.files import END, STORED, body, file, part
from tests.gateway.gate import BAD, HERE, OK, OTHER_SERIES, SECOND, SERIES, Gate, Visitor, settled
from tests.gateway.small_archive import Pieces, Reply, of

STUDY = f"/studies/{OK}"
A_SERIES = f"{STUDY}/series/{SERIES}"
INSTANCE = f"{A_SERIES}/instances/{SERIES}.1"
ZIP = "?accept=application/zip"
KEEPS = {"kind": ShareKind.DOWNLOAD}
FILES = file(1), file(2), file(3, series=OTHER_SERIES)
WHOLE = {"accept": 'multipart/related; type="application/dicom"'}


@pytest.fixture
def gate() -> Gate:
    gate = Gate()
    gate.archive.answers[STUDY] = of(body(*FILES), content_type=STORED)
    gate.archive.answers[A_SERIES] = of(body(*FILES[:2]), content_type=STORED)
    gate.archive.answers[INSTANCE] = of(body(FILES[0]), content_type=STORED)
    return gate


@pytest.fixture
async def keeper(gate: Gate) -> Visitor:
    """Somebody who may download."""
    return await gate.visitor(**KEEPS)


def names(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        return found.namelist()


def slow(*contents: bytes) -> Reply:
    """A study that goes on for ever once these have come."""

    async def pieces() -> Pieces:
        for content in contents:
            yield part(content)
        yield part(file(9, size=1 << 21))
        while True:
            yield bytes(1000)
            await asyncio.sleep(0)

    return Reply(pieces, content_type=STORED)


class TestWhoMay:
    @pytest.mark.parametrize("path", [STUDY, A_SERIES, INSTANCE, f"{STUDY}/pixeldata"])
    async def test_a_share_for_viewing_does_not(self, gate: Gate, path: str) -> None:
        viewer = await gate.visitor()
        for query in (ZIP, ""):
            answer = await gate.get(viewer, path + query)
            assert answer.status == 403
            assert "insufficient_scope" in (answer.header("www-authenticate") or "")
        assert gate.archive.begun == 0
        assert {row.reason for row in await gate.trail(Event.REFUSAL)} == {Reason.CEILING}

    async def test_a_share_for_downloading_does_and_only_of_what_it_holds(self, gate: Gate, keeper: Visitor) -> None:
        assert names((await gate.get(keeper, STUDY + ZIP)).body)[-1] == "DICOMDIR"
        for other in (BAD, SECOND):
            assert (await gate.get(keeper, f"/studies/{other}{ZIP}")).status == 404

    async def test_a_share_of_a_series_gives_that_series_and_not_its_study(self, gate: Gate) -> None:
        keeper = await gate.visitor((OK, SERIES), **KEEPS)
        assert len(names((await gate.get(keeper, A_SERIES + ZIP)).body)) == 3
        assert (await gate.get(keeper, STUDY + ZIP)).status == 404
        assert (await gate.get(keeper, f"{STUDY}/series/{OTHER_SERIES}{ZIP}")).status == 404

    async def test_a_key_does_when_its_ceiling_holds_it(self, gate: Gate) -> None:
        able = await gate.key("reader")
        unable = await gate.key("reader", ceiling=frozenset({Action.SEARCH, Action.RETRIEVE}))
        target = f"/dicom-web{STUDY}{ZIP}"
        assert names((await gate.caller.get(target, able)).body)
        assert (await gate.caller.get(target, unable)).status == 403

    async def test_staffs_own_look_is_none(self, gate: Gate) -> None:
        assert (await gate.caller.get(f"/dicom-web{STUDY}{ZIP}")).status == 401

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    async def test_nothing_but_reading_is_a_download(self, gate: Gate, keeper: Visitor, method: str) -> None:
        assert (await gate.ask(method, keeper, STUDY + ZIP)).status == 405

    async def test_a_share_put_off_or_withdrawn_gives_nothing(self, gate: Gate, keeper: Visitor) -> None:
        await gate.store.change_share(
            keeper.visit.share or "", ShareChange(withdrawn_at=gate.now), (await gate.trail())[0]
        )
        assert (await gate.get(keeper, STUDY + ZIP)).status == 401


class TestForm:
    async def test_it_is_a_file_to_keep_that_no_browser_opens_as_a_page(self, gate: Gate, keeper: Visitor) -> None:
        answer = await gate.get(keeper, STUDY + ZIP)
        assert answer.header("content-type") == "application/zip"
        assert answer.header("content-disposition") == 'attachment; filename="dicom.zip"'
        assert answer.header("accept-ranges") == "none"
        assert answer.header("cache-control") == "private, no-store"
        assert "sandbox" in (answer.header("content-security-policy") or "")

    async def test_the_header_asks_for_it_as_well_and_the_parameter_is_stronger(
        self, gate: Gate, keeper: Visitor
    ) -> None:
        browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        for target, headers in ((STUDY, {"accept": "application/zip"}), (STUDY + ZIP, browser)):
            assert (await gate.get(keeper, target, headers)).header("content-type") == "application/zip"

    async def test_the_archive_is_asked_for_parts_as_they_are_stored(self, gate: Gate, keeper: Visitor) -> None:
        await gate.get(keeper, STUDY + ZIP)
        await gate.get(keeper, STUDY, WHOLE)
        await gate.get(keeper, INSTANCE, {"accept": "application/dicom"})
        assert set(gate.archive.accepts) == {'multipart/related; type="application/dicom"; transfer-syntax=*'}
        await gate.get(keeper, f"{INSTANCE}?accept=application/dicom;transfer-syntax=1.2.840.10008.1.2.1")
        assert gate.archive.accepts[-1].endswith("transfer-syntax=1.2.840.10008.1.2.1")

    async def test_a_range_is_not_kept_and_all_of_it_comes(self, gate: Gate, keeper: Visitor) -> None:
        answer = await gate.get(keeper, STUDY + ZIP, {"range": "bytes=100-200"})
        assert answer.status == 200
        assert names(answer.body)

    async def test_head_tells_as_much_and_takes_nothing(self, gate: Gate, keeper: Visitor) -> None:
        answer = await gate.ask("HEAD", keeper, STUDY + ZIP)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.header("content-type") == "application/zip"
        assert gate.archive.read == 0

    async def test_programs_get_parts(self, gate: Gate, keeper: Visitor) -> None:
        answer = await gate.get(keeper, STUDY, WHOLE)
        assert answer.header("content-type") == 'multipart/related; type="application/dicom"; boundary="between"'
        assert all(content in answer.body for content in FILES)
        assert answer.body.endswith(END)

    async def test_programs_get_one_instance_bare(self, gate: Gate, keeper: Visitor) -> None:
        answer = await gate.get(keeper, INSTANCE, {"accept": "application/dicom"})
        assert (answer.header("content-type"), answer.body) == ("application/dicom", FILES[0])

    @pytest.mark.parametrize("path", [STUDY, A_SERIES])
    async def test_several_do_not_come_bare(self, gate: Gate, keeper: Visitor, path: str) -> None:
        assert (await gate.get(keeper, path, {"accept": "application/dicom"})).status == 406
        assert gate.archive.begun == 0


class TestOnRecord:
    async def test_it_is_an_export_before_it_leaves_with_its_instances_and_bytes_after(
        self, gate: Gate, keeper: Visitor
    ) -> None:
        answer = await gate.get(keeper, STUDY + ZIP)
        [row] = await gate.trail(Event.EXPORT)
        assert (row.study, row.share, row.visit) == (OK, keeper.visit.share, keeper.visit.id)
        [count] = await gate.trail(Event.COUNT)
        assert (count.action, count.images, count.bytes) == (Action.DOWNLOAD, len(FILES), len(answer.body))

    async def test_to_ask_how_long_it_is_is_no_export(self, gate: Gate, keeper: Visitor) -> None:
        await gate.ask("HEAD", keeper, STUDY + ZIP)
        assert await gate.trail(Event.EXPORT) == []
        assert len(await gate.trail(Event.ACCESS)) == 1

    async def test_nothing_leaves_that_is_not_on_record(self, gate: Gate, keeper: Visitor) -> None:
        gate.store.lost = ArchiveFailed("no trail")
        assert (await gate.get(keeper, STUDY + ZIP)).status >= 500
        assert gate.archive.begun == 0


class TestTheEnd:
    async def test_a_failing_archive_leaves_no_zip_file_and_says_so_on_the_trail(
        self, gate: Gate, keeper: Visitor
    ) -> None:
        gate.archive.answers[STUDY] = of(part(FILES[0]) + part(FILES[1]), then=ArchiveFailed("x"), content_type=STORED)
        reader = gate.read(keeper, STUDY + ZIP)
        await reader.over()
        assert (reader.status, reader.ended) == (200, False)
        assert [row.reason for row in await gate.trail(Event.FAILURE)] == [Reason.ARCHIVE_FAILED]

    @pytest.mark.parametrize("accept", ["application/zip", WHOLE["accept"]])
    async def test_a_foreign_instance_ends_it_and_is_a_foreign_answer(
        self, gate: Gate, keeper: Visitor, accept: str
    ) -> None:
        gate.archive.answers[STUDY] = of(
            part(FILES[0]), part(file(1, study=BAD, PatientName="SECRET^S")), part(FILES[1]), END, content_type=STORED
        )
        sent: list[bytes] = []
        reader = gate.read(keeper, STUDY)
        reader.scope["headers"].append((b"accept", accept.encode()))
        before = reader._send

        async def noting(message: dict[str, object]) -> None:
            sent.append(message.get("body", b""))  # type: ignore[arg-type]
            await before(message)  # type: ignore[arg-type]

        reader.task.cancel()
        reader.task = asyncio.ensure_future(gate.gateway(reader.scope, reader._receive, noting))
        await reader.over()
        assert not reader.ended
        assert b"SECRET" not in b"".join(sent)
        assert [row.reason for row in await gate.trail(Event.FAILURE)] == [Reason.FOREIGN_ANSWER]

    async def test_a_foreign_instance_alone_is_not_there(self, gate: Gate, keeper: Visitor) -> None:
        gate.archive.answers[INSTANCE] = of(body(file(2)), content_type=STORED)
        for accept in ("application/dicom", *WHOLE.values()):
            assert (await gate.get(keeper, INSTANCE, {"accept": accept})).status == 404

    @pytest.mark.parametrize("content_type", ["application/dicom", "text/html", "application/zip"])
    async def test_an_answer_without_parts_is_none(self, gate: Gate, keeper: Visitor, content_type: str) -> None:
        gate.archive.answers[STUDY] = of(FILES[0], content_type=content_type)
        assert (await gate.get(keeper, STUDY + ZIP)).status == 502

    async def test_a_withdrawal_ends_a_running_download(self, gate: Gate, keeper: Visitor) -> None:
        gate.archive.answers[STUDY] = lambda: slow(*FILES)
        async with gate.enforcing():
            reader = gate.read(keeper, STUDY + ZIP)
            await reader.until(1 << 21)
            share = keeper.visit.share or ""
            change = ShareChange(withdrawn_at=gate.now + timedelta(seconds=0))
            await gate.store.change_share(share, change, (await gate.trail())[0])
            await reader.over()
        assert not reader.ended
        assert gate.archive.under_way == 0
        assert Reason.WITHDRAWN in {row.reason for row in await gate.trail(Event.REFUSAL)}

    async def test_who_leaves_takes_nothing_more_from_the_archive(self, gate: Gate, keeper: Visitor) -> None:
        gate.archive.answers[STUDY] = lambda: slow(*FILES)
        reader = gate.read(keeper, STUDY + ZIP)
        await reader.until(1 << 21)
        reader.leave()
        await reader.over()
        assert gate.archive.under_way == 0

    async def test_a_slow_reader_is_not_read_ahead_of(self, gate: Gate, keeper: Visitor) -> None:
        gate.archive.answers[STUDY] = lambda: slow(*FILES)
        reader = gate.read(keeper, STUDY + ZIP, room=12)
        await settled()
        read = gate.archive.read
        await settled()
        assert gate.archive.read == read
        reader.leave()
        await reader.over()


class TestManyAtOnce:
    @pytest.fixture
    async def downloads(self, gate: Gate) -> AsyncIterator[list[object]]:
        """More downloads than may be, of several visits of one link."""
        gate.archive.answers[STUDY] = lambda: slow(*FILES)
        share = await gate.share(**KEEPS)
        visitors = [await gate.open(share) for _ in range(3)]
        readers = [gate.read(visitor, STUDY + ZIP) for visitor in visitors for _ in range(2)]
        await asyncio.gather(*(reader.until(1 << 21) for reader in readers[:DOWNLOADS]))
        yield [gate, visitors, readers]
        for reader in readers:
            reader.leave()
        await asyncio.gather(*(reader.over() for reader in readers))

    async def test_a_link_downloads_a_few_at_a_time_and_views_meanwhile(self, downloads: list[object]) -> None:
        gate, visitors, readers = downloads
        assert gate.archive.most_under_way == DOWNLOADS  # type: ignore[attr-defined]
        assert sum(reader.status == 200 for reader in readers) == DOWNLOADS  # type: ignore[attr-defined]
        looked = await gate.get(visitors[2], f"{STUDY}/metadata")  # type: ignore[attr-defined,index]
        assert looked.status == 200

    async def test_the_next_begins_when_one_is_over(self, downloads: list[object]) -> None:
        gate, _, readers = downloads
        readers[0].leave()  # type: ignore[index]
        await readers[0].over()  # type: ignore[index]
        await readers[DOWNLOADS].until(1)  # type: ignore[index]
        assert gate.archive.most_under_way == DOWNLOADS  # type: ignore[attr-defined]

    async def test_another_link_need_not_wait(self, downloads: list[object]) -> None:
        gate, _, _ = downloads
        other = gate.read(await gate.visitor(**KEEPS), STUDY + ZIP)  # type: ignore[attr-defined]
        await other.until(1)
        other.leave()
        await other.over()


async def test_the_page_has_a_button_for_what_may_be_downloaded_and_for_nothing_else(gate: Gate) -> None:
    for share, study, series in (
        ({}, False, False),
        (KEEPS, True, False),
        ({"resources": None, **KEEPS}, False, True),
    ):
        names = ((OK, SERIES),) if "resources" in share else ((OK,),)
        visitor = await gate.visitor(*names, **{name: value for name, value in share.items() if name != "resources"})
        shown = await gate.openings.shown(visitor.visit.id, [(b"cookie", visitor.cookie["cookie"].encode())], HERE)
        assert [one.download for one in shown.studies] == [study]  # type: ignore[union-attr]
        assert any(one.download for one in shown.studies[0].series) is series  # type: ignore[union-attr]
