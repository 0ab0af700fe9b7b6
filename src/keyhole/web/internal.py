"""The internal listener, for servers: is the process alive, can it answer, and its figures. Plain ASGI.

Health needs no credential and tells only names of ours. Everything else needs one that a client of the public listener
cannot have; below ``/plugin/`` an Orthanc's plugin shows its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from keyhole.access.secret import Secret
from keyhole.web.metrics import CONTENT_TYPE, Metrics
from keyhole.web.plugin.wire import MOUNT

_PATHS = ("/healthz", "/readyz", "/metrics")
_ALWAYS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_METHODS = ("GET", "HEAD")
_ASK_FOR_TOKEN = {"www-authenticate": 'Bearer realm="keyhole metrics"'}


class Readiness(Protocol):
    """Whether this process can answer."""

    async def parts(self) -> Mapping[str, bool]:
        """What an answer needs, by name (``database``, ``archive main``), and whether it can be had. Within 5 s."""


class Internal:
    """ASGI: ``/healthz``, ``/readyz``, ``/metrics``, and what is below ``/plugin/``."""

    def __init__(
        self, readiness: Readiness, metrics: Metrics, token: Secret | None, plugin: ASGIApp | None = None
    ) -> None:
        """Without *token* there are no figures, and without *plugin* nothing is below its mount."""
        self._readiness = readiness
        self._metrics = metrics
        self._token = token
        self._plugin = plugin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Bodies are read by the plugin's routes alone."""
        if scope["type"] != "http":
            return
        if self._plugin is not None and scope["raw_path"].startswith(MOUNT):
            await self._plugin(scope, receive, send)
            return
        answer = await self._answer(scope)
        if scope["method"] == "HEAD":
            answer.body = b""  # the length that the head tells stays
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response:
        path = scope["path"]
        if path not in _PATHS or (path == "/metrics" and self._token is None):
            return _say(404, {"detail": "There is nothing here."})
        if scope["method"] not in _METHODS:
            return _say(405, {"detail": "Only GET and HEAD are possible."}, {"allow": ", ".join(_METHODS)})
        if path == "/healthz":
            return _say(200, {"alive": True})
        if path == "/readyz":
            return await self._ready()
        if not self._may_see(scope):
            return _say(401, {"detail": "Show the metrics token as a bearer."}, _ASK_FOR_TOKEN)
        return Response(self._metrics.exposition(), 200, _ALWAYS, CONTENT_TYPE)

    async def _ready(self) -> Response:
        parts = await self._readiness.parts()
        ready = all(parts.values())
        told = {name: "ok" if well else "failed" for name, well in parts.items()}
        return _say(200 if ready else 503, {"ready": ready, "parts": told}, {} if ready else {"retry-after": "1"})

    def _may_see(self, scope: Scope) -> bool:
        shown = [value for name, value in scope["headers"] if name == b"authorization"]
        if self._token is None or len(shown) != 1:
            return False
        scheme, _, token = shown[0].decode("latin-1").partition(" ")
        return scheme.lower() == "bearer" and self._token.matches(Secret(token.strip(" ")))


def _say(status: int, content: Mapping[str, object], more: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(content), status, {**_ALWAYS, **(more or {})}, "application/json")
