"""``emails/templates`` and ``emails/send``, for Orthanc Explorer 2."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from keyhole.errors import Refused
from keyhole.gateway.plugin.mailing import Mailing, MailOrder
from keyhole.gateway.plugin.templates import Templates
from keyhole.web.plugin.call import Answer, Call, Route, Unreadable

_LONGEST = 1 << 20
_PATIENCE = 25.0
_ORDER = msgspec.json.Decoder(MailOrder)
_HTML = b"text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class ListTemplates:
    """The handler that names the templates."""

    templates: Templates

    async def __call__(self, call: Call) -> Answer:  # noqa: ARG002 - there is nothing to ask by
        """A JSON array of names."""
        return Answer(msgspec.json.encode(await asyncio.to_thread(self.templates.names)))


@dataclass(frozen=True, slots=True)
class GetTemplate:
    """The handler that gives one out."""

    templates: Templates

    async def __call__(self, call: Call) -> Answer:
        """The template as HTML; the Explorer fills it in the browser."""
        text = await asyncio.to_thread(self.templates.text, call.name)
        if text is None:
            return Answer(b'{"title":"Not Found","status":404,"detail":"There is no such template."}', 404)
        return Answer(text.encode() or b"\n", content_type=_HTML)


@dataclass(frozen=True, slots=True)
class SendMail:
    """The handler that sends. ``mailing`` None: no mail server is set up."""

    mailing: Mailing | None

    async def __call__(self, call: Call) -> Answer:
        """Whether the mail went out; if not, why, in words for the person who wrote it."""
        if self.mailing is None:
            return _failed("mail is not set up here: copy the link instead")
        try:
            await self.mailing.send(call.caller, call.read(_ORDER), call.client)
        except (Refused, Unreadable) as error:
            return _failed(error.problem if isinstance(error, Refused) else "the mail cannot be read")
        return Answer(b'{"success":true,"details":null}')


def _failed(why: str) -> Answer:
    return Answer(msgspec.json.encode({"success": False, "details": why}), HTTPStatus.BAD_REQUEST)


def routes(templates: Templates, mailing: Mailing | None) -> tuple[Route, ...]:
    """Where they are mounted. The Explorer's server part asks here, which waits longer than the plugin does."""
    return (
        Route(method="GET", path="emails/templates", handler=ListTemplates(templates)),
        Route(method="GET", path="emails/templates/{name}", handler=GetTemplate(templates)),
        Route(method="POST", path="emails/send", handler=SendMail(mailing), longest=_LONGEST, deadline=_PATIENCE),
    )
