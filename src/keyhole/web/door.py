"""The door of the staff listener: nobody gets past it without an API key, and nothing that passes is kept by a cache.

Keys are bearers. Cookies are not looked at, so a page of another site cannot make a browser ask for anything here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keyhole.access.decision import Deny, Event, Reason, Record
from keyhole.access.subject import ANONYMOUS, Kind
from keyhole.errors import KeyholeError
from keyhole.gateway.client import client_of
from keyhole.gateway.identify import Holder
from keyhole.gateway.relay import ALWAYS
from keyhole.identity.credential import Headers
from keyhole.web import trouble
from keyhole.web.trouble import Problem

OPENAPI = "/api/v1/openapi.json"
"""The one path that needs no key: it describes the interface and tells nothing else."""

_ALWAYS = {**ALWAYS, "content-security-policy": "default-src 'none'; frame-ancestors 'none'"}


class Identity(Protocol):
    """Who asks (:class:`keyhole.gateway.identify.Identity`)."""

    async def holder(self, headers: Headers, visit_id: str | None, /) -> Holder | Deny:
        """Who shows the one credential in *headers*."""


Refuse = Callable[[Record], None]
"""Note a refusal for the trail (:meth:`keyhole.gateway.ledger.Ledger.refuse`)."""


def refusal(scope: Scope, subject: str, reason: Reason, now: datetime) -> Record:
    """The refusal of a request as the trail keeps it."""
    return Record(at=now, event=Event.REFUSAL, subject=subject, reason=reason, personal=client_of(scope).personal())


class Door:
    """ASGI. Puts the holder of the key into the request's state, or refuses before anything of a body is read."""

    def __init__(
        self, app: ASGIApp, identity: Identity, refuse: Refuse, now: Callable[[], datetime], largest_body: int
    ) -> None:
        """Stand before *app*, which refuses bodies of more than *largest_body* bytes that were not announced."""
        self._app = app
        self._largest = largest_body
        self._identity = identity
        self._refuse = refuse
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through or refuse it."""
        if scope["type"] == "http":
            send = _never_kept(send)
            refused = None if scope["path"] == OPENAPI else await self._refused(scope)
            if refused is not None:
                await refused.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _refused(self, scope: Scope) -> Problem | None:
        try:
            who = await self._identity.holder(scope["headers"], None)
        except KeyholeError as error:
            return trouble.of_error(error)
        match who:
            case Holder(subject=subject) if subject.kind is Kind.API_KEY:
                scope.setdefault("state", {})["subject"] = subject
                # Not left to the framework, which answers in words of its own.
                return trouble.of_status(413) if _announced(scope["headers"]) > self._largest else None
            case Holder(subject=subject) if subject.kind is Kind.ANONYMOUS:
                return self._told(scope, subject.name, Reason.NO_CREDENTIAL)
            case Holder(subject=subject):
                return self._told(scope, subject.name, Reason.CEILING)
            case Deny(reason):
                return self._told(scope, ANONYMOUS.name, reason)

    def _told(self, scope: Scope, name: str, reason: Reason) -> Problem:
        self._refuse(refusal(scope, name, reason, self._now()))
        return trouble.of_credential(reason)


def _announced(headers: Headers) -> int:
    """The length of the body as its sender says it; the server has seen to it that this is a number."""
    return next((int(value) for name, value in headers if name == b"content-length"), 0)


def _never_kept(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_ALWAYS)
        await send(message)

    return sending
