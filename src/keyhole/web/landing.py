"""Where links lead: pages that are the same for everybody, and the POSTs that a person's gesture sends.

GET consumes nothing, reveals nothing and sets nothing (rule 7 of the design). The secret is in the link's fragment; the
page's script sends it in a body, first to learn what the recipient must show, then, after a click, to begin the visit.
Programs do the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from keyhole.access.decision import Deny, Reason
from keyhole.access.resource import Action
from keyhole.access.secret import is_id
from keyhole.gateway.client import Client, client_of
from keyhole.gateway.opening import CodeSent, Look, Needed, NotYet, Opened, Wait, Wrong
from keyhole.gateway.visiting import Shown
from keyhole.sharing.condition import Answers
from keyhole.sharing.link import parse_link, parse_secret
from keyhole.sharing.mangled import mended
from keyhole.web import outcome, words
from keyhole.web.fixed import FixedPage
from keyhole.web.incoming import is_form
from keyhole.web.pages import PublicPages, refused

_CODE = re.compile(r"[A-Za-z0-9]{16,64}")

Headers = Sequence[tuple[bytes, bytes]]


class Openings(Protocol):
    """What the public pages need (:class:`keyhole.gateway.openings.Openings`). Breakage raises a KeyholeError."""

    async def look(self, share_id: str, shown: str, client: Client, /) -> Look | NotYet | Deny:
        """What the holder of the secret *shown* must do to open the share. Consumes nothing."""

    async def begin(
        self, share_id: str, shown: str, answers: Answers, client: Client, /
    ) -> Opened | NotYet | Needed | Wrong | Wait | Deny:
        """Count an opening and begin a visit, when *answers* are what the link asks."""

    async def send_code(self, share_id: str, shown: str, client: Client, /) -> CodeSent | NotYet | Wait | Deny:
        """Mail the code that the link asks for."""

    async def redeem(self, code: str, client: Client, /) -> Opened | Deny:
        """Begin the visit that an application prepared."""

    async def shown(self, visit_id: str, headers: Headers, client: Client, /) -> Shown | Deny:
        """What the visit page shows to whoever has the visit's cookie."""

    async def lasts(self, visit_id: str, headers: Headers, /, *, present: bool) -> Deny | None:
        """None while the visit runs. Only when *present* is the question a use of the visit."""

    async def actions(self, visit_id: str, headers: Headers, /) -> frozenset[Action] | Deny:
        """What the visit may do at all, for whoever shows its credential. That is a use of the visit."""

    async def end(self, visit_id: str, headers: Headers, client: Client, /) -> Deny | None:
        """End the visit."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A link's share and secret, and the other fields that came with them."""

    share: str
    secret: str = field(repr=False)
    fields: Mapping[str, str] = field(repr=False)


class Landing:
    """The routes of links and of codes."""

    def __init__(self, openings: Openings, settings: PublicPages, now: Callable[[], datetime]) -> None:
        """Open links by *openings*."""
        self._openings = openings
        self._settings = settings
        self._now = now
        self._link_page = FixedPage("landing.html", settings.site, said=words.said)
        self._code_page = FixedPage("code.html", settings.site, said=words.said)

    async def link_page(self, request: Request) -> Response:
        """The landing page: the same bytes, in each language, for every share id, existing or not."""
        return self._link_page.answer(request)

    async def code_page(self, request: Request) -> Response:
        """The page that redeems a code at once: a person has just asked for it elsewhere."""
        return self._code_page.answer(request)

    async def look(self, request: Request) -> Response:
        """Tell the holder of the secret what to show. A form, which knows no second step, is sent on to it."""
        if is_form(request):
            return RedirectResponse(f"{request.scope['path']}/visits", 307)
        sent = await self._sent(request)
        if isinstance(sent, str):
            return refused(request, sent)
        match await self._openings.look(sent.share, sent.secret, client_of(request.scope)):
            case Look() as look:
                return outcome.looked(request, look)
            case other:
                return outcome.not_opened(request, other)

    async def begin(self, request: Request) -> Response:
        """Begin a visit: 201 for a program or the page's script, 303 for a form."""
        sent = await self._sent(request)
        if isinstance(sent, str):
            return refused(request, sent)
        answers = outcome.answers(request, sent.fields)
        match await self._openings.begin(sent.share, sent.secret, answers, client_of(request.scope)):
            case Opened() as opened:
                return outcome.opened(request, self._settings, opened, self._now())
            case other:
                return outcome.not_opened(request, other)

    async def codes(self, request: Request) -> Response:
        """Mail the code that the link asks for."""
        sent = await self._sent(request)
        if isinstance(sent, str):
            return refused(request, sent)
        match await self._openings.send_code(sent.share, sent.secret, client_of(request.scope)):
            case CodeSent() as code:
                return outcome.code_sent(request, self._settings, code)
            case other:
                return outcome.not_opened(request, other)

    async def redeem(self, request: Request) -> Response:
        """Begin the visit that a code stands for."""
        sent = await outcome.received(request, self._settings)
        code = sent if isinstance(sent, str) else sent.get("code", "").strip()
        if isinstance(sent, str) or not _CODE.fullmatch(code):
            return refused(request, code if isinstance(sent, str) else Reason.WRONG_SECRET)
        match await self._openings.redeem(code, client_of(request.scope)):
            case Opened() as opened:
                return outcome.opened(request, self._settings, opened, self._now())
            case other:
                return outcome.not_opened(request, other)

    async def _sent(self, request: Request) -> _Sent | str:
        """The share id, the secret and what else was sent, or why there are none. Nothing is looked up for this."""
        sent = await outcome.received(request, self._settings)
        if isinstance(sent, str):
            return sent
        text, share = mended(sent.get("secret", "")), request.path_params.get("share", "")
        whole = parse_link(text)  # a form takes what was copied, usually the whole link
        if whole is not None:
            share, secret = whole
        else:
            parsed = parse_secret(text)
            if parsed is None:
                return words.MISTYPED
            secret = parsed
        return _Sent(share, secret.reveal(), sent) if is_id(share) else Reason.WRONG_SECRET
