"""What recipients are told when something is refused or fails: one status and one set of words for each reason."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from starlette.responses import JSONResponse

from keyhole.access.decision import Reason


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

_ASK = "Please ask whoever sent you the link"
_NOT_HERE = (
    "The images are not open in this browser. Perhaps they were opened in another browser or on another device, "
    "perhaps cookies are blocked or were cleared, or the visit is over. Please open the link that you were sent again."
)

WORDS = MappingProxyType(
    {
        MISTYPED: Words(
            404,
            "This link is not complete",
            "Some characters are missing or wrong. Please open the link from the message you were sent, or copy it "
            "again from its first to its last character.",
        ),
        Reason.WRONG_SECRET: Words(
            404,
            "This link opens nothing",
            f"It may have been replaced by a newer one. {_ASK} to send it again.",
        ),
        Reason.EXPIRED: Words(
            410, "This link has expired", f"Links work for a limited time. {_ASK} to make it last longer."
        ),
        Reason.WITHDRAWN: Words(
            410, "This link was withdrawn", f"The images are no longer shared. {_ASK} if you still need them."
        ),
        Reason.USED_UP: Words(
            410,
            "This link has been used",
            "It opens a limited number of times. If you opened it yourself, go back to that browser. If not, tell "
            "whoever sent it to you: they can see when it was opened, and allow one more opening.",
        ),
        Reason.NOT_YET: Words(403, "It is too early", "This link does not work yet. Please come back later."),
        Reason.TOO_MANY: Words(429, "Too many tries", "Please wait some minutes, then try again."),
        Reason.CROSS_SITE: Words(
            403,
            "This was not opened from here",
            "The request came from another site and was refused. Please open the link that you were sent yourself.",
        ),
        Reason.VISIT_ENDED: Words(
            410,
            "This visit has ended",
            "Visits end when they are not used for a while, and after some hours in any case. To see the images "
            "again, please open the link that you were sent.",
        ),
        Reason.NO_CREDENTIAL: Words(401, "Please open the link again", _NOT_HERE),
        Reason.BAD_CREDENTIAL: Words(401, "Please open the link again", _NOT_HERE),
        Reason.CONFLICTING_CREDENTIALS: Words(
            400, "This browser holds two visits", "Please clear this site's cookies, then open the link again."
        ),
        Reason.STORE_FAILED: Words(503, "Something is wrong on our side", "Please try again in a minute."),
        Reason.ARCHIVE_FAILED: Words(
            502, "The images cannot be reached", "The archive does not answer as it should. Please try again later."
        ),
        Reason.ARCHIVE_TIMEOUT: Words(
            504, "The images cannot be reached", "The archive takes too long to answer. Please try again later."
        ),
        TROUBLE: Words(
            500,
            "Something is wrong on our side",
            "Please check that you are online, and try again in a minute.",
        ),
        COOKIES_OFF: Words(
            400,
            "Cookies are off",
            "The images can only be shown when this site may keep one cookie while you look. Please allow cookies "
            "for this site, then reload this page. Nothing has been opened yet.",
        ),
        NO_VIEWER: Words(
            503, "The viewer is missing", "It is not installed here yet. Please tell whoever sent you the link."
        ),
        NOT_FOUND: Words(404, "There is nothing here", "Please check the address, or open the link you were sent."),
        WRONG_METHOD: Words(405, "This cannot be done here", "Please open the link that you were sent."),
        BAD_REQUEST: Words(400, "This was not understood", "Please open the link that you were sent again."),
        TOO_LARGE: Words(413, "This is too much", "What was sent is far longer than a link. Please copy it again."),
        WRONG_TYPE: Words(415, "This was not understood", "Send JSON or a form (application/x-www-form-urlencoded)."),
        TOO_SLOW: Words(408, "This took too long", "Please check that you are online, and try again."),
    }
)


def words(reason: str) -> Words:
    """What to say for *reason*; a reason that nobody should meet here is trouble."""
    return WORDS.get(reason, WORDS[TROUBLE])


def problem(reason: str, **more: str) -> JSONResponse:
    """*reason* as ``application/problem+json`` (RFC 9457), with ``reason`` for programs to look at."""
    said = words(reason)
    content = {
        "type": f"urn:keyhole:problem:{reason}",
        "title": said.title,
        "status": said.status,
        "detail": said.text,
        "reason": str(reason),
        **more,
    }
    return JSONResponse(content, said.status, media_type="application/problem+json")
