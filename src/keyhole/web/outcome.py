"""What comes of a link or a code, as an answer: JSON for the page's script and for programs, a page for a form.

And what is sent with them, as answers to what a link asks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import assert_never

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from keyhole.access.decision import Deny, Reason
from keyhole.access.share import ALLOWS
from keyhole.gateway.opening import CodeSent, Look, Needed, NotYet, Opened, Wait, Wrong
from keyhole.language import language
from keyhole.sharing.condition import CODE_LASTS, Answers
from keyhole.sharing.viewer import viewer_for
from keyhole.sharing.visit import COOKIE
from keyhole.web import cookies, words
from keyhole.web.incoming import fields, from_elsewhere, is_form
from keyhole.web.pages import PublicPages, refused
from keyhole.web.reader import language_of

TICKET = "keyhole_code"
"""The cookie of the browser that asked for a mailed code."""

_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_PART = re.compile(r"[0-9]{1,4}")


async def received(request: Request, settings: PublicPages) -> dict[str, str] | str:
    """The fields that a person or a program sent; a word from :mod:`keyhole.web.words` for what is not taken."""
    if from_elsewhere(request, settings.origin):
        return Reason.CROSS_SITE
    if cookies.hopeless(request, settings):
        return words.COOKIES_OFF
    return await fields(request)


def answers(request: Request, sent: Mapping[str, str]) -> Answers:
    """What *sent* answers, with the ticket of the browser that sent it."""
    return Answers(
        passcode=sent.get("passcode"),
        birth_date=_birth_date(sent),
        mail_code=sent.get("mail_code"),
        ticket=sent.get("ticket") or request.cookies.get(TICKET),
        terms=sent.get("terms"),
    )


def _birth_date(sent: Mapping[str, str]) -> str | None:
    """A day as one field (YYYY-MM-DD) or as three numbers, as YYYYMMDD."""
    whole = _DAY.fullmatch(sent.get("birth_date", "").strip())
    if whole is not None:
        return "".join(whole.groups())
    parts = [sent.get(f"birth_{name}", "").strip() for name in ("year", "month", "day")]
    year, month, day = (int(part) if _PART.fullmatch(part) else 0 for part in parts)
    return f"{year:04}{month:02}{day:02}" if all((year, month, day)) else None


def looked(request: Request, look: Look) -> Response:
    """What there is to show, and to choose from, before the link opens. The same for everybody who holds it."""
    return JSONResponse(
        {
            "needs": list(look.needs),
            "expires_at": look.expires_at.isoformat(),
            "visits_left": look.visits_left,
            "viewer": viewer_for(ALLOWS[look.allows]).name,
            "allows": look.allows,
            "mail_to": look.mail_to,
            "terms": _terms(request, look),
            "language": look.language,
            "tries_left": look.tries_left,
        }
    )


def _terms(request: Request, look: Look) -> dict[str, str] | None:
    """The terms in the language in which the page is read."""
    if look.terms is None:
        return None
    text, tag = look.terms.text(language_of(request).tag)
    return {"version": look.terms.version, "text": text, "language": language(tag).tag}


def opened(request: Request, settings: PublicPages, begun: Opened, now: datetime) -> Response:
    """A visit has begun: 201 for a program or a page's script, 303 for a form. The visit's cookie goes with it."""
    visit = begun.visit
    path = f"/v/{visit.id}/"
    answer: Response
    if is_form(request):
        answer = RedirectResponse(path, 303)
    else:
        content = {
            "visit": visit.id,
            "url": f"{settings.root}{path}",
            "bearer": begun.bearer,
            "expires_at": visit.ends_at.isoformat(),
        }
        answer = JSONResponse(content, 201, {"location": path})
    lasts = max(1, int((visit.ends_at - now).total_seconds()))
    value = begun.secret.reveal()
    cookies.give(answer, request, settings, name=COOKIE, value=value, path=path, seconds=lasts)
    return answer


def code_sent(request: Request, settings: PublicPages, sent: CodeSent) -> Response:
    """That a code is on its way; what ties it to this browser goes with it."""
    said = {"mail_to": sent.mail_to, "ends_at": sent.ends_at.isoformat(), "ticket": sent.ticket.reveal()}
    answer = JSONResponse(said, 202)
    keep_ticket(answer, request, settings, sent)
    return answer


def keep_ticket(answer: Response, request: Request, settings: PublicPages, sent: CodeSent) -> None:
    """Let the browser keep what ties a mailed code to it."""
    path, lasts = request.scope["path"].removesuffix("/codes"), int(CODE_LASTS.total_seconds())
    cookies.give(answer, request, settings, name=TICKET, value=sent.ticket.reveal(), path=path, seconds=lasts)


def not_opened(request: Request, why: NotYet | Needed | Wrong | Wait | Deny) -> Response:
    """Why nothing came of it."""
    match why:
        case NotYet(not_before):
            return refused(request, Reason.NOT_YET, not_before=not_before.isoformat())
        case Needed(names):
            return refused(request, Reason.ANSWERS_NEEDED, needs=list(names))
        case Wrong(tries_left):
            return refused(request, Reason.WRONG_ANSWER, tries_left=tries_left)
        case Wait(time):
            seconds = max(1, math.ceil(time.total_seconds()))
            answer = refused(request, Reason.TOO_MANY, retry_after=seconds)
            answer.headers["retry-after"] = str(seconds)
            return answer
        case Deny(Reason.NOT_THERE):
            return refused(request, words.NOT_FOUND)
        case Deny(reason):
            return refused(request, reason)
        case _:
            assert_never(why)
