"""A real Orthanc behind the model of its Authorization plugin, as one HTTP server on the loopback.

What the plugin does inside Orthanc is done here in front of it: Orthanc itself is asked with its own credentials.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any

import aiohttp
from aiohttp import web

from tests.servers.orthanc import Orthanc
from tests.servers.plugin.model import NotAnswered, Plugin, Study, Verdict

_TIMEOUT = aiohttp.ClientTimeout(total=10)
"""What the plugin waits for its web service."""

_OF = {"studies": "", "series": "/study", "instances": "/study"}
_WANTED = ("accept", "content-type")


@dataclass(frozen=True)
class Lookups:
    """What the plugin finds in the Orthanc that it is part of."""

    session: aiohttp.ClientSession
    root: str

    async def study_of(self, level: str, orthanc_id: str) -> Study | None:
        """The study that a resource is or lies in."""
        async with self.session.get(f"{self.root}/{level}/{orthanc_id}{_OF[level]}") as answer:
            return None if answer.status != 200 else _study(await answer.json())

    async def studies_with(self, uid: str) -> Sequence[Study]:
        """The studies of this StudyInstanceUID."""
        query = {"Level": "Study", "Query": {"StudyInstanceUID": uid}, "Expand": True}
        async with self.session.post(f"{self.root}/tools/find", json=query) as answer:
            return [_study(each) for each in await answer.json()]


def _study(node: Mapping[str, Any]) -> Study:
    return Study(node["ID"], node["MainDicomTags"]["StudyInstanceUID"], tuple(node.get("Labels", ())))


@dataclass(frozen=True)
class Front:
    """The running server: its URL, and the plugin in it."""

    url: str
    plugin: Plugin


@asynccontextmanager
async def front(
    orthanc: Orthanc, service_root: str, user: str, password: str, server_id: str | None = None
) -> AsyncIterator[Front]:
    """Serve *orthanc* behind a plugin whose ``WebServiceRootUrl`` is *service_root*."""
    own, shown = _basic(orthanc.user, orthanc.password), _basic(user, password)
    async with (
        aiohttp.ClientSession(headers=own, auto_decompress=False) as inside,
        aiohttp.ClientSession(headers=shown, timeout=_TIMEOUT) as service,
    ):

        async def ask(method: str, path: str, more: Mapping[str, str], body: Any) -> tuple[int, Any]:
            """As the plugin does: chunked, without a length; whatever fails is no answer."""
            headers = {**more, "Content-Type": "application/json"} if body is not None else dict(more)
            data = None if body is None else _chunks(json.dumps(body).encode())
            try:
                async with service.request(method, service_root + path, headers=headers, data=data) as answer:
                    return answer.status, json.loads(await answer.read())
            except (aiohttp.ClientError, TimeoutError, ValueError):
                return 599, None

        plugin = Plugin(ask, Lookups(inside, orthanc.rest), time.monotonic, server_id)

        async def answer(request: web.Request) -> web.StreamResponse:
            content = await request.read()
            body = json.loads(content) if request.path.startswith("/auth/") and content else None
            try:
                verdict = await plugin.judge(request.method, request.raw_path, request.headers, body)
            except NotAnswered:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            if verdict.passes:
                return await _forward(inside, orthanc.rest, request, content, verdict)
            if verdict.status == web.HTTPForbidden.status_code:
                return web.Response(status=verdict.status)
            return web.json_response(verdict.answer, status=verdict.status or 200)

        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{any:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            yield Front(f"http://127.0.0.1:{port}", plugin)
        finally:
            await runner.cleanup()


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _forward(
    inside: aiohttp.ClientSession, root: str, request: web.Request, content: bytes, verdict: Verdict
) -> web.Response:
    """What Orthanc answers, narrowed as the plugin narrows a search."""
    headers = {name: value for name, value in request.headers.items() if name.lower() in _WANTED}
    url = root + request.raw_path
    async with inside.request(request.method, url, headers=headers, data=content, allow_redirects=False) as answer:
        received, kind = await answer.read(), answer.headers.get("Content-Type", "application/octet-stream")
        if request.path in ("/dicom-web/studies", "/dicom-web/studies/") and answer.status == 200:
            allowed = verdict.studies
            if verdict.labels is not None:
                allowed = await _labelled(inside, root, verdict.labels)
            found = json.loads(received)
            received = json.dumps([each for each in found if allowed is None or _uid(each) in allowed]).encode()
        return web.Response(status=answer.status, body=received, headers={"Content-Type": kind})


async def _labelled(inside: aiohttp.ClientSession, root: str, labels: frozenset[str]) -> frozenset[str]:
    query = {"Level": "Study", "Query": {}, "Expand": True, "Labels": sorted(labels), "LabelsConstraint": "Any"}
    async with inside.post(f"{root}/tools/find", json=query) as answer:
        return frozenset(_study(each).uid for each in await answer.json())


def _uid(item: Mapping[str, Any]) -> str:
    return str(item["0020000D"]["Value"][0])


@contextmanager
def fronted(
    orthanc: Orthanc, service_root: str, user: str, password: str, server_id: str | None = None
) -> Iterator[Front]:
    """The same in a thread of its own, for tests that wait."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    running = front(orthanc, service_root, user, password, server_id)
    try:
        yield run(running.__aenter__())
    finally:
        run(running.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
