"""A stand-in for MedDream's token service: takes the documented request and nothing else, and knows what it gave."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

PATH = "/v3/generate"


@dataclass
class MedDreamServer:
    """The running server. ``opens``: the studies of each token. ``says`` is answered instead, when it is there."""

    url: str = ""
    user: str = "token-user"
    password: str = "not-a-real-password"
    opens: dict[str, list[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    says: web.Response | None = None

    @property
    def service(self) -> str:
        return self.url + PATH

    async def answer(self, request: web.Request) -> web.Response:
        """A token, if the request is what it is to be."""
        if self.says is not None:
            return self.says
        shown = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {shown}":
            return web.Response(status=401)
        problem = self._problem(request, body := await request.read())
        if problem is not None:
            self.wrong.append(problem)
            return web.Response(status=400, text=problem)
        token = secrets.token_urlsafe(24)
        self.opens[token] = [item["studies"]["study"] for item in json.loads(body)["items"]]
        return web.Response(text=token)

    def _problem(self, request: web.Request, body: bytes) -> str | None:
        """What is wrong with the request."""
        if (request.method, request.path_qs) != ("POST", PATH):
            return "not a POST to the service"
        if request.content_type != "application/json":
            return "not said to be JSON"
        content = json.loads(body)
        if set(content) != {"items"} or not content["items"]:
            return "not a list of items"
        for item in content["items"]:
            if set(item) != {"studies"} or set(item["studies"]) != {"study"}:
                return "an item that names something else than a study"
            if not isinstance(item["studies"]["study"], str):
                return "a study that is no text"
        return None


@asynccontextmanager
async def meddream() -> AsyncIterator[MedDreamServer]:
    """Run it on the loopback."""
    server = MedDreamServer()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
