"""Where codes from paper are typed: ``/c``. It works without a script, on whatever device is at hand.

GET is the same for everybody and consumes nothing. The code is in bodies alone, and stands for share and secret: no
address names either, nor a patient. Programs send and get JSON, as with links.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from keyhole.access.decision import Deny, Reason
from keyhole.access.secret import Secret
from keyhole.gateway.client import Client, client_of
from keyhole.gateway.opening import CodeSent, Look, Needed, NotYet, Opened, Wait, Wrong
from keyhole.language import later as _
from keyhole.sharing.condition import Answers
from keyhole.sharing.paper import grouped, parse_code
from keyhole.web import outcome, words
from keyhole.web.fixed import FixedPage
from keyhole.web.incoming import is_form
from keyhole.web.pages import PublicPages, page, refused
from keyhole.web.reader import language_of
from keyhole.web.words import Words

PATH = "/c"
_ORIGIN_TOLD = {"referrer-policy": "same-origin"}
"""With ``no-referrer``, as elsewhere, browsers send forms with ``Origin: null`` (Fetch, "append a request Origin"), and
one that sends no ``Sec-Fetch-Site`` could not be told from another site's. Nothing here is to be hidden from ourselves.
"""

_SAID: Mapping[str, Words] = {
    words.MISTYPED: Words(
        404, _("This code is not complete"), _("It has ten letters and digits. Please compare it with your letter.")
    ),
    Reason.WRONG_SECRET: Words(
        404,
        _("This code opens nothing"),
        _("Please compare it with your letter. If it is right, there may be a newer letter."),
    ),
}


class PaperOpenings(Protocol):
    """What becomes of a code (:class:`keyhole.gateway.paper.PaperOpenings`). Breakage raises a KeyholeError."""

    async def look(self, code: Secret, client: Client, /) -> Look | NotYet | Wait | Deny:
        """What whoever has the letter must do. Consumes nothing."""

    async def begin(
        self, code: Secret, answers: Answers, client: Client, /
    ) -> Opened | NotYet | Needed | Wrong | Wait | Deny:
        """Count an opening and begin a visit."""

    async def send_code(self, code: Secret, client: Client, /) -> CodeSent | NotYet | Wait | Deny:
        """Mail a code to the recipient."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A code, and the other fields that came with it."""

    code: Secret
    fields: Mapping[str, str] = field(repr=False)


class PaperPages:
    """The routes of codes for paper."""

    def __init__(self, openings: PaperOpenings, settings: PublicPages, now: Callable[[], datetime]) -> None:
        """Open shares by *openings*."""
        self._openings = openings
        self._settings = settings
        self._now = now
        self._start = FixedPage("paper_start.html", settings.site)
        self._page = FixedPage("paper.html", settings.site, wrong=None, typed="")

    async def start(self, request: Request) -> Response:
        """Where the way to links and the way to codes part, for whoever has typed the host's name alone."""
        return self._start.answer(request)

    async def code_page(self, request: Request) -> Response:
        """Where the code is typed: the same bytes, in each language, for everybody."""
        answer = self._page.answer(request)
        answer.headers.update(_ORIGIN_TOLD)
        return answer

    async def look(self, request: Request) -> Response:
        """Tell whoever has the letter what is asked: as JSON, or as the form's second step."""
        sent = await self._sent(request)
        if isinstance(sent, Response):
            return sent
        match await self._openings.look(sent.code, client_of(request.scope)):
            case Look() as look if is_form(request):
                return _second(request, sent.code, look)
            case Look() as look:
                return outcome.looked(request, look)
            case other:
                return _not_opened(request, sent.code, other)

    async def begin(self, request: Request) -> Response:
        """Begin a visit: 201 for a program, 303 for a form."""
        sent = await self._sent(request)
        if isinstance(sent, Response):
            return sent
        answers = outcome.answers(request, sent.fields)
        match await self._openings.begin(sent.code, answers, client_of(request.scope)):
            case Opened() as opened:
                return outcome.opened(request, self._settings, opened, self._now())
            case Needed() | Wrong() as why if is_form(request):
                return await self._again(request, sent.code, why)
            case other:
                return _not_opened(request, sent.code, other)

    async def codes(self, request: Request) -> Response:
        """Mail the code that is asked for besides."""
        sent = await self._sent(request)
        if isinstance(sent, Response):
            return sent
        match await self._openings.send_code(sent.code, client_of(request.scope)):
            case CodeSent() as mailed if is_form(request):
                return await self._mailed(request, sent.code, mailed)
            case CodeSent() as mailed:
                return outcome.code_sent(request, self._settings, mailed)
            case other:
                return _not_opened(request, sent.code, other)

    async def _sent(self, request: Request) -> _Sent | Response:
        """What was sent, or the answer to what cannot be looked up."""
        sent = await outcome.received(request, self._settings)
        if isinstance(sent, str):
            return refused(request, sent)
        code = parse_code(sent.get("code", ""))
        if code is not None:
            return _Sent(code, sent)
        if is_form(request):
            return _first(request, words.MISTYPED, sent.get("code", ""))
        return refused(request, words.MISTYPED)

    async def _again(self, request: Request, code: Secret, why: Needed | Wrong) -> Response:
        """The second step once more, with what was not right about the answers."""
        match await self._openings.look(code, client_of(request.scope)):
            case Look() as look:
                return _second(request, code, look, why)
            case other:  # that was the last wrong answer
                return _not_opened(request, code, other)

    async def _mailed(self, request: Request, code: Secret, mailed: CodeSent) -> Response:
        """The second step after a code was mailed; what ties it to this browser goes with it."""
        match await self._openings.look(code, client_of(request.scope)):
            case Look() as look:
                answer = _second(request, code, look, mailed=True)
                outcome.keep_ticket(answer, request, self._settings, mailed)
                return answer
            case other:
                return _not_opened(request, code, other)


async def to_code(_: Request) -> Response:
    """The way of who types the address in capital letters, or with a slash at its end."""
    return RedirectResponse(PATH, 308)


def _first(request: Request, word: str, typed: str) -> Response:
    """The form for the code, with what is wrong with it."""
    said, language = _SAID[word], language_of(request)
    wrong = Words(said.status, language.gettext(said.title), language.gettext(said.text))
    answer = page(request, "paper.html", said.status, wrong=wrong, typed=typed)
    answer.headers.update(_ORIGIN_TOLD)
    return answer


def _second(
    request: Request, code: Secret, look: Look, why: Needed | Wrong | None = None, *, mailed: bool = False
) -> Response:
    """The form for what is asked."""
    language = language_of(request)
    reason = Reason.WRONG_ANSWER if isinstance(why, Wrong) else Reason.ANSWERS_NEEDED
    text, tag = ("", "") if look.terms is None else look.terms.text(language.tag)
    answer = page(
        request,
        "paper_answers.html",
        200 if why is None else words.words(reason).status,
        code=grouped(code),
        look=look,
        wrong=None if why is None else words.said(reason, language),
        tries_left=why.tries_left if isinstance(why, Wrong) else None,
        lacking=why.names if isinstance(why, Needed) else (),
        sent=mailed,
        ticket=mailed or outcome.TICKET in request.cookies,
        terms_text=text,
        terms_language=tag,
    )
    answer.headers.update(_ORIGIN_TOLD)
    return answer


def _not_opened(request: Request, code: Secret, why: NotYet | Needed | Wrong | Wait | Deny) -> Response:
    match why:
        case Deny(Reason.WRONG_SECRET) if is_form(request):
            return _first(request, Reason.WRONG_SECRET, grouped(code))
        case _:
            return outcome.not_opened(request, why)
