"""Tiny applications, and a program that serves them: ``python apps.py <build> <settings as JSON>``."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from keyhole.errors import Misconfigured, StoreFailed
from keyhole.serving.listeners import Apps
from keyhole.serving.workers import serve
from keyhole.settings import Settings, load_settings


async def app(data: Path, scope: Any, receive: Any, send: Any) -> None:
    """Answer with what was asked, by path."""
    match scope["path"]:
        case "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"more", "more_body": True})
                await asyncio.sleep(0.02)
        case "/slow":
            (data / "slow").touch()
            await asyncio.sleep(0.5)
    body = json.dumps({"pid": os.getpid(), "client": scope["client"][0], "scheme": scope["scheme"]}).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def lifespan(log: Path) -> AsyncIterator[None]:
    with log.open("a") as file:
        file.write(f"begin {os.getpid()}\n")
    yield
    with log.open("a") as file:
        file.write(f"end {os.getpid()} {os.environ.get('PROMETHEUS_MULTIPROC_DIR')}\n")


def build(settings: Settings) -> Apps:
    here = partial(app, settings.data)
    return Apps(here, here, here, lifespan(settings.data / "lives"))


def build_without_database(settings: Settings) -> Apps:
    raise StoreFailed("the database is away")


def build_once(settings: Settings) -> Apps:
    """Work for the first process that asks, and fail for those that replace it."""
    if (settings.data / "lives").exists() and (settings.data / "broken").exists():
        raise StoreFailed("the database is away")
    return build(settings)


def build_crashing(settings: Settings) -> Apps:
    os._exit(9)


if __name__ == "__main__":
    try:
        options = json.loads(sys.argv[2])
        name = sys.argv[1]
        sys.exit(serve(name, load_settings({}, None, options), lambda found: print(json.dumps(found), flush=True)))
    except (Misconfigured, StoreFailed) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
