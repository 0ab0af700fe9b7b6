"""``POST tokens/validate`` (facts: the web service, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import msgspec

from keyhole.gateway.plugin.question import Question
from keyhole.gateway.plugin.validator import Validator, Verdict
from keyhole.web.plugin.call import Answer, Call, Route

_QUESTION = msgspec.json.Decoder(Question)
_MOST_ANSWERS = 256
_NO = Answer(b'{"granted":false,"validity":0}')
"""Of what cannot be read, or not be known now: Orthanc is to ask again."""


@dataclass(frozen=True, slots=True)
class Validate:
    """The handler."""

    validator: Validator

    async def __call__(self, call: Call) -> Answer:
        """Whether the token may do what is asked, and for how long Orthanc may remember it."""
        return _answer(await self.validator.answer(call.caller, call.read(_QUESTION)))


@lru_cache(maxsize=_MOST_ANSWERS)
def _answer(verdict: Verdict) -> Answer:
    return Answer(msgspec.json.encode(verdict._asdict()))


def route(validator: Validator) -> Route:
    """Where it is mounted. A question is always answered, and what is not understood is no."""
    return Route(method="POST", path="tokens/validate", handler=Validate(validator), safe=_NO)
