"""Faults of our own, answered and logged without their words.

The server would log the whole error, and whoever raised it may have put a name, a UID or an address into it.
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from keyhole.gateway import fault
from keyhole.gateway.relay import ALWAYS, Begun, whole


class Quiet:
    """ASGI. Outermost: nothing that *app* raises gets past it; an answer that has begun breaks off."""

    def __init__(self, app: ASGIApp, name: str) -> None:
        """Stand before *app*, the application of the listener *name*."""
        self._app = app
        self._doing = f"answering on the {name} listener"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begun = Begun(send)
        try:
            await self._app(scope, receive, begun)
        except Exception as error:  # noqa: BLE001 - whatever it is, its words are told to nobody
            fault.note(error, self._doing)
            if not begun.yet:
                text = b"Something is wrong on our side.\n"
                await whole(send, HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", text, ALWAYS)
