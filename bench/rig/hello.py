"""Keyhole's listener before an application that does nothing: ``python hello.py PORT``, the ceiling of any route."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvloop

from keyhole.serving.listeners import Listener
from keyhole.serving.malloc import keep_freed_memory, spare_what_stands

Message = MutableMapping[str, Any]
_BODY = b'{"granted":true,"validity":1}'
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))],
}


async def hello(scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Any]) -> None:
    """Answer without reading, deciding or writing anything."""
    await send(_START)
    await send({"type": "http.response.body", "body": _BODY})


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    listener = Listener(hello, (), None)
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        await listener.start(bound)
        spare_what_stands()
        await asyncio.Event().wait()


if __name__ == "__main__":
    keep_freed_memory(os.environ)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
