"""What went wrong, for the programs of staff: ``application/problem+json`` (RFC 9457).

Nothing that a client sent is in it, so that no secret is echoed, and nothing of an inner error's text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import Response

from keyhole.access.decision import Reason
from keyhole.errors import ArchiveFailed, ArchiveTimeout, ForeignAnswer, KeyholeError, Refused, StoreFailed
from keyhole.gateway.decisions import TooOften
from keyhole.gateway.desk import NotAllowed, NotFound
from keyhole.gateway.policy import ConditionsNeeded

MEDIA_TYPE = "application/problem+json"

_HARMLESS = re.compile(r"[a-z_]{1,24}")


class Trouble(StrEnum):
    """What a request can meet besides the reasons of a refusal."""

    INVALID = "invalid"
    """The request is not of the form that the OpenAPI document gives."""
    REFUSED = "refused"
    """The form is right, but it cannot be done; ``detail`` says why."""
    NOT_FOUND = "not-found"
    """There is no such thing, or this credential may not know of it."""
    CONDITIONS_NEEDED = "conditions-needed"
    """Links need conditions here that were not named: ``errors`` has the fields that would do."""
    TOO_LARGE = "too-large"
    INTERNAL = "internal"
    """A fault of Keyhole's own; it is in its log."""


class WrongField(BaseModel):
    """One field that is wrong."""

    field: str = Field(description="where it is, parts joined by dots", examples=["expires_at"])
    problem: str = Field(description="what is wrong with it", examples=["is not a time with its zone"])


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="the kind of problem", examples=["urn:keyhole:problem:no-grant"])
    title: str = Field(description="the status in words", examples=["Forbidden"])
    status: int = Field(description="the status code", examples=[403])
    detail: str = Field(description="what is wrong, in a sentence", examples=["you may not share main:1.2.3"])
    reason: Reason | Trouble = Field(description="what is wrong, in one word of a closed list")
    errors: tuple[WrongField, ...] = Field(default=(), description="the fields that are wrong, if it is them")

    @classmethod
    def of(cls, status: int, reason: Reason | Trouble, detail: str, errors: Iterable[WrongField] = ()) -> Problem:
        """The problem with its type and title."""
        return cls(
            type=f"urn:keyhole:problem:{reason}",
            title=HTTPStatus(status).phrase,
            status=status,
            detail=detail,
            reason=reason,
            errors=tuple(errors),
        )

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """The answer that says so."""
        body = self.model_dump_json(exclude=None if self.errors else {"errors"})
        return Response(body, self.status, {**_advice(self), **(headers or {})}, MEDIA_TYPE)


def _advice(problem: Problem) -> dict[str, str]:
    """The headers that go with a problem (RFC 6750 section 3, RFC 9110 section 10.2.3)."""
    if problem.status == HTTPStatus.UNAUTHORIZED:
        error = "" if problem.reason is Reason.NO_CREDENTIAL else ', error="invalid_token"'
        return {"www-authenticate": f'Bearer realm="keyhole"{error}'}
    if problem.reason is Reason.CEILING:
        return {"www-authenticate": 'Bearer realm="keyhole", error="insufficient_scope"'}
    return {"retry-after": "1"} if problem.status == HTTPStatus.SERVICE_UNAVAILABLE else {}


_CREDENTIAL = {
    Reason.NO_CREDENTIAL: (401, "Show an API key: Authorization: Bearer khk_…"),
    Reason.BAD_CREDENTIAL: (401, "This is no API key that is known here."),
    Reason.EXPIRED: (401, "This API key has expired."),
    Reason.WITHDRAWN: (401, "This API key was revoked."),
    Reason.CONFLICTING_CREDENTIALS: (400, "Show one credential, not several."),
    Reason.CEILING: (403, "This credential is not for this interface."),
}


def of_credential(reason: Reason) -> Problem:
    """Why whoever asks was not let in."""
    status, detail = _CREDENTIAL.get(reason, (401, "This credential opens nothing here."))
    return Problem.of(status, reason, detail)


_BREAKAGE: tuple[tuple[type[KeyholeError], int, Reason | Trouble, str], ...] = (
    (ArchiveTimeout, 504, Reason.ARCHIVE_TIMEOUT, "The archive took too long to answer."),
    (ForeignAnswer, 502, Reason.FOREIGN_ANSWER, "The archive answered with something else than asked."),
    (ArchiveFailed, 502, Reason.ARCHIVE_FAILED, "The archive could not answer."),
    (StoreFailed, 503, Reason.STORE_FAILED, "The database cannot be used just now. Try again in a moment."),
    (KeyholeError, 500, Trouble.INTERNAL, "Something went wrong in Keyhole."),
)


def of_error(error: KeyholeError) -> Problem:
    """What *error* is to whoever asked: a refusal in its own words, breakage in ours."""
    match error:
        case NotAllowed():
            return Problem.of(403, error.reason, error.problem)
        case TooOften():
            return Problem.of(429, Reason.TOO_MANY, error.problem)
        case NotFound():
            return Problem.of(404, Trouble.NOT_FOUND, error.problem)
        case ConditionsNeeded():
            return Problem.of(422, Trouble.CONDITIONS_NEEDED, error.problem, _needed(error))
        case Refused():
            return Problem.of(422, Trouble.REFUSED, error.problem)
        case _:
            said = (row for row in _BREAKAGE if isinstance(error, row[0]))
            _, status, reason, detail = next(said)
            return Problem.of(status, reason, detail)


def _needed(error: ConditionsNeeded) -> Iterable[WrongField]:
    """The fields that would do; ``generate`` is a passcode that needs nobody to think of it."""
    words = "one of these is needed" if error.any_of else "is needed"
    return (WrongField(field=name.replace("-", "_"), problem=words) for name in error.names)


def headers_of(error: KeyholeError) -> Mapping[str, str]:
    """What goes with :func:`of_error` beside its body (RFC 9110 section 10.2.3)."""
    return {"retry-after": str(error.wait)} if isinstance(error, TooOften) else {}


_STATUS: Mapping[int, tuple[Reason | Trouble, str]] = {
    400: (Trouble.INVALID, "This is not a request that can be read."),
    404: (Reason.UNKNOWN_ROUTE, "There is nothing at this path."),
    405: (Reason.METHOD_NOT_ALLOWED, "This method is not possible here."),
    413: (Trouble.TOO_LARGE, "The request is too large."),
}


def of_status(status: int) -> Problem:
    """What the framework means by *status*."""
    reason, detail = _STATUS.get(status, (Trouble.INVALID, HTTPStatus(status).phrase))
    return Problem.of(status, reason, detail)


def of_fields(errors: Iterable[Mapping[str, Any]]) -> Problem:
    """The fields that a validator (pydantic's error dictionaries) found wrong, without their values."""
    wrong = [WrongField(field=_field(error), problem=_words(error)) for error in errors]
    return Problem.of(422, Trouble.INVALID, "Some fields are wrong: see errors.", wrong)


def _field(error: Mapping[str, Any]) -> str:
    """Where the field is. A name of the client's own making is only repeated when it cannot be a secret."""
    if error["type"] == "json_invalid":
        return ""
    parts = [str(part) for part in error["loc"][1:]]
    if error["type"] == "extra_forbidden" and not _HARMLESS.fullmatch(parts[-1]):
        parts[-1] = "…"
    return ".".join(parts)


def _words(error: Mapping[str, Any]) -> str:
    known = {
        "extra_forbidden": "there is no such field",
        "missing": "is missing",
        "json_invalid": "the body is not JSON",
    }
    return known.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
