"""The wiring: one process begins, works and ends as a whole, and any number of them share one database."""

from __future__ import annotations

import asyncio
import multiprocessing
import shutil
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from keyhole import app
from keyhole.access.decision import Event, Record
from keyhole.access.resource import Action
from keyhole.access.share import ShareChange
from keyhole.access.subject import Kind, Subject
from keyhole.app import Process, now, open_desk, prepare
from keyhole.errors import KeyholeError, Misconfigured, StoreFailed
from keyhole.gateway.desk import Desk, NotAllowed, ShareOrder
from keyhole.gateway.policy import Required
from keyhole.settings import Settings
from keyhole.store.migrations import Schema, check_schema
from keyhole.store.trail import TrailQuery
from tests.asgi import Answer, Caller

OPERATOR = Subject(Kind.OPERATOR, "user:anna", frozenset({"user:anna", "role:administrator"}))
READER = Subject(Kind.API_KEY, "key:aaaaaaaaaaaaaaaa", frozenset({"key:aaaaaaaaaaaaaaaa", "role:reader"}))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one study."""
    folder = tmp_path_factory.mktemp("images")
    shutil.copy(str(get_testdata_file("CT_small.dcm", download=False)), folder)
    return folder


@pytest.fixture
def settings(tmp_path: Path, images: Path) -> Settings:
    data = tmp_path / "data"
    data.mkdir()
    return Settings(
        archive=str(images),
        data=data,
        viewer=tmp_path / "viewer",
        public_url="http://127.0.0.1:8000",
        required_conditions=Required(),
        workers=2,
    )


async def records(settings: Settings, *events: Event) -> list[Record]:
    async with open_desk(settings) as desk:
        rows = await desk.store.trail(TrailQuery(limit=1000))  # type: ignore[attr-defined]
    return [row.record for row in rows if row.record.event in events]


async def an_order(desk: Desk) -> ShareOrder:
    """To share the one study for a day."""
    [found] = await desk.find_studies(OPERATOR, desk.archives[0], b"")
    resources = ((str(found["0020000D"]["Value"][0]),),)
    return ShareOrder(archive=desk.archives[0], resources=resources, expires_at=now() + timedelta(days=1))


async def shared(desk: Desk) -> tuple[str, str]:
    """A new share: its id, and its link's secret."""
    share = await desk.create_share(OPERATOR, await an_order(desk))
    return share.id, desk.link(share).partition("#")[2]


async def opened(public: Caller, share: str, secret: str) -> dict[str, str]:
    """The bearer of a new visit."""
    answer = await public.post_json(f"/s/{share}/visits", {"secret": secret})
    assert answer.status == 201, answer.text
    return {"authorization": f"Bearer {answer.json()['bearer']}"}


