"""The embedded archive behind the gateway: keys that may upload do, what they stored is found, and pictures pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from keyhole import app
from keyhole.access.resource import Action
from keyhole.access.subject import Kind, Subject
from keyhole.app import Process, now, open_desk, prepare
from keyhole.gateway.desk import ShareOrder
from keyhole.settings import Settings
from tests.archive.makers import INSTANCE, image
from tests.archive.test_uploads import TYPE, body, whole
from tests.asgi import Caller

pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")
OPERATOR = Subject(Kind.OPERATOR, "user:anna", frozenset({"user:anna", "role:administrator"}))


@asynccontextmanager
async def serving(
    folder: Path, tmp_path: Path, *, uploads: bool
) -> AsyncIterator[tuple[Caller, dict[str, dict[str, str]]]]:
    """The public listener over *folder*, and the credentials of an uploader and a reader."""
    data = tmp_path / "data"
    await asyncio.to_thread(data.mkdir)
    settings = Settings(
        archive=str(folder),
        archive_uploads=uploads,
        data=data,
        viewer=tmp_path / "viewer",
        public_url="http://127.0.0.1:8000",
    )
    prepare(settings)
    await app.index_folders(settings, lambda _: lambda _done, _all: None)
    bearers = {}
    async with open_desk(settings) as desk:
        for role in ("uploader", "reader"):
            _, shown = await desk.create_key(OPERATOR, role, frozenset({role}), frozenset(Action), None)
            bearers[role] = {"authorization": f"Bearer {shown}"}
    process = Process(settings)
    async with process.lifespan():
        yield Caller(process.app("public")), bearers


async def test_an_uploader_stores_and_a_reader_finds(folder: Path, tmp_path: Path) -> None:
    async with serving(folder, tmp_path, uploads=True) as (public, bearers):
        sent = {**bearers["uploader"], "content-type": TYPE}
        content = body(whole(image()))
        answer = await public.call("POST", "/dicom-web/studies", sent, [content[:100], content[100:]])
        assert answer.status == 200, answer.text
        assert answer.json()["00081199"]["Value"][0]["00081155"]["Value"] == ["1.1.1.1"]
        found = await public.get("/dicom-web/studies", bearers["reader"])
        assert [study["0020000D"]["Value"] for study in found.json()] == [["1.1"]]
        for path in (f"{INSTANCE}/rendered?viewport=8,8", "/studies/1.1/thumbnail"):
            picture = await public.get(f"/dicom-web{path}", {**bearers["reader"], "accept": "image/png"})
            assert (picture.status, picture.header("content-type")) == (200, "image/png")
        answer = await public.call("POST", "/dicom-web/studies/1.2", sent, [content])
        assert (answer.status, list(answer.json())) == (409, ["00081198"])
        stranger = {**bearers["reader"], "content-type": TYPE}
        assert (await public.call("POST", "/dicom-web/studies", stranger, [content])).status in (403, 404)
        assert (await public.get("/dicom-web/studies/1.1/metadata", bearers["uploader"])).status in (403, 404)


async def test_without_the_setting_nothing_is_taken(folder: Path, tmp_path: Path) -> None:
    async with serving(folder, tmp_path, uploads=False) as (public, bearers):
        sent = {**bearers["uploader"], "content-type": TYPE}
        answer = await public.call("POST", "/dicom-web/studies", sent, [body(whole(image()))])
        assert (answer.status, answer.header("allow")) == (405, "GET, HEAD, OPTIONS")


async def test_a_share_shows_pictures(folder: Path, tmp_path: Path) -> None:
    async with serving(folder, tmp_path, uploads=True) as (public, bearers):
        sent = {**bearers["uploader"], "content-type": TYPE}
        await public.call(
            "POST", "/dicom-web/studies", sent, [body(whole(image()), whole(image("1.2", "1.2.1", "1.2.1.1")))]
        )
        settings = Settings(
            archive=str(folder),
            data=tmp_path / "data",
            viewer=tmp_path / "viewer",
            public_url="http://127.0.0.1:8000",
            required_conditions="none",
        )
        async with open_desk(settings) as desk:
            order = ShareOrder(archive="archive", resources=(("1.1",),), expires_at=now() + timedelta(days=1))
            share = await desk.create_share(OPERATOR, order)
            secret = desk.link(share).partition("#")[2]
        visit = await public.post_json(f"/s/{share.id}/visits", {"secret": secret})
        bearer = {"authorization": f"Bearer {visit.json()['bearer']}"}
        assert (await public.get(f"/dicom-web{INSTANCE}/rendered", bearer)).header("content-type") == "image/jpeg"
        other = "/studies/1.2/series/1.2.1/instances/1.2.1.1"
        assert (await public.get(f"/dicom-web{other}/rendered", bearer)).status == 404
