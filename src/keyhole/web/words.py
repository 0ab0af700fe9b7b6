"""What recipients are told when something is refused or fails: one status and one set of words for each reason."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

from starlette.responses import JSONResponse

from keyhole.access.decision import Reason
from keyhole.language import ENGLISH, Language
from keyhole.language import later as _


@dataclass(frozen=True, slots=True)
class Words:
    """One thing that can go wrong, in plain words: what happened, and what the reader can do."""

    status: int
    title: str
    text: str


TROUBLE = "trouble"
MISTYPED = "mistyped"
COOKIES_OFF = "cookies-off"
TOO_LARGE = "too-large"
BAD_REQUEST = "bad-request"
WRONG_TYPE = "wrong-type"
TOO_SLOW = "too-slow"
NO_VIEWER = "no-viewer"
NOT_FOUND = "not-found"
WRONG_METHOD = "wrong-method"

_NOT_HERE = _(
    "The images are not open in this browser. Perhaps they were opened in another browser or on another device, "
    "perhaps cookies are blocked or were cleared, or the visit is over. Please open the link that you were sent again."
)

WORDS = MappingProxyType(
    {
        MISTYPED: Words(
            404,
            _("This link is not complete"),
            _(
                "Some characters are missing or wrong. Please open the link from the message you were sent, or copy it "
                "again from its first to its last character."
            ),
        ),
        Reason.WRONG_SECRET: Words(
            404,
            _("This link opens nothing"),
            _("It may have been replaced by a newer one. Please ask whoever sent you the link to send it again."),
        ),
        Reason.EXPIRED: Words(
            410,
            _("This link has expired"),
            _("Links work for a limited time. Please ask whoever sent you the link to make it last longer."),
        ),
        Reason.WITHDRAWN: Words(
            410,
            _("This link was withdrawn"),
            _("The images are no longer shared. Please ask whoever sent you the link if you still need them."),
        ),
        Reason.USED_UP: Words(
            410,
            _("This link has been used"),
            _(
                "It opens a limited number of times. If you opened it yourself, go back to that browser. If not, tell "
                "whoever sent it to you: they can see when it was opened, and allow one more opening."
            ),
        ),
        Reason.NOT_YET: Words(403, _("It is too early"), _("This link does not work yet. Please come back later.")),
        Reason.LOCKED: Words(
            410,
            _("This link is locked"),
            _(
                "There were too many wrong answers, so it opens nothing any more. Please ask whoever sent it to you "
                "for a new link."
            ),
        ),
        Reason.ANSWERS_NEEDED: Words(
            403,
            _("Something is still missing"),
            _("To see the images, please answer everything that is asked for."),
        ),
        Reason.WRONG_ANSWER: Words(
            403,
            _("That did not match"),
            _("Please check what you entered. Nothing has been opened."),
        ),
        Reason.TOO_MANY: Words(429, _("Too many tries"), _("Please wait some minutes, then try again.")),
        Reason.MAIL_OFF: Words(
            503,
            _("This link cannot be opened just now"),
            _(
                "It asks for a code by e-mail, and this site sends no mail at the moment. Please tell whoever sent you "
                "the link."
            ),
        ),
        Reason.TERMS_OFF: Words(
            503,
            _("This link cannot be opened just now"),
            _(
                "It asks you to accept terms of use, and this site has none at the moment. Please tell whoever sent "
                "you the link."
            ),
        ),
        Reason.CROSS_SITE: Words(
            403,
            _("This was not opened from here"),
            _("The request came from another site and was refused. Please open the link that you were sent yourself."),
        ),
        Reason.VISIT_ENDED: Words(
            410,
            _("This visit has ended"),
            _(
                "Visits end when they are not used for a while, and after some hours in any case. To see the images "
                "again, please open the link that you were sent."
            ),
        ),
        Reason.NO_CREDENTIAL: Words(401, _("Please open the link again"), _NOT_HERE),
        Reason.BAD_CREDENTIAL: Words(401, _("Please open the link again"), _NOT_HERE),
        Reason.CONFLICTING_CREDENTIALS: Words(
            400,
            _("This browser holds two visits"),
            _("Please clear this site's cookies, then open the link again."),
        ),
        Reason.STORE_FAILED: Words(503, _("Something is wrong on our side"), _("Please try again in a minute.")),
        Reason.ARCHIVE_FAILED: Words(
            502,
            _("The images cannot be reached"),
            _("The archive does not answer as it should. Please try again later."),
        ),
        Reason.ARCHIVE_TIMEOUT: Words(
            504,
            _("The images cannot be reached"),
            _("The archive takes too long to answer. Please try again later."),
        ),
        TROUBLE: Words(
            500,
            _("Something is wrong on our side"),
            _("Please check that you are online, and try again in a minute."),
        ),
        COOKIES_OFF: Words(
            400,
            _("Cookies are off"),
            _(
                "The images can only be shown when this site may keep one cookie while you look. Please allow cookies "
                "for this site, then reload this page. Nothing has been opened yet."
            ),
        ),
        NO_VIEWER: Words(
            503,
            _("The viewer is missing"),
            _("It is not installed here yet. Please tell whoever sent you the link."),
        ),
        NOT_FOUND: Words(
            404, _("There is nothing here"), _("Please check the address, or open the link you were sent.")
        ),
        WRONG_METHOD: Words(405, _("This cannot be done here"), _("Please open the link that you were sent.")),
        BAD_REQUEST: Words(400, _("This was not understood"), _("Please open the link that you were sent again.")),
        TOO_LARGE: Words(
            413, _("This is too much"), _("What was sent is far longer than a link. Please copy it again.")
        ),
        WRONG_TYPE: Words(
            415,
            _("This was not understood"),
            _("Send JSON or a form (application/x-www-form-urlencoded)."),
        ),
        TOO_SLOW: Words(408, _("This took too long"), _("Please check that you are online, and try again.")),
    }
)


def words(reason: str) -> Words:
    """What to say for *reason*; a reason that nobody should meet here is trouble."""
    return WORDS.get(reason, WORDS[TROUBLE])


def said(reason: str, language: Language) -> Words:
    """What to say for *reason* in *language*."""
    english = words(reason)
    return replace(english, title=language.gettext(english.title), text=language.gettext(english.text))


def problem(reason: str, language: Language = ENGLISH, **more: object) -> JSONResponse:
    """*reason* as ``application/problem+json`` (RFC 9457), with ``reason`` for programs to look at."""
    told = said(reason, language)
    content = {
        "type": f"urn:keyhole:problem:{reason}",
        "title": told.title,
        "status": told.status,
        "detail": told.text,
        "reason": str(reason),
        **more,
    }
    return JSONResponse(content, told.status, media_type="application/problem+json")