class TestPreparing:
    def test_makes_the_keys_and_the_database_for_their_owner_alone(self, settings: Settings) -> None:
        prepare(settings)
        for name in ("keys.json", "keyhole.db"):
            assert stat.S_IMODE((settings.data / name).stat().st_mode) == 0o600

    def test_twice_changes_nothing(self, settings: Settings) -> None:
        prepare(settings)
        before = (settings.data / "keys.json").read_bytes()
        prepare(settings)
        assert (settings.data / "keys.json").read_bytes() == before
        assert check_schema(app.database_url(settings)) is Schema.CURRENT

    def test_by_several_processes_at_once_is_done_once(self, settings: Settings) -> None:
        processes = multiprocessing.get_context("spawn")
        workers = [processes.Process(target=prepare, args=(settings,)) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(120)
        assert [worker.exitcode for worker in workers] == [0, 0]
        prepare(settings)

    def test_after_a_first_start_that_broke_off_goes_on(self, settings: Settings) -> None:
        app.keys_file.load(settings.data)
        prepare(settings)

    def test_makes_no_new_keys_for_a_database_that_has_lost_its_own(self, settings: Settings) -> None:
        prepare(settings)
        (settings.data / "keys.json").unlink()
        with pytest.raises(Misconfigured, match="backup"):
            prepare(settings)
        assert not (settings.data / "keys.json").exists()


class TestAProcess:
    async def test_begins_and_ends_on_the_trail(self, settings: Settings) -> None:
        prepare(settings)
        async with Process(settings).lifespan():
            assert len(await records(settings, Event.STARTED)) == 1
            assert await records(settings, Event.STOPPED) == []
        assert len(await records(settings, Event.STOPPED)) == 1

    async def test_writes_down_at_its_end_what_it_has_counted(self, settings: Settings) -> None:
        async with open_desk(settings) as desk:
            share, secret = await shared(desk)
        process = Process(settings)
        async with process.lifespan():
            public = Caller(process.app("public"))
            bearer = await opened(public, share, secret)
            answer = await public.get("/dicom-web/studies", bearer)
            assert answer.status == 200
            await public.get("/dicom-web/studies/1.2.3/metadata", bearer)
        counted = [row for row in await records(settings, Event.COUNT) if row.share == share]
        assert [row.bytes for row in counted] == [len(answer.body)]
        assert [row.study for row in await records(settings, Event.REFUSAL)] == ["1.2.3"]

    async def test_does_so_when_it_ends_with_an_error(self, settings: Settings) -> None:
        prepare(settings)
        process = Process(settings)

        async def broken_off() -> None:
            async with process.lifespan():
                await Caller(process.app("public")).get("/dicom-web/studies")
                raise KeyholeError("on purpose")

        with pytest.raises(KeyholeError, match="on purpose"):
            await broken_off()
        assert len(await records(settings, Event.REFUSAL)) == 1
        assert len(await records(settings, Event.STOPPED)) == 1

    async def test_does_not_begin_without_a_trail(self, settings: Settings) -> None:
        prepare(settings)
        (settings.data / "keyhole.db").write_bytes(b"no database" * 1000)
        with pytest.raises(StoreFailed):
            async with Process(settings).lifespan():
                pass

    async def test_shares_everything_with_another(self, settings: Settings) -> None:
        async with open_desk(settings) as desk:
            share, secret = await shared(desk)
        one, other = Process(settings), Process(settings)
        async with one.lifespan(), other.lifespan():
            bearer = await opened(Caller(one.app("public")), share, secret)
            elsewhere = Caller(other.app("public"))
            assert (await elsewhere.get("/dicom-web/studies", bearer)).status == 200
            async with open_desk(settings) as desk:
                await desk.change_share(OPERATOR, share, ShareChange(withdrawn_at=now()))
            assert (await soon(elsewhere, bearer, 401)).status == 401
        assert len(await records(settings, Event.SHARE_WITHDRAWN)) == 1

    async def test_is_ready_when_its_database_and_archives_are(self, settings: Settings) -> None:
        prepare(settings)
        await app.index_folders(settings, lambda _: lambda _done, _all: None)
        process = Process(settings)
        async with process.lifespan():
            answer = await Caller(process.app("internal")).get("/readyz")
        assert answer.json() == {"ready": True, "parts": {"database": "ok", "archive archive": "ok"}}


async def soon(caller: Caller, bearer: dict[str, str], status: int) -> Answer:
    """The answer once it has *status*, or the last one within five seconds: a machine may be busy."""
    answer = await caller.get("/dicom-web/studies", bearer)
    for _ in range(50):
        if answer.status == status:
            break
        await asyncio.sleep(0.1)
        answer = await caller.get("/dicom-web/studies", bearer)
    return answer


class TestTheDeskOfACommand:
    async def test_leaves_its_refusals_on_the_trail(self, settings: Settings) -> None:
        async def refused() -> None:
            async with open_desk(settings) as desk:
                await desk.create_share(READER, await an_order(desk))

        with pytest.raises(NotAllowed):
            await refused()
        [row] = await records(settings, Event.REFUSAL)
        assert (row.subject, row.action) == (READER.name, Action.SHARE)


def test_the_clock_is_aware_utc() -> None:
    assert now().utcoffset() == timedelta(0)
